package compiler

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
)

// ownCommits are the commits of a transaction on tables of ours: one for all of it,
// and one ahead of it for the elements of large sets, which nft is not given.
func (p *Plan) ownCommits() []Commit {
	var out []Commit
	for _, part := range nftables.Parts(p.Transaction.NFT) {
		c := Commit{Family: ir.BothFamilies, Ops: len(part.Ops), SetsOnly: part.Netlink}
		var names []string
		for _, o := range part.Ops {
			if !slices.Contains(names, o.Table) {
				names = append(names, o.Table)
			}
		}
		c.Table = strings.Join(names, ", ")
		out = append(out, c)
	}
	return out
}

// atomic says over what a commit is all or nothing.
func (p *Plan) atomic(c Commit) string {
	switch {
	case p.Variant != ir.NFT:
		return "one table"
	case c.SetsOnly:
		return "the elements of large sets"
	}
	return "everything"
}
