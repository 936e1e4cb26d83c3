package ir_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookline/compiler/ir"
)

// host is a small filter table.
var host = []string{
	"INPUT [5:6] DROP",
	"INPUT: [1:60] -i lo -j ACCEPT",
	"INPUT: [2:120] -j AGENT",
	"INPUT: [3:180] -i lo -j ACCEPT",
	"FORWARD ACCEPT",
	"OUTPUT ACCEPT",
	"AGENT",
	"AGENT: [4:240] -p tcp -j RETURN",
	"IDLE",
	"OWN",
	"OWN: [7:420] -j DROP",
}

var (
	nft    = ir.VariantQuirks(ir.IptablesNFT)
	legacy = ir.VariantQuirks(ir.IptablesLegacy)
)

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name   string
		ops    []string
		flush  bool
		counts bool
		quirks ir.Quirks
		// want are the lines that are there afterwards; nil means that reason is why not.
		want   []string
		reason ir.Reason
		op     int
	}{
		{
			name: "ensure makes a chain, in its place by name", ops: []string{":BETA -", "-A BETA -j RETURN", "-A OWN -j BETA"},
			want: []string{
				"INPUT [5:6] DROP", "INPUT: [1:60] -i lo -j ACCEPT", "INPUT: [2:120] -j AGENT", "INPUT: [3:180] -i lo -j ACCEPT",
				"AGENT", "AGENT: [4:240] -p tcp -j RETURN", "BETA", "BETA: -j RETURN", "IDLE", "OWN", "OWN: [7:420] -j DROP", "OWN: -j BETA",
			},
		},
		{
			name: "ensure empties a chain that stands, jumps to it stay", ops: []string{":AGENT -"},
			want: []string{
				"INPUT [5:6] DROP", "INPUT: [1:60] -i lo -j ACCEPT", "INPUT: [2:120] -j AGENT", "INPUT: [3:180] -i lo -j ACCEPT",
				"AGENT", "IDLE", "OWN", "OWN: [7:420] -j DROP",
			},
		},
		{
			name: "a declared built-in chain keeps its policy and rules", ops: []string{":INPUT -"}, want: host,
		},
		{
			name: "a policy is overwritten with its counters", ops: []string{":INPUT ACCEPT", "-F INPUT"},
			want: []string{"AGENT", "AGENT: [4:240] -p tcp -j RETURN", "IDLE", "OWN", "OWN: [7:420] -j DROP"},
		},
		{
			name: "insert ahead, between and behind", ops: []string{"-I INPUT #1 -j OWN", "-I INPUT #3 -j OWN", "-I INPUT #6 -j OWN"},
			want: []string{
				"INPUT [5:6] DROP", "INPUT: -j OWN", "INPUT: [1:60] -i lo -j ACCEPT", "INPUT: -j OWN", "INPUT: [2:120] -j AGENT",
				"INPUT: [3:180] -i lo -j ACCEPT", "INPUT: -j OWN",
				"AGENT", "AGENT: [4:240] -p tcp -j RETURN", "IDLE", "OWN", "OWN: [7:420] -j DROP",
			},
		},
		{
			name: "delete by value takes the first copy", ops: []string{"-D INPUT -i lo -j ACCEPT"},
			want: []string{
				"INPUT [5:6] DROP", "INPUT: [2:120] -j AGENT", "INPUT: [3:180] -i lo -j ACCEPT",
				"AGENT", "AGENT: [4:240] -p tcp -j RETURN", "IDLE", "OWN", "OWN: [7:420] -j DROP",
			},
		},
		{
			name: "delete and replace by index", ops: []string{"-D INPUT #1", "-R INPUT #2 -j OWN"},
			want: []string{
				"INPUT [5:6] DROP", "INPUT: [2:120] -j AGENT", "INPUT: -j OWN",
				"AGENT", "AGENT: [4:240] -p tcp -j RETURN", "IDLE", "OWN", "OWN: [7:420] -j DROP",
			},
		},
		{
			name: "a rule's own counters count only with --counters", ops: []string{"-A IDLE [9:9] -j DROP"},
			want: append(host[:9:9], "IDLE: -j DROP", "OWN", "OWN: [7:420] -j DROP"),
		},
		{
			name: "with --counters", ops: []string{"-A IDLE [9:9] -j DROP", ":INPUT [8:8] DROP"}, counts: true,
			want: append([]string{"INPUT [8:8] DROP"}, append(host[1:4:4], "AGENT", "AGENT: [4:240] -p tcp -j RETURN", "IDLE", "IDLE: [9:9] -j DROP", "OWN", "OWN: [7:420] -j DROP")...),
		},
		{
			name: "zero one rule", ops: []string{"-Z INPUT #2"},
			want: append([]string{host[0], host[1], "INPUT: -j AGENT", host[3]}, host[6:]...),
		},
		{
			name: "zero everything", ops: []string{"-Z"},
			want: []string{
				"INPUT DROP", "INPUT: -i lo -j ACCEPT", "INPUT: -j AGENT", "INPUT: -i lo -j ACCEPT",
				"AGENT", "AGENT: -p tcp -j RETURN", "IDLE", "OWN", "OWN: -j DROP",
			},
		},
		{
			name: "rename takes the jumps along", ops: []string{"-E AGENT ZED", "-A ZED -j IDLE"},
			want: []string{
				"INPUT [5:6] DROP", "INPUT: [1:60] -i lo -j ACCEPT", "INPUT: [2:120] -j ZED", "INPUT: [3:180] -i lo -j ACCEPT",
				"IDLE", "OWN", "OWN: [7:420] -j DROP", "ZED", "ZED: [4:240] -p tcp -j RETURN", "ZED: -j IDLE",
			},
		},
		{
			name: "drop behind the last jump", ops: []string{"-D INPUT -j AGENT", "-F AGENT", "-X AGENT"},
			want: []string{"INPUT [5:6] DROP", "INPUT: [1:60] -i lo -j ACCEPT", "INPUT: [3:180] -i lo -j ACCEPT", "IDLE", "OWN", "OWN: [7:420] -j DROP"},
		},
		{
			name: "replace the whole table", ops: []string{":NEW -", "-A INPUT -j NEW"}, flush: true,
			want: []string{"INPUT [5:6] DROP", "INPUT: -j NEW", "NEW"},
		},
		{
			name: "replace the whole table, nft", ops: []string{":NEW -", "-A INPUT -j NEW"}, flush: true, quirks: nft,
			want: []string{"INPUT ACCEPT", "INPUT: -j NEW", "NEW"},
		},
		{
			name: "legacy zeroes the policies' counters", ops: []string{"-X IDLE"}, quirks: legacy,
			want: append([]string{"INPUT DROP"}, append(host[1:4:4], "AGENT", "AGENT: [4:240] -p tcp -j RETURN", "OWN", "OWN: [7:420] -j DROP")...),
		},
		{
			name: "legacy leaves them alone where nothing changes", ops: []string{"-C INPUT -j AGENT"}, quirks: legacy, want: host,
		},
		{
			name: "a circle that nothing leads to", ops: []string{":A -", ":B -", "-A A -j B", "-A B -j A", "-D INPUT -i lo -j ACCEPT"},
			want: append([]string{host[0], host[2], host[3], "A", "A: -j B", "AGENT", host[7], "B", "B: -j A"}, host[8:]...),
		},
		{name: "no chain to append to", ops: []string{":NEW -", "-A NONE -j DROP"}, reason: ir.ReasonNoChain, op: 1},
		{name: "new, and there already", ops: []string{"-N AGENT"}, reason: ir.ReasonChainExists},
		{name: "new, and built-in", ops: []string{"-N INPUT"}, reason: ir.ReasonChainExists},
		{name: "name of a target", ops: []string{":LOG -"}, reason: ir.ReasonBadName},
		{name: "name too long", ops: []string{":TWENTY-NINE-BYTES-ARE-TOO-MUCH -"}, reason: ir.ReasonBadName},
		{name: "guard on nothing", ops: []string{"-C INPUT -j OWN"}, reason: ir.ReasonNoRule},
		{name: "guard behind the delete", ops: []string{"-D INPUT -j AGENT", "-C INPUT -j AGENT"}, reason: ir.ReasonNoRule, op: 1},
		{name: "delete nothing", ops: []string{"-D INPUT -j OWN"}, reason: ir.ReasonNoRule},
		{name: "insert too far", ops: []string{"-I INPUT #5 -j OWN"}, reason: ir.ReasonIndexTooBig},
		{name: "insert nowhere", ops: []string{"-I INPUT -j OWN"}, reason: ir.ReasonIndexTooBig},
		{name: "delete too far", ops: []string{"-D INPUT #4"}, reason: ir.ReasonIndexTooBig},
		{name: "replace too far", ops: []string{"-R INPUT #4 -j OWN"}, reason: ir.ReasonIndexTooBig},
		{name: "zero too far", ops: []string{"-Z INPUT #4"}, reason: ir.ReasonIndexTooBig},
		{name: "drop a chain in use", ops: []string{"-F AGENT", "-X AGENT"}, reason: ir.ReasonChainInUse, op: 1},
		{name: "drop ahead of the delete", ops: []string{"-F AGENT", "-X AGENT", "-D INPUT -j AGENT"}, reason: ir.ReasonChainInUse, op: 1},
		{name: "drop a chain with rules", ops: []string{"-X OWN"}, reason: ir.ReasonChainNotEmpty},
		{name: "drop a built-in chain", ops: []string{"-X FORWARD"}, reason: ir.ReasonBuiltin},
		{name: "drop everything", ops: []string{"-X"}, reason: ir.ReasonChainNotEmpty},
		{name: "flush nothing", ops: []string{"-F NONE"}, reason: ir.ReasonNoChain},
		{name: "rename to a name that is taken", ops: []string{"-E AGENT OWN"}, reason: ir.ReasonChainExists},
		{name: "rename a built-in chain", ops: []string{"-E INPUT IN"}, reason: ir.ReasonBuiltin},
		{name: "rename a new chain, nft", ops: []string{":NEW -", "-E NEW NEWER"}, quirks: nft, reason: ir.ReasonNoChain, op: 1},
		{name: "the new name before COMMIT, nft", ops: []string{"-E AGENT ZED", "-A ZED -j DROP"}, quirks: nft, reason: ir.ReasonNoChain, op: 1},
		{name: "policy of a user chain", ops: []string{":OWN DROP"}, reason: ir.ReasonNotBuiltin},
		{name: "no policy", ops: []string{":INPUT RETURN"}, reason: ir.ReasonBadPolicy},
		{name: "jump to nowhere", ops: []string{"-A OWN -j NOWHERE"}, reason: ir.ReasonBadTarget},
		{name: "jump to a chain that comes later", ops: []string{"-A OWN -j LATER", ":LATER -"}, reason: ir.ReasonBadTarget},
		{name: "jump to a built-in chain", ops: []string{"-A OWN -j FORWARD"}, reason: ir.ReasonBadTarget},
		{name: "circle", ops: []string{":A -", "-A A -j OWN", "-A OWN -g A", "-A INPUT -j A"}, reason: ir.ReasonLoop, op: 4},
		{name: "circle of one", ops: []string{"-A AGENT -j AGENT"}, reason: ir.ReasonLoop, op: 1},
		{
			name: "a way into a circle that stood unreached", ops: []string{":A -", ":B -", "-A A -j B", "-A B -j A", "-A AGENT -j A"},
			reason: ir.ReasonLoop, op: 5,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := stateOf(t, host...)
			kept := freeze(before)
			b := blockOf(t, c.ops...)
			b.NoFlush, b.Counters = !c.flush, c.counts
			after, err := before.ApplyWith(ir.Transaction{Blocks: []ir.Block{b}}, c.quirks)
			if d := cmp.Diff(kept, before); d != "" {
				t.Errorf("Apply changed the state that it was given (-before +after):\n%s", d)
			}
			if c.want == nil {
				var refused *ir.ApplyError
				if !errors.As(err, &refused) {
					t.Fatalf("want a refusal (%s), got %v", c.reason, err)
				}
				if refused.Reason != c.reason || refused.Op != c.op {
					t.Errorf("refused at op %d: %s (%v), want op %d: %s", refused.Op, refused.Reason, err, c.op, c.reason)
				}
				c.want = host // nothing of the block stays
			} else if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(withoutIdle(c.want), linesOf(after), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("Apply(%q) mismatch (-want +got):\n%s", c.ops, d)
			}
		})
	}
}

