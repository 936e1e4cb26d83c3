package field

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// The jumps of nat PREROUTING on a Kubernetes node (FIELD 1.0).
const (
	caliJump  = `-m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING`
	kubeJump  = `-m comment --comment "kubernetes service portals" -j KUBE-SERVICES`
	hostJump  = `-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT`
	ovnJump   = `-m comment --comment "kube-ovn prerouting rules" -j OVN-PREROUTING`
	preJump   = `-m comment --comment "hookline:site" -j SITE_PRE`
	inputJump = `-m comment --comment "hookline:site" -j SITE_INPUT`
	caliInput = `-m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT`
	firewall  = `-j KUBE-FIREWALL`
)

// natText is a nat table with jumps in PREROUTING.
func natText(jumps ...string) string {
	text := "*nat\n:cali-PREROUTING - [0:0]\n:KUBE-SERVICES - [0:0]\n:CNI-HOSTPORT-DNAT - [0:0]\n:OVN-PREROUTING - [0:0]\n"
	for _, j := range jumps {
		text += "[7:420] -A PREROUTING " + j + "\n"
	}
	return text + "COMMIT\n"
}

// filterText is a filter table with jumps in INPUT.
func filterText(jumps ...string) string {
	text := "*filter\n:cali-INPUT - [0:0]\n:KUBE-FIREWALL - [0:0]\n"
	for _, j := range jumps {
		text += "[3:180] -A INPUT " + j + "\n"
	}
	return text + "COMMIT\n"
}

// sitePre puts a jump into nat PREROUTING of both families; bounds is the rest of
// the anchor.
func sitePre(bounds string) string {
	return fmt.Sprintf(`apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  owns: {chains: ["SITE_*"]}
  tables:
    nat:
      chains:
        SITE_PRE: {rules: ["-p tcp -m tcp --dport 80 -j RETURN"]}
      anchors:
        - {hook: PREROUTING, jump: SITE_PRE%s}
`, bounds)
}

// siteInput is a protective chain in filter INPUT of both families.
func siteInput(bounds string) string {
	return fmt.Sprintf(`apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  owns: {chains: ["SITE_*"]}
  tables:
    filter:
      chains:
        SITE_INPUT:
          rules:
            - "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            - {match: {protocol: icmpv6}, action: accept, families: [ipv6]}
            - "-p tcp -m tcp --dport 22 -j ACCEPT"
            - "-j DROP"
      anchors:
        - {hook: INPUT, jump: SITE_INPUT%s}
`, bounds)
}

const between = ", after: [calico], before: [kube-proxy]"

func TestH1PlacedBetweenCalicoAndKubeProxy(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		text := natText(caliJump, kubeJump, hostJump)
		n.load(text, text)
		before := n.saves()
		n.must(n.apply(sitePre(between)), converge.Done)
		for _, f := range ir.Families {
			if d := cmp.Diff([]string{caliJump, preJump, kubeJump, hostJump}, n.chain(f, "nat", "PREROUTING")); d != "" {
				t.Errorf("%s PREROUTING (-want +got):\n%s", f, d)
			}
		}
		if d := cmp.Diff(foreign(before), foreign(n.saves())); d != "" {
			t.Errorf("foreign lines, counters included (-before +after):\n%s", d)
		}
	})
}

func TestH3DuplicatesAfterACrash(t *testing.T) {
	const old = `-i eth9 -m comment --comment "hookline:site" -j SITE_PRE`
	tests := []struct {
		name  string
		jumps []string
	}{
		{"two copies", []string{preJump, caliJump, preJump, kubeJump, hostJump}},
		{"two copies out of bounds", []string{caliJump, kubeJump, preJump, hostJump, preJump}},
		{"old and new", []string{old, caliJump, kubeJump, preJump, hostJump}},
		{"old and new, both in bounds", []string{caliJump, old, preJump, kubeJump, hostJump}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				text := strings.Replace(natText(tt.jumps...), "*nat\n", "*nat\n:SITE_PRE - [0:0]\n", 1)
				n.load(text, text)
				before := n.saves()
				n.must(n.apply(sitePre(between)), converge.Done)
				for _, f := range ir.Families {
					if d := cmp.Diff([]string{caliJump, preJump, kubeJump, hostJump}, n.chain(f, "nat", "PREROUTING")); d != "" {
						t.Errorf("%s PREROUTING (-want +got):\n%s", f, d)
					}
				}
				if d := cmp.Diff(foreign(before), foreign(n.saves())); d != "" {
					t.Errorf("foreign lines (-before +after):\n%s", d)
				}
			})
		})
	}
}

