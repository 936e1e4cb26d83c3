package iptables

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// table is a table in which a test's lines stand.
func table(lines ...string) string {
	return "*filter\n:INPUT ACCEPT [1:2]\n:A - [0:0]\n" + strings.Join(lines, "\n") + "\nCOMMIT\n"
}

// findings prints what was found, one line each: the place and the message.
func findings(l *diag.List) []string {
	var out []string
	for _, d := range l.All() {
		out = append(out, fmt.Sprintf("%s: %s", d.Span, d.Message))
	}
	return out
}

func TestParseSaveFindings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		opt        ParseOptions
		want       []string
	}{
		{name: "empty", text: ""},
		{name: "no line end", text: "*nat\nCOMMIT"},
		{name: "empty lines and comments", text: "\n# a\n*nat\n\n# b\nCOMMIT\n\n"},
		{name: "garbage", text: "hello\n", want: []string{"x:1:1: this is no line of iptables-save"}},
		{name: "garbage in a table", text: table("-B A", "  -A A"), want: []string{
			"x:4:1: a rule is written `-A CHAIN ...`", "x:5:1: this is no line of iptables-save",
		}},
		{name: "Windows line ends", text: "*nat\r\nCOMMIT\r\n", want: []string{
			"x:1:5: the line ends with a carriage return", "x:2:7: the line ends with a carriage return",
		}},
		{name: "carriage return behind a rule", text: table("-A A -j DROP\r"), want: []string{"x:4:13: the line ends with a carriage return"}},
		{name: "NUL", text: "*nat\nCOMMIT\n\x00", want: []string{"x:3:1: the text holds a NUL byte"}},
		{name: "cut off", text: "*nat\n:INPUT ACCEPT [0:0]\n", want: []string{"x:1:1: the text ends inside table nat: its COMMIT is missing"}},
		{name: "unknown table", text: "*broute\nCOMMIT\n", want: []string{`x:1:2: iptables has no table "broute"`}},
		{name: "table twice", text: "*nat\nCOMMIT\n*nat\nCOMMIT\n", want: []string{"x:3:1: table nat stands twice in the text"}},
		{name: "table in a table", text: "*nat\n*raw\nCOMMIT\n", want: []string{"x:2:1: table raw starts before the COMMIT of table nat"}},
		{name: "COMMIT alone", text: "COMMIT\n", want: []string{"x:1:1: COMMIT without a table"}},
		{name: "rule alone", text: "-A A -j DROP\n", want: []string{"x:1:1: a rule outside of a table"}},
		{name: "chain alone", text: ":A - [0:0]\n", want: []string{"x:1:1: a chain outside of a table"}},
		{name: "chain twice", text: table(":A - [0:0]"), want: []string{"x:4:2: chain A is declared twice"}},
		{name: "chain without policy", text: table(":B"), want: []string{"x:4:1: a chain is declared by `:NAME POLICY [PACKETS:BYTES]`"}},
		{name: "chain without a name", text: table(": - [0:0]"), want: []string{"x:4:1: a chain is declared by `:NAME POLICY [PACKETS:BYTES]`"}},
		{name: "chain with bad counters", text: table(":B - [0:]"), want: []string{"x:4:6: the counters of a chain are written [PACKETS:BYTES]"}},
		{name: "name with a space", text: table(":B C - [0:0]"), want: []string{"x:4:2: a chain's name holds no spaces"}},
		{name: "policy of a user chain", text: table(":B DROP [0:0]"), want: []string{"x:4:4: chain B is no built-in chain of table filter and can have no policy"}},
		{name: "no policy", text: "*nat\n:INPUT QUEUE [0:0]\nCOMMIT\n", want: []string{"x:2:8: QUEUE is no policy"}},
		{name: "undeclared chain", text: table("-A B -j DROP"), want: []string{"x:4:4: chain B is not declared in table filter"}},
		{name: "bad counters", text: table("[1:2 -A A", "[1:2]", "[1:99999999999999999999] -A A"), want: []string{
			"x:4:1: the counters of a rule are written [PACKETS:BYTES]",
			"x:5:1: the counters of a rule are written [PACKETS:BYTES]",
			"x:6:1: the counters of a rule are written [PACKETS:BYTES]",
		}},
		{name: "largest counters", text: table("[18446744073709551615:18446744073709551615] -A A")},
		{name: "counters are wanted", opt: ParseOptions{Counters: true}, text: table("[1:2] -A A", "-A A"), want: []string{"x:5:1: the rule has no counters"}},
		{name: "open quote", text: table(`-A A -m comment --comment "open`, "-A A -j DROP"), want: []string{
			"x:4:1: a quoted word of the rule is not closed",
		}},
	} {
		_, _, found := ParseSave(diag.NewFile("x", c.text), ir.IPv4, c.opt)
		if d := cmp.Diff(c.want, findings(found)); d != "" {
			t.Errorf("%s: findings mismatch (-want +got):\n%s", c.name, d)
		}
		for _, x := range found.All() {
			if x.Code != diag.SnapshotText || x.Severity != diag.Error {
				t.Errorf("%s: %s is a %s with code %s", c.name, x.Message, x.Severity, x.Code)
			}
		}
	}
}

