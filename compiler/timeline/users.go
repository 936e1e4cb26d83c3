package timeline

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
)

// users finds who has rules in a base chain of iptables, and where they jump to.
func (h *Host) users(x *Chain) {
	f := ir.IPv4
	if x.Family == "ip6" {
		f = ir.IPv6
	}
	k := ir.ChainKey{Family: f, Table: x.Table, Chain: x.Name}
	if x.Rules == 0 {
		return // nobody has rules in it
	}
	if h.State == nil || h.Attribution == nil {
		x.Unread = "the tables of iptables were not read"
		return
	}
	table := h.State.Table(f, x.Table)
	c, err := h.State.Lookup(k)
	if err == nil && table.Chain(x.Name) == nil {
		x.Unread = "its rules were not read" // nftables knows of the table, and the read of iptables does not
	}
	if err != nil {
		x.Unread = err.Error()
	}
	if x.Unread != "" {
		h.unread(x, k, table)
		return
	}
	x.jumps, x.leads = map[string]bool{}, map[string]bool{}
	whose := h.Attribution.Rules(k)
	for i, r := range c.Rules {
		name := ""
		if i < len(whose) {
			name = whose[i].Participant
		}
		if !slices.Contains(x.Users, name) {
			x.Users = append(x.Users, name)
		}
		to := h.Attribution.Fields(f, r).Target
		drops := to == "DROP" || to == "REJECT"
		if r.Native != nil {
			drops = dropsText(r.Native.Text)
		}
		if table.Chain(to) != nil {
			x.jumps[to] = true
		}
		x.drops = x.drops || drops
		x.leads[name] = x.leads[name] || drops || table.Chain(to) != nil
	}
}

// unread knows of a chain that could not be read what the names of the table's
// chains and its native rules tell.
func (h *Host) unread(x *Chain, k ir.ChainKey, table *ir.Table) {
	if table == nil {
		return
	}
	x.Users, x.jumps = byNames(h.Catalogue, table, x.Name), names(table)
	for _, n := range h.Attribution.NativesIn(k) {
		if !slices.Contains(x.Users, n.Author.Participant) {
			x.Users = append(x.Users, n.Author.Participant)
		}
		x.drops = x.drops || dropsText(n.Text)
	}
}

// byNames are the participants that have chains in a table, and for all that is
// known jump to them from one of its built-in chains.
func byNames(cat *participant.Catalogue, table *ir.Table, hook string) []string {
	var out []string
	for _, c := range table.Chains {
		hit, ok := cat.Chain(c.Name)
		if !ok || slices.Contains(out, hit.Entry.Name) || !mayJump(hit.Entry, table.Name, hook) {
			continue
		}
		out = append(out, hit.Entry.Name)
	}
	return out
}

// names are the chains of a table that are not built in: those to which there may
// be a jump.
func names(table *ir.Table) map[string]bool {
	out := map[string]bool{}
	for _, c := range table.Chains {
		if !ir.IsBuiltin(table.Name, c.Name) {
			out[c.Name] = true
		}
	}
	return out
}

// mayJump tells whether a program may have a jump in a built-in chain: the
// catalogue knows of some programs from where they jump.
func mayJump(e *participant.Entry, table, hook string) bool {
	known := false
	for _, j := range e.Jumps {
		if slices.Contains(j.Tables, table) {
			known = true
			if slices.Contains(j.Hooks, hook) {
				return true
			}
		}
	}
	return !known
}

// has tells whether a participant has rules in the chain; where they are not known,
// whether it may have some.
func (c *Chain) has(name string) bool { return slices.Contains(c.Users, name) }

// dropsText tells whether a rule of nftables can drop or reject.
func dropsText(text string) bool {
	words := ir.OwnRule{Text: text}.Words()
	return slices.Contains(words, "drop") || slices.Contains(words, "reject")
}
