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
		w.table.Sets = append(w.table.Sets, ownSet(d.NamedSet))
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