// TestParseSaveGarbage: a large file that is no save is not read to its end.
func TestParseSaveGarbage(t *testing.T) {
	_, _, found := ParseSave(diag.NewFile("x", strings.Repeat("garbage\n", 1000)), ir.IPv4, ParseOptions{})
	if found.Len() != maxSaveErrors {
		t.Errorf("%d findings, want %d", found.Len(), maxSaveErrors)
	}
}

// TestParseSaveRules reads texts that are hard to read (FIELD M-36, M-38, M-39).
func TestParseSaveRules(t *testing.T) {
	odd := []string{
		`-m comment --comment "dnat name: \"cbr0\" id: \"0a\"" -j A`,
		`-m comment --comment "it\'s" -m comment --comment "two \\" -j A`,
		"-m comment --comment \"a line\nand another \\\"one\\\"\n:A - [0:0]\nCOMMIT\" -j DROP",
		`-m comment --comment ""`,
		`-i a b -m comment --comment "x y"`,
		`-j "lead`,
		`-g q"x`,
		`-i "eth -j A`,
		`-m u32 --u32 "0x0>>0x16&0x3c@0x4=0x29" -j A`,
		`-m set --match-set x src -j [unsupported revision]`,
		``,
	}
	text := "*filter\n:INPUT DROP [7:8]\n:\"lead - [0:0]\n:A - [0:0]\n:q\"x - [0:0]\n:q'x/:ü - [0:0]\n"
	for i, r := range odd {
		text += strings.TrimSuffix(fmt.Sprintf("[%d:0] -A q\"x %s", i, r), " ") + "\n"
	}
	text += "[0:1] -A q'x/:ü -j \"lead\nCOMMIT\n"
	save, found := ParseSaveText(diag.NewFile("x", text), ir.IPv6, ParseOptions{Counters: true})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	c, err := save.State.Lookup(ir.ChainKey{Family: ir.IPv6, Table: "filter", Chain: `q"x`})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, r := range c.Rules {
		got = append(got, r.Text)
		if int(r.Packets) != i {
			t.Errorf("rule %d has %d packets", i, r.Packets)
		}
	}
	if d := cmp.Diff(odd, got); d != "" {
		t.Errorf("texts mismatch (-want +got):\n%s", d)
	}
	if p := c.Rules[3].Origin.Position(); p.Line != 13 {
		t.Errorf("the rule behind the comment of four lines stands at line %d", p.Line)
	}
	if got := save.Write(ir.IPv6); got != text {
		t.Errorf("written (-want +got):\n%s", cmp.Diff(text, got))
	}
	if save.Write(ir.IPv4) != "" {
		t.Error("tables of the other family are written")
	}
	if c := save.State.Table(ir.IPv6, "filter").Chain("INPUT"); c.Policy != "DROP" || c.Packets != 7 || c.Bytes != 8 {
		t.Errorf("INPUT: %+v", c)
	}
}

// TestParseSaveUnreadable: what the tool says it cannot show is not absent
// (FIELD M-40).
func TestParseSaveUnreadable(t *testing.T) {
	text := `# Warning: iptables-legacy tables present, use iptables-legacy-save to see them
# Table ` + "`filter'" + ` is incompatible, use 'nft' tool.
# Table ` + "`raw'" + ` contains incompatible base-chains, use 'nft' tool to list them.
# Generated by iptables-nft-save v1.8.9 (nf_tables) on Sat Nov 21 03:07:30 2026
*raw
:PREROUTING ACCEPT [0:0]
COMMIT
# Completed on Sat Nov 21 03:07:30 2026
`
	save, found := ParseSaveText(diag.NewFile("x", text), ir.IPv4, ParseOptions{})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]string{
		"filter": "Table `filter' is incompatible, use 'nft' tool.",
		"raw":    "Table `raw' contains incompatible base-chains, use 'nft' tool to list them.",
	} {
		_, err := save.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: table, Chain: "OUTPUT"})
		var unread *ir.NotReadError
		if !errors.As(err, &unread) || unread.Reason != want {
			t.Errorf("table %s: %v, want %q", table, err, want)
		}
	}
	if d := cmp.Diff([]string{"iptables-legacy tables present, use iptables-legacy-save to see them"}, save.Warnings); d != "" {
		t.Errorf("warnings mismatch (-want +got):\n%s", d)
	}
	if got := save.Write(ir.IPv4); got != text {
		t.Errorf("written (-want +got):\n%s", cmp.Diff(text, got))
	}
	again, _, found := ParseSave(diag.NewFile("x", WriteSave(save.State, ir.IPv4, WriteOptions{})), ir.IPv4, ParseOptions{})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	if d := ir.Compare(save.State, again, ir.CompareOptions{}); len(d) > 0 {
		t.Errorf("without the frame: %v", d)
	}
}

