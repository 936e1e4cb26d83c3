package compiler_test

import (
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// A jump that names another ruleset is that ruleset's, also where an anchor asks
// for the same jump: what cannot be removed is not taken over.
func TestJumpOfAnotherRuleset(t *testing.T) {
	other := strings.Replace(node, `"hookline:site" -j SITE-IN`, `"hookline:edge" -j SITE-IN`, 1)
	prog, list := compile(t, site, compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	for _, remove := range []bool{false, true} {
		p := compiler.NewPlan([]*compiler.Program{prog}, snapshot(t, ir.IptablesNFT, other), compiler.PlanOptions{Remove: remove})
		if !p.Diags.Has(diag.OtherRuleset) || !p.Transaction.Empty() {
			t.Errorf("remove %v: transaction %v, want it refused: %v", remove, p.Transaction, p.Diags.Err())
		}
	}
}
