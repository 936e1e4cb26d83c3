// Package converge brings a host to where programs say it is to be, and proves
// that it got there.
//
// In: a backend, programs and what is recorded of the host. Out: a plan, or an
// outcome that says what stands now.
//
// One round is: read, plan, check, write, read back. Done is when planning what
// was read back changes nothing and every constraint holds on it; so a reader of
// the outcome never has to trust a prediction. Rounds are bounded; a host that
// keeps changing is given back as it was.
//
// Invariants:
//   - nothing is written unless the whole plan is free of errors;
//   - the intent is recorded before the first write, the result after the last
//     read;
//   - an outcome other than done leaves no commit of ours behind, or names each
//     table's state.
package converge