// kube-proxy in nftables mode has no KUBE-SERVICES: what that means is said by
// ifMissing, and a second apply has nothing to do whatever it says (kube-ovn#5420).
func TestH4ReferenceAbsent(t *testing.T) {
	tests := []struct {
		missing string
		want    []string
		status  converge.Status
		exit    int
	}{
		{"ignore", []string{caliJump, preJump, hostJump}, converge.Done, 0},
		{"hold", []string{caliJump, hostJump}, converge.Done, 0},
		{"fail", []string{caliJump, hostJump}, converge.Refused, 3},
	}
	for _, tt := range tests {
		t.Run(tt.missing, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				text := natText(caliJump, hostJump)
				n.load(text, text)
				ruleset := sitePre(between + ", ifMissing: {kube-proxy: " + tt.missing + "}")
				n.must(n.apply(ruleset), tt.status)
				for _, f := range ir.Families {
					if d := cmp.Diff(tt.want, n.chain(f, "nat", "PREROUTING")); d != "" {
						t.Errorf("%s PREROUTING (-want +got):\n%s", f, d)
					}
				}
				before := n.saves()
				again := n.must(n.apply(ruleset), tt.status)
				if again.Wrote || n.saves() != before {
					t.Error("a second apply wrote something")
				}
				if res := n.hookline(ruleset, "apply"); res.Exit != tt.exit {
					t.Errorf("exit %d, want %d: %s", res.Exit, tt.exit, res.Stderr)
				}
			})
		})
	}
}

// At boot there is nothing to stand behind. The chain protects at once; when the
// programs have come, the jump moves in one step: a reader never finds INPUT
// without it.
func TestH13BootThenPrograms(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		ruleset := siteInput(", after: [calico], before: [kubelet]")
		n.must(n.apply(ruleset), converge.Done)
		for _, f := range ir.Families {
			if d := cmp.Diff([]string{inputJump}, n.chain(f, "filter", "INPUT")); d != "" {
				t.Fatalf("%s INPUT at boot (-want +got):\n%s", f, d)
			}
		}
		// kubelet prepends, Calico goes to the top.
		for _, f := range ir.Families {
			n.run("*filter\n:KUBE-FIREWALL - [0:0]\n-I INPUT "+firewall+"\nCOMMIT\n", n.tool(f, "-restore"), "--noflush")
			n.run("*filter\n:cali-INPUT - [0:0]\n-I INPUT "+caliInput+"\nCOMMIT\n", n.tool(f, "-restore"), "--noflush")
		}
		seen := n.watch(ir.IPv4, "filter", func(save string) error {
			if !strings.Contains(save, "-A INPUT "+inputJump) {
				return fmt.Errorf("INPUT has no jump of ours:\n%s", save)
			}
			return nil
		})
		n.must(n.apply(ruleset), converge.Done)
		t.Logf("a reader looked %d times", seen())
		for _, f := range ir.Families {
			if d := cmp.Diff([]string{caliInput, inputJump, firewall}, n.chain(f, "filter", "INPUT")); d != "" {
				t.Errorf("%s INPUT (-want +got):\n%s", f, d)
			}
		}
		if out := n.must(n.apply(ruleset), converge.Done); out.Wrote {
			t.Error("a third apply wrote something")
		}
	})
}

func TestH14BothFamiliesFromOneSource(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.must(n.apply(siteInput("")), converge.Done)
		want := []string{
			"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
			"-p tcp -m tcp --dport 22 -j ACCEPT",
			"-j DROP",
		}
		if d := cmp.Diff(want, n.chain(ir.IPv4, "filter", "SITE_INPUT")); d != "" {
			t.Errorf("ipv4 (-want +got):\n%s", d)
		}
		want = slices.Insert(want, 1, "-p ipv6-icmp -j ACCEPT")
		if d := cmp.Diff(want, n.chain(ir.IPv6, "filter", "SITE_INPUT")); d != "" {
			t.Errorf("ipv6 (-want +got):\n%s", d)
		}
		for _, f := range ir.Families {
			if d := cmp.Diff([]string{inputJump}, n.chain(f, "filter", "INPUT")); d != "" {
				t.Errorf("%s INPUT (-want +got):\n%s", f, d)
			}
		}
	})
}

