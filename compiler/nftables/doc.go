// Package nftables says in nftables what a decoded iptables rule says.
//
// In: an ir.Spec and what there is to know around it (Env), or text that somebody
// wrote for nft (Raw). Out: rules as canonical nft text (Body), and from tables of
// them one script for `nft -f` (Script); or the reasons why a rule cannot be said.
//
// Canonical is the text that nfttext makes of what `nft -j` lists of the rule once
// it is loaded: so a host that was read can be compared with a program as text.
// What nft adds by itself and leaves out again when it lists (that `tcp dport`
// looks at tcp, that `ip saddr` looks at IPv4) is not written.
//
// Invariants:
//   - a rule means the same as on iptables, or is refused; no condition is dropped.
//     One that holds for every packet is no condition;
//   - for one packet the action runs at most once: alternatives exclude each other;
//   - a limit is asked once, and only by packets for which all ahead of it holds;
//   - no text of a ruleset ends its rule, or begins another statement;
//   - pure: the same spec gives the same text.
//
// docs/decisions/0019-nft-translation.md lists what is refused, and why.
package nftables
