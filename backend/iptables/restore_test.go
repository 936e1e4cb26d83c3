package iptables

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// sameOps compares ops by what they do, not by where they come from.
var sameOps = cmp.Options{cmpopts.IgnoreFields(ir.Op{}, "Origin"), cmpopts.IgnoreFields(ir.Rule{}, "Spec", "Origin"), cmpopts.EquateEmpty()}

func TestRender(t *testing.T) {
	yaml := diag.NewFile("site.yaml", "guard, chain, rule, jump")
	op := func(kind ir.OpKind, chain, text string, index, start, end int) ir.Op {
		o := ir.Op{Kind: kind, Chain: chain, Index: index}
		switch kind {
		case ir.OpRequire, ir.OpAppend, ir.OpInsert, ir.OpDelete:
			o.Rule = &ir.Rule{Text: text, Packets: 7}
		}
		if end > 0 {
			o.Origin = yaml.Span(start, end)
		}
		return o
	}
	tx := ir.Transaction{Blocks: []ir.Block{
		{Family: ir.IPv6, Table: "nat", NoFlush: true, Ops: []ir.Op{op(ir.OpEnsure, "SIX", "", 0, 0, 0)}},
		{Family: ir.IPv4, Table: "filter", NoFlush: true, Ops: []ir.Op{
			op(ir.OpRequire, "INPUT", "-j AGENT", 0, 0, 5),
			op(ir.OpEnsure, "SITE", "", 0, 7, 12),
			op(ir.OpAppend, "SITE", `-m comment --comment "two words" -j DROP`, 0, 14, 18),
			op(ir.OpAppend, "SITE", "", 0, 0, 0),
			op(ir.OpInsert, "INPUT", "-j SITE", 2, 20, 24),
			op(ir.OpInsert, "INPUT", "", 3, 0, 0),
			op(ir.OpDelete, `q"x`, "-j OLD", 0, 0, 0),
			op(ir.OpFlush, "OLD", "", 0, 0, 0),
		}},
		{Family: ir.IPv4, Table: "raw", NoFlush: true},
		{Family: ir.IPv4, Table: "filter", NoFlush: true, Ops: []ir.Op{op(ir.OpDrop, "OLD", "", 0, 0, 0)}},
	}}
	scripts, err := Render(tx, ir.IptablesNFT)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, s := range scripts {
		lines := strings.SplitAfter(s.Text, "\n")
		if len(lines)-1 != len(s.Origin) {
			t.Fatalf("%d lines have %d origins", len(lines)-1, len(s.Origin))
		}
		for i, o := range s.Origin {
			fmt.Fprintf(&got, "%s %-6s %d %-5s %-5v | %s", s.Family, o.Table, o.Block, o.Span.Text(), o.Guard, lines[i])
		}
	}
	want := `ipv4 filter 1       false | *filter
ipv4 filter 1 guard true  | -C INPUT -j AGENT
ipv4 filter 1 chain false | :SITE - [0:0]
ipv4 filter 1 rule  false | -A SITE -m comment --comment "two words" -j DROP
ipv4 filter 1       false | -A SITE
ipv4 filter 1 jump  false | -I INPUT 2 -j SITE
ipv4 filter 1       false | -I INPUT 3
ipv4 filter 1       false | -D "q\"x" -j OLD
ipv4 filter 1       false | -F OLD
ipv4 filter 1       false | COMMIT
ipv4 filter 3       false | *filter
ipv4 filter 3       false | -X OLD
ipv4 filter 3       false | COMMIT
ipv6 nat    0       false | *nat
ipv6 nat    0       false | :SIX - [0:0]
ipv6 nat    0       false | COMMIT
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("Render mismatch (-want +got):\n%s", d)
	}
	if _, err := Render(tx, ir.NFT); err == nil {
		t.Error("restore text is written for nft")
	}
	tx.Blocks[0].Counters = true
	if _, err := Render(tx, ir.IptablesLegacy); err == nil {
		t.Error("a transaction that breaks a promise is written")
	}
}

func TestParseRestore(t *testing.T) {
	rule := func(text string) *ir.Rule { return &ir.Rule{Text: text} }
	counted := func(text string, packets, bytes uint64) *ir.Rule {
		return &ir.Rule{Text: text, Packets: packets, Bytes: bytes}
	}
	for _, c := range []struct {
		line string
		opt  RestoreOptions
		f    ir.Family // IPv4 if 0
		want []ir.Op
	}{
		{line: ":A - [1:2]", want: []ir.Op{{Kind: ir.OpEnsure, Chain: "A"}}},
		{line: ":A -", want: []ir.Op{{Kind: ir.OpEnsure, Chain: "A"}}},
		{line: ":INPUT - [1:2]", want: []ir.Op{{Kind: ir.OpPolicy, Chain: "INPUT"}}},
		{line: ":INPUT DROP [1:2]", want: []ir.Op{{Kind: ir.OpPolicy, Chain: "INPUT", Policy: "DROP"}}},
		{line: ":INPUT DROP [1:2]", opt: RestoreOptions{Counters: true}, want: []ir.Op{{Kind: ir.OpPolicy, Chain: "INPUT", Policy: "DROP", Packets: 1, Bytes: 2}}},
		{line: "-P INPUT DROP", want: []ir.Op{{Kind: ir.OpPolicy, Chain: "INPUT", Policy: "DROP"}}},
		{line: "-A A -p 6 -s 10.0.0.1 -j DROP", want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: rule("-s 10.0.0.1/32 -p tcp -j DROP")}}},
		{line: "-j DROP -A A", want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: rule("-j DROP")}}},
		{line: "--append A --jump DROP", want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: rule("-j DROP")}}},
		{line: "-A A", want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: rule("")}}},
		{line: "\t-A\tA \t-j  DROP", want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: rule("-j DROP")}}},
		{line: `-A "q\"x" -m comment --comment "-D A" -j DROP`, want: []ir.Op{{Kind: ir.OpAppend, Chain: `q"x`, Rule: rule(`-m comment --comment "-D A" -j DROP`)}}},
		{line: "[3:4] -A A", want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: rule("")}}},
		{line: "[3:4] -A A", opt: RestoreOptions{Counters: true}, want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: counted("", 3, 4)}}},
		{line: "-A A -c 3 4 -j DROP", want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Counted: true, Rule: counted("-j DROP", 3, 4)}}},
		{line: "-A A -s 10.0.0.1,10.0.0.2", want: []ir.Op{
			{Kind: ir.OpAppend, Chain: "A", Rule: rule("-s 10.0.0.1/32")}, {Kind: ir.OpAppend, Chain: "A", Rule: rule("-s 10.0.0.2/32")},
		}},
		{line: "-I A -j DROP", want: []ir.Op{{Kind: ir.OpInsert, Chain: "A", Index: 1, Rule: rule("-j DROP")}}},
		{line: "-I A 3 -j DROP", want: []ir.Op{{Kind: ir.OpInsert, Chain: "A", Index: 3, Rule: rule("-j DROP")}}},
		{line: "-D A 3", want: []ir.Op{{Kind: ir.OpDeleteIndex, Chain: "A", Index: 3}}},
		{line: "-D A", want: []ir.Op{{Kind: ir.OpDelete, Chain: "A", Rule: rule("")}}},
		{line: "-R A 3 -j DROP", want: []ir.Op{{Kind: ir.OpReplace, Chain: "A", Index: 3, Rule: rule("-j DROP")}}},
		{line: "-C A -j DROP -w 5", want: []ir.Op{{Kind: ir.OpRequire, Chain: "A", Rule: rule("-j DROP")}}},
		{line: "-F", want: []ir.Op{{Kind: ir.OpFlushAll}}},
		{line: "-F A", want: []ir.Op{{Kind: ir.OpFlush, Chain: "A"}}},
		{line: "-X", want: []ir.Op{{Kind: ir.OpDropAll}}},
		{line: "-X A", want: []ir.Op{{Kind: ir.OpDrop, Chain: "A"}}},
		{line: "-N A", want: []ir.Op{{Kind: ir.OpNew, Chain: "A"}}},
		{line: "-E A B", want: []ir.Op{{Kind: ir.OpRename, Chain: "A", NewName: "B"}}},
		{line: "-Z", want: []ir.Op{{Kind: ir.OpZero}}},
		{line: "-Z A 2", want: []ir.Op{{Kind: ir.OpZero, Chain: "A", Index: 2}}},
		{line: "-S A"},
		{line: "# -A A"},
		{line: ""},
		{line: "-4 -A A", f: ir.IPv6},
		{line: "-6 -A A", f: ir.IPv6, want: []ir.Op{{Kind: ir.OpAppend, Chain: "A", Rule: rule("")}}},
	} {
		if c.f == 0 {
			c.f = ir.IPv4
		}
		tx, found := ParseRestore(diag.NewFile("x", "*filter\n"+c.line+"\nCOMMIT\n"), c.f, c.opt)
		if err := found.Err(); err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if d := cmp.Diff(c.want, tx.Blocks[0].Ops, sameOps); d != "" {
			t.Errorf("%s: mismatch (-want +got):\n%s", c.line, d)
		}
	}
}

