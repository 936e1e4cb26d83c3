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
