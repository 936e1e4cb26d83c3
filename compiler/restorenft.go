package compiler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
)

// restoreNFT are the steps that take our tables back to what stood before an apply.
// Rules and sets that others put into them stay as they are now. What nft cannot be
// told again is left out, and said.
func (p *Plan) restoreNFT(before, now *ir.State) (ir.Transaction, map[ir.TableKey]error) {
	var tx ir.Transaction
	failed := map[ir.TableKey]error{}
	ours := func(t *ir.OwnTable) bool { return p.ownsTable(t.Name) }
	for _, t := range now.Own {
		if ours(t) && before.OwnTable(t.Kind, t.Name) == nil {
			tx.NFT = append(tx.NFT, ir.NFTOp{Kind: t.Kind, Table: t.Name, Do: ir.NFTDeleteTable})
		}
	}
	for _, t := range before.Own {
		if !ours(t) {
			continue
		}
		live := now.OwnTable(t.Kind, t.Name)
		want, err := p.sendable(t, live)
		if err != nil {
			failed[ownChainKey(keyOf(t), "").TableKey()] = err
		}
		kept := live
		if live != nil {
			k := *live
			k.Sets = slices.DeleteFunc(slices.Clone(live.Sets), func(s *ir.OwnSet) bool { return s.Foreign != "" })
			kept = &k
		}
		sets := nftables.DiffSets(kept, want)
		d := &ownDiff{live: live, want: want, key: keyOf(t), rewrite: sets.Rewrites, stays: func(r *ir.OwnRule) bool { return r.Tag != "" }}
		d.run()
		if live == nil {
			tx.NFT = append(tx.NFT, ir.NFTOp{Kind: t.Kind, Table: t.Name, Do: ir.NFTAddTable})
		}
		tx.NFT = append(tx.NFT, d.ops(sets)...)
	}
	if len(failed) == 0 {
		failed = nil
	}
	return tx, failed
}

// sendable is a table that stood as it can be sent again: without the rules and sets
// that others put into it, for who did so does it again, and our rules in the words in
// which they were sent. A rule for which there are none stays where it still stands;
// that one is gone is the error.
func (p *Plan) sendable(t, live *ir.OwnTable) (*ir.OwnTable, error) {
	out := *t
	out.Chains, out.Sets = nil, slices.DeleteFunc(slices.Clone(t.Sets), func(s *ir.OwnSet) bool { return s.Foreign != "" })
	var lost error
	for _, c := range t.Chains {
		if !nftables.IsName(c.Name) || c.Base != nil && ir.HookIndex(c.Base.Hook) < 0 {
			lost = errors.Join(lost, fmt.Errorf("%s: the chain %q, which hookline did not make, is not put back", t.Key(), c.Name))
			continue
		}
		n := *c
		n.Rules = nil
		for _, r := range c.Rules {
			if r.Tag != "" {
				continue
			}
			if sent, known := p.sent[r.Text]; known {
				r.Printed, r.Text = r.Text, sent
			} else if strings.Contains(r.Text, "(0x") && !stands(live.Chain(c.Name), r) {
				lost = errors.Join(lost, fmt.Errorf("%s %s: the rule %q cannot be put back: how it was written is not known", t.Key(), c.Name, r.String()))
				continue
			}
			n.Rules = append(n.Rules, r)
		}
		out.Chains = append(out.Chains, &n)
	}
	return &out, lost
}

// stands tells whether a chain, which may be nil, has a rule.
func stands(c *ir.OwnChain, r ir.OwnRule) bool {
	return c != nil && slices.ContainsFunc(c.Rules, func(x ir.OwnRule) bool { return x.String() == r.String() && x.Handle == r.Handle })
}
