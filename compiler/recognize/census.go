package recognize

import (
	"cmp"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
)

// Found is what one participant has on a host.
type Found struct {
	Name string
	// Chains, Rules (tails and native ones included) and Sets that are attributed to it,
	// and NFTTables, which are the program's own.
	Chains, Rules, Sets, NFTTables int
	// Versions are what its chains and rules tell of its version, mode or settings:
	// phrases for people, in the catalogue's order. Empty if nothing tells.
	Versions []string
}

// Participants lists who has a chain, a rule or a set on the host, or one of the
// tables of nftables, by name. It looks at every rule that was read. nft is nil if
// nobody looked at the tables of nftables.
func (t *Table) Participants(nft []ir.NFTTable) []Found {
	out := t.count(nft, true)
	for i := range out {
		out[i].Versions = t.versions(t.rec.cat.Entry(out[i].Name), nft)
	}
	return out
}

// Present lists by name who has a chain, a set, or a rule outside of
// participants' own chains. Unlike Participants it looks at few of a host's
// rules: nearly all of them stand in some program's chain.
func (t *Table) Present() []string {
	var names []string
	for _, f := range t.count(nil, false) {
		names = append(names, f.Name)
	}
	return names
}

// census is a count of what participants have.
type census struct {
	found map[string]*Found
	// proved are those that have something which nobody else makes too.
	proved map[string]bool
}

// of finds a participant's line by what tells of it: a glob of the catalogue, or
// "" if that is no chain's.
func (c *census) of(e *participant.Entry, glob string) *Found {
	if c.found[e.Name] == nil {
		c.found[e.Name] = &Found{Name: e.Name}
	}
	if e.SharedWith(glob) == "" {
		c.proved[e.Name] = true
	}
	return c.found[e.Name]
}

// count counts. With all false, the rules inside participants' own chains are left
// out.
func (t *Table) count(nft []ir.NFTTable, all bool) []Found {
	c := &census{map[string]*Found{}, map[string]bool{}}
	for _, table := range t.state.Tables {
		for _, chain := range table.Chains {
			k := ir.ChainKey{Family: table.Family, Table: table.Name, Chain: chain.Name}
			h, given := t.rec.chain(chain.Name)
			if h.Entry != nil {
				c.of(h.Entry, h.Glob).Chains++
			}
			if h.Entry == nil || given || all {
				t.countRules(c, k, chain)
			}
		}
	}
	for _, n := range nft {
		if h, ok := t.rec.cat.NFTTable(n.Key()); ok {
			c.of(h.Entry, "").NFTTables++
		}
	}
	for _, s := range t.state.Sets {
		if h, ok := t.rec.cat.Set(s.Name); ok {
			c.of(h.Entry, "").Sets++
		}
	}
	return t.sum(c)
}

func (t *Table) countRules(c *census, k ir.ChainKey, chain *ir.Chain) {
	add := func(a Attribution) {
		if e := t.rec.cat.Entry(a.Participant); e != nil {
			c.of(e, a.By.Glob).Rules++
		}
	}
	for _, a := range t.attribute(k, chain) {
		add(a)
	}
	for _, n := range chain.Natives {
		add(t.native(k, n.Native))
	}
}

// sum is the list by name. What is all shared with somebody who is there too is
// that one's.
func (t *Table) sum(c *census) []Found {
	var out []Found
	for _, f := range c.found {
		other := c.found[t.sharer(f.Name)]
		if c.proved[f.Name] || other == nil || !c.proved[other.Name] {
			continue
		}
		other.Chains, other.Rules = other.Chains+f.Chains, other.Rules+f.Rules
		delete(c.found, f.Name)
	}
	for _, f := range c.found {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Found) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// sharer is who makes some of a participant's chains too, or "".
func (t *Table) sharer(name string) string {
	if e := t.rec.cat.Entry(name); len(e.Shared) > 0 {
		return e.Shared[0].With
	}
	return ""
}
