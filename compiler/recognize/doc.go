// Package recognize says who owns each rule and chain of a host.
//
// In: a State and the catalogue. Out: a Table beside the State, which stays as
// it was read.
//
// A rule is attributed by the chain that it jumps to, by its comments, by the
// sets that it refers to and by the catalogue's rule globs; of all globs that
// match, the one with the longest literal text decides. A rule that none of them
// names belongs to the participant in whose chain it stands. Rule globs describe
// rules in shared chains, so they do not count inside a participant's own chain.
//
// Invariants:
//   - a chain is looked at when it is asked about, and once: a host has 100,000
//     rules, and most questions are about a few of its built-in chains;
//   - the package does not read rule text itself: how to get at a rule's target,
//     comments, interfaces and sets is given to New;
//   - what nobody claims stays unknown ("").
package recognize