// withoutIdle leaves out what linesOf leaves out.
func withoutIdle(lines []string) []string {
	var out []string
	for i, l := range lines {
		if l == "FORWARD ACCEPT" || l == "OUTPUT ACCEPT" {
			continue
		}
		if i == 0 && l == "INPUT ACCEPT" && len(lines) == 1 {
			continue
		}
		out = append(out, l)
	}
	return out
}

func TestApplyAbsentTable(t *testing.T) {
	s := &ir.State{Families: ir.Families}
	after, err := s.Apply(ir.Transaction{Blocks: []ir.Block{blockOf(t, ":OWN -", "-A INPUT -j OWN")}})
	if err != nil {
		t.Fatal(err)
	}
	table := after.Table(ir.IPv4, "filter")
	var names []string
	for _, c := range table.Chains {
		names = append(names, c.Name+" "+c.Policy)
	}
	if d := cmp.Diff([]string{"INPUT ACCEPT", "FORWARD ACCEPT", "OUTPUT ACCEPT", "OWN "}, names); d != "" {
		t.Errorf("the table that was made mismatch (-want +got):\n%s", d)
	}
	if len(s.Tables) != 0 {
		t.Error("Apply changed the state that it was given")
	}
	for _, b := range []ir.Block{{Family: ir.IPv4, Table: "broute", NoFlush: true}, {Family: 3, Table: "nat", NoFlush: true}} {
		if _, err := s.Apply(ir.Transaction{Blocks: []ir.Block{b}}); err == nil {
			t.Errorf("Apply took the table %s of %s", b.Table, b.Family)
		}
	}
}

