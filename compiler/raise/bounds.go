package raise

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/compiler/recognize"
	"hookline/dsl"
)

// reference is one entry of after or before. Exactly one field is set.
type reference struct {
	participant string // with /tail for a participant's rules at the end
	chain       string
	// Rules of others by their target, or by their text.
	target, text string
}

// label is how expressions and people name it; empty for rules of others.
func (r reference) label() string { return r.participant + r.chain }

// bounds finds what an anchor stands behind and ahead of.
type bounds struct {
	h             *hookViews
	j             *jump
	after, before []reference
	// first asks for the top of the chain when the jump is put in anew.
	first   bool
	remarks []string
}

// find chooses few bounds: on each side the nearest participant, every other one
// that puts its rules back to that end, the nearest rule that takes every packet
// behind the jump, and the jump of ours ahead of it.
func (b *bounds) find() {
	b.first = true
	for _, f := range slices.Sorted(maps.Keys(b.j.at)) {
		v, at := b.h.views[f], b.j.at[f]
		low, high := at[0], at[len(at)-1]
		near := -1
		for i := low - 1; i >= 0; i-- {
			if r, ok := b.candidate(v, i, true); ok && (near < 0 || b.returns(v, i, true)) {
				b.add(r, true)
				near = max(near, i)
			}
		}
		b.previous(v, low, near)
		found := false
		for i := high + 1; i < len(v.chain.Rules); i++ {
			if r, ok := b.candidate(v, i, false); ok && (!found || b.returns(v, i, false)) {
				b.add(r, false)
				found = true
			}
		}
		b.end(v, high)
		b.first = b.first && low == 0 && high+1 < len(v.chain.Rules) && v.ours[high+1] == ""
		b.dead(v, low)
	}
	b.first = b.first && len(b.after)+len(b.before) == 0
}

// candidate is how the rule at i can be referred to as a bound: by participant, or
// by the chain that it jumps to where the participant has rules on both sides.
// A bound that would be undone is left out, with a remark.
func (b *bounds) candidate(v *view, i int, after bool) (reference, bool) {
	who := v.who[i]
	if v.ours[i] != "" || who.Participant == "" {
		return reference{}, false
	}
	r := reference{participant: who.Participant}
	if who.Tail {
		r.participant += "/tail"
	}
	if !b.holds(r, after) {
		c := reference{chain: target(v.chain.Rules[i])}
		if who.Tail || c.chain == "" || dsl.NameProblem(c.chain) != "" || !b.holds(c, after) {
			b.remark("%s has rules on both sides here", r.participant)
			return reference{}, false
		}
		r = c
	}
	if why := b.undone(r, who, after); why != "" {
		b.remark("not %s %s, which would not last: %s", side(after), r.label(), why)
		return reference{}, false
	}
	return r, true
}

func side(after bool) string {
	if after {
		return "after"
	}
	return "before"
}

func (b *bounds) remark(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(b.remarks, s) {
		b.remarks = append(b.remarks, s)
	}
}

func (b *bounds) add(r reference, after bool) {
	list := &b.before
	if after {
		list = &b.after
	}
	if !slices.Contains(*list, r) {
		*list = append(*list, r)
	}
}

// undone is why a bound does not last by what the catalogue knows, or "".
func (b *bounds) undone(r reference, who recognize.Attribution, after bool) string {
	if slices.Contains(b.h.im.replaces, who.Participant) {
		return "" // the ruleset takes its place
	}
	ref := place.Ref{Label: r.label(), Participant: who.Participant, Tail: who.Tail, Chain: r.chain}
	a := place.Anchor{Name: b.j.target}
	if after {
		a.After = []place.Ref{ref}
	} else {
		a.Before = []place.Ref{ref}
	}
	key := ir.ChainKey{Family: ir.IPv4, Table: b.h.table, Chain: b.h.hook}
	for _, d := range place.Unstable(b.h.im.cat, key, []place.Anchor{a}).All() {
		_, why, _ := strings.Cut(d.Message, "does not last: ")
		return why
	}
	return ""
}

// returns tells whether the program of a rule puts it back to that end of the
// chain by itself.
func (b *bounds) returns(v *view, i int, top bool) bool {
	e := b.h.im.cat.Entry(v.who[i].Participant)
	if e == nil {
		return false
	}
	kind := participant.ReassertsBottom
	if top {
		kind = participant.ReassertsTop
	}
	return slices.ContainsFunc(e.BehavioursIn(b.h.table, b.h.hook, v.who[i].Tail), func(x participant.Behaviour) bool { return x.Kind == kind })
}

