package nft

import (
	"errors"
	"fmt"
	"strings"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
)

// Render writes the steps of a transaction as a script for `nft -f -`, one command
// on a line; steps on sets of a table with a large one are a script ahead of it, for
// netlink. Each is a transaction of its own. The same transaction gives the same bytes. A transaction without steps
// is no script; one that breaks a promise (ir.CheckTransaction), or has steps of
// another backend, is an error.
func Render(tx ir.Transaction) ([]backend.Script, error) {
	if err := ir.CheckTransaction(tx); err != nil {
		return nil, fmt.Errorf("rendering a transaction: %w", err)
	}
	if tx.Empty() {
		return nil, nil
	}
	if len(tx.NFT) == 0 {
		return nil, errors.New("rendering a transaction: its steps are for iptables")
	}
	var out []backend.Script
	for _, part := range nftables.Parts(tx.NFT) {
		if part.Netlink {
			out = append(out, batch(part.Ops))
			continue
		}
		w := &writer{}
		for i := range part.Ops {
			if err := w.op(&part.Ops[i]); err != nil {
				return nil, fmt.Errorf("rendering step %d: %w", i, err)
			}
		}
		out = append(out, backend.Script{Text: w.text.String(), Origin: w.origin, Ops: part.Ops})
	}
	return out, nil
}

// writer writes a script.
type writer struct {
	text   strings.Builder
	origin []backend.Line
}

// line writes one command of a step.
func (w *writer) line(o *ir.NFTOp, format string, args ...any) {
	fmt.Fprintf(&w.text, format+"\n", args...)
	w.origin = append(w.origin, backend.Line{Span: o.Origin, Table: string(o.Kind) + " " + o.Table})
}

// op writes a step.
func (w *writer) op(o *ir.NFTOp) error {
	table := string(o.Kind) + " " + o.Table
	chain := table + " " + o.Chain
	switch o.Do {
	case ir.NFTAddTable:
		w.line(o, "add table %s", table)
	case ir.NFTDeleteTable:
		w.line(o, "delete table %s", table)
	case ir.NFTAddChain:
		// create, not add: a chain that stands is not the one that was planned.
		w.line(o, "create chain %s%s", chain, base(o.Base))
	case ir.NFTFlushChain:
		w.line(o, "flush chain %s", chain)
	case ir.NFTDeleteChain:
		w.line(o, "delete chain %s", chain)
	case ir.NFTAddRule:
		w.line(o, "add rule %s %s", chain, o.Rule)
	case ir.NFTInsertRule:
		w.line(o, "insert rule %s handle %d %s", chain, o.Handle, o.Rule)
	case ir.NFTDeleteRule:
		w.line(o, "delete rule %s handle %d", chain, o.Handle)
	case ir.NFTAddSet, ir.NFTDeleteSet, ir.NFTAddElements, ir.NFTDeleteElements:
		return w.setOp(o)
	}
	return nil
}

// base is how a chain hooks in, behind its name.
func base(b *ir.BaseChain) string {
	if b == nil {
		return ""
	}
	policy := b.Policy
	if policy == "" {
		policy = "accept"
	}
	return fmt.Sprintf(" { type %s hook %s priority %d; policy %s; }", b.Type, b.Hook, b.Priority, policy)
}
