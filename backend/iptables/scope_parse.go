package iptables

import (
	"fmt"
	"strings"

	"hookline/compiler/ir"
)

func parseTables(f ir.Family, tool, text string) ([]*ir.Table, error) {
	var tables []*ir.Table
	var t *ir.Table
	chains := map[string]*ir.Chain{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "#") || line == "" || line == "COMMIT":
			if strings.Contains(line, "incompatible") {
				tables = append(tables, &ir.Table{Family: f, Unreadable: line})
			}
		case line[0] == '*':
			t = &ir.Table{Family: f, Name: line[1:]}
			tables = append(tables, t)
			clear(chains)
		case line[0] == ':':
			var c ir.Chain
			if _, err := fmt.Sscanf(line[1:], "%s %s [%d:%d]", &c.Name, &c.Policy, &c.Packets, &c.Bytes); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", tool, line, err)
			}
			if c.Policy == "-" {
				c.Policy = ""
			}
			c.Read = true
			c.Refs = -1
			chains[c.Name] = &c
			t.Chains = append(t.Chains, &c)
		default:
			var r ir.Rule
			counters, rest, _ := strings.Cut(line, " -A ")
			if _, err := fmt.Sscanf(counters, "[%d:%d]", &r.Packets, &r.Bytes); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", tool, line, err)
			}
			name, text, _ := strings.Cut(rest, " ")
			r.Text = text
			chains[name].Rules = append(chains[name].Rules, &r)
		}
	}
	return tables, nil
}
