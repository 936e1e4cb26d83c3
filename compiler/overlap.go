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
// planned together, and those that the record knows. On the nft backend each has a
// table of its own, where names meet nobody else's.
func (pl *planner) checkOverlap() bool {
	before := pl.diags().Len()
	nft := pl.snap.Variant == ir.NFT
	overlaps(pl.programs, func(*Program) bool { return nft }, pl.diags())
	for _, r := range pl.opt.Recorded {
		for _, p := range pl.programs {
			placedWith(p, r.Name, func(chain string) bool { return slices.Contains(r.Declared, chain) || r.Owns.Chain(chain) }, pl.diags())
		}
		if pl.isOurs(r.Name) || nft && r.Variant == ir.NFT {
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
// name, or place jumps where another one decides what stands. Those for the nft
// backend have tables of their own, so that their chains and sets may be called the
// same.
func Overlaps(programs []*Program, list *diag.List) {
	overlaps(programs, func(p *Program) bool { return p.Backend == string(ir.NFT) }, list)
}

func overlaps(programs []*Program, apart func(*Program) bool, list *diag.List) {
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
			if apart(p) && apart(q) {
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