func TestParseChainList(t *testing.T) {
	key := ir.TableKey{Family: ir.IPv4, Name: "filter"}
	counted := `# Warning: iptables-legacy tables present, use iptables-legacy to see them
-P INPUT DROP -c 4 240
-N A
-N q"x
-A INPUT -i lo -c 1 60 -j ACCEPT
-A INPUT -m comment --comment "-c 1 2 -j A" -c 2 120
-A INPUT -c 3 180 -j LOG --log-prefix "-c 7 8 "
-A INPUT -c 0 0
-A q"x -c 5 300 -g A
`
	got, warnings, found := ParseChainList(diag.NewFile("x", counted), key, ParseOptions{Counters: true})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	want := `*filter
:INPUT DROP [4:240]
:A - [0:0]
:q"x - [0:0]
[1:60] -A INPUT -i lo -j ACCEPT
[2:120] -A INPUT -m comment --comment "-c 1 2 -j A"
[3:180] -A INPUT -j LOG --log-prefix "-c 7 8 "
[0:0] -A INPUT
[5:300] -A q"x -g A
COMMIT
`
	state := &ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{got}}
	if d := cmp.Diff(want, WriteSave(state, ir.IPv4, WriteOptions{Counters: true})); d != "" {
		t.Errorf("ParseChainList mismatch (-want +got):\n%s", d)
	}
	if len(warnings) != 1 {
		t.Errorf("warnings: %q", warnings)
	}
	for _, c := range []struct {
		text string
		opt  ParseOptions
		want []string
	}{
		{text: "-P INPUT ACCEPT\n-A INPUT -j DROP\n"},
		{text: ""},
		{text: "-P INPUT ACCEPT\n", opt: ParseOptions{Counters: true}, want: []string{"x:1:1: the policy has no counters"}},
		{text: "-N A\n-A A -j DROP\n", opt: ParseOptions{Counters: true}, want: []string{"x:2:1: the rule has no counters"}},
		{text: "-A INPUT -j DROP\n", want: []string{"x:1:4: chain INPUT is not declared in table filter"}},
		{text: "-N A\n-N A\n", want: []string{"x:2:1: chain A is listed twice"}},
		{text: "-N A B\n", want: []string{`x:1:1: "A B" is no name of a chain`}},
		{text: "-P INPUT QUEUE\n", want: []string{"x:1:1: a policy is listed as `-P CHAIN ACCEPT` or `-P CHAIN DROP`"}},
		{text: "iptables: No chain\n", want: []string{"x:1:1: this is no line of iptables -S"}},
	} {
		_, _, found := ParseChainList(diag.NewFile("x", c.text), key, c.opt)
		if d := cmp.Diff(c.want, findings(found)); d != "" {
			t.Errorf("%q: findings mismatch (-want +got):\n%s", c.text, d)
		}
	}
}

// FuzzParseSave: every place that is named lies inside the file, and a text
// without findings is written back as the same text, or as one that is read as
// the same state.
func FuzzParseSave(f *testing.F) {
	f.Add(table("[1:2] -A A -m comment --comment \"a\nb\" -j DROP"))
	f.Add(table(`-A A -j "x`, `-A INPUT -m comment --comment "\\" -j A`, "# x"))
	f.Add("# Table `nat' is incompatible, use 'nft' tool.\n*raw\nCOMMIT")
	f.Add("# Generated by iptables-save\n*nat\n:A - [0:0]\n\n-A A -g A\n-A A\nCOMMIT\n# Completed\n")
	f.Fuzz(func(t *testing.T, text string) {
		save, found := ParseSaveText(diag.NewFile("x", text), ir.IPv4, ParseOptions{})
		for _, d := range found.All() {
			if d.Span.Start < 0 || d.Span.Start > d.Span.End || d.Span.End > len(text) {
				t.Fatalf("%q is said of the bytes [%d, %d) of %d", d.Message, d.Span.Start, d.Span.End, len(text))
			}
		}
		if found.HasErrors() {
			return
		}
		for _, table := range save.State.Tables {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					if o := r.Origin; o.Start < 0 || o.End > len(text) || !strings.HasSuffix(o.Text(), r.Text) {
						t.Fatalf("rule %q has the origin %q", r.Text, o.Text())
					}
				}
			}
		}
		save.Counters = true
		once := save.Write(ir.IPv4)
		again, found := ParseSaveText(diag.NewFile("x", once), ir.IPv4, ParseOptions{})
		if err := found.Err(); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		if d := ir.Compare(save.State, again.State, ir.CompareOptions{Counters: true}); len(d) > 0 {
			t.Fatalf("what was written is another state: %v\n%s", d, once)
		}
		again.Counters = true
		if twice := again.Write(ir.IPv4); twice != once {
			t.Fatalf("written again (-once +twice):\n%s", cmp.Diff(once, twice))
		}
	})
}
