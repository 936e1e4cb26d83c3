package place

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/dsl/diag"
)

// Unstable reports places that a participant will undo by what the catalogue
// knows about it. It needs no host: of the anchors, the references, Adopt,
// Participant, Force and the names are read. A place that is undone by itself is
// an error, or a warning with Force; one that only lasts until a participant's
// next event is a warning, or an information with Force.
func Unstable(cat *participant.Catalogue, key ir.ChainKey, anchors []Anchor) *diag.List {
	u := &stability{cat: cat, key: key}
	for i := range anchors {
		a := &anchors[i]
		for j := range a.After {
			u.reference(a, &a.After[j], true)
		}
		for j := range a.Before {
			u.reference(a, &a.Before[j], false)
		}
		if a.Adopt {
			u.adopted(a)
		}
	}
	return &u.diags
}

type stability struct {
	cat   *participant.Catalogue
	key   ir.ChainKey
	diags diag.List
}

// reference checks a bound by a participant's rules against what that
// participant does with them.
func (u *stability) reference(a *Anchor, r *Ref, after bool) {
	e := u.cat.Entry(r.Participant)
	if e == nil || a.Adopt && a.Participant == e.Name {
		return
	}
	for _, b := range e.BehavioursIn(u.key.Table, u.key.Chain, r.Tail) {
		switch {
		case b.Kind == participant.ReassertsTop && !after, b.Kind == participant.ReassertsBottom && after:
			u.report(a, r, after, e, b, true)
		case b.Kind == participant.Event && (b.At == "top" && !after || b.At == "bottom" && after):
			u.report(a, r, after, e, b, false)
		}
	}
}

// adopted checks the bounds of an adopted jump against what the program that
// writes the jump does with it.
func (u *stability) adopted(a *Anchor) {
	e := u.cat.Entry(a.Participant)
	if e == nil {
		return
	}
	for _, b := range e.BehavioursIn(u.key.Table, u.key.Chain, false) {
		switch b.Kind {
		case participant.ReassertsTop:
			for i := range a.After {
				u.report(a, &a.After[i], true, e, b, true)
			}
		case participant.ReassertsBottom:
			for i := range a.Before {
				u.report(a, &a.Before[i], false, e, b, true)
			}
		case participant.Positions:
			for i := range a.After {
				if u.meansOneOf(&a.After[i], b.Before) {
					u.report(a, &a.After[i], true, e, b, true)
				}
			}
		case participant.PrependsIfMissing, participant.AppendsIfMissing, participant.Event, participant.RewritesTable,
			participant.Flushes, participant.Injects:
		}
	}
}

// meansOneOf tells whether a reference names one of some chains, or the
// participant whose they are.
func (u *stability) meansOneOf(r *Ref, chains []string) bool {
	if r.Chain != "" {
		return slices.Contains(chains, r.Chain)
	}
	return slices.ContainsFunc(chains, func(c string) bool { return r.Participant != "" && u.cat.ChainOwner(c) == r.Participant })
}

func (u *stability) report(a *Anchor, r *Ref, after bool, e *participant.Entry, b participant.Behaviour, undone bool) {
	severity := diag.Error
	switch {
	case undone && a.Force, !undone && !a.Force:
		severity = diag.Warning
	case !undone:
		severity = diag.Info
	}
	side := "before"
	if after {
		side = "after"
	}
	d := &diag.Diagnostic{Severity: severity, Code: diag.UnstablePlacement, Span: r.Span}
	d.Message = a.Name + " " + side + " " + r.Label + " in " + u.key.Table + " " + u.key.Chain + " does not last: " +
		b.Sentence(e.Name)
	if severity == diag.Error {
		d.WithHelp("choose another place, or say force: true if %s is set up differently here", e.Name)
	}
	u.diags.Add(d)
}
