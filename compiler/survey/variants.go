package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// variants counts what stands in each variant, and finds rules in both.
func (s *surveyor) variants() {
	for i, d := range s.sides {
		s.report.Variants = append(s.report.Variants, s.variant(d, i == 0))
	}
	if len(s.sides) < 2 {
		return
	}
	use, rest := s.report.Variants[0], s.report.Variants[1]
	switch {
	case use.rules() > 0 && rest.rules() > 0:
		s.find(Finding{
			Severity: Hurts, Code: MixedBackends,
			Message: fmt.Sprintf("rules stand in both variants: %d in %s, which is in use, and %d in %s", use.rules(), use.Variant, rest.rules(), rest.Variant),
			Details: []string{use.line(), rest.line()},
			Effects: []string{
				"packets pass both, and what one accepts the other can still drop; each program sees and repairs one variant only",
				"iptables-nft-save says so on stderr, iptables-legacy-save not at all",
			},
			Help: fmt.Sprintf("have every program use %s, then empty the other variant: its rules stay until somebody deletes them or the machine starts again", use.Variant),
		})
	case len(rest.policies(s.sides[1])) > 0:
		s.find(Finding{
			Severity: Warning, Code: MixedBackends,
			Message: fmt.Sprintf("%s holds no rules, but its chains drop what no rule accepts", rest.Variant),
			Details: rest.policies(s.sides[1]),
			Effects: []string{"packets pass both variants: what is accepted in " + string(use.Variant) + " is dropped all the same"},
		})
	}
}

func (s *surveyor) variant(d *side, use bool) Variant {
	v := Variant{Variant: d.variant, InUse: use, Families: []string{}, Tables: []Table{}, Programs: []Count{}}
	for _, f := range d.state.Families {
		v.Families = append(v.Families, f.String())
	}
	counts := map[string]*Count{}
	of := func(program string) *Count {
		if counts[program] == nil {
			counts[program] = &Count{Program: program}
		}
		return counts[program]
	}
	for _, t := range d.state.Tables {
		row := Table{Family: t.Family.String(), Name: t.Name, Chains: len(t.Chains), Unreadable: t.Unreadable}
		for _, c := range t.Chains {
			k := ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}
			if !ir.IsBuiltin(t.Name, c.Name) {
				of(s.chainProgram(d, k)).Chains++
			}
			for _, a := range s.programs(d, k, c) {
				of(a.Participant).Rules++
			}
			row.Rules += len(c.Rules) + len(c.Natives)
			for _, n := range c.Natives {
				of(s.program(s.rec.Rule(k, &ir.Rule{Native: n.Native}).Participant)).Rules++
			}
		}
		v.Tables = append(v.Tables, row)
	}
	slices.SortFunc(v.Tables, func(a, b Table) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(slices.Index(ir.TableNames, a.Name), slices.Index(ir.TableNames, b.Name)))
	})
	for _, name := range sorted(counts) {
		v.Programs = append(v.Programs, *counts[name])
	}
	slices.SortStableFunc(v.Programs, func(a, b Count) int { return cmp.Compare(b.Rules, a.Rules) })
	return v
}

// rules is the number of rules in a variant. A table that cannot be read holds at
// least one.
func (v Variant) rules() int {
	n := 0
	for _, t := range v.Tables {
		n += t.Rules
		if t.Unreadable != "" && t.Rules == 0 && slices.Contains(v.Families, t.Family) {
			n++
		}
	}
	return n
}

// line is the variant's programs with their counts.
func (v Variant) line() string {
	var parts []string
	for _, c := range v.Programs {
		parts = append(parts, fmt.Sprintf("%s %d", c.Program, c.Rules))
	}
	return fmt.Sprintf("%s: %s", v.Variant, strings.Join(parts, ", "))
}

// policies are the built-in chains of a side that drop.
func (v Variant) policies(d *side) []string {
	var out []string
	d.each(func(k ir.ChainKey, t *ir.Table, c *ir.Chain) {
		if ir.IsBuiltin(t.Name, c.Name) && c.Policy == "DROP" {
			out = append(out, fmt.Sprintf("%s %s: policy DROP", v.Variant, k))
		}
	})
	return out
}

// participants merges what both variants and nftables tell of each program.
func (s *surveyor) participants() {
	var nft []ir.NFTTable
	if s.snap.Host != nil {
		nft = s.snap.Host.NFTTables
	}
	all := map[string]*Participant{}
	for i, d := range s.sides {
		for _, f := range d.table.Participants(nft) {
			p := all[f.Name]
			if p == nil {
				p = &Participant{Name: f.Name}
				if e := s.cat.Entry(f.Name); e != nil {
					p.Title = e.Title
				}
				all[f.Name] = p
			}
			p.Chains, p.Rules = p.Chains+f.Chains, p.Rules+f.Rules
			if i == 0 {
				p.Sets = f.Sets
			}
			for _, v := range f.Versions {
				if !slices.Contains(p.Versions, v) {
					p.Versions = append(p.Versions, v)
				}
			}
		}
		s.places(d, all)
	}
	for _, t := range nft {
		if h, ok := s.cat.NFTTable(t.Key()); ok && all[h.Entry.Name] != nil {
			all[h.Entry.Name].NFTTables = append(all[h.Entry.Name].NFTTables, t.Key())
		}
	}
	for _, name := range sorted(all) {
		s.report.Participants = append(s.report.Participants, *all[name])
	}
}

// places notes in which tables of a side each program has something.
func (s *surveyor) places(d *side, all map[string]*Participant) {
	d.each(func(k ir.ChainKey, _ *ir.Table, c *ir.Chain) {
		at := Place{d.variant, k.Family.String(), k.Table}
		note := func(program string) {
			if p := all[program]; p != nil && !slices.Contains(p.Tables, at) {
				p.Tables = append(p.Tables, at)
			}
		}
		if !ir.IsBuiltin(k.Table, k.Chain) {
			note(s.merged(all, d.table.ChainOwner(k.Chain)))
		}
		for _, a := range d.table.Rules(k) {
			note(s.merged(all, a.Participant))
		}
		for _, n := range c.Natives {
			note(s.merged(all, s.rec.Rule(k, &ir.Rule{Native: n.Native}).Participant))
		}
	})
}

// merged is program for a list of participants that is being made.
func (s *surveyor) merged(all map[string]*Participant, name string) string {
	if e := s.cat.Entry(name); e != nil && all[name] == nil {
		for _, x := range e.Shared {
			if all[x.With] != nil {
				return x.With
			}
		}
	}
	return name
}
