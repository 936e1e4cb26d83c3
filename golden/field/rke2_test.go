package field

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// the chain of kubeovn/kube-ovn#5078 in its beginnings. What is only watched
// is reported and left alone; what is adopted is deleted by its text, so that no
// index can be too big.
func TestR1DuplicatesOfKubeOVN(t *testing.T) {
	jumps := []string{caliJump, kubeJump, hostJump, ovnJump, ovnJump}
	watched := `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  families: [ipv4]
  owns: {chains: ["SITE_*"]}
  tables:
    nat:
      adopt:
        - {hook: PREROUTING, jump: OVN-PREROUTING, after: [cali-PREROUTING]}
  constraints:
    - name: one-ovn-jump
      severity: warning
      that: planned.chain("ipv4", "nat", "PREROUTING").count("OVN-PREROUTING") <= 1
      message: Kube-OVN's jump stands more than once
`
	both(t, func(t *testing.T, n *node) {
		text := natText(jumps...)
		n.load(text, text)
		n.unchanged(func() {
			res := n.hookline(watched, "apply")
			if res.Exit != 0 {
				t.Errorf("exit %d: %s", res.Exit, res.Stderr)
			}
			for _, want := range []string{"stands 2 times in ipv4 nat PREROUTING", "rule 4: " + ovnJump, "rule 5: " + ovnJump, `count("OVN-PREROUTING") = 2`} {
				if !strings.Contains(res.Stderr, want) {
					t.Errorf("the findings do not say %q:\n%s", want, res.Stderr)
				}
			}
		})
		// The jump that is moved counts anew; everything else of others stays what it is.
		others := func() string {
			return regexp.MustCompile(`\[\d+:\d+\] -A PREROUTING .* -j OVN-PREROUTING\n`).ReplaceAllString(foreign(n.saves()), "")
		}
		before := others()
		n.must(n.apply(shipped(t, "rke2")), converge.Done)
		for _, f := range ir.Families {
			if d := cmp.Diff([]string{caliJump, ovnJump, kubeJump, hostJump}, n.chain(f, "nat", "PREROUTING")); d != "" {
				t.Errorf("%s PREROUTING (-want +got):\n%s", f, d)
			}
		}
		if d := cmp.Diff(before, others()); d != "" {
			t.Errorf("foreign lines (-before +after):\n%s", d)
		}
		sentLines(n.sent, func(_, line string) {
			if strings.HasPrefix(line, "-D ") && line != "-D PREROUTING "+ovnJump {
				t.Errorf("sent: %s", line)
			}
		})
	})
}

