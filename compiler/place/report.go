package place

import (
	"fmt"
	"strings"

	"hookline/compiler/participant"
	"hookline/dsl/diag"
)

func (s *solver) where() string { return s.in.Key.Family.String() + " " + s.chain() }

func (s *solver) chain() string { return s.in.Key.Table + " " + s.in.Key.Chain }

// rule shows a live rule: its number, counted from 1 as iptables does, and its
// text on one line.
func (s *solver) rule(i int) string {
	r := s.in.Rules[i].Rule
	if r == nil || r.Text == "" {
		return fmt.Sprintf("rule %d", i+1)
	}
	return fmt.Sprintf("rule %d: %s", i+1, strings.ReplaceAll(r.Text, "\n", `\n`))
}

func (s *solver) origin(i int) diag.Span {
	if r := s.in.Rules[i].Rule; r != nil {
		return r.Origin
	}
	return diag.Span{}
}

// reportMissing says that a reference that must be there stands for nothing in
// the chain.
func (s *solver) reportMissing(a int, r *Ref) {
	d := s.diags.Errorf(diag.MissingReference, r.Span, "no rule of %s in %s: %s cannot be placed, and ifMissing is fail",
		r.Label, s.where(), s.in.Anchors[a].Name)
	s.noteRepair(d, r)
}

func (s *solver) reportHeld(a int) {
	x := &s.in.Anchors[a]
	what := "is kept out"
	if len(x.Standing) > 0 {
		what = "is left where it stands"
	}
	var first *Ref
	var labels []string
	s.refs(a, func(r *Ref, _ bool) {
		if r.IfMissing == Hold && s.missing(a, r) {
			if first == nil {
				first = r
			}
			labels = append(labels, r.Label)
		}
	})
	d := s.diags.Warnf(diag.Held, first.Span, "%s %s until a rule of %s appears in %s",
		x.Name, what, strings.Join(labels, " and "), s.where())
	s.noteRepair(d, first)
}

// reportIdle says that there is no jump to manage, although there must be one.
func (s *solver) reportIdle(a int) {
	x := &s.in.Anchors[a]
	if x.IfMissing != Fail {
		return
	}
	s.diags.Errorf(diag.MissingReference, x.Span, "no jump to %s stands in %s, and ifMissing is fail", x.Name, s.where()).
		WithHelp("adopt never creates a jump: the program that fills the chain has to")
}

// noteRepair says when the missing rules come back, as far as it is known.
func (s *solver) noteRepair(d *diag.Diagnostic, r *Ref) {
	if s.in.Catalogue == nil || r.Participant == "" {
		return
	}
	e := s.in.Catalogue.Entry(r.Participant)
	if e == nil {
		return
	}
	for _, b := range e.BehavioursIn(s.in.Key.Table, s.in.Key.Chain, r.Tail) {
		if b.Kind.Repairs() {
			d.Note(diag.Span{}, "%s", b.Sentence(e.Name))
		}
	}
}

func (s *solver) reportCycle(circle []link) {
	var names []string
	for _, l := range circle {
		names = append(names, s.in.Anchors[l.from].Name)
	}
	names = append(names, names[0])
	d := s.diags.Errorf(diag.PlacementCycle, circle[0].ref.Span, "anchors in %s are ordered in a circle: %s",
		s.chain(), strings.Join(names, " before "))
	for _, l := range circle[1:] {
		d.Note(l.ref.Span, "%s", s.linkText(l))
	}
	d.WithHelp("remove one of these references")
}

// linkText says in words what a reference between anchors asks for.
func (s *solver) linkText(l link) string {
	from, to := s.in.Anchors[l.from].Name, s.in.Anchors[l.to].Name
	if l.after {
		return fmt.Sprintf("%s is to stand after %s", to, from)
	}
	return fmt.Sprintf("%s is to stand before %s", from, to)
}

