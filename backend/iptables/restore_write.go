package iptables

import (
	"fmt"
	"strconv"
	"strings"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
)

// Render writes a transaction as restore text for `iptables-restore --noflush`:
// the steps on sets ahead of and behind one script for each family that has blocks, IPv4 first, with the blocks in
// their order. Both variants take the same text. A transaction that breaks a
// promise (ir.CheckTransaction) is refused.
func Render(tx ir.Transaction, v ir.Variant) ([]backend.Script, error) {
	if v != ir.IptablesNFT && v != ir.IptablesLegacy {
		return nil, fmt.Errorf("writing restore text: %q is no variant of iptables", v)
	}
	if err := ir.CheckTransaction(tx); err != nil {
		return nil, fmt.Errorf("writing restore text: %w", err)
	}
	var out []backend.Script
	if len(tx.SetsBefore) > 0 {
		out = append(out, renderSets(tx.SetsBefore))
	}
	for _, f := range ir.Families {
		w := restoreWriter{}
		for i := range tx.Blocks {
			if b := &tx.Blocks[i]; b.Family == f && len(b.Ops) > 0 {
				w.block(i, b)
			}
		}
		if w.text.Len() > 0 {
			out = append(out, backend.Script{Family: f, Text: w.text.String(), Origin: w.origin})
		}
	}
	if len(tx.SetsAfter) > 0 {
		out = append(out, renderSets(tx.SetsAfter))
	}
	return out, nil
}

type restoreWriter struct {
	text   strings.Builder
	origin []backend.Line
}

func (w *restoreWriter) line(from backend.Line, words ...string) {
	for i, s := range words {
		if s == "" {
			continue // the rule that matches everything
		}
		if i > 0 {
			w.text.WriteByte(' ')
		}
		w.text.WriteString(s)
	}
	w.text.WriteByte('\n')
	w.origin = append(w.origin, from)
}

func (w *restoreWriter) block(index int, b *ir.Block) {
	frame := backend.Line{Table: b.Table, Block: index}
	w.line(frame, "*"+b.Table)
	for i := range b.Ops {
		o := &b.Ops[i]
		from := backend.Line{Span: o.Origin, Table: b.Table, Block: index, Guard: o.Kind == ir.OpRequire}
		chain := chainWord(o.Chain)
		switch o.Kind {
		case ir.OpRequire:
			w.line(from, "-C", chain, o.Rule.Text)
		case ir.OpEnsure:
			w.line(from, ":"+o.Chain, "-", "[0:0]")
		case ir.OpNew:
			w.line(from, "-N", chain)
		case ir.OpAppend:
			w.line(from, "-A", chain, o.Rule.Text)
		case ir.OpInsert:
			w.line(from, "-I", chain, strconv.Itoa(o.Index), o.Rule.Text)
		case ir.OpDelete:
			w.line(from, "-D", chain, o.Rule.Text)
		case ir.OpFlush:
			w.line(from, "-F", chain)
		case ir.OpDrop:
			w.line(from, "-X", chain)
		default:
			panic(fmt.Sprintf("iptables: CheckTransaction let an op of kind %d pass", o.Kind))
		}
	}
	w.line(frame, "COMMIT")
}

// chainWord is a chain's name as a word of a command. A name stands as it is
// unless it holds a quote, which would open a quoted word.
func chainWord(name string) string {
	if strings.Contains(name, `"`) {
		return xtables.Quote(name)
	}
	return name
}