// TestApplyStopsAtBlock: the blocks ahead of the one that fails stay.
func TestApplyStopsAtBlock(t *testing.T) {
	s := stateOf(t, host...)
	after, err := s.Apply(ir.Transaction{Blocks: []ir.Block{
		blockOf(t, ":FIRST -"),
		blockOf(t, ":SECOND -", "-D OWN -j NOTHING"),
		blockOf(t, ":THIRD -"),
	}})
	var refused *ir.ApplyError
	if !errors.As(err, &refused) || refused.Block != 1 || refused.Op != 1 || refused.Reason != ir.ReasonNoRule {
		t.Fatalf("want block 1 to be refused at op 1, got %v (%+v)", err, refused)
	}
	if want := (ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "OWN"}); refused.Key != want {
		t.Errorf("the refused chain is %s, want %s", refused.Key, want)
	}
	table := after.Table(ir.IPv4, "filter")
	if table.Chain("FIRST") == nil || table.Chain("SECOND") != nil || table.Chain("THIRD") != nil {
		t.Errorf("want the first block and nothing else: %q", linesOf(after))
	}
}

func TestApplyUnread(t *testing.T) {
	s := stateOf(t, "INPUT ACCEPT", "AGENT unread", "OWN")
	for _, c := range []struct {
		op     string
		reason ir.Reason // empty: works
	}{
		{"-A AGENT -j DROP", ir.ReasonNotRead},
		{"-I AGENT #1 -j DROP", ir.ReasonNotRead},
		{"-C AGENT -j DROP", ir.ReasonNotRead},
		{"-D AGENT -j DROP", ir.ReasonNotRead},
		{"-X AGENT", ir.ReasonNotRead},
		{"-X OWN", ir.ReasonNotRead}, // AGENT may jump to it
		{":AGENT -", ""},
		{"-F AGENT", ""},
		{"-A INPUT -j AGENT", ""},
		{"-A OWN -j DROP", ""},
	} {
		_, err := s.Apply(ir.Transaction{Blocks: []ir.Block{blockOf(t, c.op)}})
		var refused *ir.ApplyError
		errors.As(err, &refused)
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s: %v", c.op, err)
		case c.reason != "" && (refused == nil || refused.Reason != c.reason):
			t.Errorf("%s: got %v, want %s", c.op, err, c.reason)
		}
	}
	// The kernel's count of references proves that nobody jumps there.
	counted := freeze(s)
	counted.Tables[0].Chain("OWN").Refs = 0
	if _, err := counted.Apply(ir.Transaction{Blocks: []ir.Block{blockOf(t, "-X OWN")}}); err != nil {
		t.Errorf("-X of a chain without references: %v", err)
	}
	counted.Tables[0].Chain("OWN").Refs = 1
	counted.Tables[0].Chains[0].Rules = []*ir.Rule{{Text: "-j OWN"}}
	after, err := counted.Apply(ir.Transaction{Blocks: []ir.Block{blockOf(t, "-D INPUT -j OWN", "-X OWN")}})
	if err != nil || after.Table(ir.IPv4, "filter").Chain("OWN") != nil {
		t.Errorf("-X behind the delete of the only reference: %v", err)
	}
	unreadable := freeze(s)
	unreadable.Tables[0].Unreadable = "it is incompatible"
	if _, err := unreadable.Apply(ir.Transaction{Blocks: []ir.Block{blockOf(t, "-A INPUT -j DROP")}}); err == nil {
		t.Error("an unreadable table was written into")
	}
}

