package dsl

import (
	"slices"

	"hookline/dsl/diag"
)

// afterwards checks what is not said by one shape alone.
func (r *reader) afterwards(d *Document) {
	split := len(d.Families) != 1
	for _, s := range d.Sets {
		two := split
		if s.Families != nil {
			two = len(s.Families) != 1
		}
		if n := len(s.Name.Value); two && n > maxSetName-len("-4") && n <= maxSetName {
			r.list.Errorf(diag.InvalidName, s.Name.Span, "set name %q is %d bytes long; with -4 and -6 behind it at most %d are possible",
				s.Name.Value, n, maxSetName-len("-4"))
		}
	}
	unique(r, "constraint", d.Constraints, func(c *Constraint) *Text { return c.Name })
	for _, t := range d.Tables {
		for _, a := range slices.Concat(t.Anchors, t.Adopts) {
			if a.Match != nil && a.Iptables != nil {
				r.list.Errorf(diag.InvalidValue, a.Iptables.Span, "a jump has its condition in match or in iptables, not in both").
					Note(a.Match.Span, "match is here")
			}
		}
		for _, c := range t.Chains {
			unique(r, "rule", c.Rules, func(x *Rule) *Text { return x.Name })
			for _, x := range c.Rules {
				r.rule(x)
			}
		}
	}
}

// rule checks how the parts of a rule go together.
func (r *reader) rule(x *Rule) {
	if x.String != nil {
		return
	}
	raw := x.Iptables
	if raw == nil {
		raw = x.NFT
	}
	at := diag.Span{}
	switch {
	case x.Action != nil:
		at = x.Action.Span
	case x.Match != nil:
		at = x.Match.Span
	}
	if raw != nil && !at.IsZero() && x.Iptables != nil && x.NFT != nil {
		r.list.Errorf(diag.InvalidValue, at, "match and action are never used: iptables and nft give the text for every backend").
			Note(x.Iptables.Span, "for iptables").Note(x.NFT.Span, "for nft")
	}
}

// unique reports names that stand twice in a list.
func unique[T any](r *reader, what string, items []T, name func(T) *Text) {
	first := map[string]diag.Span{}
	for _, x := range items {
		t := name(x)
		if t == nil {
			continue
		}
		if at, twice := first[t.Value]; twice {
			r.list.Errorf(diag.DuplicateName, t.Span, "there is another %s with the name %q", what, t.Value).
				Note(at, "it stands here")
			continue
		}
		first[t.Value] = t.Span
	}
}
