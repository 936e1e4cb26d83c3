package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// section is a part of the report behind its findings, the same for every form.
type section struct {
	title  string
	blocks []block
}

// block is a table, or lines, under a heading of its own if it has one.
type block struct {
	heading string
	head    []string
	rows    [][]string
	lines   []string
}

// sections of the report; all adds what is seldom of interest.
func (r *Report) sections(all bool) []section {
	list := []section{
		{"Programs", r.programBlocks()},
		{"Tables of iptables", r.variantBlocks()},
		{"Order in shared chains", r.chainBlocks()},
		{"Base chains of nftables", r.hookBlocks(all)},
		{"Tools", r.toolBlocks()},
		{"Settings", r.settingBlocks()},
		{"Rulesets", r.rulesetBlocks()},
		{"Not known", lines(r.Unknown)},
		{"Said while reading", lines(r.Notes)},
	}
	return slices.DeleteFunc(list, func(s section) bool { return len(s.blocks) == 0 })
}

func lines(list []string) []block {
	if len(list) == 0 {
		return nil
	}
	return []block{{lines: list}}
}

func (r *Report) programBlocks() []block {
	if len(r.Participants) == 0 {
		return []block{{lines: []string{"no known program has anything here"}}}
	}
	b := block{head: []string{"program", "rules", "chains", "sets", "where", "version or mode"}}
	for _, p := range r.Participants {
		b.rows = append(b.rows, []string{
			p.Name, fmt.Sprint(p.Rules), fmt.Sprint(p.Chains), fmt.Sprint(p.Sets), p.where(), strings.Join(p.Versions, "; "),
		})
	}
	return []block{b}
}

// where is a program's tables, those of both families together.
func (p Participant) where() string {
	var parts []string
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		tables := map[string][]string{}
		for _, at := range p.Tables {
			if at.Variant == v {
				tables[at.Table] = append(tables[at.Table], strings.TrimPrefix(at.Family, "ip"))
			}
		}
		var names []string
		for _, name := range ir.TableNames {
			if f := tables[name]; f != nil {
				slices.Sort(f)
				names = append(names, name+" "+strings.Join(slices.Compact(f), "+"))
			}
		}
		if len(names) > 0 {
			parts = append(parts, strings.TrimPrefix(string(v), "iptables-")+": "+strings.Join(names, ", "))
		}
	}
	if len(p.NFTTables) > 0 {
		parts = append(parts, "tables "+strings.Join(p.NFTTables, ", "))
	}
	return strings.Join(parts, "; ")
}

func (r *Report) variantBlocks() []block {
	var out []block
	for _, v := range r.Variants {
		b := block{heading: string(v.Variant)}
		if v.InUse {
			b.heading += ", in use" + clause(r.Why)
		}
		switch {
		case len(v.Tables) == 0 && len(v.Families) == 0:
			b.lines = []string{"not known"}
		case len(v.Tables) == 0:
			b.lines = []string{"no tables" + only(v.Families)}
		}
		for _, t := range v.Tables {
			row := []string{t.Family + " " + t.Name, plural(t.Rules, "rule", "rules"), plural(t.Chains, "chain", "chains"), t.Unreadable}
			b.rows = append(b.rows, row)
		}
		if p := v.unclaimed(); p != "" {
			b.lines = append(b.lines, p)
		}
		out = append(out, b)
	}
	return out
}