func TestParseRestoreFindings(t *testing.T) {
	for _, c := range []struct {
		line string
		opt  RestoreOptions
		want string
	}{
		{line: "-A", want: "x:2:1: the command needs a chain and nothing else"},
		{line: "-A A 5", want: "x:2:1: the command needs a chain and nothing else"},
		{line: "-I", want: "x:2:1: the command needs a chain"},
		{line: "-I A 0", want: `x:2:1: "0" is no number of a rule`},
		{line: "-D A x", want: `x:2:1: "x" is no number of a rule`},
		{line: "-D A 1 -j DROP", want: "x:2:1: the command takes no rule"},
		{line: "-R A -j DROP", want: "x:2:1: the command needs a chain and the rule's number"},
		{line: "-R A 1 -s 10.0.0.1,10.0.0.2", want: "x:2:1: a replacement is one rule"},
		{line: "-F A B", want: "x:2:1: the command takes one chain"},
		{line: "-F A -j DROP", want: "x:2:1: the command takes no rule"},
		{line: "-E A", want: "x:2:1: the command needs a chain and its new name"},
		{line: "-P INPUT", want: "x:2:1: the command needs a chain and a policy"},
		{line: "-j DROP", want: "x:2:1: the line has no command"},
		{line: "   ", want: "x:2:1: the line is empty"},
		{line: "*nat", want: "x:2:1: the line has no command"},
		{line: ":A", want: "x:2:1: a chain is declared by `:NAME POLICY [PACKETS:BYTES]`"},
		{line: ":INPUT DROP", opt: RestoreOptions{Counters: true}, want: "x:2:1: chain INPUT has no counters"},
		{line: "[1:x] -A A", want: "x:2:1: the counters of a rule are written [PACKETS:BYTES]"},
		{line: "-A A -c 1", want: "x:2:1: -c takes the number of packets and of bytes"},
		{line: "-A A\r", want: "x:2:5: the line ends with a carriage return"},
	} {
		tx, found := ParseRestore(diag.NewFile("x", "*filter\n"+c.line+"\nCOMMIT\n"), ir.IPv4, c.opt)
		if d := cmp.Diff([]string{c.want}, findings(found)); d != "" {
			t.Errorf("%q: findings mismatch (-want +got):\n%s", c.line, d)
		}
		if len(tx.Blocks) > 0 {
			t.Errorf("%q: the block counts as committed", c.line)
		}
	}
	// What is wrong in a rule is said of its words.
	for line, want := range map[string]string{
		"-A A -p nosuch":                  "nosuch",
		"[1:2] -A A -m nosuchmatch":       "nosuchmatch",
		`-A A -m comment --comment "open`: `"open`,
	} {
		_, found := ParseRestore(diag.NewFile("x", "*filter\n"+line+"\nCOMMIT\n"), ir.IPv4, RestoreOptions{})
		if found.Len() != 1 || found.All()[0].Span.Text() != want {
			t.Errorf("%s: %q, want it to be said of %q", line, findings(found), want)
		}
	}
}

