package compiler

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// EmptyHost plans for a host on which nothing stands: what compile prints. No
// reference can be there, so missing ones are ignored whatever the rulesets say,
// and constraints are not asked.
func EmptyHost(programs []*Program, v ir.Variant) *Plan {
	snap := &ir.Snapshot{Variant: v, State: &ir.State{Families: ir.Families}}
	return NewPlan(programs, snap, PlanOptions{emptyHost: true})
}

// UnusedValues reports values that set no param of any document: a typo in a
// values file or a --set would else change nothing and say nothing.
func UnusedValues(docs []*dsl.Document, values [][]*dsl.Entry, list *diag.List) {
	var names []string
	for _, d := range docs {
		for _, p := range d.Params {
			names = append(names, literal(p.Name))
		}
	}
	for _, entries := range values {
		for _, e := range entries {
			if slices.Contains(names, e.Key.Value) {
				continue
			}
			d := list.Errorf(diag.UnknownParam, e.Key.Span, "no ruleset has a param %q", e.Key.Value)
			if s := diag.DidYouMean(e.Key.Value, names); s != "" {
				d.WithHelp("did you mean %s?", s)
			}
		}
	}
}

// leftAsIs lists, for a removal, the adopted jumps that stay where they are, and
// the rules of others that collect would remove.
func (pl *planner) leftAsIs() {
	if !pl.opt.Remove {
		return
	}
	for _, p := range pl.programs {
		for _, a := range p.Adopts {
			c, err := pl.snap.State.Lookup(a.Key)
			if err != nil || c == nil {
				continue
			}
			if slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool { return ruleTarget(r) == a.Target }) {
				pl.plan.LeftAsIs = append(pl.plan.LeftAsIs, "the adopted jump to "+a.Target+" in "+a.Key.String())
			}
		}
	}
	pl.leftCollected()
}
