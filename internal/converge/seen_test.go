package converge_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// lost are the names of the rules that a plan holds to be lost.
func lost(p *compiler.Plan) []string {
	var out []string
	for _, m := range p.Missing {
		if m.Lost {
			out = append(out, m.Key.String()+" "+m.Name)
		}
	}
	slices.Sort(out)
	return out
}

// What stood at an apply is missed at the next plan, also if nothing else on the
// host tells that it was ever there; but only until the host is started again.
func TestSeenWithinOneBoot(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		opt := converge.Options{Backend: h, Programs: programs(t, site), Store: converge.OpenStore(t.TempDir()), Boot: "one"}
		must(t, apply(t, opt), converge.Done)
		want := []string{"ipv4 filter INPUT calico", "ipv4 filter INPUT kubelet", "ipv4 nat PREROUTING calico", "ipv4 nat PREROUTING kube-proxy", "ipv6 filter INPUT calico", "ipv6 filter INPUT kubelet"}
		if got := load(t, opt.Store)[0].Seen; !slices.Equal(got, want) {
			t.Errorf("seen %q, want %q", got, want)
		}
		// Everything of everybody goes, as firewalld does; only kubelet comes back.
		kubelet := "*filter\n:INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\nCOMMIT\n"
		h = newHost(t, v, kubelet, kubelet)
		opt.Backend = h
		want = []string{"ipv4 filter INPUT calico", "ipv4 nat PREROUTING calico", "ipv4 nat PREROUTING kube-proxy", "ipv6 filter INPUT calico"}
		for range 2 { // the second finds ours in place
			out := apply(t, opt)
			must(t, out, converge.Done)
			if got := lost(out.Plan); !slices.Equal(got, want) || !out.Plan.Diags.Has(diag.MissingReference) {
				t.Errorf("lost %q, want %q", got, want)
			}
		}
		for _, boot := range []string{"two", ""} {
			opt.Boot = boot
			plan, err := converge.Plan(context.Background(), opt)
			if err != nil {
				t.Fatal(err)
			}
			if got := lost(plan); len(got) > 0 {
				t.Errorf("boot %q: lost %q, want nothing", boot, got)
			}
		}
		opt.Boot = "two"
		must(t, apply(t, opt), converge.Done)
		if got := strings.Join(load(t, opt.Store)[0].Seen, ", "); got != "ipv4 filter INPUT kubelet, ipv6 filter INPUT kubelet" {
			t.Errorf("after a start of the host: seen %q", got)
		}
	})
}
