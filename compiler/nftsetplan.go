package compiler

import (
	"fmt"
	"hash"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
)

// ownSetChanges says for a plan what happens to the sets of a table of ours. Either
// table may be nil.
func ownSetChanges(live, want *ir.OwnTable) []SetChange {
	var out []SetChange
	if live == nil && want == nil {
		return nil
	}
	for _, d := range nftables.DiffSets(live, want).Differences {
		c := ownSetChange(d)
		if want == nil {
			c.How = "goes with its table"
		}
		out = append(out, c)
	}
	return out
}

func ownSetChange(d nftables.SetDifference) SetChange {
	s := d.Want
	if s == nil {
		s = d.Live
	}
	c := SetChange{
		Family: s.Family, Name: s.Name, Type: ownSetType(s), Kind: Changed, Add: len(d.Add), Remove: len(d.Remove), Source: s.Origin,
		FirstAdd: elementTexts(s, d.Add), FirstRemove: elementTexts(s, d.Remove), Total: s.Size(),
	}
	switch {
	case d.Live == nil:
		c.Kind, c.How = Added, "made and filled ahead of the rules"
	case d.Want == nil:
		c.Kind, c.Remove, c.Total, c.How = Removed, d.Live.Size(), 0, "deleted behind the rules"
	case d.Unread:
		c.Remove, c.How = d.Live.Size(), "made anew, with the rules that ask it: its elements are not known"
	case d.Replaced:
		c.Remove, c.FirstRemove = d.Live.Size(), elementTexts(d.Live, d.Remove)
		c.How = "made anew, with the rules that ask it: it is a " + ownSetType(d.Live)
	case len(d.Add)+len(d.Remove) == 1:
		c.How = "one element, in place"
	default:
		c.How = "by element, in one transaction"
	}
	return c
}

// ownSetType is a set's type with what else makes its shape.
func ownSetType(s *ir.OwnSet) string {
	if s.Foreign != "" {
		return s.Foreign
	}
	out := nftables.SetType(s)
	if s.Interval {
		out += ", interval"
	}
	if s.Timeouts {
		out += ", timeout"
		if s.Timeout > 0 {
			out += " " + nftables.Seconds(s.Timeout)
		}
	}
	return out
}

func elementTexts(s *ir.OwnSet, list []ir.Element) []string {
	if s.Foreign != "" {
		return nil
	}
	var out []string
	for _, e := range list[:min(len(list), firstElements)] {
		out = append(out, nftables.ElementText(s, e))
	}
	return out
}

// digestOwnSet puts a set that a plan rests on into its digest. The time that its
// elements have left does not count.
func digestOwnSet(d hash.Hash, s *ir.OwnSet) {
	fmt.Fprintf(d, "set %q %q %v %d %t %t %d %d\n", s.Name, s.Foreign, s.Type, s.Family, s.Interval, s.Timeouts, s.Timeout, s.Size())
	if s.Foreign != "" {
		return
	}
	b := make([]byte, 0, 1<<16)
	for i := range s.Elements {
		if b = nftables.AppendElement(b, s, &s.Elements[i]); len(b) > 1<<15 {
			d.Write(b)
			b = b[:0]
		}
		b = append(b, '\n')
	}
	d.Write(b)
}