func TestApplySets(t *testing.T) {
	s := stateOf(t, "INPUT ACCEPT")
	s.Sets = []*ir.Set{{Family: ir.IPv4, Name: "four"}, {Family: ir.IPv6, Name: "six"}, {Name: "mac"}}
	for text, want := range map[string]bool{
		"-m set --match-set four src -j DROP":                          true,
		"-m set --match-set mac src -j DROP":                           true,
		"-m set --match-set six src -j DROP":                           false,
		"-m set ! --match-set none src -j DROP":                        false,
		"-j SET --add-set none src":                                    false,
		`-m comment --comment "--match-set none" -j DROP`:              true,
		`-m comment --comment "a \" --match-set none src" -j DROP`:     true,
		"-m set --match-set four src -m set --match-set none dst":      false,
		`-m comment --comment x -m set --match-set four,x src -j DROP`: false,
	} {
		b := ir.Block{Family: ir.IPv4, Table: "filter", NoFlush: true, Ops: []ir.Op{{Kind: ir.OpAppend, Chain: "INPUT", Rule: &ir.Rule{Text: text}}}}
		for _, read := range []bool{true, false} {
			s.SetsRead = read
			_, err := s.Apply(ir.Transaction{Blocks: []ir.Block{b}})
			var refused *ir.ApplyError
			if errors.As(err, &refused); (refused == nil) != (want || !read) {
				t.Errorf("%s with sets read %v: %v", text, read, err)
			}
		}
	}
}

