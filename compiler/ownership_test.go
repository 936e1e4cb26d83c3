package compiler_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
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
	tx := restored(t, p, before, &ir.Snapshot{Variant: ir.IptablesNFT, State: now})
	same := func(f ir.Family, a, b *ir.Rule) bool { return xtables.Equal(a, b, f) }
	for _, d := range ir.Compare(want, must(now.Apply(tx)), ir.CompareOptions{SameRule: same}) {
		t.Error(d)
	}
}

// Two rulesets cannot decide about the same jump, nor one place a jump in a chain
// of which another, or itself, writes every rule.
func TestRulesetsThatMeet(t *testing.T) {
	named := func(name, spec string) string {
		return strings.Replace(head, "name: site", "name: "+name, 1) + "  families: [ipv4]\n" + spec
	}
	adopt := "  tables: {nat: {adopt: [{hook: PREROUTING, jump: OVN-PREROUTING, after: [calico]}]}}\n"
	dockerUser := "  tables: {filter: {chains: {DOCKER-USER: {rules: []}}}}\n"
	inDockerUser := "  tables: {filter: {chains: {IN: {rules: []}}, anchors: [{hook: DOCKER-USER, jump: IN}]}}\n"
	for _, c := range []struct {
		name     string
		rulesets []string
		recorded []compiler.Recorded
		want     diag.Code
	}{
		{"the same jump adopted twice", []string{named("a", adopt), named("b", adopt)}, nil, diag.DuplicateName},
		{"an adopted jump of another one", []string{
			named("a", "  tables: {filter: {chains: {IN: {rules: []}}, anchors: [{hook: INPUT, jump: IN}]}}\n"),
			named("b", "  tables: {filter: {adopt: [{hook: INPUT, jump: IN}]}}\n"),
		}, nil, diag.AdoptOwned},
		{
			"a recorded one's chain adopted",
			[]string{named("b", "  tables: {filter: {adopt: [{hook: INPUT, jump: IN}]}}\n")},
			[]compiler.Recorded{{Name: "a", Declared: []string{"IN"}}},
			diag.AdoptOwned,
		},
		{
			"its own chain of earlier adopted",
			[]string{named("b", "  tables: {filter: {adopt: [{hook: INPUT, jump: IN}]}}\n")},
			[]compiler.Recorded{{Name: "b", Declared: []string{"IN"}}},
			diag.AdoptOwned,
		},
		{"a jump in another one's chain", []string{named("a", dockerUser), named("b", inDockerUser)}, nil, diag.OwnershipOverlap},
		{
			"a jump in a recorded one's chain",
			[]string{named("b", inDockerUser)},
			[]compiler.Recorded{{Name: "a", Declared: []string{"DOCKER-USER"}}},
			diag.OwnershipOverlap,
		},
		{"a jump in its own chain", []string{
			named("a", "  tables: {filter: {chains: {DOCKER-USER: {rules: []}, IN: {rules: []}}, anchors: [{hook: DOCKER-USER, jump: IN}]}}\n"),
		}, nil, diag.OwnershipOverlap},
		{"nothing in common", []string{named("a", adopt), named("b", inDockerUser)}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var programs []*compiler.Program
			for _, text := range c.rulesets {
				p, list := compile(t, text, compiler.CompileOptions{})
				if err := list.Err(); err != nil {
					t.Fatal(err)
				}
				programs = append(programs, p)
			}
			p := compiler.NewPlan(programs, snapshot(t, ir.IptablesNFT, node), compiler.PlanOptions{Recorded: c.recorded})
			if got := p.Diags.HasErrors(); got != (c.want != "") || c.want != "" && !p.Diags.Has(c.want) {
				t.Errorf("findings %v, want code %q", p.Diags.Err(), c.want)
			}
		})
	}
}

// A declared chain is owned without a record too, also where a condition leaves
// it out: then it goes, its jumps first.
func TestChainThatIsLeftOutGoes(t *testing.T) {
	const rules = head + `  families: [ipv4]
  params: {on: {type: bool, default: false}}
  tables:
    filter:
      chains: {SITE-IN: {when: params.on, rules: ["-j DROP"]}, SITE-OLD: {families: [ipv6], rules: []}}
      anchors: [{hook: INPUT, jump: SITE-IN, when: params.on}]
`
	p := plan(t, ir.IptablesNFT, node, rules)
	if err := p.Diags.Err(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SITE-IN", "SITE-OLD"} {
		if p.Planned.Table(ir.IPv4, "filter").Chain(name) != nil {
			t.Errorf("chain %s still stands", name)
		}
	}
	want := []string{`-m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT`, "-j KUBE-FIREWALL"}
	if d := cmp.Diff(want, texts(t, p.Planned, "filter", "INPUT")); d != "" {
		t.Errorf("INPUT (-want +got):\n%s", d)
	}
}

// The kernel counts references that iptables cannot show, and a chain that has
// any is not to be dropped.
func TestUnseenReferenceBlocksRemoval(t *testing.T) {
	snap := snapshot(t, ir.IptablesNFT, node)
	c := *snap.State.Table(ir.IPv4, "filter").Chain("SITE-OLD")
	c.Refs = 2
	chains := snap.State.Tables[0].Chains
	for i := range chains {
		if chains[i].Name == c.Name {
			chains[i] = &c
		}
	}
	prog, _ := compile(t, site, compiler.CompileOptions{})
	p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
	if !p.Diags.Has(diag.ForeignReference) || compiler.ExitCode(p.Diags) != 3 {
		t.Errorf("findings %v with exit code %d, want %s and 3", p.Diags.Err(), compiler.ExitCode(p.Diags), diag.ForeignReference)
	}
}

// A native rule in an owned chain cannot be put back, and does not keep the rest
// from being so.
func TestRestoreBesideNativeRule(t *testing.T) {
	before := snapshot(t, ir.IptablesNFT, node)
	chain := before.State.Tables[0].Chain("SITE-IN")
	stood := chain.Rules
	chain.Rules = append([]*ir.Rule{{Native: &ir.Native{Handle: 7, Expr: "ct state"}}}, stood...)
	prog, _ := compile(t, site, compiler.CompileOptions{})
	p := compiler.NewPlan([]*compiler.Program{prog}, before, compiler.PlanOptions{})
	tx := restored(t, p, before, &ir.Snapshot{Variant: ir.IptablesNFT, State: p.Planned})
	if err := ir.CheckTransaction(tx); err != nil {
		t.Fatal(err)
	}
	back := must(p.Planned.Apply(tx))
	if d := cmp.Diff([]string{stood[0].Text}, texts(t, back, "filter", "SITE-IN")); d != "" {
		t.Errorf("SITE-IN (-want +got):\n%s", d)
	}
	for name, s := range map[string]*ir.State{"what was restored": back, "what was not touched": before.State} {
		if tx := restored(t, p, before, &ir.Snapshot{Variant: ir.IptablesNFT, State: s}); !tx.Empty() {
			t.Errorf("Restore of %s = %v, want nothing to do", name, tx)
		}
	}
}