// firewalld empties everything. verify tells, apply restores what is
// ours although nothing that it is placed by stands, and whatever comes back in
// whatever order, ours ends up in its place and stays there.
func TestR2FlushedByFirewalld(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		for _, order := range orders("calico", "kube-proxy", "kubelet", "flannel", "kube-ovn") {
			t.Run(strings.Join(order, ","), func(t *testing.T) {
				n := newNode(t, n.variant)
				for _, name := range []string{"kubelet", "kube-proxy", "flannel", "calico", "portmap", "kube-ovn", "calico"} {
					comeback[name](n)
				}
				programs := shippedWith(t, "rke2", "interfaces: [eth0]\nblocked: [198.51.100.0/24]")
				opt := converge.Options{Backend: n.backend(nil), Programs: programs, Store: n.store, Boot: "this one"}
				n.must(n.applyWith(opt), converge.Done)
				healthy := n.chain(ir.IPv4, "filter", "FORWARD")
				n.flush()
				out := n.must(n.applyWith(opt), converge.Done)
				if !out.Wrote || !slices.Equal(n.chain(ir.IPv4, "filter", "FORWARD"), []string{rke2Forward}) {
					t.Errorf("FORWARD after the flush: %q", n.chain(ir.IPv4, "filter", "FORWARD"))
				}
				for _, name := range slices.Concat(order, []string{"calico"}) {
					if !n.lost(opt, "CNI-HOSTPORT-DNAT") {
						t.Errorf("before %s has looked, host ports are not missed", name)
					}
					comeback[name](n)
					n.must(n.applyWith(opt), converge.Done)
				}
				got := n.chain(ir.IPv4, "filter", "FORWARD")
				for _, behind := range []string{kubeForward, flannelFwd, caliAccept, ovnAccept} {
					if slices.Index(got, rke2Forward) > slices.Index(got, behind) || slices.Index(got, rke2Forward) < slices.Index(got, caliForward) {
						t.Errorf("FORWARD is %q, want ours behind Calico's jump and ahead of %s; it was %q", got, behind, healthy)
					}
				}
				if !n.lost(opt, "CNI-HOSTPORT-DNAT") || n.lost(opt, "calico", "kube-proxy", "KUBE-SERVICES", "FLANNEL-FWD") {
					t.Error("host ports alone are to be missed in the end")
				}
				comeback["portmap"](n)
				n.unchanged(func() {
					if out := n.must(n.applyWith(opt), converge.Done); out.Wrote || out.Plan.Lost() {
						t.Errorf("the last apply wrote (%v) or misses something:\n%s", out.Wrote, findings(out.Plan.Diags))
					}
				})
			})
		}
	})
}

// lost tells whether a plan of now holds rules of one of these names to be lost.
func (n *node) lost(opt converge.Options, names ...string) bool {
	n.t.Helper()
	for _, m := range n.must(n.applyWith(opt), converge.Done).Plan.Missing {
		if m.Lost && slices.Contains(names, m.Name) {
			return true
		}
	}
	return false
}

// what is missing is named with the time that its program takes.
func TestR3MissingIsNamedWithItsTime(t *testing.T) {
	times := map[string]string{
		"KUBE-SERVICES": "kube-proxy, within 30 s", "calico/tail": "calico, within 180 s", "cali-FORWARD": "calico, within 180 s",
		"FLANNEL-FWD": "flannel, within 5 s", "CNI-HOSTPORT-DNAT": "portmap, never, until pods with host ports are created again",
	}
	both(t, func(t *testing.T, n *node) {
		n.recorded("rke2-canal")
		ruleset := shipped(t, "rke2")
		if res := n.hookline(ruleset, "apply"); res.Exit != 0 {
			t.Fatalf("apply: exit %d: %s", res.Exit, res.Stderr)
		}
		n.flush()
		res := n.hookline(ruleset, "verify")
		if res.Exit != 2 {
			t.Errorf("exit %d, want 2", res.Exit)
		}
		for name, want := range times {
			_, rest, named := strings.Cut(res.Stdout, name+" (lost: ")
			line, _, _ := strings.Cut(strings.TrimLeft(rest[strings.IndexByte(rest+"\n", '\n'):], "\n "), "\n")
			if !named || !strings.HasPrefix(line, want) {
				t.Errorf("%s: the plan says %q, want %q:\n%s", name, line, want, res.Stdout)
			}
		}
		var plan struct {
			Missing []struct {
				Name, Participant string
				Lost              bool
				Returns           []string
			}
		}
		if err := json.Unmarshal([]byte(n.hookline(ruleset, "plan", "-o", "json").Stdout), &plan); err != nil {
			t.Fatal(err)
		}
		if len(plan.Missing) < len(times) || slices.ContainsFunc(plan.Missing, func(m struct {
			Name, Participant string
			Lost              bool
			Returns           []string
		},
		) bool {
			return !m.Lost || len(m.Returns) == 0
		}) {
			t.Errorf("the plan's JSON: %+v", plan.Missing)
		}
		// kube-proxy's canary comes back with it: what is taken out then takes an hour.
		comeback["kube-proxy"](n)
		n.feed(ir.IPv4, "nat", "-D PREROUTING "+kubeJump)
		if res := n.hookline(ruleset, "verify"); !strings.Contains(res.Stdout, "kube-proxy, up to 1 h later") {
			t.Errorf("exit %d; the plan does not say that it takes an hour:\n%s", res.Exit, res.Stdout)
		}
	})
}