// reportCrossing shows both rules, both references, what lies between them, and
// who will move its rule by itself.
func (s *solver) reportCrossing(n int) {
	x := s.nodes[n]
	name := s.in.Anchors[x.anchor].Name
	low, high := x.low, x.high
	var d *diag.Diagnostic
	if low.rule == high.rule {
		d = s.diags.Errorf(diag.CrossingBounds, low.ref.Span,
			"%s cannot stand after %s and before %s in %s: both mean the same rule", name, low.ref.Label, high.ref.Label, s.where())
		d.Note(s.origin(low.rule), "%s", s.rule(low.rule))
	} else {
		d = s.diags.Errorf(diag.CrossingBounds, low.ref.Span,
			"%s cannot stand after %s and before %s in %s: the last rule of %s stands behind the first rule of %s",
			name, low.ref.Label, high.ref.Label, s.where(), low.ref.Label, high.ref.Label)
		d.Note(s.origin(low.rule), "%s is %s", low.ref.Label, s.rule(low.rule))
		d.Note(s.origin(high.rule), "%s is %s", high.ref.Label, s.rule(high.rule))
	}
	d.Note(high.ref.Span, "%s is to stand before %s", s.in.Anchors[s.nodes[high.node].anchor].Name, high.ref.Label)
	if low.node != n {
		s.notePath(d, low.node, n)
	}
	if high.node != n {
		s.notePath(d, n, high.node)
	}
	moves := s.noteMovers(d, low.rule, reachUp)
	if low.rule != high.rule && s.noteMovers(d, high.rule, reachDown) || moves {
		d.WithHelp("apply --wait DURATION tries again until the program has moved its rule")
	} else {
		d.WithHelp("no program is known to move these rules by itself: change their order, or drop one of the bounds")
	}
}

// notePath shows the references that lead from one node to another.
func (s *solver) notePath(d *diag.Diagnostic, from, to int) {
	out := make([][]link, len(s.nodes))
	for n, x := range s.nodes {
		for _, e := range x.edges {
			if e.ref != nil {
				out[n] = append(out[n], link{n, e.to, e.ref, e.after})
			}
		}
	}
	for _, l := range shortest(out, from, to) {
		l.from, l.to = s.nodes[l.from].anchor, s.nodes[l.to].anchor
		d.Note(l.ref.Span, "%s", s.linkText(l))
	}
}

// reach is the direction in which a rule has to move to make room.
type reach uint8

const (
	// reachUp and reachDown: towards the top and the end of the chain.
	reachUp reach = iota
	reachDown
)

// noteMovers says whether the owner of a live rule will move it in a direction.
func (s *solver) noteMovers(d *diag.Diagnostic, rule int, to reach) bool {
	l := s.in.Rules[rule]
	if s.in.Catalogue == nil || l.Participant == "" {
		return false
	}
	e := s.in.Catalogue.Entry(l.Participant)
	if e == nil {
		return false
	}
	found := false
	for _, b := range e.BehavioursIn(s.in.Key.Table, s.in.Key.Chain, l.Tail) {
		up := b.Kind == participant.ReassertsTop || b.Kind == participant.Positions
		if up && to == reachUp || b.Kind == participant.ReassertsBottom && to == reachDown {
			d.Note(diag.Span{}, "%s", b.Sentence(e.Name))
			found = true
		}
	}
	return found
}

func (s *solver) reportDuplicates(a int) {
	x := &s.in.Anchors[a]
	if len(x.Standing) < 2 {
		return
	}
	var d *diag.Diagnostic
	if s.collapses(a) {
		d = s.diags.Infof(diag.Duplicates, x.Span, "the jump to %s stands %d times in %s: one is kept", x.Name, len(x.Standing), s.where())
	} else {
		d = s.diags.Warnf(diag.Duplicates, x.Span, "the jump to %s stands %d times in %s", x.Name, len(x.Standing), s.where()).
			WithHelp("`duplicates: collapse` keeps one of them")
	}
	for _, i := range x.Standing {
		d.Note(s.origin(i), "%s", s.rule(i))
	}
}
