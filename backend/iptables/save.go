package iptables

import (
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// ParseOptions say what is known about a save text before it is read.
type ParseOptions struct {
	// Counters: the text was asked for with counters (-c), so that a rule without
	// them is an error.
	Counters bool
}

// WriteOptions say how a save text is written.
type WriteOptions struct {
	// Counters writes [packets:bytes] ahead of each rule (iptables-save -c). The
	// counters of chains are always written, as iptables-save does.
	Counters bool
	// Frame are the comments to write around the tables; nil writes none, but for
	// the sentence of a table that could not be read.
	Frame *SaveFrame
}

// SaveFrame is what a save text holds besides the state: the comments and empty
// lines around its tables, by which a text can be written back as it was.
type SaveFrame struct {
	// Before lists, for each table that has a block, in order, the lines ahead of it.
	Before []FrameLines
	// After are the lines behind the last block.
	After []string
	// NoLineEnd tells that the text's last line is not ended.
	NoLineEnd bool
}

// FrameLines are the lines ahead of one table's block.
type FrameLines struct {
	Table string
	Lines []string
}

// SaveText is everything that a save text holds.
type SaveText struct {
	State *ir.State
	Frame *SaveFrame
	// Counters tells that rules carry their counters.
	Counters bool
	// Warnings are what the tool says about itself, one sentence each.
	Warnings []string
}

// Write prints the text again.
func (s *SaveText) Write(f ir.Family) string {
	return WriteSave(s.State, f, WriteOptions{Counters: s.Counters, Frame: s.Frame})
}

// ParseSave reads the output of iptables-save, ip6tables-save and their variants:
// all tables, or one. The rules' texts are pieces of the file's text. What cannot
// be read is a diagnostic at its place, and nothing is left out silently; a table
// that the tool says it cannot read stands in the state as unreadable. Warnings
// are the tool's own.
func ParseSave(file *diag.File, f ir.Family, opt ParseOptions) (*ir.State, []string, *diag.List) {
	text, found := ParseSaveText(file, f, opt)
	return text.State, text.Warnings, found
}
