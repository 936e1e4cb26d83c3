package nftables

import (
	"slices"

	"hookline/compiler/ir"
)

// PlainElements are the elements of a declared set as one that was read has them: an
// element says nothing of a timeout that is the set's own. The list is the set's
// own where that makes no difference.
func PlainElements(n *ir.NamedSet) []ir.Element {
	same := func(e ir.Element) bool { return e.Options == nil || e.Options.Same(plainOptions(e.Options, n.Timeout)) }
	first := slices.IndexFunc(n.Elements, func(e ir.Element) bool { return !same(e) })
	if first < 0 {
		return n.Elements
	}
	out := slices.Clone(n.Elements)
	for i := range out[first:] {
		if e := &out[first+i]; !same(*e) {
			e.Options = plainOptions(e.Options, n.Timeout)
		}
	}
	return out
}

// plainOptions are options without what follows from the set; nil if that is all.
func plainOptions(o *ir.ElementOptions, timeout uint32) *ir.ElementOptions {
	p := *o
	if !p.HasTimeout || p.Timeout == timeout {
		p.HasTimeout, p.Timeout = false, 0
	}
	if p == (ir.ElementOptions{}) {
		return nil
	}
	return &p
}
