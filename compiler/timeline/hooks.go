package timeline

import (
	"cmp"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
)

// Iptables is whose the tables of iptables are.
const Iptables = "iptables"

// OfRuleset stands in front of a ruleset's name where it is whose a table is.
const OfRuleset = "hookline:"

// Chain is a base chain at a hook.
type Chain struct {
	// Family and Table as nft(8) names them, Name of the chain.
	Family, Table, Name string
	// Type is filter, nat or route, Hook where packets enter it, Device that of a netdev
	// chain.
	Type, Hook, Device string
	Priority           int
	// Policy is accept or drop.
	Policy string
	// Rules is the number of rules in the chain, -1 if it is not known.
	Rules int
	Tags  []string
	// Program is whose the table is: a participant, Iptables, a ruleset behind OfRuleset,
	// or "" if nobody knows.
	Program string
	// Legacy tells that the chain is one of iptables-legacy, which no table of nftables
	// shows and which packets meet all the same.
	Legacy bool
	// Users are the participants that have rules in a chain of iptables, in the order of
	// their rules; "" is for rules of nobody known. By names of chains alone if Unread
	// says why the rules are not known.
	Users  []string
	Unread string
	// Ours tells that the table is one of those being planned; Change and Was are what
	// becomes of the chain then, and the priority that it leaves.
	Ours   bool
	Change Change
	// Drift tells that the chain stands in a table of ours and that no ruleset makes one
	// like it: somebody else made it.
	Drift bool
	Was   int

	jumps map[string]bool // chains that the rules jump to, or may
	drops bool            // a rule drops or rejects
	// leads are the users whose rules lead to other chains, or may, or drop.
	leads map[string]bool
}

// Change is what a plan does with a base chain.
type Change uint8

// The changes of a base chain.
const (
	Stays Change = iota
	Comes
	Goes
	Moves // its priority changes
)

// Hook is a place where packets enter base chains, with all of them in order.
type Hook struct {
	// Stack is ipv4, ipv6, arp, bridge or netdev; chains of family inet are in the first
	// two.
	Stack, Hook, Device string
	Chains              []*Chain
	// Remarks are what follows from the order.
	Remarks []Remark
}

// Host is what is known of the base chains of a host.
type Host struct {
	// Tables are all tables of nftables.
	Tables    []ir.NFTTable
	Catalogue *participant.Catalogue
	// State is the tables of iptables in nftables, as far as they were read, and
	// Attribution whose its rules are; both nil if nobody looked.
	State       *ir.State
	Attribution *recognize.Table
	// Legacy are the tables of iptables-legacy by the names of their chains; nil if
	// nobody looked.
	Legacy *ir.State
	// Ours tells whose tables are being planned; nil for none.
	Ours func(family, table string) bool
}

// stacks are the families of nftables whose chains see the packets of each.
var stacks = []struct {
	name     string
	families []string
}{
	{"ipv4", []string{"ip", "inet"}}, {"ipv6", []string{"ip6", "inet"}}, {"arp", []string{"arp"}}, {"bridge", []string{"bridge"}}, {"netdev", []string{"netdev"}},
}

// Owner is whose a table of nftables is: a participant, Iptables, a ruleset behind
// OfRuleset, or "".
func Owner(cat *participant.Catalogue, t ir.NFTTable) string {
	if (t.Family == "ip" || t.Family == "ip6") && ir.BuiltinChains(t.Name) != nil {
		return Iptables
	}
	// A ruleset may call the table of another one a participant, and so have an order
	// with it.
	if h, ok := cat.NFTTable(t.Key()); ok {
		return h.Entry.Name
	}
	if name, ok := nftables.RulesetOf(t.Name); ok {
		return OfRuleset + name
	}
	return ""
}