// previous adds the jump of ours that stands directly ahead, among the rules
// behind the nearest bound.
func (b *bounds) previous(v *view, low, near int) {
	for i := low - 1; i > near; i-- {
		to := v.ours[i]
		if to == "" || to == b.j.target {
			continue
		}
		if r := (reference{chain: to}); b.holds(r, true) {
			b.add(r, true)
		} else {
			b.remark("jumps to %s stand on both sides here", to)
		}
		return
	}
}

// end adds the first rule behind the jump that takes every packet, if nobody whom
// a bound names has written it.
func (b *bounds) end(v *view, high int) {
	for i := high + 1; i < len(v.chain.Rules); i++ {
		if v.ours[i] != "" || v.who[i].Participant != "" || !takesAll(v.key.Family, v.chain.Rules[i]) {
			continue
		}
		name, _ := v.chain.Rules[i].TargetName()
		for _, r := range []reference{{target: name}, {text: v.chain.Rules[i].Text}} {
			if dsl.TextProblem(r.text) == "" && !strings.Contains(r.text, "${") && b.holds(r, false) {
				b.add(r, false)
				return
			}
		}
		return
	}
}

// dead remarks that nothing gets as far as the jump.
func (b *bounds) dead(v *view, low int) {
	for i := range low {
		if takesAll(v.key.Family, v.chain.Rules[i]) {
			b.remark("nothing gets here in %s: rule %d takes every packet", v.key.Family, i+1)
			return
		}
	}
}

// takesAll tells whether no packet goes past a rule.
func takesAll(f ir.Family, r *ir.Rule) bool {
	if r.Native != nil {
		return false
	}
	name, _ := r.TargetName()
	switch name {
	case "ACCEPT", "DROP", "RETURN", "REJECT":
	default:
		return false
	}
	rule, _ := structuredOf(f, r)
	return rule != nil && rule.Match == nil
}

// holds tells whether a reference is a bound that holds in every family of the
// jump, and stands for something in one of them.
func (b *bounds) holds(r reference, after bool) bool {
	found := false
	for f, at := range b.j.at {
		first, last, stands := b.h.views[f].reach(r)
		if !stands {
			continue
		}
		found = true
		if after && last > at[0] || !after && first < at[len(at)-1] {
			return false
		}
	}
	return found
}

// reach is the first and the last rule that a reference stands for.
func (v *view) reach(r reference) (first, last int, stands bool) {
	known, yes := v.reaches[r]
	if !yes {
		known = [2]int{-1, -1}
		for i := range v.chain.Rules {
			if v.means(r, i) {
				if known[0] < 0 {
					known[0] = i
				}
				known[1] = i
			}
		}
		v.reaches[r] = known
	}
	return known[0], known[1], known[0] >= 0
}

// means tells whether a reference stands for the rule at i, as the planner will
// have it.
func (v *view) means(r reference, i int) bool {
	rule := v.chain.Rules[i]
	switch {
	case r.participant != "":
		name, tail := strings.CutSuffix(r.participant, "/tail")
		return v.ours[i] == "" && v.who[i].Participant == name && v.who[i].Tail == tail
	case r.chain != "":
		return target(rule) == r.chain
	}
	g := participant.RuleGlob{Target: r.target, Text: r.text}
	return rule.Native == nil && v.ours[i] == "" && recognize.Matches(g, compiler.Fields(v.key.Family, rule))
}

// refs are references as an anchor writes them.
func (b *bounds) refs(list []reference) []*dsl.Ref {
	var out []*dsl.Ref
	cat := b.h.im.cat
	for _, r := range list {
		switch {
		case r.participant != "":
			out = append(out, &dsl.Ref{Name: dsl.NewText(r.participant)})
		case r.chain != "" && cat.Entry(r.chain) == nil && (b.h.im.taken[r.chain] != nil || cat.KnowsChain(r.chain)):
			out = append(out, &dsl.Ref{Name: dsl.NewText(r.chain)})
		case r.chain != "":
			out = append(out, &dsl.Ref{Chain: dsl.NewText(r.chain)})
		case r.target != "":
			out = append(out, &dsl.Ref{Glob: &dsl.RuleGlob{Target: dsl.NewText(r.target)}})
		default:
			out = append(out, &dsl.Ref{Glob: &dsl.RuleGlob{Text: dsl.NewText(r.text)}})
		}
	}
	return out
}
