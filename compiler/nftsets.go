package compiler

import (
	"fmt"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl/diag"
)

// sets puts the declared sets into the table.
func (w *nftWriter) sets() {
	for _, d := range w.prog.Sets {
		w.setComments(d)
		s := ownSet(d.NamedSet)
		w.disjoint(d, s)
		w.table.Sets = append(w.table.Sets, s)
	}
}

// ownSet is a declared set as a set of our table. Whether the kernel keeps ranges
// follows from the type alone, so that no element makes another set of it.
func ownSet(n *ir.NamedSet) *ir.OwnSet {
	s := &ir.OwnSet{
		Name: nftables.SetName(n.Name), Type: n.Type, Timeouts: n.Timeouts, Timeout: n.Timeout,
		Interval: slices.Contains(n.Type, ir.CIDRField) || slices.Contains(n.Type, ir.PortField),
		Elements: nftables.PlainElements(n), Counted: -1, Origin: n.Span,
	}
	if n.Type.HasFamily() {
		s.Family = n.Family
	}
	return s
}

// disjoint cuts elements apart that the kernel would refuse beside each other.
func (w *nftWriter) disjoint(d *DeclaredSet, s *ir.OwnSet) {
	if !s.Interval {
		return
	}
	list, conflict, tooMany := nftables.Disjoint(s.Type, s.Elements)
	switch {
	case tooMany:
		w.diags.Errorf(diag.UnsupportedBackend, d.Span, "the elements of set %s overlap so much that nft would have to hold more than a million pieces", d.Declared).
			WithHelp("write elements that do not overlap, or " + iptablesOnly)
	case conflict != nil:
		w.diags.Errorf(diag.InvalidValue, d.Span, "two elements of set %s overlap and have another comment or timeout, which nft cannot hold: %s and %s", d.Declared,
			nftables.ElementText(s, conflict[0]), nftables.ElementText(s, conflict[1])).WithHelp("write elements that do not overlap, or " + iptablesOnly)
	default:
		s.Elements = list
	}
}

// setComments reports comments of elements that nft cannot keep.
func (w *nftWriter) setComments(d *DeclaredSet) {
	for _, e := range d.Elements {
		if e.Options == nil || e.Options.Comment == "" {
			continue
		}
		if why := nftables.CommentProblem(e.Options.Comment); why != "" {
			w.diags.Errorf(diag.UnsupportedBackend, d.Span, "%s, and an element of set %s has %q", why, d.Declared, e.Options.Comment).
				WithHelp("shorten it, or " + iptablesOnly)
			return
		}
	}
}

// tableSet finds the set of our table that a rule of iptables names.
func (w *nftWriter) tableSet(name string, f ir.Family) (*ir.OwnSet, string) {
	d := w.prog.named(name)
	switch {
	case d == nil:
		return nil, fmt.Sprintf("the set %s is not declared by this ruleset, and an ipset of others is nothing that nft can ask", name)
	case d.Type.HasFamily() && d.Family != f:
		return nil, fmt.Sprintf("the set %s holds addresses of %s, and the rule is for %s", name, d.Family, f)
	}
	i := slices.IndexFunc(w.table.Sets, func(s *ir.OwnSet) bool { return s.Name == nftables.SetName(name) })
	return w.table.Sets[i], ""
}
