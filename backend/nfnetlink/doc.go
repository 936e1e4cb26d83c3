// Package nfnetlink reads what netfilter's kernel side says of itself by netlink:
// the tables, chains, rules and sets of nf_tables, and whatever else is asked for.
//
// In: the network namespace of a host. Out: what stands in the kernel, and rules
// in the words of nft (Describe). It also sends changes, as one transaction.
//
// Invariants:
//   - a listing during which the ruleset changed is an error (ErrInterrupted), never
//     a mixture of old and new;
//   - names and bytes are the kernel's own; what a program left in them is not
//     trusted;
//   - what Describe does not understand is not left out;
//   - what a set holds is told by the kernel alone (OwnSet), whatever it is to hold.
package nfnetlink
