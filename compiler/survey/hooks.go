package survey

import (
	"fmt"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/timeline"
)

// iptablesProgram is whose the tables of iptables are in the list of hooks.
const iptablesProgram = timeline.Iptables

// hooks lists the base chains of nftables by the way that packets take.
func (s *surveyor) hooks() {
	if s.snap.Host == nil || s.snap.Host.NFTTables == nil {
		s.unknown("the tables of nftables were not looked at")
		return
	}
	s.report.Hooks = []Hook{}
	var equal []string
	host := timeline.Host{Tables: s.snap.Host.NFTTables, Catalogue: s.cat}
	for _, h := range host.Hooks() {
		s.report.Hooks = append(s.report.Hooks, hookOf(h))
		for _, group := range h.Equal() {
			var names []string
			for _, c := range group {
				names = append(names, baseChain(c).String())
			}
			equal = append(equal, fmt.Sprintf("%s %s, priority %d: %s", h.Stack, h.Hook, group[0].Priority, strings.Join(names, ", ")))
		}
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

// hookOf is a hook in the report's form.
func hookOf(h timeline.Hook) Hook {
	out := Hook{Stack: h.Stack, Hook: h.Hook, Device: h.Device}
	for _, c := range h.Chains {
		out.Chains = append(out.Chains, baseChain(c))
	}
	return out
}

func baseChain(c *timeline.Chain) BaseChain {
	out := BaseChain{
		Family: c.Family, Table: c.Table, Chain: c.Name, Type: c.Type, Priority: c.Priority, Policy: c.Policy, Rules: c.Rules,
		Program: c.Program, Tags: c.Tags,
	}
	if name := ownedTable(c.Family + " " + c.Table); name != "" {
		out.Program = ir.AnchorComment + name
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
		owner := timeline.Owner(s.cat, t)
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
