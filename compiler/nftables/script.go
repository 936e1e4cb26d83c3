package nftables

import (
	"fmt"
	"strings"

	"hookline/dsl/diag"
)

// Line is one command of a script and the place in a ruleset that it comes from;
// the zero Span if it comes from none.
type Line struct {
	Text   string
	Origin diag.Span
}

// Script are the commands that make tables on a host that has none of them. nft
// takes the whole of a file or nothing of it. All sets and chains are made ahead
// of all rules, which ask them and jump to them.
func Script(tables []*Table) []Line {
	var out []Line
	for _, t := range tables {
		at := string(t.Kind) + " " + t.Name
		out = append(out, Line{Text: "add table " + at})
		for _, s := range DiffSets(nil, t).Before {
			for _, text := range SetLines(&s) {
				out = append(out, Line{Text: text, Origin: s.Origin})
			}
		}
		for _, c := range t.Chains {
			out = append(out, Line{Text: AddChain(t, c)})
		}
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				out = append(out, Line{Text: "add rule " + at + " " + c.Name + " " + r.String(), Origin: r.Origin})
			}
		}
	}
	return out
}

// AddChain is the command that makes a chain, without its rules.
func AddChain(t *Table, c *Chain) string {
	s := fmt.Sprintf("add chain %s %s %s", t.Kind, t.Name, c.Name)
	if b := c.Base; b != nil {
		s += fmt.Sprintf(" { type %s hook %s priority %d; policy accept; }", b.Type, b.Hook, b.Priority)
	}
	return s
}

// Text are the lines of a script as a file.
func Text(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text)
		b.WriteByte('\n')
	}
	return b.String()
}
