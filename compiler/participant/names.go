package participant

import (
	"cmp"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// near is how many letters a mistyped name may differ from the one meant.
const near = 2

// KnowsChain tells whether a name can be a bare reference to a chain: a chain
// that an entry lists by name, or one that an entry's glob matches and that is
// no near miss of a listed name (cali-PREROUTNG).
func (c *Catalogue) KnowsChain(name string) bool {
	if _, ok := c.chains.exact[name]; ok {
		return true
	}
	h, ok := c.chains.find(name)
	if !ok {
		return false
	}
	for _, g := range slices.Concat(h.Entry.Chains, h.Entry.UserChains) {
		if !strings.Contains(g, "*") && diag.Distance(g, name) <= near {
			return false
		}
	}
	return true
}

// Suggest lists what a mistyped reference may have meant: participants, chains
// that the catalogue lists by name, and the names in also, nearest first and at
// most three.
func (c *Catalogue) Suggest(name string, also ...string) []string {
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	add := func(s string) {
		d := diag.Distance(strings.ToLower(s), strings.ToLower(name))
		if d <= max(near, len(name)/4) && !slices.ContainsFunc(all, func(c candidate) bool { return c.name == s }) {
			all = append(all, candidate{s, d})
		}
	}
	for _, s := range also {
		add(s)
	}
	for _, e := range c.entries {
		add(e.Name)
		for _, g := range slices.Concat(e.Chains, e.UserChains) {
			if !strings.Contains(g, "*") {
				add(g)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, c := range all[:min(3, len(all))] {
		out = append(out, c.name)
	}
	return out
}

// ReservedName tells whether a chain name, or a glob of chain names, takes in
// names of a program, and of which. Programs in replaced do not count. A chain
// that a program gives to its users is not reserved.
func (c *Catalogue) ReservedName(chain string, replaced ...string) (participant string, reserved bool) {
	head, _, glob := strings.Cut(chain, "*")
	if _, given := c.UserChain(chain); given {
		return "", false
	}
	var owners []string
	own, ok := c.reserved.find(head)
	if ok {
		owners = append(owners, own.Entry.Name)
	}
	for _, e := range c.entries {
		for _, p := range e.Reserved {
			// Shorter beginnings of a longer one that all names have are not meant:
			// KUBE-ROUTER-* takes nothing of kube-proxy's.
			if glob && len(p) > own.Literal && Meet(chain, p+"*") {
				owners = append(owners, e.Name)
			}
		}
	}
	for _, o := range owners {
		if !slices.Contains(replaced, o) {
			return o, true
		}
	}
	return "", false
}

// ReservedSet is ReservedName for sets: a program's set globs are reserved.
func (c *Catalogue) ReservedSet(set string) (participant string, reserved bool) {
	for _, e := range c.entries {
		for _, g := range e.Sets {
			if Meet(set, g) {
				return e.Name, true
			}
		}
	}
	return "", false
}

// UserChain tells which program gives a chain of this name to its users, if any
// does. Such a chain may be owned; it is emptied, never deleted.
func (c *Catalogue) UserChain(chain string) (participant string, given bool) {
	for _, e := range c.entries {
		if slices.Contains(e.UserChains, chain) {
			return e.Name, true
		}
	}
	return "", false
}

// ReservedSubstring finds a piece of a name or of an anchor's comment that must
// not be in there, because it gets rules deleted by somebody, and says by whom.
func (c *Catalogue) ReservedSubstring(text string) (substring, why string, found bool) {
	for _, e := range c.entries {
		for _, k := range e.Killed {
			if holds(text, k.Substring, k.AnyCase) {
				return k.Substring, k.By, true
			}
		}
	}
	return "", "", false
}

// KilledRule finds a piece of a rule's text that gets the rule deleted by somebody,
// and says by whom.
func (c *Catalogue) KilledRule(text string) (substring, why string, found bool) {
	for _, e := range c.entries {
		for _, k := range e.Killed {
			exact := k.Exact
			if len(exact) == 0 {
				exact = []string{k.Substring}
			}
			for _, x := range exact {
				if holds(text, x, k.AnyCase) {
					return x, k.By, true
				}
			}
		}
	}
	return "", "", false
}

func holds(text, substring string, anyCase bool) bool {
	return strings.Contains(text, substring) || anyCase && strings.Contains(strings.ToLower(text), strings.ToLower(substring))
}

// MarkOwner is a participant that uses some of a mark's bits.
type MarkOwner struct {
	Participant string
	Mark
}

// WholeMarks lists the marks that are compared as a whole in nftables tables of
// their programs.
func (c *Catalogue) WholeMarks() []MarkOwner {
	var out []MarkOwner
	for _, e := range c.entries {
		for _, m := range e.Marks {
			if len(m.WholeIn) > 0 {
				out = append(out, MarkOwner{e.Name, m})
			}
		}
	}
	return out
}

// MarkOwners lists who uses any bit that setting mark to value under mask
// touches: the bits of both (0x0/0x4000 clears what kube-proxy sets).
func (c *Catalogue) MarkOwners(value, mask uint32) []MarkOwner {
	var out []MarkOwner
	for _, e := range c.entries {
		for _, m := range e.Marks {
			if (value|mask)&uint32(m.Mask) != 0 {
				out = append(out, MarkOwner{e.Name, m})
			}
		}
	}
	return out
}
