// Package raise makes a ruleset of what stands on a host: the opposite of
// compiling one.
//
// In: a snapshot, and globs of the chains that are asked for. Out: a ruleset that
// owns these chains, as YAML, or findings at the snapshot's lines that say what
// cannot be taken over and why.
//
// The way: choose finds the chains, with all that they jump to and all whose names
// the ruleset would own; rule and action turn each rule into match and action,
// prove lowers that again and compares; merge puts both families of a chain
// together; anchors finds the jumps in shared chains and the bounds that hold;
// constraints says what else is true now.
//
// Invariants:
//   - planning the ruleset against the same snapshot changes nothing, and its
//     constraints hold: Import does just that before it returns anything;
//   - a rule has match and action only if they are lowered to a rule of the same
//     meaning, else it stays iptables text, and is counted with the reason;
//   - a bound that the catalogue knows to be undone is never written;
//   - all or nothing: what was asked for and cannot be said is an error;
//   - pure: the same snapshot and options give the same bytes.
package raise