// Chains are all base chains of the host, each once. Those of a table that is
// switched off are none: no packet enters them.
func (h *Host) Chains() []*Chain {
	var out []*Chain
	for _, t := range h.Tables {
		if t.Dormant {
			continue
		}
		owner := Owner(h.Catalogue, t)
		for _, c := range t.Chains {
			x := &Chain{
				Family: t.Family, Table: t.Name, Name: c.Name, Type: c.Type, Hook: c.Hook, Device: c.Device,
				Priority: c.Priority, Policy: cmp.Or(c.Policy, "accept"), Rules: c.Rules, Tags: c.Tags, Program: owner,
				Ours: h.Ours != nil && h.Ours(t.Family, t.Name),
			}
			x.Drift = x.Ours && !nftables.Makes(c.Name, &ir.BaseChain{Type: c.Type, Hook: c.Hook})
			if owner == Iptables && ir.IsBuiltin(t.Name, c.Name) {
				h.users(x)
			}
			out = append(out, x)
		}
	}
	return append(out, h.legacy()...)
}

// legacy are the base chains of iptables-legacy.
func (h *Host) legacy() []*Chain {
	if h.Legacy == nil {
		return nil
	}
	var out []*Chain
	for _, t := range h.Legacy.Tables {
		for _, name := range ir.BuiltinChains(t.Name) {
			b := nftables.BaseOf(t.Name, name)
			x := &Chain{
				Family: nftFamily(t.Family), Table: t.Name, Name: name, Type: b.Type, Hook: b.Hook, Priority: b.Priority,
				Policy: "accept", Rules: -1, Program: Iptables, Legacy: true, Unread: "the rules of iptables-legacy were not read",
			}
			if c := t.Chain(name); c != nil && c.Policy == "DROP" {
				x.Policy = "drop"
			}
			x.Users, x.jumps = byNames(h.Catalogue, t, name), names(t)
			out = append(out, x)
		}
	}
	return out
}

// Hooks lists the base chains by the way that packets take.
func (h *Host) Hooks() []Hook { return Group(h.Chains()) }

// Group sorts base chains by stack, hook and priority.
func Group(chains []*Chain) []Hook {
	var out []Hook
	for _, stack := range stacks {
		byHook := map[[2]string]*Hook{}
		for _, c := range chains {
			if !slices.Contains(stack.families, c.Family) {
				continue
			}
			k := [2]string{c.Hook, c.Device}
			if byHook[k] == nil {
				byHook[k] = &Hook{Stack: stack.name, Hook: c.Hook, Device: c.Device}
			}
			byHook[k].Chains = append(byHook[k].Chains, c)
		}
		var list []Hook
		for _, x := range byHook {
			slices.SortStableFunc(x.Chains, inOrder)
			list = append(list, *x)
		}
		slices.SortFunc(list, func(a, b Hook) int {
			return cmp.Or(cmp.Compare(ir.HookIndex(a.Hook), ir.HookIndex(b.Hook)), cmp.Compare(a.Hook, b.Hook), cmp.Compare(a.Device, b.Device))
		})
		out = append(out, list...)
	}
	return out
}

func inOrder(a, b *Chain) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Table, b.Table),
		cmp.Compare(a.Name, b.Name), cmp.Compare(boolInt(a.Legacy), boolInt(b.Legacy)))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func nftFamily(f ir.Family) string {
	if f == ir.IPv6 {
		return "ip6"
	}
	return "ip"
}

// key is the table as nft(8) names it, with what tells a legacy one.
func (c *Chain) key() string {
	if c.Legacy {
		return c.Family + " " + c.Table + " (legacy)"
	}
	return c.Family + " " + c.Table
}

// Title is the chain by its table.
func (c *Chain) Title() string { return c.key() + " " + c.Name }

// sees tells whether packets of a family enter the chain.
func (c *Chain) sees(f ir.Family) bool { return c.Family == "inet" || c.Family == nftFamily(f) }

// Equal lists the groups of chains of a hook that rewrite addresses at one
// priority, for several programs: the first that does ends the matter, and the
// newest runs first (FIELD 3.5).
func (h *Hook) Equal() [][]*Chain {
	var out [][]*Chain
	for i := 0; i < len(h.Chains); {
		n := i
		for n < len(h.Chains) && h.Chains[n].Priority == h.Chains[i].Priority {
			n++
		}
		var group []*Chain
		owners := map[string]bool{}
		for _, c := range h.Chains[i:n] {
			if c.Type == "nat" && c.Rules != 0 && c.Change != Goes && !c.Legacy {
				group = append(group, c)
				owners[cmp.Or(c.Program, c.key())] = true
			}
		}
		if len(owners) > 1 {
			out = append(out, group)
		}
		i = n
	}
	return out
}
