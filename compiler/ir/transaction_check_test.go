package ir_test

import (
	"strings"
	"testing"

	"hookline/compiler/ir"
)

func TestCheckTransaction(t *testing.T) {
	own := func(change func(*ir.Block)) ir.Transaction {
		b := blockOf(t, "-C INPUT -j AGENT", "-C INPUT -i lo -j ACCEPT", ":OWN -", "-A OWN -j DROP", "-I INPUT #2 -j OWN",
			"-D INPUT -j OLD", "-F OLD", "-X OLD", "-A OWN ")
		change(&b)
		return ir.Transaction{Blocks: []ir.Block{blockOf(t), b}}
	}
	add := func(lines ...string) func(*ir.Block) {
		return func(b *ir.Block) {
			for _, line := range lines {
				b.Ops = append(b.Ops, opOf(t, line))
			}
		}
	}
	rule := func(text string) func(*ir.Block) {
		return func(b *ir.Block) { b.Ops[3].Rule = &ir.Rule{Text: text} }
	}
	for _, c := range []struct {
		name   string
		change func(*ir.Block)
		want   string // in the error; empty: none
	}{
		{"ours", func(*ir.Block) {}, ""},
		{"whole table", func(b *ir.Block) { b.NoFlush = false }, "whole table"},
		{"counters", func(b *ir.Block) { b.Counters = true }, "counters"},
		{"unknown table", func(b *ir.Block) { b.Table = "broute" }, "no table"},
		{"unknown family", func(b *ir.Block) { b.Family = 0 }, "no family(0)"},
		{"late guard", add("-C INPUT -j AGENT"), "op 9: the guard"},
		{"delete by index", add("-D INPUT #1"), "not ours to send"},
		{"replace", add("-R INPUT #1 -j OWN"), "not ours to send"},
		{"policy", add(":INPUT DROP"), "not ours to send"},
		{"flush everything", add("-F"), "not ours to send"},
		{"drop everything", add("-X"), "not ours to send"},
		{"zero", add("-Z INPUT"), "not ours to send"},
		{"rename", add("-E OWN OTHER"), "not ours to send"},
		{"new", add("-N OTHER"), ""},
		{"new built-in chain", add("-N INPUT"), "built-in"},
		{"insert into a new chain", add("-N OTHER", "-I OTHER #2 -j DROP"), "looks for a place"},
		{"declared built-in chain", add(":INPUT -"), "built-in"},
		{"flushed built-in chain", add("-F INPUT"), "built-in"},
		{"dropped built-in chain", add("-X INPUT"), "built-in"},
		{"insert nowhere", add("-I INPUT -j OWN"), "no place 0"},
		{"insert into a declared chain", add("-I OWN #2 -j DROP"), "looks for a place"},
		{"delete from a declared chain", add("-D OWN -j DROP"), "looks for a place"},
		{"insert at the top of a declared chain", add("-I OWN #1 -j DROP"), ""},
		{"no rule", func(b *ir.Block) { b.Ops[3].Rule = nil }, "no rule"},
		{"no chain", func(b *ir.Block) { b.Ops[3].Chain = "" }, "needs a name"},
		{"chain with a line end", func(b *ir.Block) { b.Ops[3].Chain = "A\nB" }, "spaces"},
		{"line end", rule("-j DROP\nCOMMIT"), "line end"},
		{"carriage return", rule("-j DROP\r"), "line end"},
		{"NUL", rule("-j DROP\x00"), "line end or a NUL"},
		{"an index in disguise", func(b *ir.Block) { b.Ops[5].Rule = &ir.Rule{Text: "1"} }, "start with an option"},
		{"leading space", rule(" -j DROP"), "start with an option"},
		{"trailing space", rule("-j DROP "), "ends with a space"},
		{"native rule", func(b *ir.Block) { b.Ops[3].Rule = &ir.Rule{Native: &ir.Native{}} }, "native"},
	} {
		err := ir.CheckTransaction(own(c.change))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestTargetName(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "",
		"-j DROP":                                "DROP",
		"-s 10.0.0.0/8 -g KUBE-SVC-X -m comment": "KUBE-SVC-X",
		`-m comment --comment "a -j FAKE b" -j REAL`:        "REAL",
		`-m comment --comment "a \" -j FAKE" -j REAL`:       "REAL",
		`-m comment --comment "open \\" -j REAL`:            "REAL",
		`-m comment --comment "never closed -j FAKE`:        "",
		`-m comment --comment "-j FAKE"`:                    "",
		`-m comment --comment "two" -m comment --comment x`: "",
		`-j q"x`:                           `q"x`,
		`-j "lead`:                         `"lead`,
		"-p tcp -m tcp --dport 80":         "",
		"-j LOG --log-prefix \"-j FAKE \"": "LOG",
	} {
		if got, _ := (&ir.Rule{Text: text}).TargetName(); got != want {
			t.Errorf("TargetName(%s) = %q, want %q", text, got, want)
		}
	}
	for _, c := range []struct {
		rule ir.Rule
		want string
	}{
		{ir.Rule{Text: "-j DROP"}, ""},
		{ir.Rule{Text: "-j OWN"}, "OWN"},
		{ir.Rule{Text: "-j OWN", Spec: &ir.Spec{Target: &ir.Jump{Chain: "OWN"}}}, "OWN"},
		{ir.Rule{Text: "-j DROP", Spec: &ir.Spec{Target: &ir.Verdict{Name: "DROP"}}}, ""},
		{ir.Rule{Text: "-j TARPIT", Spec: &ir.Spec{Target: &ir.RawTarget{Name: "TARPIT"}}}, "TARPIT"},
	} {
		if got := c.rule.JumpTarget(); got != c.want {
			t.Errorf("JumpTarget(%s) = %q, want %q", c.rule.Text, got, c.want)
		}
	}
}
