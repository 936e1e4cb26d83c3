package nftables

import (
	"slices"

	"hookline/compiler/ir"
)

// mostPieces bounds what elements that overlap are cut into.
const mostPieces = 1 << 20

// Disjoint cuts elements of several parts apart where they overlap, for a set of
// ranges of the kernel refuses an element that begins or ends in another one. The
// result matches the same. Of two that overlap and say different things besides, such
// a pair is returned as a conflict: what a packet would meet is not known. tooMany
// tells that there are more than a million pieces.
func Disjoint(t ir.SetType, list []ir.Element) (out, conflict []ir.Element, tooMany bool) {
	if len(t) < 2 || !overlapping(list) {
		return list, nil, false
	}
	// Large ones first: what is inside of them goes away, and is not cut up ahead of that.
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b ir.Element) int { return b.Interval.High.Compare(a.Interval.High) })
	slices.SortStableFunc(sorted, func(a, b ir.Element) int { return a.Interval.Low.Compare(b.Interval.Low) })
	var active []ir.Element
	for _, e := range sorted {
		active = slices.DeleteFunc(active, func(a ir.Element) bool { return a.Interval.High.Compare(e.Interval.Low) < 0 })
		pieces := []ir.Element{e}
		for _, a := range active {
			var next []ir.Element
			for _, p := range pieces {
				if !meet(p, a) {
					next = append(next, p)
					continue
				}
				if !p.Options.Same(a.Options) {
					return nil, []ir.Element{a, e}, false
				}
				next = append(next, without(p, a)...)
			}
			pieces = next
		}
		active, out = append(active, pieces...), append(out, pieces...)
		if len(out) > mostPieces {
			return nil, nil, true
		}
	}
	out, _ = ir.MergeElements(t, out)
	return out, nil, false
}

// overlapping tells whether any two elements of a sorted list do.
func overlapping(list []ir.Element) bool {
	var active []ir.Element
	for _, e := range list {
		active = slices.DeleteFunc(active, func(a ir.Element) bool { return a.Interval.High.Compare(e.Interval.Low) < 0 })
		if slices.ContainsFunc(active, func(a ir.Element) bool { return meet(a, e) }) {
			return true
		}
		active = append(active, e)
	}
	return false
}

// part is the i-th field of an element.
func part(e *ir.Element, i int) *ir.Interval {
	if i == 0 {
		return &e.Interval
	}
	return &e.Rest[i-1]
}

// meet tells whether two elements have a value in common.
func meet(a, b ir.Element) bool {
	for i := range len(a.Rest) + 1 {
		x, y := part(&a, i), part(&b, i)
		if x.High.Compare(y.Low) < 0 || y.High.Compare(x.Low) < 0 {
			return false
		}
	}
	return true
}

// without is an element without another one, which it meets: field by field what is
// below that and what is above it is cut off, and the rest, which is inside of it,
// goes.
func without(e, cut ir.Element) []ir.Element {
	var out []ir.Element
	e.Rest = slices.Clone(e.Rest)
	for i := range len(e.Rest) + 1 {
		x, y := part(&e, i), *part(&cut, i)
		if x.Low.Compare(y.Low) < 0 {
			p := e
			p.Rest = slices.Clone(e.Rest)
			part(&p, i).High = valueBelow(y.Low)
			out = append(out, p)
			x.Low = y.Low
		}
		if x.High.Compare(y.High) > 0 {
			p := e
			p.Rest = slices.Clone(e.Rest)
			part(&p, i).Low = valueAbove(y.High)
			out = append(out, p)
			x.High = y.High
		}
	}
	return out
}

func valueBelow(v ir.Value) ir.Value {
	if v.Low == 0 {
		v.High--
	}
	v.Low--
	return v
}

func valueAbove(v ir.Value) ir.Value {
	if v.Low++; v.Low == 0 {
		v.High++
	}
	return v
}
