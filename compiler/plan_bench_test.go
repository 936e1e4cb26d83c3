package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
)

// BenchmarkNewPlan: a plan's cost grows with the host, not with its square.
func BenchmarkNewPlan(b *testing.B) {
	const open = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	chains := func(n int) string {
		var decl, rules strings.Builder
		for i := range n {
			fmt.Fprintf(&decl, ":KUBE-SEP-%06d - [0:0]\n", i)
			fmt.Fprintf(&rules, "-A KUBE-SEP-%06d -s 10.0.0.1/32 -j RETURN\n", i)
		}
		return open + decl.String() + rules.String() + "COMMIT\n"
	}
	// Every rule that stands in the owned chain differs from the declared one.
	changed := func(n int) (host, rules string) {
		var stands, want strings.Builder
		for i := range n {
			fmt.Fprintf(&stands, "-A SITE-IN -s 10.0.%d.%d/32 -j DROP\n", i/256, i%256)
			fmt.Fprintf(&want, "            - \"-s 10.1.%d.%d/32 -j DROP\"\n", i/256, i%256)
		}
		return open + ":SITE-IN - [0:0]\n" + stands.String() + "COMMIT\n",
			head + "  families: [ipv4]\n  tables:\n    filter:\n      chains:\n        SITE-IN:\n          rules:\n" + want.String()
	}
	host, rules := changed(5000)
	for _, c := range []struct{ name, host, rules string }{
		{"10,000 chains of others", chains(10_000), site},
		{"40,000 chains of others", chains(40_000), site},
		{"5,000 changed rules", host, rules},
	} {
		b.Run(c.name, func(b *testing.B) {
			prog, list := compile(b, c.rules, compiler.CompileOptions{})
			if err := list.Err(); err != nil {
				b.Fatal(err)
			}
			snap := snapshot(b, ir.IptablesNFT, c.host)
			for b.Loop() {
				if p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{}); p.Empty() {
					b.Fatal(p.Diags.Err())
				}
			}
		})
	}
}
