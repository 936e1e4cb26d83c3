package compiler

import (
	"errors"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/dsl/diag"
)

func asApplyError(err error) (*ir.ApplyError, bool) {
	var e *ir.ApplyError
	ok := errors.As(err, &e)
	return e, ok
}

// checkOverlap makes sure that two rulesets on a host own disjoint names: those
// planned together, and those that the record knows.
func (pl *planner) checkOverlap() bool {
	before := pl.diags().Len()
	Overlaps(pl.programs, pl.diags())
	for _, r := range pl.opt.Recorded {
		if pl.isOurs(r.Name) {
			continue
		}
		for _, p := range pl.programs {
			if name := overlap(p, slices.Concat(r.Owns.Chains, r.Declared)); name != "" {
				pl.diags().Errorf(diag.OwnershipOverlap, p.Span,
					"ruleset %s was applied to this host and owns %s too", r.Name, name).
					WithHelp("rename one of them, or remove %s first", r.Name)
			}
		}
	}
	return pl.diags().Len() == before
}

// Overlaps reports rulesets given together that own the same names or have the
// same name.
func Overlaps(programs []*Program, list *diag.List) {
	for i, p := range programs {
		for _, q := range programs[:i] {
			if p.Name == q.Name {
				list.Errorf(diag.DuplicateName, p.Span, "there are two rulesets of the name %s", p.Name).
					Note(q.Span, "the other one is here")
				continue
			}
			if name := overlap(p, slices.Concat(q.Owns.Chains, q.names())); name != "" {
				list.Errorf(diag.OwnershipOverlap, p.Span, "rulesets %s and %s both own %s", p.Name, q.Name, name).
					Note(q.Span, "%s is here", q.Name)
			}
		}
	}
}

// names are the declared chains' names.
func (p *Program) names() []string {
	var out []string
	for _, c := range p.Chains {
		if !slices.Contains(out, c.Key.Chain) {
			out = append(out, c.Key.Chain)
		}
	}
	return out
}

// overlap finds a name or glob of the list that meets a name or glob of the
// program.
func overlap(p *Program, globs []string) string {
	for _, g := range globs {
		for _, own := range slices.Concat(p.Owns.Chains, p.names()) {
			if participant.Meet(own, g) {
				return g
			}
		}
	}
	return ""
}

// checkOtherVariant refuses to plan while owned objects stand in the other
// variant's tables: they would go on working there unseen.
func (pl *planner) checkOtherVariant() {
	if pl.snap.Others == nil {
		return
	}
	other := ir.IptablesLegacy
	if pl.snap.Variant == ir.IptablesLegacy {
		other = ir.IptablesNFT
	}
	n := 0
	for _, t := range pl.snap.Others.Tables {
		for _, c := range t.Chains {
			if ir.IsBuiltin(t.Name, c.Name) {
				continue
			}
			n++
			if p := pl.ownerOf(c.Name); p != nil {
				pl.diags().Errorf(diag.OtherBackend, p.Span, "chain %s of table %s of %s is ours and stands in %s, but the plan is for %s",
					c.Name, t.Name, t.Family, other, pl.snap.Variant).
					WithHelp("remove it there first: hookline remove --backend %s", other)
			}
		}
	}
	if n > 0 {
		pl.diags().Warnf(diag.MixedBackends, diag.Span{}, "%s tables with %d chains stand beside the %s ones that the plan is for", other, n, pl.snap.Variant)
	}
}
