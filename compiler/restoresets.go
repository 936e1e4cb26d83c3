package compiler

import (
	"hookline/compiler/ipsets"
	"hookline/compiler/ir"
)

// restoreSets are the steps that take our sets back to what stood before an apply:
// those ahead of the rules, and those behind them.
func (p *Plan) restoreSets(before, now *ir.State) (first, last []ir.SetOp) {
	if p.ownsSet == nil {
		return nil, nil
	}
	var temporary, writes []ir.SetOp
	for _, s := range now.Sets {
		if p.ownsSet(s.Name) && before.Set(s.Name) == nil {
			op := ir.SetOp{Kind: ir.SetDestroy, Name: s.Name, Family: s.Family}
			if isTemporary(s.Name) {
				temporary = append(temporary, op)
			} else {
				last = append(last, op)
			}
		}
	}
	for _, s := range before.Sets {
		if !p.ownsSet(s.Name) || s.Header == "" || isTemporary(s.Name) {
			continue
		}
		n := now.Set(s.Name)
		if n != nil && ipsets.Equal(s, n) {
			continue
		}
		op := ir.SetOp{
			Kind: ir.SetWrite, Name: s.Name, Family: s.Family, Type: s.Type, Header: s.Header, Elements: s.Elements,
			Temp: temporarySet(p.Rulesets[0].Name, s.Name), Swap: n != nil,
		}
		if n != nil && (n.Type != s.Type || n.Family != s.Family) {
			writes = append(writes, ir.SetOp{Kind: ir.SetDestroy, Name: s.Name, Family: n.Family})
			op.Swap = false
		}
		writes = append(writes, op)
	}
	return append(temporary, writes...), last
}
