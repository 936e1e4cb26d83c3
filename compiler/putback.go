package compiler

import (
	"slices"

	"hookline/compiler/ir"
)

// PutBack is the transaction that makes adopted jumps again of which the first
// blocks of the plan's transaction, those that were committed, took the last copy, although it meant to leave one: a delete takes
// the first of equal rules, and another program had taken a copy by then. The
// plan said that such a jump stands; the host that was read back has none, and
// still has the chain that it goes to. Its place is where the plan saw it; the
// next plan moves it if that is out of bounds.
func (p *Plan) PutBack(now *ir.State, blocks int) ir.Transaction {
	var tx ir.Transaction
	for _, b := range p.Transaction.Blocks[:min(blocks, len(p.Transaction.Blocks))] {
		t := now.Table(b.Family, b.Table)
		var ops []ir.Op
		for _, rule := range overtaken(b) {
			k := ir.ChainKey{Family: b.Family, Table: b.Table, Chain: rule.Chain}
			target := ruleTarget(rule.Rule)
			if target == "" || !p.adopted[k.String()+" "+target] || t.Chain(target) == nil {
				continue
			}
			same := func(r *ir.Rule) bool { return ruleTarget(r) == target }
			c, err := now.Lookup(k)
			planned, perr := p.Planned.Lookup(k)
			if err != nil || perr != nil || c == nil || planned == nil || c.HasNative() || slices.ContainsFunc(c.Rules, same) {
				continue
			}
			if at := slices.IndexFunc(planned.Rules, func(r *ir.Rule) bool { return r.Text == rule.Rule.Text }); at >= 0 {
				ops = append(ops, ir.Op{Kind: ir.OpInsert, Chain: k.Chain, Rule: rule.Rule, Index: min(at, len(c.Rules)) + 1})
			}
		}
		if len(ops) > 0 {
			tx.Blocks = append(tx.Blocks, ir.Block{Family: b.Family, Table: b.Table, Ops: ops, NoFlush: true})
		}
	}
	return tx
}

// overtaken lists, each once, the rules of which a block deletes more copies than
// it inserts.
func overtaken(b ir.Block) []ir.Op {
	var out []ir.Op
	balance := map[string]int{}
	for _, o := range b.Ops {
		switch o.Kind {
		case ir.OpDelete:
			balance[o.Chain+" "+o.Rule.Text]++
		case ir.OpInsert:
			balance[o.Chain+" "+o.Rule.Text]--
		default:
		}
	}
	for _, o := range b.Ops {
		if o.Kind == ir.OpDelete && balance[o.Chain+" "+o.Rule.Text] > 0 {
			balance[o.Chain+" "+o.Rule.Text] = 0
			out = append(out, o)
		}
	}
	return out
}