func clause(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// only says which families were read if not both were.
func only(families []string) string {
	if len(families) == len(ir.Families) {
		return ""
	}
	return " of " + strings.Join(families, ", ")
}

// unclaimed is how much of a variant nobody is known to have written.
func (v Variant) unclaimed() string {
	for _, c := range v.Programs {
		if c.Program == unknown {
			return fmt.Sprintf("of no known program: %s and %s", plural(c.Rules, "rule", "rules"), plural(c.Chains, "chain", "chains"))
		}
	}
	return ""
}

// mostDone is how many targets of neighbouring rules are listed, and longest how
// many characters of each.
const mostDone, longest = 8, 100

func (r *Report) chainBlocks() []block {
	var out []block
	for _, c := range r.Chains {
		b := block{heading: fmt.Sprintf("%s %s %s", c.Family, c.Table, c.Chain)}
		if c.Variant != r.Backend {
			b.heading += " of " + string(c.Variant)
		}
		if c.Policy != "" && c.Policy != "ACCEPT" {
			b.heading += ", policy " + c.Policy
		}
		for _, e := range c.Entries {
			program := e.Program
			if e.Tail {
				program += "/tail"
			}
			at := fmt.Sprint(e.First)
			if e.Last > e.First {
				at = fmt.Sprintf("%d-%d", e.First, e.Last)
			}
			if e.Program == unknown {
				b.rows = append(b.rows, e.each()...)
				continue
			}
			b.rows = append(b.rows, []string{at, program, e.done()})
		}
		for _, m := range c.Moves {
			b.lines = append(b.lines, "will move: "+m)
		}
		if len(b.rows) == 1 && len(b.lines) == 0 {
			b.heading += ": " + b.rows[0][1] + " " + b.rows[0][2]
			b.rows = nil
		}
		out = append(out, b)
	}
	return out
}

// each is a row for each rule of an entry of nobody known: only the rules
// themselves tell what they are.
func (e Entry) each() [][]string {
	var out [][]string
	for i, d := range e.Does {
		if i == mostDone {
			rest := fmt.Sprintf("%d-%d", e.First+i, e.Last)
			return append(out, []string{rest, e.Program, fmt.Sprintf("%d more", len(e.Does)-i)})
		}
		out = append(out, []string{fmt.Sprint(e.First + i), e.Program, cut(d, longest)})
	}
	return out
}

// cut is a text of at most some characters.
func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// done is what an entry's rules do, each thing once with its number.
func (e Entry) done() string {
	count := map[string]int{}
	var names []string
	for _, d := range e.Does {
		d = cut(d, longest)
		if count[d]++; count[d] == 1 {
			names = append(names, d)
		}
	}
	rest := ""
	if len(names) > mostDone {
		rest = fmt.Sprintf(", and %d more", len(names)-mostDone)
		names = names[:mostDone]
	}
	for i, n := range names {
		if count[n] > 1 {
			names[i] = fmt.Sprintf("%s x%d", n, count[n])
		}
	}
	return strings.Join(names, ", ") + rest
}

func (r *Report) hookBlocks(all bool) []block {
	b := block{}
	hidden := 0
	for _, h := range r.Hooks {
		if !all && !slices.ContainsFunc(h.Chains, func(c BaseChain) bool { return c.Program != iptablesProgram }) {
			hidden++
			continue
		}
		name := h.Stack + " " + h.Hook
		if h.Device != "" {
			name += " " + h.Device
		}
		for _, c := range h.Chains {
			note := ""
			if c.Policy != "accept" {
				note = "policy " + c.Policy
			}
			b.rows = append(b.rows, []string{name, fmt.Sprint(c.Priority), c.Type, c.Family + " " + c.Table + " " + c.Chain, plural(c.Rules, "rule", "rules"), cmp.Or(c.Program, unknown), note})
			name = ""
		}
	}
	switch {
	case hidden > 0 && len(b.rows) > 0:
		b.lines = []string{"at every other hook stand the chains of iptables alone"}
	case hidden > 0:
		b.lines = []string{"only those of iptables"}
	}
	if len(b.rows)+len(b.lines) == 0 {
		return nil
	}
	return []block{b}
}

func (r *Report) toolBlocks() []block {
	b := block{}
	for _, t := range r.Tools {
		row := []string{cmp.Or(t.Path, t.Name), cmp.Or(t.Version, "version not known"), ""}
		if t.Target != "" {
			row[2] = "-> " + t.Target
		}
		b.rows = append(b.rows, row)
	}
	if r.Kernel != "" {
		b.rows = append(b.rows, []string{"kernel", r.Kernel, ""})
	}
	if len(b.rows) == 0 {
		return nil
	}
	return []block{b}
}

func (r *Report) settingBlocks() []block {
	b := block{}
	last := ""
	for _, x := range r.Settings {
		at := x.File
		if x.Line > 0 {
			at = fmt.Sprintf("%s:%d", x.File, x.Line)
		}
		// One line says that a file is restored; its chains are in the finding.
		if x.Name == ir.SettingSavedRules {
			continue
		}
		if at == last {
			at = ""
		} else {
			last = at
		}
		b.rows = append(b.rows, []string{at, x.Text, x.Means})
	}
	if len(b.rows) == 0 {
		return nil
	}
	return []block{b}
}

func (r *Report) rulesetBlocks() []block {
	b := block{}
	for _, x := range r.Rulesets {
		b.rows = append(b.rows, []string{x.Name, x.Version, cmp.Or(x.Status, "stands"), string(x.Variant), x.stands()})
	}
	if len(b.rows) == 0 {
		return nil
	}
	return []block{b}
}

// summary is one line about the findings.
func (r *Report) summary() string {
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, one)
		case n > 1:
			parts = append(parts, fmt.Sprintf(many, n))
		}
	}
	add(r.count(Hurts), "1 thing will hurt", "%d things will hurt")
	add(r.count(Warning), "1 warning", "%d warnings")
	add(r.count(Note), "1 note", "%d notes")
	if len(parts) == 0 {
		return "nothing found that will hurt"
	}
	return strings.Join(parts, ", ")
}

// name of what the report is about.
func (r *Report) name() string { return cmp.Or(r.Snapshot, r.Hostname, "this host") }

// plural is a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// stands says what stands of a ruleset.
func (x *Ruleset) stands() string {
	if len(x.Tables) == 0 {
		return plural(x.Jumps, "jump in shared chains", "jumps in shared chains")
	}
	tables := "table " + strings.Join(x.Tables, ", ")
	if x.Jumps == 0 {
		return tables
	}
	return plural(x.Jumps, "jump in shared chains", "jumps in shared chains") + ", " + tables
}
