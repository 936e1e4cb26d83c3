package compiler

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/place"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// AnchorComment is the beginning of the comment on every jump of ours; the
// ruleset's name follows.
const AnchorComment = ir.AnchorComment

// Fields is how the compiler decodes rules for recognition.
func Fields(f ir.Family, r *ir.Rule) recognize.Fields {
	if r.Native != nil {
		return recognize.FromNative(r.Native)
	}
	return recognize.FromSpec(xtables.DecodeRule(r, f), r.Text)
}

// ruleTarget is the chain that a rule jumps or goes to, or "".
func ruleTarget(r *ir.Rule) string {
	if r.Native != nil {
		return ""
	}
	return r.JumpTarget()
}

func nftFamily(f ir.Family) string {
	if f == ir.IPv6 {
		return "ip6"
	}
	return "ip"
}

// hook builds the placement problem of a shared chain, or of a chain of others
// from which rules go. It returns false if there is nothing of ours in it, nothing
// is to be put in and nothing is collected.
func (pl *planner) hook(t *tablePlan, h *hookPlan) bool {
	h.input = place.Input{Key: h.key, Catalogue: pl.cat}
	specs := make([]*ir.Spec, len(h.live.Rules))
	ours := len(h.anchors) > 0 || len(t.chosen[h.key.Chain]) > 0 || t.empties(h.key.Chain)
	shared := pl.shared(h.key)
	for i, r := range h.live.Rules {
		live := place.Live{Rule: r}
		if shared && pl.ourJump(h.key.Family, r) {
			ours = true
			specs[i] = xtables.DecodeRule(r, h.key.Family)
		}
		h.input.Rules = append(h.input.Rules, live)
	}
	if !ours {
		return false
	}
	for i := range h.input.Rules {
		if specs[i] != nil {
			continue // ours, whatever sets or comments it names
		}
		a := pl.rec.Rule(h.key, i)
		h.input.Rules[i].Participant, h.input.Rules[i].Tail = a.Participant, a.Tail
	}
	claimed := pl.ownAnchors(h, specs)
	pl.adoptedAnchors(h)
	for i, s := range specs {
		if s == nil || claimed[i] {
			continue
		}
		// A jump to a chain of ours that no anchor asks for, or that another ruleset put
		// where an anchor asks for one.
		if pl.elsewhere(s) {
			pl.diags().Errorf(diag.OtherRuleset, h.live.Rules[i].Origin,
				"the jump to %s in %s belongs to ruleset %q, which is not being planned", s.JumpTarget(), h.key, rulesetOf(s)).
				WithHelp("plan both rulesets together, or remove that one first")
			continue
		}
		h.input.Rules[i].Remove = true
	}
	pl.markChosen(t, h)
	pl.resolveRefs(h)
	pl.nameReferences(h)
	return true
}

// elsewhere tells whether a jump names a ruleset that is not being planned.
func (pl *planner) elsewhere(s *ir.Spec) bool {
	name := rulesetOf(s)
	return name != "" && !pl.isOurs(name)
}

func (pl *planner) isOurs(ruleset string) bool {
	return slices.ContainsFunc(pl.programs, func(p *Program) bool { return p.Name == ruleset })
}

// rulesetOf is the name in the rule's own comment, or "".
func rulesetOf(s *ir.Spec) string { return ir.AnchorOf(s.Comments()) }

// ownAnchors adds our own anchors to the input and finds their standing copies.
func (pl *planner) ownAnchors(h *hookPlan, specs []*ir.Spec) map[int]bool {
	claimed := map[int]bool{}
	for _, a := range h.anchors {
		if a.Adopt {
			continue
		}
		want := xtables.KeyNoComment(a.Rule.Spec, h.key.Family)
		in := place.Anchor{Name: a.Name, Span: a.Span, Text: a.Rule.Text, At: a.At, Collapse: a.Collapse, Force: a.Force}
		for i, s := range specs {
			if s != nil && !claimed[i] && !pl.elsewhere(s) && xtables.KeyNoComment(s, h.key.Family) == want {
				claimed[i] = true
				in.Standing = append(in.Standing, i)
			}
		}
		in.EqualText = equalTexts(h.live, in.Standing)
		h.input.Anchors = append(h.input.Anchors, in)
		h.sources = append(h.sources, a)
	}
	return claimed
}

