package field

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/internal/converge"
)

// routerSyncs is kube-router's sync: each of its jumps is put in at position 1,
// then the one that stood elsewhere is deleted.
func (n *node) routerSyncs() {
	n.t.Helper()
	for chain, jump := range map[string]string{"INPUT": routerInput, "FORWARD": routerForward} {
		old := 0
		for i, rule := range n.chain(ir.IPv4, "filter", chain) {
			if rule == jump {
				old = i + 1
			}
		}
		if old == 1 {
			continue
		}
		n.feed(ir.IPv4, "filter", "-I "+chain+" 1 "+jump)
		if old > 0 {
			n.run("", n.tool(ir.IPv4, ""), "-w", "-D", chain, fmt.Sprint(old+1))
		}
	}
}

// N-9: NetBird starts again and again, kube-router syncs in between or does not,
// and a timer applies. A peer is filtered again as soon as an apply has run, and
// nobody moves a rule for ever: once each has had its turn, nothing is written.
func TestN9NetBirdStartsUnderATimer(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		peer := n.wired("wt0", "100.64.0.1/24", "100.64.0.2/24")
		n.serve(9999)
		n.serve(22)
		n.recorded("k3s-netbird-healthy")
		n.must(n.apply(k3s(t)), converge.Done)
		starts := func() {
			for _, chain := range []string{"INPUT", "FORWARD"} {
				n.try("", n.tool(ir.IPv4, ""), "-w", "-D", chain, "-i", "wt0", "-j", "ACCEPT")
				n.feed(ir.IPv4, "filter", "-I "+chain+" 1 "+nbAccept)
			}
		}
		for round, syncs := range []bool{true, false, true} {
			starts()
			if !peer.reaches("100.64.0.2", "100.64.0.1:9999", patience) {
				t.Fatalf("round %d: NetBird's accept at the top lets nobody in, the test shows nothing", round)
			}
			n.must(n.apply(k3s(t)), converge.Done)
			if peer.reaches("100.64.0.2", "100.64.0.1:9999", glance) {
				t.Errorf("round %d: a closed port is open behind the apply", round)
			}
			if syncs {
				n.routerSyncs()
			}
			for range 3 {
				if out := n.must(n.apply(k3s(t)), converge.Done); out.Wrote {
					t.Errorf("round %d: an apply with nothing to do wrote", round)
				}
			}
			if peer.reaches("100.64.0.2", "100.64.0.1:9999", glance) || !peer.reaches("100.64.0.2", "100.64.0.1:22", patience) {
				t.Errorf("round %d: peers do not reach what they may, and nothing else", round)
			}
		}
	})
}

// N-10: kube-router accepts by a bit of its mark ahead of ours, and a tag with that
// bit would open every port. The mark is refused, and the port stays closed; the
// ruleset without that refusal shows what it is good for.
func TestN10KubeRoutersMarkOpensThePort(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		peer := n.wired("wt0", "100.64.0.1/24", "100.64.0.2/24")
		n.serve(9999)
		n.recorded("k3s-netbird-healthy")
		n.must(n.apply(k3s(t)), converge.Done)
		if peer.reaches("100.64.0.2", "100.64.0.1:9999", glance) {
			t.Fatal("the port is open without a tag")
		}
		oldnew := []string{"default: false", "default: true", "default: 0x80/0x80", "default: 0x20000/0x20000"}
		res := n.hookline(k3s(t, oldnew...), "apply")
		for _, want := range []string{"mark-is-not-kube-routers", "0x20000", "kube-router's"} {
			if res.Exit != 3 || !strings.Contains(res.Stderr, want) {
				t.Errorf("exit %d, want 3 and %q:\n%s", res.Exit, want, res.Stderr)
			}
		}
		if peer.reaches("100.64.0.2", "100.64.0.1:9999", glance) {
			t.Error("the port is open behind a refused apply")
		}
		oldnew = append(oldnew, "[1235679abdef][0-9a-f]{4}", "never")
		n.must(n.apply(k3s(t, oldnew...)), converge.Done)
		if !peer.reaches("100.64.0.2", "100.64.0.1:9999", patience) {
			t.Error("the port is closed with kube-router's mark: the refusal is good for nothing")
		}
		n.must(n.apply(k3s(t, "default: false", "default: true")), converge.Done)
		if peer.reaches("100.64.0.2", "100.64.0.1:9999", glance) {
			t.Error("the port is open with the mark of the shipped ruleset")
		}
	})
}
