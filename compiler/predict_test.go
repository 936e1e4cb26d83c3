package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// Deeper than the kernel walks is refused before anything is sent.
func TestPlanTooDeep(t *testing.T) {
	deep := func(n int) string {
		var b strings.Builder
		b.WriteString(head + "  families: [ipv4]\n  tables:\n    filter:\n      anchors: [{hook: INPUT, jump: C1}]\n      chains:\n")
		for i := 1; i < n; i++ {
			fmt.Fprintf(&b, "        C%d: {rules: [\"-j C%d\"]}\n", i, i+1)
		}
		fmt.Fprintf(&b, "        C%d: {rules: [\"-j DROP\"]}\n", n)
		return b.String()
	}
	for _, c := range []struct {
		variant ir.Variant
		depth   int
		refused bool
	}{{ir.IptablesNFT, 15, false}, {ir.IptablesNFT, 16, true}, {ir.IptablesLegacy, 16, false}} {
		if p := plan(t, c.variant, node, deep(c.depth)); p.Diags.HasErrors() != c.refused {
			t.Errorf("%d chains deep on %s: findings %v, want refused %v", c.depth, c.variant, p.Diags.Err(), c.refused)
		}
	}
}
