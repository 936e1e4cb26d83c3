// Package dsltest makes small rulesets from the grammar table: one for each place
// in which a text can stand, so that tests cover a new field without being told.
//
// In: dsl.Shape. Out: Places, each of which wraps a value into a document that is
// valid but for that value.
package dsltest
