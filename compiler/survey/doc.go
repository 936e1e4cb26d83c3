// Package survey says how a host stands: which programs wrote what, in which
// order, which tools and variants are in use, and what of it will hurt.
//
// In: a snapshot and the catalogue, by way of a Recognizer. Out: a Report, and its
// forms as text, Markdown and JSON.
//
// Invariants:
//   - the report is a function of the snapshot: the same snapshot gives the same
//     bytes;
//   - what was not looked at or could not be read is listed as unknown, and no finding
//     rests on it;
//   - a finding says what is there, what it does to whom, and what to do; what a
//     program will do comes from the catalogue;
//   - nothing is judged by a ruleset: for that there are plans and constraints.
package survey
