package compiler_test

import (
	"errors"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
)

// A rule with an empty list is left out, and the plan says so, once for both
// families; one that is of the other family only is not worth a word.
func TestLeftOutIsShown(t *testing.T) {
	prog, list := compile(t, `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  params: {from: {type: list(cidr), default: []}}
  tables:
    filter:
      chains:
        SITE-IN:
          rules:
            - {name: ssh, match: {protocol: tcp, source: "${params.from}", dport: 22}, action: accept}
            - {name: web, match: {protocol: tcp, source: 192.0.2.0/24, dport: 80}, action: accept}
      anchors: [{hook: INPUT, jump: SITE-IN}]
`, compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	host := &ir.Snapshot{Variant: ir.IptablesNFT, State: &ir.State{Families: ir.Families, SetsRead: true}}
	p := compiler.NewPlan([]*compiler.Program{prog}, host, compiler.PlanOptions{})
	const want = "ipv4, ipv6 filter SITE-IN: rule ssh: source is an empty list\n"
	var text, page strings.Builder
	if err := errors.Join(p.WriteText(&text, compiler.TextOptions{}), compiler.WriteMarkdown(&page, []*compiler.Plan{p}, 0)); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"text": text.String(), "Markdown": page.String()} {
		if !strings.Contains(got, want) || strings.Contains(got, "rule web") {
			t.Errorf("%s lacks %q, or says more:\n%s", name, want, got)
		}
	}
	removal := compiler.NewPlan([]*compiler.Program{prog}, host, compiler.PlanOptions{Remove: true})
	if len(removal.LeftOut) > 0 {
		t.Errorf("a removal leaves out %v", removal.LeftOut)
	}
}
