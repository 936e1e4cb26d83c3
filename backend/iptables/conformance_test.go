package iptables_test

import (
	"testing"

	"hookline/backend/backendtest"
	"hookline/backend/iptables"
	"hookline/compiler/ir"
)

// TestConformance runs the suite on the kernel, each subtest in a namespace of
// its own.
func TestConformance(t *testing.T) {
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		t.Run(string(v), func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T) backendtest.Host {
				m := newMachine(t, v)
				b, err := iptables.New(iptables.Options{Variant: v, Runner: m.ns.Runner(), NetNS: m.ns.Do, LockFile: m.ns.LockFile()})
				if err != nil {
					t.Fatal(err)
				}
				return backendtest.Host{
					Backend:             b,
					Load:                func(t *testing.T, v4, v6 string) { m.load(t, v4, v6) },
					Dump:                func(t *testing.T, f ir.Family) string { return m.save(t, f) },
					LosesPolicyCounters: v == ir.IptablesLegacy,
					IgnoresCounters6:    v == ir.IptablesNFT,
				}
			})
		})
	}
}
