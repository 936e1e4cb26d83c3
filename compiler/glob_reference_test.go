package compiler_test

import (
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
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