// TestParseRestoreBlocks: the transaction is what the tool would have committed
// before it met the first mistake.
func TestParseRestoreBlocks(t *testing.T) {
	text := "*raw\n:A -\nCOMMIT\n*nat\n:B -\nCOMMIT\n*filter\n-A\nCOMMIT\n*mangle\nCOMMIT\n"
	for _, c := range []struct {
		text, want string
		opt        RestoreOptions
		findings   []string
	}{
		{text: text, want: "raw nat", findings: []string{"x:8:1: the command needs a chain and nothing else"}},
		{text: text[:27], want: "raw", findings: []string{"x:4:1: the text ends inside table nat: its COMMIT is missing"}},
		{text: text[:27], opt: RestoreOptions{Table: "nat"}, findings: []string{"x:4:1: the text ends inside table nat: its COMMIT is missing"}},
		{text: text[:34], opt: RestoreOptions{Table: "nat", NoFlush: true}, want: "nat"},
		{text: "-A A\n*broute\nCOMMIT\n", findings: []string{"x:1:1: the line stands outside of a table", `x:2:2: iptables has no table "broute"`}},
	} {
		tx, found := ParseRestore(diag.NewFile("x", c.text), ir.IPv6, c.opt)
		var names []string
		for _, b := range tx.Blocks {
			names = append(names, b.Table)
			if b.Family != ir.IPv6 || b.NoFlush != c.opt.NoFlush {
				t.Errorf("%q: block %+v", c.text, b)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q: blocks %q, want %q", c.text, got, c.want)
		}
		if d := cmp.Diff(c.findings, findings(found)); d != "" {
			t.Errorf("%q: findings mismatch (-want +got):\n%s", c.text, d)
		}
	}
}

// TestRenderIsRead reads back what is written, for random transactions.
func TestRenderIsRead(t *testing.T) {
	for seed := range uint64(500) {
		tx := randomTransaction(rand.New(rand.NewPCG(seed, 1)))
		scripts, err := Render(tx, ir.IptablesLegacy)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, f := range ir.Families {
			var want, got []ir.Block
			for _, b := range tx.Blocks {
				if b.Family == f && len(b.Ops) > 0 {
					want = append(want, b)
				}
			}
			for _, s := range scripts {
				if s.Family != f {
					continue
				}
				read, found := ParseRestore(diag.NewFile("script", s.Text), f, RestoreOptions{NoFlush: true})
				if err := found.Err(); err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, err, s.Text)
				}
				got = append(got, read.Blocks...)
			}
			if d := cmp.Diff(want, got, sameOps); d != "" {
				t.Fatalf("seed %d: what is read is not what was written (-want +got):\n%s", seed, d)
			}
		}
	}
}

