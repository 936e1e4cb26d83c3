// Package compiler turns rulesets into programs, and a program and a snapshot
// into a plan.
//
// In: dsl documents, param values, facts; later a snapshot. Out: a Program (a
// pure function of files, params and facts: the same on every machine) and a
// Plan, which is the prediction: the transaction, the state that a host holds
// after it, the constraints evaluated on that state, and everything that a person
// or a pull request needs to see.
//
// Invariants:
//   - nothing here reads a file, a clock, an environment or a host;
//   - the predicted state is State.Apply(transaction) and nothing else;
//   - a foreign rule is never deleted, but for adopted copies and collected rules,
//     and then only by a text that decodes and prints back the same;
//   - planning the predicted state again is empty.
package compiler
