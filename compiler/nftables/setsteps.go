package nftables

import (
	"slices"

	"hookline/compiler/ir"
)

// SetDifference is how one set that stands differs from how it is to be.
type SetDifference struct {
	// Live is nil for a new set, Want for one that goes.
	Live, Want *ir.OwnSet
	// Remove are elements that go, or are to say something else; Add those that come, or
	// come back with other words. Both in the order of NamedSet.Elements.
	Add, Remove []ir.Element
	// Replaced tells that the set cannot become the other one element by element: it is
	// deleted and made anew. Unread tells that this is so only because its elements are
	// not known.
	Replaced, Unread bool
}

// SetDiff are the steps that make the sets of a table what they are to be.
type SetDiff struct {
	Differences []SetDifference
	// Before go ahead of all steps on rules, After behind all of them.
	Before, After []ir.NFTOp
	// Between go behind the steps that delete rules which ask a set of Replaced, and ahead
	// of those that write rules: the kernel deletes no set that is in use, and takes the
	// whole in one transaction.
	Between []ir.NFTOp
	// Replaced are the names of sets that are made anew. Every rule that asks one of them
	// has to be deleted and written again, though its text may stay.
	Replaced []string
}

// DiffSets compares the sets of a table that stands (nil: none does) with those that
// are to be. A table that is to go (want is nil) takes its sets with it, without steps.
func DiffSets(live, want *ir.OwnTable) *SetDiff {
	out := &SetDiff{}
	if want == nil {
		for _, l := range live.Sets {
			out.Differences = append(out.Differences, SetDifference{Live: l, Remove: l.Elements})
		}
		return out
	}
	for _, w := range want.Sets {
		if d := DifferenceOf(live.Set(w.Name), w); d != nil {
			out.Differences = append(out.Differences, *d)
			out.steps(want, d)
		}
	}
	byNetlink(live, want, out.Before)
	if live == nil {
		return out
	}
	for _, l := range live.Sets {
		if want.Set(l.Name) == nil {
			out.Differences = append(out.Differences, SetDifference{Live: l, Remove: l.Elements})
			out.After = append(out.After, setStep(want, ir.NFTDeleteSet, l, nil))
		}
	}
	return out
}

// DifferenceOf compares a set that stands, or nil, with how it is to be; nil if they
// are the same. Time that runs does not count.
func DifferenceOf(live, want *ir.OwnSet) *SetDifference {
	d := &SetDifference{Live: live, Want: want}
	switch {
	case live == nil:
		d.Add = want.Elements
		return d
	case !live.SameShape(want):
		d.Replaced, d.Add, d.Remove = true, want.Elements, live.Elements
		return d
	case live.Elements == nil && live.Counted > 0:
		d.Replaced, d.Unread, d.Add = true, true, want.Elements
		return d
	}
	if same(live.Elements, want.Elements) {
		return nil
	}
	d.Add, d.Remove = difference(live.Elements, want.Elements)
	if len(d.Add)+len(d.Remove) == 0 {
		return nil
	}
	return d
}

// same tells that two lists are one: a reader that found a set as it is to be gives
// back the list that it was asked for.
func same(a, b []ir.Element) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// difference walks two sorted lists.
func difference(live, want []ir.Element) (add, remove []ir.Element) {
	for len(live) > 0 || len(want) > 0 {
		var c int
		switch {
		case len(live) == 0:
			c = 1
		case len(want) == 0:
			c = -1
		default:
			c = live[0].Compare(want[0])
		}
		if c == 0 {
			if !live[0].Options.Same(want[0].Options) {
				add, remove = append(add, want[0]), append(remove, live[0])
			}
			live, want = live[1:], want[1:]
			continue
		}
		if c < 0 {
			remove, live = append(remove, live[0]), live[1:]
		} else {
			add, want = append(add, want[0]), want[1:]
		}
	}
	return add, remove
}

// steps appends the steps for a set that is to be. Elements go before others come:
// those may take their place, or a part of it.
func (s *SetDiff) steps(t *ir.OwnTable, d *SetDifference) {
	switch {
	case d.Replaced:
		s.Replaced = append(s.Replaced, d.Want.Name)
		s.Between = append(s.Between, setStep(t, ir.NFTDeleteSet, d.Live, nil), setStep(t, ir.NFTAddSet, d.Want, nil))
		if len(d.Add) > 0 {
			s.Between = append(s.Between, setStep(t, ir.NFTAddElements, d.Want, d.Add))
		}
		return
	case d.Live == nil:
		s.Before = append(s.Before, setStep(t, ir.NFTAddSet, d.Want, nil))
	case len(d.Remove) > 0:
		// The set that stands knows how many elements there are, besides what is wanted.
		s.Before = append(s.Before, setStep(t, ir.NFTDeleteElements, larger(d.Live, d.Want), d.Remove))
	}
	if len(d.Add) > 0 {
		s.Before = append(s.Before, setStep(t, ir.NFTAddElements, larger(d.Live, d.Want), d.Add))
	}
}

// larger is the set with more elements: by it a writer knows how much work a step is.
func larger(live, want *ir.OwnSet) *ir.OwnSet {
	if live != nil && live.Size() > want.Size() {
		return live
	}
	return want
}

func setStep(t *ir.OwnTable, do ir.NFTOpKind, s *ir.OwnSet, list []ir.Element) ir.NFTOp {
	return ir.NFTOp{Kind: t.Kind, Table: t.Name, Do: do, Set: s, Elements: list, Origin: s.Origin}
}

// Rewrites tells whether a rule asks a set that is made anew, and so has to be
// deleted and written again.
func (s *SetDiff) Rewrites(r *ir.OwnRule) bool {
	return len(s.Replaced) > 0 && slices.ContainsFunc(r.Sets(), func(name string) bool { return slices.Contains(s.Replaced, name) })
}
