package fake_test

import (
	"testing"

	"hookline/backend/backendtest"
	"hookline/backend/fake"
	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// parse reads save texts of both families into the state of a whole host.
func parse(t *testing.T, texts ...string) *ir.State {
	t.Helper()
	out := &ir.State{Families: ir.Families, SetsRead: true}
	for i, f := range ir.Families {
		s, _, found := iptables.ParseSave(diag.NewFile(f.String(), texts[i]), f, iptables.ParseOptions{Counters: true})
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		out.Tables = append(out.Tables, s.Tables...)
	}
	return out
}

func TestConformance(t *testing.T) {
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		t.Run(string(v), func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T) backendtest.Host {
				b := fake.New(v, parse(t, "", ""))
				return backendtest.Host{
					Backend: b,
					Load:    func(t *testing.T, v4, v6 string) { b.Replace(parse(t, v4, v6)) },
					Dump: func(t *testing.T, f ir.Family) string {
						return iptables.WriteSave(b.State(), f, iptables.WriteOptions{Counters: true})
					},
					LosesPolicyCounters: v == ir.IptablesLegacy,
				}
			})
		})
	}
}
