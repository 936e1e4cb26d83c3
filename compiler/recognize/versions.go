package recognize

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
)

// versions lists what the host tells of a participant's version. What was not
// read tells nothing: a sign is lacking only where somebody looked.
func (t *Table) versions(e *participant.Entry, nft []ir.NFTTable) []string {
	var out []string
	for _, v := range e.Versions {
		if t.all(v.Has, nft) && t.none(v.Lacks, nft) && !slices.Contains(out, v.Says) {
			out = append(out, v.Says)
		}
	}
	return out
}

// all tells whether every sign is there.
func (t *Table) all(s participant.Signs, nft []ir.NFTTable) bool {
	for _, g := range s.Chains {
		if there, _ := t.hasChain(g); !there {
			return false
		}
	}
	for _, g := range s.Rules {
		if there, _ := t.hasRule(g); !there {
			return false
		}
	}
	return !slices.ContainsFunc(s.NFTTables, func(g string) bool { return !hasTable(nft, g) }) &&
		!slices.ContainsFunc(s.NFTChains, func(g string) bool { return !hasBaseChain(nft, g) })
}

// none tells whether no sign is there, and that is known.
func (t *Table) none(s participant.Signs, nft []ir.NFTTable) bool {
	for _, g := range s.Chains {
		if there, known := t.hasChain(g); there || !known {
			return false
		}
	}
	for _, g := range s.Rules {
		if there, known := t.hasRule(g); there || !known {
			return false
		}
	}
	if nft == nil {
		return len(s.NFTTables)+len(s.NFTChains) == 0
	}
	return !slices.ContainsFunc(s.NFTTables, func(g string) bool { return hasTable(nft, g) }) &&
		!slices.ContainsFunc(s.NFTChains, func(g string) bool { return hasBaseChain(nft, g) })
}

// hasChain looks for a chain in every table. That there is none is known if every
// table's chains are.
func (t *Table) hasChain(glob string) (there, known bool) {
	known = len(t.state.Families) > 0
	for _, table := range t.state.Tables {
		for _, c := range table.Chains {
			if ir.MatchGlob(glob, c.Name) {
				return true, true
			}
		}
		if table.Unreadable != "" && len(table.Chains) == 0 {
			known = false
		}
	}
	return false, known
}

// hasRule looks for a rule in the chains that the glob names.
func (t *Table) hasRule(g participant.RuleGlob) (there, known bool) {
	known = len(t.state.Families) > 0
	for _, f := range t.state.Families {
		for _, table := range g.Tables {
			for _, chain := range g.Hooks {
				k := ir.ChainKey{Family: f, Table: table, Chain: chain}
				if slices.ContainsFunc(t.state.Table(f, table).Chain(chain).NativeRules(), func(n ir.NativeAt) bool { return Matches(g, FromNative(n.Native)) }) {
					return true, true
				}
				c, err := t.state.Lookup(k)
				if err != nil {
					known = false
					continue
				}
				if c != nil && slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool { return Matches(g, t.rec.decode(f, r)) }) {
					return true, true
				}
			}
		}
	}
	return false, known
}

func hasTable(nft []ir.NFTTable, glob string) bool {
	return slices.ContainsFunc(nft, func(t ir.NFTTable) bool { return ir.MatchGlob(glob, t.Key()) })
}

func hasBaseChain(nft []ir.NFTTable, glob string) bool {
	return slices.ContainsFunc(nft, func(t ir.NFTTable) bool {
		return slices.ContainsFunc(t.Chains, func(c ir.NFTBaseChain) bool { return ir.MatchGlob(glob, t.Key()+" "+c.Name) })
	})
}
