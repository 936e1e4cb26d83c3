package ir_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// stateOf reads the filter table of a state in the tests' own short notation: a
// line is `CHAIN POLICY [n:m]`, or a rule behind its chain, `CHAIN: [n:m] RULE`.
// Counters may be left out.
func stateOf(t testing.TB, lines ...string) *ir.State {
	t.Helper()
	table := &ir.Table{Family: ir.IPv4, Name: "filter"}
	for _, line := range lines {
		name, rule, isRule := strings.Cut(line, ": ")
		if isRule {
			c := table.Chain(name)
			if c == nil {
				t.Fatalf("%q: there is no such chain", line)
			}
			packets, bytes, text := countersOf(rule)
			c.Rules = append(c.Rules, &ir.Rule{Text: text, Packets: packets, Bytes: bytes})
			continue
		}
		name, policy, _ := strings.Cut(line, " ")
		packets, bytes, policy := countersOf(policy)
		c := &ir.Chain{Name: name, Policy: policy, Packets: packets, Bytes: bytes, Read: true, Refs: -1}
		if policy == "unread" {
			c.Policy, c.Read, table.Partial = "", false, true
		}
		table.Chains = append(table.Chains, c)
	}
	return &ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{table}}
}

func countersOf(text string) (packets, bytes uint64, rest string) {
	if n, _ := fmt.Sscanf(text, "[%d:%d]", &packets, &bytes); n == 2 {
		_, text, _ = strings.Cut(text, "]")
	}
	return packets, bytes, strings.TrimPrefix(text, " ")
}

// linesOf prints a state's filter table in the notation of stateOf. Built-in
// chains that are as in an absent table are left out.
func linesOf(s *ir.State) []string {
	var out []string
	t := s.Table(ir.IPv4, "filter")
	if t == nil {
		return nil
	}
	counted := func(packets, bytes uint64) string {
		if packets == 0 && bytes == 0 {
			return ""
		}
		return fmt.Sprintf("[%d:%d] ", packets, bytes)
	}
	for _, c := range t.Chains {
		if c.Policy == "ACCEPT" && c.Packets == 0 && c.Bytes == 0 && len(c.Rules) == 0 && c.Read {
			continue
		}
		line := c.Name + " " + counted(c.Packets, c.Bytes) + c.Policy
		if !c.Read {
			line += "unread"
		}
		out = append(out, strings.TrimSpace(line))
		for _, r := range c.Rules {
			out = append(out, c.Name+": "+counted(r.Packets, r.Bytes)+r.Text)
		}
	}
	return out
}

// opOf reads an op in the notation of restore text, with a number sign ahead of
// indexes: `-I CHAIN #2 RULE`.
func opOf(t testing.TB, line string) ir.Op {
	t.Helper()
	if name, ok := strings.CutPrefix(line, ":"); ok {
		name, policy, _ := strings.Cut(name, " ")
		o := ir.Op{Kind: ir.OpEnsure, Chain: name}
		if policy != "-" {
			o.Kind = ir.OpPolicy
			o.Packets, o.Bytes, o.Policy = countersOf(policy)
			o.Policy = strings.TrimPrefix(o.Policy, "-")
		}
		return o
	}
	command, rest, _ := strings.Cut(line, " ")
	chain, rest, _ := strings.Cut(rest, " ")
	o := ir.Op{Chain: chain}
	if number, tail, _ := strings.Cut(rest, " "); strings.HasPrefix(number, "#") {
		o.Index, _ = strconv.Atoi(number[1:])
		rest = tail
	}
	switch command {
	case "-A", "-I", "-R", "-C", "-D":
		packets, bytes, text := countersOf(rest)
		o.Rule = &ir.Rule{Text: text, Packets: packets, Bytes: bytes}
		o.Kind = map[string]ir.OpKind{"-A": ir.OpAppend, "-I": ir.OpInsert, "-R": ir.OpReplace, "-C": ir.OpRequire, "-D": ir.OpDelete}[command]
		if o.Kind == ir.OpDelete && o.Index > 0 {
			o.Kind, o.Rule = ir.OpDeleteIndex, nil
		}
	case "-F", "-X":
		kinds := map[string]ir.OpKind{"-F": ir.OpFlush, "-X": ir.OpDrop, "-F*": ir.OpFlushAll, "-X*": ir.OpDropAll}
		if chain == "" {
			command += "*"
		}
		o.Kind = kinds[command]
	case "-N":
		o.Kind = ir.OpNew
	case "-Z":
		o.Kind = ir.OpZero
	case "-E":
		o.Kind, o.NewName = ir.OpRename, rest
	default:
		t.Fatalf("%q: no such op", line)
	}
	return o
}

// blockOf makes a block of the filter table that leaves alone what it does not
// name.
func blockOf(t testing.TB, lines ...string) ir.Block {
	t.Helper()
	b := ir.Block{Family: ir.IPv4, Table: "filter", NoFlush: true}
	for _, l := range lines {
		b.Ops = append(b.Ops, opOf(t, l))
	}
	return b
}

// freeze copies a state so deeply that a later comparison finds any change.
func freeze(s *ir.State) *ir.State {
	out := &ir.State{Families: slices.Clone(s.Families), Sets: slices.Clone(s.Sets), SetsRead: s.SetsRead}
	for _, t := range s.Tables {
		nt := *t
		nt.Chains = nil
		for _, c := range t.Chains {
			nc := *c
			nc.Rules = nil
			for _, r := range c.Rules {
				nr := *r
				nc.Rules = append(nc.Rules, &nr)
			}
			nt.Chains = append(nt.Chains, &nc)
		}
		out.Tables = append(out.Tables, &nt)
	}
	return out
}
