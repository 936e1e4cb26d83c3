package nftables

import (
	"slices"

	"hookline/compiler/ir"
)

// Large is the number of elements from which a set is large: elements of its table
// go to the kernel by netlink. Below it nft is fast enough, and one script is one
// transaction; docs/decisions/0020-sets-on-nft.md has what was measured.
const Large = 4096

// byNetlink marks the steps that go ahead of all others if a table has a large set.
// nft reads every element of all sets of a table before it changes one of a set of
// ranges, so that it does not matter which set is large.
func byNetlink(live, want *ir.OwnTable, steps []ir.NFTOp) {
	large := func(s *ir.OwnSet) bool { return s.Size() >= Large }
	if !slices.ContainsFunc(want.Sets, large) && (live == nil || !slices.ContainsFunc(live.Sets, large)) {
		return
	}
	for i := range steps {
		steps[i].Netlink = true
	}
}

// Part is what of a transaction is done at one stroke: all of it or nothing.
type Part struct {
	// Netlink tells that the steps, which are on sets, go to the kernel without nft.
	Netlink bool
	Ops     []ir.NFTOp
}

// Parts cuts a transaction into parts, in the order in which they are done: one, a
// script for nft, if no step has to go ahead of it. What goes ahead are new sets,
// which no rule asks yet, and elements of sets that stand.
func Parts(ops []ir.NFTOp) []Part {
	if len(ops) == 0 {
		return nil
	}
	var ahead, script []ir.NFTOp
	for _, o := range ops {
		inTable := func(x ir.NFTOp) bool { return x.Netlink && x.Kind == o.Kind && x.Table == o.Table }
		if o.Netlink || o.Do == ir.NFTAddTable && slices.ContainsFunc(ops, inTable) {
			ahead = append(ahead, o)
		} else {
			script = append(script, o)
		}
	}
	var out []Part
	if len(ahead) > 0 {
		out = append(out, Part{Netlink: true, Ops: ahead})
	}
	if len(script) > 0 {
		out = append(out, Part{Ops: script})
	}
	return out
}