// rules of the shipped rulesets outlive the scripts that stop k3s and RKE2,
// which save, filter by words and restore whole tables.
func TestR4SurvivesKillallScripts(t *testing.T) {
	kill := map[string]func(line string) bool{
		"k3s": func(l string) bool {
			return strings.Contains(l, "KUBE-") || strings.Contains(l, "CNI-") || strings.Contains(strings.ToLower(l), "flannel")
		},
		"rke2": func(l string) bool {
			return slices.ContainsFunc([]string{"KUBE-", "CNI-", "cali-", "cali:", "CILIUM_", "flannel"}, func(s string) bool { return strings.Contains(l, s) })
		},
	}
	values := map[string][]string{
		"harvester": {"role: control-plane", "role: worker\nadmins: [10.0.0.0/8]", "role: witness"},
		"rke2":      {"interfaces: [eth0, bond0]\nblocked: [198.51.100.0/24, \"2001:db8::/32\"]", "role: agent\ninterfaces: [eth0]", "{}"},
	}
	for script, killed := range kill {
		t.Run(script, func(t *testing.T) {
			for name, list := range values {
				for _, v := range list {
					for _, c := range shippedWith(t, name, v)[0].Chains {
						for _, r := range c.Rules {
							if line := "-A " + c.Key.Chain + " " + r.Rule.Text; killed(line) {
								t.Errorf("%s with %q: the script deletes %s", name, v, line)
							}
						}
					}
				}
			}
			both(t, func(t *testing.T, n *node) {
				for _, p := range []string{"kubelet", "kube-proxy", "flannel", "portmap", "calico"} {
					comeback[p](n)
				}
				for _, name := range []string{"harvester", "rke2"} {
					opt := converge.Options{Backend: n.backend(nil), Programs: shippedWith(t, name, values[name][0]), Store: n.store}
					n.must(n.applyWith(opt), converge.Done)
				}
				for _, f := range ir.Families {
					before := n.ours(f)
					var left []string
					for line := range strings.Lines(n.run("", n.tool(f, "-save"))) {
						if !killed(line) {
							left = append(left, line)
						}
					}
					n.run(strings.Join(left, ""), n.tool(f, "-restore"))
					if d := cmp.Diff(before, n.ours(f)); d != "" || len(before) < 20 {
						t.Errorf("%s: %d lines of ours (-before +after):\n%s", f, len(before), d)
					}
					if f == ir.IPv4 && len(n.chain(f, "filter", "INPUT")) > 4 {
						t.Error("the script deleted nothing: the test shows nothing")
					}
				}
			})
		})
	}
}

// ours are the lines of a save that speak of the shipped rulesets' chains.
func (n *node) ours(f ir.Family) []string {
	n.t.Helper()
	var out []string
	for line := range strings.Lines(n.run("", n.tool(f, "-save"))) {
		if strings.Contains(line, "HARVESTER_") || strings.Contains(line, "RKE2_") {
			out = append(out, line)
		}
	}
	return out
}

