package survey

import (
	"cmp"
	"fmt"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
)

// lostJumps finds chains of programs to which a jump is missing that stands on
// every host where the program works. Who deleted it is not known; when the program
// puts it back is.
func (s *surveyor) lostJumps() {
	f := Finding{Severity: Hurts, Code: LostJumps}
	for _, d := range s.sides {
		for _, t := range d.state.Tables {
			for _, e := range s.cat.Entries() {
				for _, j := range e.Jumps {
					s.lostJump(d, t, e, j, &f)
				}
			}
		}
	}
	if len(f.Details) == 0 {
		return
	}
	f.Message = plural(len(f.Details), "jump to a program's chain is missing", "jumps to programs' chains are missing")
	f.Help = "have the program put it back (restart it, or create the pods with host ports again); plans name what each placement misses"
	s.find(f)
}

func (s *surveyor) lostJump(d *side, t *ir.Table, e *participant.Entry, j participant.Jump, f *Finding) {
	if !slices.Contains(j.Tables, t.Name) || t.Chain(j.Chain) == nil || s.program(e.Name) != e.Name {
		return
	}
	for _, hook := range j.Hooks {
		k := ir.ChainKey{Family: t.Family, Table: t.Name, Chain: hook}
		c, err := d.state.Lookup(k)
		if err != nil || c == nil || c.HasNative() {
			continue // what cannot be read can hold it
		}
		if slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool { return r.JumpTarget() == j.Chain }) {
			continue
		}
		f.Details = append(f.Details, fmt.Sprintf("%s of %s: no jump to %s, of %s", k, d.variant, j.Chain, e.Name))
		for _, b := range e.BehavioursIn(t.Name, hook, false) {
			if !b.Kind.Repairs() {
				continue
			}
			effect := fmt.Sprintf("%s puts it back: %s", e.Name, cmp.Or(b.Repair, "at an event of its own"))
			if b.When != "" {
				effect += " (" + b.When + ")"
			}
			if !slices.Contains(f.Effects, effect) {
				f.Effects = append(f.Effects, effect)
			}
		}
	}
}
