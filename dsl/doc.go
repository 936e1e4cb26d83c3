// Package dsl reads rulesets, values files and `--set` arguments: YAML text in,
// an AST out in which every value knows its span.
//
// In: diag.File. Out: Documents and Values, and every mistake of the text in one
// diag.List.
//
// Invariants:
//   - this is the only package that reads YAML; scalars are taken by their source
//     text, never by YAML's guess of a type;
//   - nothing is defaulted, resolved or evaluated here; the AST says what was
//     written;
//   - reading ends in time and memory bounded by the size of the file.
package dsl
