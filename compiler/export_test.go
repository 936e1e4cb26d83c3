package compiler

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/recognize"
	"hookline/compiler/timeline"
	"hookline/dsl/diag"
)

// Patched applies the edits of diffLines to the first list.
func Patched(a, b []string) []string {
	var out []string
	next := 0
	for _, e := range diffLines(a, b) {
		if e.old >= 0 {
			if e.old != next {
				panic("an old line is left out or comes twice")
			}
			next++
		}
		switch e.kind {
		case Unchanged:
			out = append(out, a[e.old])
		case Added, Changed:
			out = append(out, b[e.new])
		}
	}
	if next != len(a) {
		panic("old lines are left over")
	}
	return out
}

// Bases are the places of base chains by "RULESET TABLE HOOK", and the names of the
// anchors that are held out of them.
type Bases struct {
	Priority map[string]int
	Held     map[string][]string
}

// PlaceBases places the base chains of programs on a host, and makes a plan with
// what then stands at each hook.
func PlaceBases(programs []*Program, snap *ir.Snapshot, opt PlanOptions) (*Plan, Bases) {
	pl := &planner{programs: programs, snap: snap, opt: opt}
	pl.plan = &Plan{Variant: ir.NFT, Source: snap.Source, Live: snap.State, Planned: snap.State, Diags: &diag.List{}, removal: opt.Remove}
	for _, p := range programs {
		pl.plan.Rulesets = append(pl.plan.Rulesets, RulesetInfo{Name: p.Name, Version: p.Version})
	}
	if !pl.mergeCatalogues() {
		return pl.plan, Bases{}
	}
	pl.rec = recognize.New(pl.cat, Fields).State(snap.State)
	tables, list := NFTables(programs)
	pl.diags().Append(list)
	out := Bases{map[string]int{}, map[string][]string{}}
	for k, at := range pl.placeBases(tables) {
		key := k.ruleset + " " + k.table + " " + k.hook
		out.Priority[key] = at.Priority
		for a := range at.Held {
			out.Held[key] = append(out.Held[key], a.Name)
		}
		for i, p := range programs {
			if c := tables[i].Chain(nftables.ChainName(k.table, k.hook)); p.Name == k.ruleset {
				b := *c.Base
				b.Priority = at.Priority
				c.Base = &b
			}
		}
	}
	after := snap.State.Clone()
	after.NFTTables = slices.DeleteFunc(after.NFTTables, func(t ir.NFTTable) bool { return pl.ourTable(t.Family, t.Name) })
	after.Own = nil
	if !opt.Remove {
		after.Own = tables
		for _, t := range tables {
			after.NFTTables = append(after.NFTTables, t.Summary())
		}
	}
	pl.timelines(snap.State, after)
	for _, h := range pl.plan.Timelines {
		for _, c := range h.Chains {
			if c.Change != timeline.Stays {
				pl.plan.Transaction.NFT = []ir.NFTOp{{Do: ir.NFTAddTable}}
			}
		}
	}
	pl.plan.Planned = after
	return pl.plan, out
}
