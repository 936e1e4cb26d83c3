package compiler_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
)

// texts are the rules of a chain of IPv4.
func texts(t *testing.T, s *ir.State, table, chain string) []string {
	t.Helper()
	c, err := s.Lookup(ir.ChainKey{Family: ir.IPv4, Table: table, Chain: chain})
	if err != nil || c == nil {
		t.Fatalf("Lookup(%s %s) = %v, %v", table, chain, c, err)
	}
	var out []string
	for _, r := range c.Rules {
		out = append(out, r.Text)
	}
	return out
}

// A chain that a program gives to its users may be ours, but the program's jump
// to it is not.
func TestJumpToGivenChainIsForeign(t *testing.T) {
	const host = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j RETURN
COMMIT
`
	const rules = head + `  families: [ipv4]
  tables: {filter: {chains: {DOCKER-USER: {rules: ["-s 10.0.0.0/8 -j ACCEPT"]}}}}
`
	prog, list := compile(t, rules, compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, ir.IptablesNFT, host)
	for _, c := range []struct {
		name string
		opt  compiler.PlanOptions
		want []string
	}{
		{"fill", compiler.PlanOptions{}, []string{"-s 10.0.0.0/8 -j ACCEPT"}},
		{"remove", compiler.PlanOptions{Remove: true}, nil},
	} {
		p := compiler.NewPlan([]*compiler.Program{prog}, before, c.opt)
		if err := p.Diags.Err(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if d := cmp.Diff([]string{"-j DOCKER-USER"}, texts(t, p.Planned, "filter", "FORWARD")); d != "" {
			t.Errorf("%s: FORWARD (-want +got):\n%s", c.name, d)
		}
		if d := cmp.Diff(c.want, texts(t, p.Planned, "filter", "DOCKER-USER")); d != "" {
			t.Errorf("%s: DOCKER-USER (-want +got):\n%s", c.name, d)
		}
	}
}

// What others put into their own chains while we wrote is not taken back, though
// it jumps to a chain of ours.
func TestRestoreLeavesForeignChains(t *testing.T) {
	before := snapshot(t, ir.IptablesNFT, node)
	prog, _ := compile(t, site, compiler.CompileOptions{})
	p := compiler.NewPlan([]*compiler.Program{prog}, before, compiler.PlanOptions{})
	other := ir.Transaction{Blocks: []ir.Block{{Family: ir.IPv4, Table: "filter", NoFlush: true, Ops: []ir.Op{
		{Kind: ir.OpAppend, Chain: "KUBE-FIREWALL", Rule: &ir.Rule{Text: "-s 10.0.0.0/8 -j SITE-IN"}},
	}}}}
	now, want := must(p.Planned.Apply(other)), must(before.State.Apply(other))
	tx, err := p.Restore(before, &ir.Snapshot{Variant: ir.IptablesNFT, State: now})
	if err != nil {
		t.Fatal(err)
	}
	same := func(f ir.Family, a, b *ir.Rule) bool { return xtables.Equal(a, b, f) }
	for _, d := range ir.Compare(want, must(now.Apply(tx)), ir.CompareOptions{SameRule: same}) {
		t.Error(d)
	}
}
