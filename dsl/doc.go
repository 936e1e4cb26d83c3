// Package dsl reads rulesets, values files and `--set` arguments: YAML text in,
// an AST out in which every value knows its span. Format writes a document back.
//
// In: diag.File. Out: Documents and Values, and every mistake of the text in one
// diag.List.
//
// The way of a text: sanitize refuses what no editor shows; yaml.v3 finds the
// structure; loader makes nodes of it, finds the place of every scalar in the
// source (alignment) and reports what in YAML does not mean what it looks like;
// reader checks nodes against the grammar table (Shape) and cuts expressions out;
// build.go arranges what is left as the AST. The JSON Schema and the hostile tests
// come from the same table.
//
// Invariants:
//   - this is the only package that reads YAML, or writes it; scalars are taken by their source
//     text, never by YAML's guess of a type;
//   - nothing is defaulted, resolved or evaluated here; the AST says what was
//     written;
//   - an Expr that says Exact is byte for byte the text of its span;
//   - what Format writes is read back to the same values, whatever they hold;
//   - reading ends in time and memory bounded by the size of the file.
package dsl
