package compiler_test

import (
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Objects of a ruleset that stand in the tables of another backend go on working
// there: the plan is refused and says how to take them away. A removal is not
// refused, for what stands in both could never be taken away then.
func TestPlanLooksAtTheOtherBackends(t *testing.T) {
	p, list := compile(t, head+"  tables: {filter: {chains: {SITE: {rules: [-j ACCEPT]}}, anchors: [{hook: INPUT, jump: SITE}]}}\n", compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	chain := func(name string) *ir.State {
		return &ir.State{Families: ir.Families, Tables: []*ir.Table{{
			Family: ir.IPv6, Name: "filter", Partial: true, Chains: []*ir.Chain{{Name: "INPUT"}, {Name: name}},
		}}}
	}
	empty := &ir.State{Families: ir.Families}
	for _, tt := range []struct {
		name string
		snap ir.Snapshot
		want string // a part of the finding; empty if there is none
		help string
	}{
		{
			name: "our table of nftables", snap: ir.Snapshot{Variant: ir.IptablesNFT, State: empty, NFTNames: []string{"inet hookline-site", "ip filter"}},
			want: "table inet hookline-site of nftables is that of ruleset site", help: "--backend nft",
		},
		{
			name: "of one family", snap: ir.Snapshot{Variant: ir.IptablesLegacy, State: empty, NFTNames: []string{"ip6 hookline-site"}},
			want: "table ip6 hookline-site", help: "--backend nft",
		},
		{
			name: "as a recorded host has it", snap: ir.Snapshot{Variant: ir.IptablesNFT, State: empty, Host: &ir.Host{NFTTables: []ir.NFTTable{{Family: "ip", Name: "hookline-site"}}}},
			want: "table ip hookline-site", help: "--backend nft",
		},
		{name: "another ruleset's table", snap: ir.Snapshot{Variant: ir.IptablesNFT, State: empty, NFTNames: []string{"inet hookline-site-2", "arp hookline-site", "inet filter"}}},
		{
			name: "the other variant", snap: ir.Snapshot{Variant: ir.IptablesNFT, State: empty, Others: chain("SITE")},
			want: "chain SITE of table filter of ipv6 is ours and stands in iptables-legacy", help: "--backend iptables-legacy",
		},
	} {
		for _, remove := range []bool{false, true} {
			plan := compiler.NewPlan([]*compiler.Program{p}, &tt.snap, compiler.PlanOptions{Remove: remove})
			var found []*diag.Diagnostic
			for _, d := range plan.Diags.All() {
				if d.Code == diag.OtherBackend {
					found = append(found, d)
				}
			}
			switch {
			case tt.want == "" && len(found) > 0:
				t.Errorf("%s: %v", tt.name, found)
			case tt.want == "":
			case len(found) != 1 || !strings.Contains(found[0].Message, tt.want) || !strings.HasSuffix(found[0].Help, tt.help):
				t.Errorf("%s: findings %v, want one that says %q", tt.name, plan.Diags.All(), tt.want)
			case (found[0].Severity == diag.Error) == remove:
				t.Errorf("%s, removal %v: severity %v", tt.name, remove, found[0].Severity)
			}
		}
	}
}
