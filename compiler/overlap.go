package compiler

import (
	"errors"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
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
		for _, p := range pl.programs {
			placedWith(p, r.Name, func(chain string) bool { return slices.Contains(r.Declared, chain) || r.Owns.Chain(chain) }, pl.diags())
		}
		if pl.isOurs(r.Name) {
			continue
		}
		for _, p := range pl.programs {
			if name := overlap(p, slices.Concat(r.Owns.Chains, r.Declared)); name != "" {
				pl.diags().Errorf(diag.OwnershipOverlap, p.Span,
					"ruleset %s was applied to this host and owns %s too", r.Name, name).
					WithHelp("rename one of them, or remove %s first", r.Name)
			}
			if name := meeting(p.Owns.Sets, slices.Concat(r.Owns.Sets, r.Sets)); name != "" {
				pl.diags().Errorf(diag.OwnershipOverlap, p.Span,
					"ruleset %s was applied to this host and owns the set %s too", r.Name, name).
					WithHelp("rename one of them, or remove %s first", r.Name)
			}
		}
	}
	return pl.diags().Len() == before
}

// Overlaps reports rulesets given together that own the same names, have the same
// name, or place jumps where another one decides what stands.
func Overlaps(programs []*Program, list *diag.List) {
	for i, p := range programs {
		for _, q := range programs {
			placedWith(p, q.Name, q.OwnsChain, list)
		}
		for _, q := range programs[:i] {
			adoptedTwice(p, q, list)
			if p.Name == q.Name {
				list.Errorf(diag.DuplicateName, p.Span, "there are two rulesets of the name %s", p.Name).
					Note(q.Span, "the other one is here")
				continue
			}
			if name := overlap(p, slices.Concat(q.Owns.Chains, q.DeclaredNames())); name != "" {
				list.Errorf(diag.OwnershipOverlap, p.Span, "rulesets %s and %s both own %s", p.Name, q.Name, name).
					Note(q.Span, "%s is here", q.Name)
			}
			if name := meeting(p.Owns.Sets, q.Owns.Sets); name != "" {
				list.Errorf(diag.OwnershipOverlap, p.Span, "rulesets %s and %s both own the set %s", p.Name, q.Name, name).
					Note(q.Span, "%s is here", q.Name)
			}
		}
	}
}

// placedWith reports the jumps of a program that cannot stand beside a ruleset
// that owns some chains, its own included: anchors in a chain of which that one
// writes every rule, and adopted jumps that are that one's own. What is collected
// in such a chain is reported too.
func placedWith(p *Program, owner string, owns func(chain string) bool, list *diag.List) {
	for _, a := range p.placed() {
		if owns(a.Key.Chain) && !ir.IsBuiltin(a.Key.Table, a.Key.Chain) {
			list.Errorf(diag.OwnershipOverlap, a.Span, "ruleset %s writes every rule of %s: no jump can be placed in it", owner, a.Key.Chain).
				WithHelp("write the jump as a rule of %s, or leave the chain to its program and apply once without this jump", a.Key.Chain)
		}
		if a.Adopt && owns(a.Target) {
			list.Errorf(diag.AdoptOwned, a.Span, "%s is a chain of ruleset %s: its jumps are anchors", a.Target, owner).
				WithHelp("put it under anchors there")
		}
	}
	for _, c := range p.Collects {
		if owns(c.Key.Chain) && !ir.IsBuiltin(c.Key.Table, c.Key.Chain) {
			list.Errorf(diag.AdoptOwned, c.Span, "%s is a chain of ruleset %s, which writes every rule of it: nothing is collected in it", c.Key.Chain, owner).
				WithHelp("leave the rule out of that ruleset, or apply once without this entry if the chain is declared no more")
		}
	}
}

// adoptedTwice reports jumps that two rulesets adopt: each would move them to its
// own place.
func adoptedTwice(p, q *Program, list *diag.List) {
	for _, a := range p.Adopts {
		for _, b := range q.Adopts {
			if a.sameJump(b) {
				list.Errorf(diag.DuplicateName, a.Span, "rulesets %s and %s both adopt the jump to %s in %s %s", p.Name, q.Name, a.Target, a.Key.Table, a.Key.Chain).
					Note(b.Span, "%s is here", q.Name)
			}
		}
	}
}

// overlap finds a name or glob of the list that meets a name or glob of the
// program.
func overlap(p *Program, globs []string) string {
	return meeting(slices.Concat(p.Owns.Chains, p.DeclaredNames()), globs)
}

// meeting is a name or glob of the second list that meets one of the first.
func meeting(mine, globs []string) string {
	for _, g := range globs {
		for _, own := range mine {
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
	other := pl.snap.Variant.Other()
	for _, t := range pl.snap.Others.Tables {
		for _, c := range t.Chains {
			if ir.IsBuiltin(t.Name, c.Name) {
				continue
			}
			pl.collectedElsewhere(ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}, other)
			if p := pl.ownerOf(c.Name); p != nil {
				pl.diags().Errorf(diag.OtherBackend, p.Span, "chain %s of table %s of %s is ours and stands in %s, but the plan is for %s",
					c.Name, t.Name, t.Family, other, pl.snap.Variant).
					WithHelp("remove it there first: hookline remove --backend %s", other)
			}
		}
	}
	if there := holdings(pl.snap.Others); !there.empty() {
		pl.mixedBackends(other, there)
	}
}

// holding is how much a state holds beyond empty built-in chains. What is known
// of it by name only counts as chains.
type holding struct {
	chains, rules int
	// unread tells that there are rules which were not read.
	unread bool
}

func holdings(s *ir.State) holding {
	var h holding
	for _, t := range s.Tables {
		for _, c := range t.Chains {
			if !ir.IsBuiltin(t.Name, c.Name) {
				h.chains++
			}
			h.rules += len(c.Rules)
			h.unread = h.unread || !c.Read
		}
	}
	return h
}

func (h holding) empty() bool { return h.chains == 0 && h.rules == 0 && !h.unread }

func (h holding) String() string {
	s := count(h.chains, "chain")
	switch {
	case !h.unread:
		s += " and " + count(h.rules, "rule")
	case h.rules > 0:
		s += " and at least " + count(h.rules, "rule")
	}
	return s
}

// mixedBackends warns of what stands in the other variant's tables, and says who
// wrote it. Programs that write without chains of their own leave rules in
// built-in chains only (flannel before 0.20).
func (pl *planner) mixedBackends(other ir.Variant, there holding) {
	d := pl.diags().Warnf(diag.MixedBackends, diag.Span{}, "%s tables with %s stand beside the %s ones, with %s, that the plan is for: packets go through both",
		other, there, pl.snap.Variant, holdings(pl.snap.State))
	named := 0
	for _, f := range recognize.New(pl.cat, Fields).State(pl.snap.Others).Participants(nil) {
		var what []string
		if f.Chains > 0 {
			what = append(what, count(f.Chains, "chain"))
		}
		if f.Rules > 0 {
			what = append(what, count(f.Rules, "rule"))
		}
		if len(what) > 0 {
			d.Note(diag.Span{}, "of these, %s: %s", f.Name, strings.Join(what, ", "))
		}
		named += f.Rules
	}
	if rest := there.rules - named; named > 0 && rest > 0 {
		d.Note(diag.Span{}, "of these, unknown: %s", count(rest, "rule"))
	}
	d.WithHelp("nothing is planned there; %s shows it, and what nobody uses any more is best deleted", saveTool(other))
}

// saveTool is the tool that prints a variant's tables.
func saveTool(v ir.Variant) string { return string(v) + "-save" }
