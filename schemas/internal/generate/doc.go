// Package generate makes JSON Schemas (draft 2020-12): of the ruleset language
// from its grammar table, and of JSON outputs from the source of their Go types,
// whose comments become descriptions.
//
// In: dsl.Grammar, folders of Go source. Out: file names and their bytes.
package generate
