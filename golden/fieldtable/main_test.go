package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const start = `{"Action":"start","Package":"hookline/golden"}
`

func TestRows(t *testing.T) {
	in := start + `{"Action":"attr","Package":"hookline/golden","Test":"TestScenarios/node/nft","Key":"ids","Value":"H-1, R-3"}
{"Action":"attr","Package":"hookline/golden","Test":"TestScenarios/node/nft","Key":"variant","Value":"iptables-nft"}
{"Action":"attr","Package":"hookline/golden","Test":"TestScenarios/node/nft","Key":"families","Value":"ipv4, ipv6"}
{"Action":"pass","Package":"hookline/golden","Test":"TestScenarios/node/nft"}
{"Action":"attr","Package":"hookline/golden/field","Test":"TestH1Placed/iptables-legacy","Key":"variant","Value":"iptables-legacy"}
{"Action":"attr","Package":"hookline/golden/field","Test":"TestH1Placed/iptables-legacy","Key":"families","Value":"ipv6"}
{"Action":"pass","Package":"hookline/golden/field","Test":"TestH1Placed/iptables-legacy"}
{"Action":"pass","Package":"hookline/golden/field","Test":"TestH1Placed"}
`
	all, err := read(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	if err := sound(all); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, r := range rows(all) {
		for _, s := range r.shown {
			got[r.name] = append(got[r.name], s.name+" | "+cell(s, "iptables-nft")+" | "+cell(s, "iptables-legacy"))
		}
	}
	scenario := "[node](../golden/scenarios/node/README.md) | passed: ipv4, ipv6 | -"
	want := map[string][]string{
		"H-1": {scenario, "`TestH1Placed` (golden/field) | - | passed: ipv6"},
		"R-3": {scenario},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rows mismatch (-want +got):\n%s", d)
	}
}

func TestNoTable(t *testing.T) {
	pass := `{"Action":"pass","Package":"hookline/golden/field","Test":"TestH1Placed"}
`
	tests := []struct{ name, in, want string }{
		{"nothing ran", start, "no test ran"},
		{"a package failed", start + pass + `{"Action":"fail","Package":"hookline/golden"}`, "the tests of hookline/golden failed"},
		{"a test was skipped", start + `{"Action":"skip","Package":"hookline/golden","Test":"TestX"}`, "hookline/golden TestX: skip"},
		{"a test did not end", start + `{"Action":"run","Package":"hookline/golden","Test":"TestX"}`, "hookline/golden TestX: "},
		{"no ID", start + `{"Action":"attr","Package":"hookline/golden","Test":"TestX","Key":"ids","Value":"H-99"}
{"Action":"pass","Package":"hookline/golden","Test":"TestX"}`, "names H-99, which is no ID"},
		{"an ID without a test", start + pass, "T-17 has no test and no reason"},
		{"other text", "FAIL\n", "no event"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := run(strings.NewReader(tt.in), &out)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run(%q) = %v, want %q in it", tt.in, err, tt.want)
			}
			if out.Len() > 0 {
				t.Errorf("run(%q) printed a table: %s", tt.in, out.String())
			}
		})
	}
}