// names that Felix would delete, and jumps that it would, are refused.
func TestR5NamesOfCalico(t *testing.T) {
	ruleset := func(owns, chain, rule, hookName string) string {
		return fmt.Sprintf(`apiVersion: hookline/v1
kind: Ruleset
metadata: {name: %s, version: 1.0.0}
spec:
  owns: {chains: [%q]}
  tables:
    filter:
      chains:
        %s: {rules: [%q]}
      anchors:
        - {hook: INPUT, jump: %[3]s}
`, hookName, owns, chain, rule)
	}
	tests := []struct {
		name, text string
		code       diag.Code
	}{
		{"chain", ruleset("cali-mine", "cali-mine", "-j RETURN", "site"), diag.ReservedName},
		{"chain of a workload", ruleset("califw-mine", "califw-mine", "-j RETURN", "site"), diag.ReservedName},
		{"owned glob", ruleset("*", "SITE_IN", "-j RETURN", "site"), diag.ReservedName},
		{"jump", ruleset("SITE_*", "SITE_IN", "-j cali-INPUT", "site"), diag.JumpForeign},
		{"ruleset", ruleset("SITE_*", "SITE_IN", "-j RETURN", "for-calico"), diag.ReservedSubstring},
	}
	n := newNode(t, ir.IptablesNFT)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := n.hookline(tt.text, "validate")
			if res.Exit != 1 || !strings.Contains(res.Stderr, "["+string(tt.code)+"]") {
				t.Errorf("exit %d, want 1 and %s:\n%s", res.Exit, tt.code, res.Stderr)
			}
		})
	}
}

// an upgrade of Felix moves its jump in nat POSTROUTING from the top to the
// end, with another comment. What names the chain holds before and after; what
// names the comment does not.
func TestR6FelixUpgrade(t *testing.T) {
	byHash := `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  owns: {chains: ["SITE_*"]}
  tables:
    nat:
      chains: {SITE_POST: {families: [ipv4], rules: ["-j RETURN"]}}
      anchors: [{hook: POSTROUTING, jump: SITE_POST, families: [ipv4], before: [KUBE-POSTROUTING]}]
  constraints:
    - name: by-hash
      that: planned.chain("ipv4", "nat", "POSTROUTING").rules.exists(r, r.comment == "cali:O3lYWMrLQYEMJtB5")
`
	both(t, func(t *testing.T, n *node) {
		n.recorded("rke2-felix-3.28")
		ruleset := shipped(t, "rke2")
		n.must(n.apply(ruleset), converge.Done)
		check := func(version string, hash int) {
			t.Helper()
			n.unchanged(func() {
				if res := n.hookline(ruleset, "verify"); res.Exit != 0 || !strings.Contains(res.Stdout, "calico-masquerades-first-or-last  holds") {
					t.Errorf("Felix %s: exit %d:\n%s%s", version, res.Exit, res.Stdout, res.Stderr)
				}
				if res := n.hookline(byHash, "plan"); res.Exit != hash {
					t.Errorf("Felix %s, by its comment: exit %d, want %d:\n%s", version, res.Exit, hash, res.Stderr)
				}
			})
		}
		check("3.28", 0)
		n.feed(ir.IPv4, "nat", "-D POSTROUTING "+caliPost328, "-A POSTROUTING "+caliPost)
		check("3.29", 3)
		// In between, kube-proxy puts a lost jump at the top; Felix 3.28 would be second.
		n.feed(ir.IPv4, "nat", "-D POSTROUTING "+caliPost, "-I POSTROUTING 2 "+caliPost328)
		if res := n.hookline(ruleset, "verify"); res.Exit != 0 || !strings.Contains(res.Stdout, "calico-masquerades-first-or-last  does not hold (warning)") {
			t.Errorf("Calico among the others: exit %d, want 0 and a warning:\n%s", res.Exit, res.Stdout)
		}
	})
}