// randomTransaction makes a transaction of hookline's own kinds of op, with rules
// that are spelled as iptables-save prints them.
func randomTransaction(r *rand.Rand) ir.Transaction {
	of := func(list ...string) string { return list[r.IntN(len(list))] }
	rule := func() *ir.Rule {
		return &ir.Rule{Text: of(
			"", "-j DROP", "-g SITE-A", "! -i lo -p udp -j RETURN",
			`-m comment --comment "hookline:x" -m comment --comment "it\'s \"quoted\" \\" -j SITE-B`,
			`-p tcp -m comment --comment "-A INPUT -c 1 2" -m multiport --dports 80,443 -j ACCEPT`,
			`-p tcp -m tcp --dport 80 -m limit --limit 5/min -j LOG --log-prefix "a b "`,
			"-m mark ! --mark 0x4000/0x4000 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
			`-m set --match-set hv-admins src -j MARK --set-xmark 0x1/0x1`,
		)}
	}
	var tx ir.Transaction
	for range 1 + r.IntN(4) {
		b := ir.Block{Family: ir.Families[r.IntN(2)], Table: of("filter", "mangle"), NoFlush: true}
		for range r.IntN(3) {
			b.Ops = append(b.Ops, ir.Op{Kind: ir.OpRequire, Chain: of("INPUT", `q"x`, "ümläut"), Rule: rule()})
		}
		declared := func(chain string) bool {
			return slices.ContainsFunc(b.Ops, func(o ir.Op) bool { return o.Kind == ir.OpEnsure && o.Chain == chain })
		}
		for range r.IntN(8) {
			o := ir.Op{Chain: of("INPUT", "SITE-A", "SITE-B", `q"x`, "a'b", "1", "sl/ash:x")}
			switch r.IntN(6) {
			case 0:
				o.Kind, o.Chain = ir.OpEnsure, of("SITE-A", "SITE-B", `"lead`)
			case 1:
				o.Kind, o.Chain = ir.OpFlush, of("SITE-A", `q"x`)
			case 2:
				o.Kind, o.Chain = ir.OpDrop, of("SITE-A", `q"x`)
			case 3:
				o.Kind, o.Rule = ir.OpAppend, rule()
			case 4:
				o.Kind, o.Rule, o.Index = ir.OpInsert, rule(), 1+r.IntN(20)
				if declared(o.Chain) {
					o.Index = 1
				}
			case 5:
				if declared(o.Chain) {
					continue
				}
				o.Kind, o.Rule = ir.OpDelete, rule()
			}
			b.Ops = append(b.Ops, o)
		}
		tx.Blocks = append(tx.Blocks, b)
	}
	return tx
}
