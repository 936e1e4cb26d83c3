// Package ir is the netfilter model: what a host holds, what is to be done to
// it, and the pure effect of one on the other.
//
// In: nothing but values. Out: State.Apply(Transaction), the one function that
// predicts. A plan shows its result, the fake backend is made of it, and the
// replay on a real kernel is compared with it.
//
// Invariants:
//   - a State is ordered as the host prints it, and is never changed in place by
//     this package: Apply returns a new State that shares what did not change;
//   - foreign rules keep their text; what can be decoded is decoded beside it;
//   - "not read" is different from "absent": asking about what was not read is an
//     error;
//   - matches, targets and ops are data with a closed set of kinds.
package ir
