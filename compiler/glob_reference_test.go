package compiler_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// A reference by the parts of a rule means rules of others: with jumps of ours
// among them the second plan would move what the first one put in.
func TestGlobReferenceIsNoJumpOfOurs(t *testing.T) {
	const ruleset = head + `  families: [ipv4]
  tables:
    filter:
      chains:
        SITE-IN: {rules: []}
      anchors:
        - {hook: INPUT, jump: SITE-IN, match: {in: [eth1, lo, eth2]}, after: [{in: lo}]}
`
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		prog, list := compile(t, ruleset, compiler.CompileOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		for _, save := range []string{node, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"} {
			snap := snapshot(t, v, save)
			first := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
			if err := first.Diags.Err(); err != nil || first.Empty() {
				t.Fatalf("empty %v: %v", first.Empty(), err)
			}
			snap.State = first.Planned
			if second := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{}); !second.Empty() {
				t.Errorf("the second plan writes %v", second.Transaction)
			}
		}
	}
}

// A reference can ask for what a param says; an empty value would mean any rule.
func TestGlobReferenceByParam(t *testing.T) {
	const ruleset = head + `  families: [ipv4]
  params: {tunnel: {type: string, default: "%s"}}
  tables:
    filter:
      chains:
        SITE-FWD: {rules: []}
      anchors:
        - {hook: FORWARD, jump: SITE-FWD, before: [{in: "${params.tunnel}", target: ACCEPT}]}
`
	const save = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" +
		"-A FORWARD -i wt0 -j ACCEPT\n-A FORWARD -i wt1 -j ACCEPT\n-A FORWARD -i eth0 -j ACCEPT\nCOMMIT\n"
	for _, tt := range []struct {
		value string
		at    int
	}{{"wt1", 1}, {"wt*", 0}, {"eth0", 2}, {"tun0", 3}} {
		prog, list := compile(t, fmt.Sprintf(ruleset, tt.value), compiler.CompileOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		plan := compiler.NewPlan([]*compiler.Program{prog}, snapshot(t, ir.IptablesNFT, save), compiler.PlanOptions{})
		chain, err := plan.Planned.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "FORWARD"})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(chain.Rules, func(r *ir.Rule) bool { return strings.HasSuffix(r.Text, "-j SITE-FWD") })
		if at != tt.at {
			t.Errorf("tunnel %s: our jump stands at %d, want %d", tt.value, at, tt.at)
		}
	}
	if _, list := compile(t, fmt.Sprintf(ruleset, ""), compiler.CompileOptions{}); !list.Has(diag.WrongType) {
		t.Errorf("an empty condition: %v", list.Err())
	}
}
