package iptables

import (
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// parseTables reads what a save tool printed with counters.
func parseTables(f ir.Family, tool, text string) ([]*ir.Table, error) {
	state, _, found := ParseSave(diag.NewFile(tool, text), f, ParseOptions{Counters: true})
	return state.Tables, found.Err()
}