// a chain that goes is deleted behind the COMMIT that takes its last jump on
// the nft variant.
func TestR7ChainsGoInASecondBlock(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("rke2-canal")
		opt := converge.Options{Backend: n.backend(nil), Store: n.store, Programs: shippedWith(t, "rke2", "interfaces: [eth0, bond0]\nblocked: [198.51.100.0/24, 203.0.113.0/24]")}
		n.must(n.applyWith(opt), converge.Done)
		before := len(n.ours(ir.IPv4))
		n.sent = nil
		opt.Programs = shippedWith(t, "rke2", "{}")
		n.must(n.applyWith(opt), converge.Done)
		deleted := 0
		for _, c := range n.sent {
			for _, block := range strings.SplitAfter(c.Stdin, "COMMIT\n") {
				x := strings.Contains(block, "\n-X RKE2_INPUT")
				if x {
					deleted++
				}
				if n.variant == ir.IptablesNFT && x && strings.Contains(block, "\n-D ") {
					t.Errorf("one block takes the jumps and deletes the chain:\n%s", block)
				}
			}
		}
		if now := len(n.ours(ir.IPv4)); deleted != 2 || now >= before {
			t.Errorf("RKE2_INPUT was deleted in %d families; %d lines of ours stood, %d do", deleted, before, now)
		}
	})
}

// rules in both variants' tables are told, with the count of each and their
// writers, ahead of any write.
func TestR8LeftoversInTheOtherVariant(t *testing.T) {
	other := map[ir.Variant]string{ir.IptablesNFT: "legacy", ir.IptablesLegacy: "nft"}
	tests := []struct{ name, left, legacy string }{
		{"rules without chains", "*nat\n-A POSTROUTING -s 10.42.0.0/16 ! -d 224.0.0.0/4 -m comment --comment \"flanneld masq\" -j MASQUERADE\nCOMMIT\n", "with 0 chains and 1 rule "},
		{"chains", "*nat\n:FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\nCOMMIT\n", "with 1 chain and 1 rule "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				n.recorded("rke2-canal")
				n.run(tt.left, "iptables-"+other[n.variant]+"-restore")
				n.unchanged(func() {
					res := n.hookline(shipped(t, "rke2"), "plan")
					_, found, ok := strings.Cut(res.Stderr, "warning: iptables-"+other[n.variant]+" tables ")
					if res.Exit != 0 || !ok || !strings.Contains(found, "["+string(diag.MixedBackends)+"]") || !strings.Contains(found, string(n.variant)+" ones, with 1") {
						t.Errorf("exit %d, want 0 and the counts of both:\n%s", res.Exit, res.Stderr)
					}
					if n.variant == ir.IptablesNFT && (!strings.HasPrefix(found, tt.legacy) || !strings.Contains(found, "of these, flannel: ")) {
						t.Errorf("want %q, and flannel:\n%s", tt.legacy, res.Stderr)
					}
				})
			})
		})
	}
}

// one source, two families, one result for each: what IPv6 lacks is said of
// IPv6, and IPv4 does not fail because of it, nor silently.
func TestR9OneResultForEachFamily(t *testing.T) {
	tests := []struct {
		missing string
		exit    int
		v4, v6  []string
		said    string
	}{
		{"{}", 0, []string{caliInput, inputJump, firewall}, []string{inputJump, firewall}, ""},
		{"{calico: hold}", 0, []string{caliInput, inputJump, firewall}, []string{firewall}, "until a rule of calico appears in ipv6 filter INPUT"},
		{"{calico: fail}", 3, []string{caliInput, firewall}, []string{firewall}, "no rule of calico in ipv6 filter INPUT"},
	}
	for _, tt := range tests {
		t.Run(tt.missing, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				n.load(filterText(caliInput, firewall), strings.Replace(filterText(firewall), ":cali-INPUT - [0:0]\n", "", 1))
				res := n.hookline(siteInput(", after: [calico], before: [kubelet], ifMissing: "+tt.missing), "apply")
				if res.Exit != tt.exit || !strings.Contains(res.Stderr, tt.said) {
					t.Errorf("exit %d, want %d and %q:\n%s", res.Exit, tt.exit, tt.said, res.Stderr)
				}
				for f, want := range map[ir.Family][]string{ir.IPv4: tt.v4, ir.IPv6: tt.v6} {
					if d := cmp.Diff(want, n.chain(f, "filter", "INPUT")); d != "" {
						t.Errorf("%s INPUT (-want +got):\n%s", f, d)
					}
				}
			})
		})
	}
}
