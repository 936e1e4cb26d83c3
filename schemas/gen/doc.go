// Command gen writes the JSON Schemas.
//
// In: the grammar of rulesets and the types of plans and snapshots. Out: the
// files in schemas/v1; run it with go generate ./schemas.
package main
