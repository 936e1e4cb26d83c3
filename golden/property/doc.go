// Package property tests the whole way of a ruleset on a real kernel with random
// rulesets and random or recorded hosts.
//
// In: a seed. From it come the text of a ruleset (params, forEach, when and
// expressions included) and what stands on the host before. Out: nothing, or the
// folder with the ruleset and the host of a round that broke a promise.
//
// A round loads the host into a private network namespace, compiles the ruleset
// and applies it, for both families at once, and holds what the tools print
// before and after against these properties:
//
//   - the apply is done, or is refused with a finding and has changed nothing;
//   - what the tools print is what State.Apply predicts, counters included;
//   - foreign lines keep bytes, order and counters, but for those that collect
//     chooses, which go; this is a comparison of text that knows nothing of the
//     model;
//   - the declared chains stand, and anchors stand within their bounds;
//   - the second plan is empty, and the second apply writes nothing;
//   - what stands then is imported to a ruleset that changes nothing;
//   - remove leaves what was there before;
//   - an apply that was killed between two commits is finished by the next one.
//
// HOOKLINE_LONG=1 runs 2,000 rounds for each variant in place of 100.
// HOOKLINE_SEED and HOOKLINE_ROUND run again what a failure names.
package property