// TestApplyDepth: nf_tables takes 15 jumps on end, the legacy variant any number.
func TestApplyDepth(t *testing.T) {
	for _, jumps := range []int{15, 16} {
		var ops []string
		for i := range jumps {
			ops = append(ops, fmt.Sprintf(":D%d -", i))
		}
		ops = append(ops, "-A INPUT -j D0")
		for i := range jumps - 1 {
			ops = append(ops, fmt.Sprintf("-A D%d -j D%d", i, i+1))
		}
		tx := ir.Transaction{Blocks: []ir.Block{blockOf(t, ops...)}}
		s := &ir.State{Families: ir.Families}
		if _, err := s.Apply(tx); err != nil {
			t.Errorf("%d jumps on end: %v", jumps, err)
		}
		_, err := s.ApplyWith(tx, nft)
		var refused *ir.ApplyError
		if errors.As(err, &refused); (refused != nil) != (jumps > 15) || refused != nil && refused.Reason != ir.ReasonTooDeep {
			t.Errorf("%d jumps on end on nft: %v", jumps, err)
		}
	}
}

// TestApplyShares: what a transaction does not touch is not copied.
func TestApplyShares(t *testing.T) {
	before := stateOf(t, host...)
	after, err := before.Apply(ir.Transaction{Blocks: []ir.Block{blockOf(t, "-A OWN -j RETURN")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range before.Tables[0].Chains {
		if same := after.Tables[0].Chain(c.Name) == c; same != (c.Name != "OWN") {
			t.Errorf("chain %s is shared: %v", c.Name, same)
		}
	}
}

// BenchmarkApply changes one chain beside 100,000 rules in 1,000 others.
func BenchmarkApply(b *testing.B) {
	lines := []string{"INPUT ACCEPT", "OWN"}
	for i := range 1000 {
		name := fmt.Sprintf("SVC-%d", i)
		lines = append(lines, name)
		for j := range 100 {
			lines = append(lines, fmt.Sprintf("%s: -s 10.%d.%d.1/32 -p tcp -m tcp --dport 80 -j RETURN", name, i%256, j))
		}
	}
	s := stateOf(b, lines...)
	tx := ir.Transaction{Blocks: []ir.Block{blockOf(b, ":OWN -", "-A OWN -p tcp -j DROP", "-I INPUT #1 -j OWN")}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Apply(tx); err != nil {
			b.Fatal(err)
		}
	}
}
