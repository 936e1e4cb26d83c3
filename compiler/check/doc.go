// Package check is CEL: the types and values of params, the expressions in
// rulesets, and constraints on a host. No other package knows CEL.
//
// In: types and raw values with spans, the text of expressions, states of a host.
// Out: typed values, results of expressions, outcomes of constraints, and
// findings that point into the expression.
//
// How it fits together: ParseType and Coerce make the params; NewEnv says which
// names an expression may use; Env.Compile checks an expression without a host;
// Expr.Eval and EvalConstraint run it on an Activation, in which Hosts wrap
// states.
//
// Invariants:
//   - pure: no clock, no host, no I/O; the same input gives the same result;
//   - every param, fact and field is typed, so that a misspelled one is an error
//     without a host;
//   - what was not read is unknown, and recorded so that the caller can read it;
//     what could not be read is an error; neither is ever empty or absent;
//   - an expression cannot take long: it runs against a limit of cost, which
//     counts the same on every machine;
//   - no message shows a word of CEL's or Go's own.
package check