func equalTexts(c *ir.Chain, at []int) bool {
	for _, i := range at {
		if c.Rules[i].Text != c.Rules[at[0]].Text {
			return false
		}
	}
	return true
}

// adoptedAnchors adds the jumps of others that the rulesets place. Jumps to the
// chain with different matches are different jumps, and none of them a copy of
// another.
func (pl *planner) adoptedAnchors(h *hookPlan) {
	for _, a := range h.anchors {
		if !a.Adopt {
			continue
		}
		var keys []string
		groups := map[string][]int{}
		for i, r := range h.live.Rules {
			if ruleTarget(r) != a.Target {
				continue
			}
			key := xtables.KeyNoComment(xtables.DecodeRule(r, h.key.Family), h.key.Family)
			if !a.AnyMatch && key != xtables.KeyNoComment(a.Rule.Spec, h.key.Family) {
				continue
			}
			if groups[key] == nil {
				keys = append(keys, key)
			}
			groups[key] = append(groups[key], i)
		}
		base := place.Anchor{
			Name: a.Name, Span: a.Span, Text: a.Rule.Text, At: a.At, Adopt: true, Collapse: a.Collapse, Force: a.Force,
			Participant: pl.cat.ChainOwner(a.Target), IfMissing: a.IfMissing,
		}
		if len(keys) == 0 {
			h.input.Anchors = append(h.input.Anchors, base)
			h.sources = append(h.sources, a)
		}
		for _, key := range keys {
			in := base
			in.Standing = groups[key]
			in.Text = h.live.Rules[groups[key][0]].Text
			in.EqualText = equalTexts(h.live, in.Standing)
			h.input.Anchors = append(h.input.Anchors, in)
			h.sources = append(h.sources, a)
		}
	}
}

// resolveRefs turns the references of a chain's anchors into sets of live rules.
func (pl *planner) resolveRefs(h *hookPlan) {
	for j, a := range h.sources {
		h.input.Anchors[j].After = pl.refs(h, a.After)
		h.input.Anchors[j].Before = pl.refs(h, a.Before)
	}
}

func (pl *planner) refs(h *hookPlan, refs []Ref) []place.Ref {
	var out []place.Ref
	for _, r := range refs {
		p := place.Ref{Label: r.Label, Span: r.Span, IfMissing: r.IfMissing, Participant: r.Participant, Tail: r.Tail, Chain: r.Chain}
		if pl.opt.emptyHost {
			p.IfMissing = place.Ignore
		}
		switch {
		case r.Participant != "":
			p.Match = func(i int) bool {
				l := h.input.Rules[i]
				return l.Participant == r.Participant && l.Tail == r.Tail
			}
		case r.Chain != "":
			p.Participant = pl.cat.ChainOwner(r.Chain)
			p.Match = func(i int) bool { return ruleTarget(h.live.Rules[i]) == r.Chain }
			for j, s := range h.sources {
				if s.Target == r.Chain {
					p.Own = append(p.Own, j)
				}
			}
		default:
			p.Match = func(i int) bool {
				// Our own jumps are where the references put them, and no reference.
				rule := h.live.Rules[i]
				return rule.Native == nil && !pl.ourJump(h.key.Family, rule) && recognize.Matches(*r.Glob, Fields(h.key.Family, rule))
			}
		}
		out = append(out, p)
	}
	return out
}

// solve places the anchors of every shared chain.
func (pl *planner) solve() {
	for _, t := range pl.tables {
		for _, h := range t.hooks {
			out, list := place.Solve(h.input)
			h.output = out
			pl.diags().Append(list)
			if len(h.anchors) > 0 && h.live.HasNative() {
				pl.nativeRules(h)
			}
			for _, j := range out.Restarts {
				pl.diags().Infof(diag.CounterRestarts, h.sources[j].Span,
					"the adopted jump to %s in %s is moved, and its counter restarts", h.sources[j].Target, h.key)
			}
		}
	}
}
