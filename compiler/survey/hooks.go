package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// iptablesProgram is whose the tables of iptables are in the list of hooks.
const iptablesProgram = "iptables"

// stacks are the families of nftables whose chains see the packets of each.
var stacks = []struct {
	name     string
	families []string
}{
	{"ipv4", []string{"ip", "inet"}}, {"ipv6", []string{"ip6", "inet"}}, {"arp", []string{"arp"}}, {"bridge", []string{"bridge"}}, {"netdev", []string{"netdev"}},
}

// hooks lists the base chains of nftables by the way that packets take.
func (s *surveyor) hooks() {
	if s.snap.Host == nil || s.snap.Host.NFTTables == nil {
		s.unknown("the tables of nftables were not looked at")
		return
	}
	s.report.Hooks = []Hook{}
	var equal []string
	for _, stack := range stacks {
		byHook := map[[2]string]*Hook{}
		for _, t := range s.snap.Host.NFTTables {
			if !slices.Contains(stack.families, t.Family) {
				continue
			}
			for _, c := range t.Chains {
				k := [2]string{c.Hook, c.Device}
				if byHook[k] == nil {
					byHook[k] = &Hook{Stack: stack.name, Hook: c.Hook, Device: c.Device}
				}
				byHook[k].Chains = append(byHook[k].Chains, BaseChain{
					Family: t.Family, Table: t.Name, Chain: c.Name, Type: c.Type, Priority: c.Priority, Policy: c.Policy, Rules: c.Rules,
					Program: s.nftProgram(t), Tags: c.Tags,
				})
			}
		}
		var list []Hook
		for _, h := range byHook {
			slices.SortFunc(h.Chains, func(a, b BaseChain) int {
				return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Chain, b.Chain))
			})
			list = append(list, *h)
		}
		slices.SortFunc(list, func(a, b Hook) int {
			return cmp.Or(cmp.Compare(ir.HookIndex(a.Hook), ir.HookIndex(b.Hook)), cmp.Compare(a.Hook, b.Hook), cmp.Compare(a.Device, b.Device))
		})
		for i := range list {
			equal = append(equal, list[i].equalPriority()...)
		}
		s.report.Hooks = append(s.report.Hooks, list...)
	}
	if len(equal) > 0 {
		s.find(Finding{
			Severity: Warning, Code: EqualPriority, Message: "chains of several programs rewrite addresses at the same priority", Details: equal,
			Effects: []string{"the first that rewrites a packet's address ends the matter for its connection; of equal priorities the chain that was made last runs first, so the order is that in which the programs started"},
			Help:    "give a table of your own another priority; for those of programs there is only the order of their starts",
		})
	}
	s.injected()
}

// nftProgram is whose a table of nftables is, or "".
func (s *surveyor) nftProgram(t ir.NFTTable) string {
	if (t.Family == "ip" || t.Family == "ip6") && ir.BuiltinChains(t.Name) != nil {
		return iptablesProgram
	}
	if name := ownedTable(t.Key()); name != "" {
		return ir.AnchorComment + name
	}
	if h, ok := s.cat.NFTTable(t.Key()); ok {
		return h.Entry.Name
	}
	return ""
}

// equalPriority lists the chains of several programs that rewrite addresses at one
// priority of a hook: the first that does ends the matter, and the newest runs
// first (FIELD 3.5).
func (h *Hook) equalPriority() []string {
	var out []string
	for i := 0; i < len(h.Chains); {
		n := i
		for n < len(h.Chains) && h.Chains[n].Priority == h.Chains[i].Priority {
			n++
		}
		var names []string
		owners := map[string]bool{}
		for _, c := range h.Chains[i:n] {
			if c.Type == "nat" && c.Rules > 0 {
				names = append(names, c.String())
				owners[cmp.Or(c.Program, c.Family+" "+c.Table)] = true
			}
		}
		if len(owners) > 1 {
			out = append(out, fmt.Sprintf("%s %s, priority %d: %s", h.Stack, h.Hook, h.Chains[i].Priority, strings.Join(names, ", ")))
		}
		i = n
	}
	return out
}

// String is a base chain for people.
func (c BaseChain) String() string {
	s := fmt.Sprintf("%s %s %s", c.Family, c.Table, c.Chain)
	if c.Program != "" && c.Program != iptablesProgram {
		s += " (" + c.Program + ")"
	}
	return s
}

// injectors tell by the texts that they leave with rules who put them into
// somebody else's chain (FIELD 2.8, N-7).
var injectors = map[string]string{"frwacceptiif": "netbird", "frwacceptoif": "netbird", "inputaccept": "netbird"}

// injected finds rules that a program put into another one's table.
func (s *surveyor) injected() {
	by := map[string][]string{}
	for _, t := range s.snap.Host.NFTTables {
		owner := s.nftProgram(t)
		if owner == iptablesProgram {
			continue // those are native rules, and found as such
		}
		for _, c := range t.Chains {
			var tags []string
			who := ""
			for _, tag := range c.Tags {
				if p := injectors[tag]; p != "" && p != owner {
					tags, who = append(tags, tag), p
				}
			}
			if who != "" {
				by[who] = append(by[who], fmt.Sprintf("%s %s: rules with the text %s", t.Key(), c.Name, strings.Join(tags, ", ")))
			}
		}
	}
	for _, who := range sorted(by) {
		s.find(Finding{
			Severity: Warning, Code: Injected,
			Message: fmt.Sprintf("%s put accept rules into tables of nftables that are not its own", who),
			Details: by[who],
			Effects: []string{"what those chains would drop further down is accepted ahead of it; a table that is written again gets them again"},
			Help:    "drop in a chain of another hook, or at a lower priority: NetBird looks at filter chains of input and forward only",
		})
	}
}