// Places come from the live chain: by who jumps where, whatever the comment.
func TestT5ResolvedAgainstTheLiveChain(t *testing.T) {
	const rehashed = `-m comment --comment "cali:0i8pjzKKPyA34aQD" -j cali-PREROUTING`
	const noComment = `-j KUBE-SERVICES`
	tests := []struct {
		name   string
		jumps  []string
		bounds string
		want   []string
		code   diag.Code // of a refusal
	}{
		{"another hash", []string{rehashed, kubeJump}, between, []string{rehashed, preJump, kubeJump}, ""},
		{"no comment", []string{caliJump, noComment}, between, []string{caliJump, preJump, noComment}, ""},
		{"by chain", []string{rehashed, kubeJump}, ", after: [cali-PREROUTING], before: [KUBE-SERVICES]", []string{rehashed, preJump, kubeJump}, ""},
		{"by rule", []string{caliJump, hostJump, kubeJump}, ", before: [{target: CNI-HOSTPORT-*}]", []string{caliJump, preJump, hostJump, kubeJump}, ""},
		{"absent", []string{hostJump}, between, []string{hostJump, preJump}, ""},
		{"duplicate", []string{caliJump, kubeJump, caliJump}, ", after: [calico]", []string{caliJump, kubeJump, caliJump, preJump}, ""},
		{"crossing", []string{kubeJump, caliJump}, between, []string{kubeJump, caliJump}, diag.CrossingBounds},
		{"duplicate that crosses", []string{caliJump, kubeJump, caliJump}, between, []string{caliJump, kubeJump, caliJump}, diag.CrossingBounds},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				text := natText(tt.jumps...)
				n.load(text, text)
				before := n.saves()
				want := converge.Done
				if tt.code != "" {
					want = converge.Refused
				}
				out := n.must(n.apply(sitePre(tt.bounds)), want)
				for _, f := range ir.Families {
					if d := cmp.Diff(tt.want, n.chain(f, "nat", "PREROUTING")); d != "" {
						t.Errorf("%s PREROUTING (-want +got):\n%s", f, d)
					}
				}
				if tt.code == "" {
					return
				}
				shown := findings(out.Plan.Diags)
				if !out.Plan.Diags.Has(tt.code) || !strings.Contains(shown, caliJump) || !strings.Contains(shown, kubeJump) {
					t.Errorf("findings, want %s with both rules:\n%s", tt.code, shown)
				}
				if n.saves() != before {
					t.Error("the node was written to")
				}
				if res := n.hookline(sitePre(tt.bounds), "apply"); res.Exit != 3 {
					t.Errorf("exit %d, want 3: %s", res.Exit, res.Stderr)
				}
			})
		})
	}
}

// A place that a program takes back with its next resync is refused, and named.
func TestT6PlaceThatIsTakenBack(t *testing.T) {
	const first = ", before: [calico]"
	both(t, func(t *testing.T, n *node) {
		text := natText(caliJump, kubeJump)
		n.load(text, text)
		before := n.saves()
		res := n.hookline(sitePre(first), "apply")
		if res.Exit != 1 || !strings.Contains(res.Stderr, string(diag.UnstablePlacement)) || !strings.Contains(res.Stderr, "ChainInsertMode") {
			t.Errorf("exit %d, want 1 and %s naming ChainInsertMode:\n%s", res.Exit, diag.UnstablePlacement, res.Stderr)
		}
		if n.saves() != before {
			t.Error("the node was written to")
		}
		res = n.hookline(sitePre(first+", force: true"), "apply")
		if res.Exit != 0 || !strings.Contains(res.Stderr, "warning") || !strings.Contains(res.Stderr, string(diag.UnstablePlacement)) {
			t.Errorf("forced: exit %d, want 0 and a warning:\n%s", res.Exit, res.Stderr)
		}
		if d := cmp.Diff([]string{preJump, caliJump, kubeJump}, n.chain(ir.IPv4, "nat", "PREROUTING")); d != "" {
			t.Errorf("forced (-want +got):\n%s", d)
		}
	})
}
