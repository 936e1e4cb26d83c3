package converge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/converge"
)

// Jumps of other times in chains in which the ruleset has no anchor: once they
// are gone nothing there is ours, and taking back must know that they stood.
func TestTakeBackRestoresStaleJumps(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		v4 := strings.Replace(node4, ":cali-PREROUTING", ":SITE_OLD - [0:0]\n:cali-PREROUTING", 1)
		v4 = strings.Replace(v4, "COMMIT\n*filter", `-A OUTPUT -p tcp -j SITE_OLD
-A OUTPUT -j KUBE-SERVICES
-A OUTPUT -m comment --comment "hookline:site" -j SITE_OLD
-A SITE_OLD -j RETURN
COMMIT
*filter`, 1)
		h := newHost(t, v, v4, node6)
		before := dump(h.State())
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if s.Family == ir.IPv6 {
				return refuse(s, "-A SITE_INPUT -p tcp", "unknown option", next)
			}
			return next(s)
		}
		must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, site)}), converge.TakenBack)
		if d := cmp.Diff(before, dump(h.State())); d != "" {
			t.Errorf("the host after taking back (-before +after):\n%s", d)
		}
	})
}

// What comes to stand between our commits, in places that nobody read before the
// first one, and is collected: it is put back too.
func TestTakeBackOfWhatWasCollectedUnread(t *testing.T) {
	nat4 := stale4[strings.Index(stale4, "*nat"):]
	for _, tt := range []struct{ name, v4, comes string }{
		{"a jump in a chain that was not read", stale4, `*mangle
:AGENT-MARK - [0:0]
-A FORWARD -m comment --comment "agent: blue" -j AGENT-MARK
COMMIT
`},
		{"a table that was not there", nat4, `*mangle
:AGENT-MARK - [0:0]
-A FORWARD -m comment --comment "agent: blue" -j AGENT-MARK
-A AGENT-MARK -d 10.0.0.0/16 -m comment --comment "agent: blue" -j RETURN
COMMIT
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, v ir.Variant) {
				h := newHost(t, v, tt.v4, stale6)
				standing := tt.comes
				if h.State().Table(ir.IPv4, "mangle") != nil {
					standing = strings.Replace(standing, ":AGENT-MARK - [0:0]\n", "", 1) // which would empty it
				}
				want := dump(after(t, h.State(), ir.IPv4, standing))
				came := false
				h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
					if s.Family == ir.IPv4 {
						return next(s)
					}
					if !came {
						came = true
						h.Replace(after(t, h.State(), ir.IPv4, tt.comes))
					}
					return refuse(s, "-D POSTROUTING", "Device or resource busy", next)
				}
				out := apply(t, converge.Options{Backend: h, Programs: programs(t, collecting)})
				must(t, out, converge.TakenBack)
				if d := cmp.Diff(want, dump(h.State())); d != "" || out.Rounds != 2 {
					t.Errorf("after %d rounds and taking back (-want +got):\n%s", out.Rounds, d)
				}
			})
		})
	}
}

// A table that cannot be taken back keeps no other from it, and is the only one
// that the outcome does not call old.
func TestTakeBackOfTheOtherTables(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	want := rules(t, h.State(), pre4)
	h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
		if s.Family == ir.IPv4 {
			return next(s)
		}
		now := h.State()
		c := now.Table(ir.IPv4, "filter").Chain("INPUT")
		if !c.HasNative() {
			c.Rules = append(c.Rules, &ir.Rule{Native: &ir.Native{Handle: 7, Expr: "iifname \"wt0\" accept"}})
			h.Replace(now)
		}
		return refuse(s, "-A SITE_INPUT", "Device or resource busy", next)
	}
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
	must(t, out, converge.Stuck)
	if d := cmp.Diff(want, rules(t, h.State(), pre4)); d != "" {
		t.Errorf("nat was not taken back (-want +got):\n%s", d)
	}
	old := map[ir.TableKey]string{
		{Family: ir.IPv4, Name: "nat"}: "old", {Family: ir.IPv4, Name: "filter"}: "new", {Family: ir.IPv6, Name: "filter"}: "old",
	}
	if d := cmp.Diff(old, out.Tables); d != "" {
		t.Errorf("tables (-want +got):\n%s", d)
	}
}
