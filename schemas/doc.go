// Package schemas holds the JSON Schemas of rulesets, plans and snapshots.
//
// In: the grammar table of package dsl, and the Go types of plans and snapshots.
// Out: v1/*.schema.json, embedded, so that the program can print them and editors
// can complete rulesets.
//
// Invariants:
//   - the files are generated (go generate ./schemas), never written by hand, and
//     a test regenerates and compares;
//   - the ruleset schema accepts every text that the reader accepts; it accepts
//     some that the reader refuses, for a schema cannot check expressions.
package schemas
