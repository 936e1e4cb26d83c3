package field

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// life is what is sent to a node by the versions of a ruleset, one after the
// other, and by its removal: chains made, filled, changed and dropped, jumps put
// in, moved, changed and taken out, copies collapsed.
func life(t *testing.T, n *node) []backend.Cmd {
	t.Helper()
	n.recorded("rke2-duplicates")
	n.sent = nil
	v1 := siteInput(", after: [calico], before: [kubelet]")
	v2 := strings.Replace(siteInput(", match: {in: mgmt-br}, after: [calico], before: [kubelet]"), "dport 22", "dport 2222", 1)
	v3 := v2 + `        - {hook: FORWARD, jump: SITE_INPUT, at: first}
    nat:
      adopt:
        - {hook: PREROUTING, jump: OVN-PREROUTING, families: [ipv4], after: [cali-PREROUTING], before: [KUBE-SERVICES], duplicates: collapse}
`
	for _, text := range []string{v1, v2, v3, v1} {
		n.must(n.apply(text), converge.Done)
	}
	for _, f := range ir.Families {
		// A copy of ours at the end of INPUT, and Calico's jump behind it.
		n.run("*filter\n-A INPUT "+inputJump+"\nCOMMIT\n", n.tool(f, "-restore"), "--noflush")
	}
	n.must(n.apply(v1), converge.Done)
	n.must(n.remove(v1), converge.Done)
	if len(n.sent) < 8 {
		t.Fatalf("%d restores were sent, want more: the test shows nothing", len(n.sent))
	}
	return n.sent
}

// sentLines calls f with the table and each line of what was sent.
func sentLines(sent []backend.Cmd, f func(table, line string)) {
	for _, c := range sent {
		table := ""
		for line := range strings.Lines(c.Stdin) {
			line = strings.TrimSuffix(line, "\n")
			if name, ok := strings.CutPrefix(line, "*"); ok {
				table = name
			}
			f(table, line)
		}
	}
}

// T-2: an owned chain is declared, which empties it, and filled; no rule of it is
// deleted by its text. What is deleted in shared chains is a jump to a chain of
// ours, or an adopted copy.
func TestT2DeletedByOwnTextOnly(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		sentLines(life(t, n), func(_, line string) {
			rest, ok := strings.CutPrefix(line, "-D ")
			switch {
			case !ok:
			case strings.HasPrefix(rest, "SITE_"):
				t.Errorf("a rule of an owned chain is deleted by text: %s", line)
			case !strings.HasSuffix(line, "-j SITE_INPUT") && !strings.HasSuffix(line, "-j OVN-PREROUTING"):
				t.Errorf("a rule of somebody else is deleted: %s", line)
			}
		})
		for _, c := range n.sent {
			if !strings.Contains(strings.Join(c.Argv, " "), "--noflush") {
				t.Errorf("%q would replace whole tables", c.Argv)
			}
		}
	})
}

// T-3: nothing but iptables' own tools writes into iptables' tables, and every
// other reader goes on reading them.
func TestT3NothingNative(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("harvester-healthy")
		n.must(n.apply(siteInput(", after: [calico], before: [kubelet]")), converge.Done)
		for _, c := range n.sent {
			if tool := filepath.Base(c.Argv[0]); !strings.HasPrefix(tool, "iptables-"+n.kind()) && !strings.HasPrefix(tool, "ip6tables-"+n.kind()) {
				t.Errorf("written by %q", c.Argv)
			}
		}
		for _, f := range ir.Families {
			res := n.try("", n.tool(f, "-save"))
			if all := res.Stdout + res.Stderr; res.Exit != 0 || strings.Contains(all, "incompatible") {
				t.Errorf("%s: exit %d: %s", n.tool(f, "-save"), res.Exit, res.Stderr)
			}
			for _, rule := range []string{firewall, inputJump} {
				if res := n.try("*filter\n-C INPUT "+rule+"\nCOMMIT\n", n.tool(f, "-restore"), "--noflush"); res.Exit != 0 {
					t.Errorf("%s no longer finds %s: %s", n.tool(f, ""), rule, res.Stderr)
				}
			}
		}
	})
}

// T-4: foreign rules keep bytes, order and counters through everything that is
// done, and removal gives the node back.
func TestT4ForeignRulesStay(t *testing.T) {
	for _, scenario := range []string{"harvester-healthy", "clean-node", "empty-node"} {
		t.Run(scenario, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				n.recorded(scenario)
				before := foreign(n.saves())
				ruleset := siteInput(", after: [calico], before: [kubelet]")
				for _, text := range []string{ruleset, strings.Replace(ruleset, "dport 22", "dport 2222", 1)} {
					n.must(n.apply(text), converge.Done)
					if d := cmp.Diff(before, foreign(n.saves())); d != "" {
						t.Fatalf("foreign lines, counters included (-before +after):\n%s", d)
					}
				}
				n.must(n.remove(ruleset), converge.Done)
				if d := cmp.Diff(before, foreign(n.saves())); d != "" || strings.Contains(n.saves(), "SITE_") {
					t.Errorf("after removal (-before +after):\n%s", d)
				}
			})
		})
	}
}

// T-16: what would flush a shared chain or change a policy is never sent, and a
// policy that somebody set stays.
func TestT16NoFlushAndNoPolicy(t *testing.T) {
	builtin := regexp.MustCompile(`^(:|-F |-X |-Z |-P |-E |-N )(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)\b`)
	whole := regexp.MustCompile(`^-[FXZ]$`)
	both(t, func(t *testing.T, n *node) {
		sentLines(life(t, n), func(_, line string) {
			if builtin.MatchString(line) || whole.MatchString(line) {
				t.Errorf("sent: %s", line)
			}
		})
		for _, f := range ir.Families {
			n.run("", n.tool(f, ""), "-w", "-P", "FORWARD", "DROP")
		}
		n.must(n.apply(siteInput("")), converge.Done)
		n.must(n.remove(siteInput("")), converge.Done)
		for _, f := range ir.Families {
			if s := n.run("", n.tool(f, ""), "-w", "-S", "FORWARD"); !strings.HasPrefix(s, "-P FORWARD DROP") {
				t.Errorf("%s: the policy is gone: %s", f, s)
			}
		}
	})
}

// T-17: what stands in the wild (FIELD M-36 to M-40) is read, and stays as it is.
func TestT17HostileTextSurvives(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "hostile.txt"))
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, n *node) {
		n.run("", "ipset", "create", "ovn40subnets", "hash:net")
		n.load(string(text), "")
		if n.variant == ir.IptablesNFT {
			// Legacy tables beside them make the nft tools print warnings between the lines.
			n.run("", "iptables-legacy", "-w", "-t", "raw", "-A", "OUTPUT", "-j", "ACCEPT")
		}
		before := n.save(ir.IPv4)
		ruleset := siteInput(`, after: [{comment: "dnat name: *"}], before: [{comment: "second of two"}]`)
		n.must(n.apply(ruleset), converge.Done)
		if d := cmp.Diff(foreign(before), foreign(n.save(ir.IPv4))); d != "" {
			t.Errorf("foreign lines (-before +after):\n%s", d)
		}
		got := n.chain(ir.IPv4, "filter", "INPUT")
		at := -1
		for i, r := range got {
			if r == inputJump {
				at = i
			}
		}
		if at < 1 || at+1 >= len(got) || !strings.Contains(got[at-1], `dnat name: \"cbr0\"`) {
			t.Errorf("our jump is not behind the rule with the quoted comment: %q", got)
		}
		if out := n.must(n.apply(ruleset), converge.Done); out.Wrote {
			t.Error("a second apply wrote something")
		}
	})
}

// T-3, from the other side: where others wrote native rules into a chain, iptables
// misreads it (FIELD M-27, M-50). Nothing is placed in it and nothing is deleted
// from it by text; other chains are worked on all the same.
func TestT3NativeRulesOfOthers(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	text := filterText(caliInput, firewall)
	n.load(text, text)
	ruleset := siteInput(", after: [calico]")
	n.must(n.apply(ruleset+"        - {hook: FORWARD, jump: SITE_INPUT}\n"), converge.Done)
	n.run("", "nft", "insert", "rule", "ip", "filter", "FORWARD", "ct", "state", "established", "counter", "accept")
	n.unchanged(func() {
		// The jump in FORWARD is wanted no more.
		out := n.must(n.apply(ruleset), converge.Refused)
		if !out.Plan.Diags.Has(diag.UndeletableRule) {
			t.Errorf("findings, want %s:\n%s", diag.UndeletableRule, findings(out.Plan.Diags))
		}
		// A jump is wanted there with another match.
		other := ruleset + "        - {hook: FORWARD, jump: SITE_INPUT, match: {in: eth0}}\n"
		out = n.must(n.apply(other), converge.Refused)
		if shown := findings(out.Plan.Diags); !out.Plan.Diags.Has(diag.NativeRules) || !strings.Contains(shown, "handle") {
			t.Errorf("findings, want %s with the rule:\n%s", diag.NativeRules, shown)
		}
		if res := n.hookline(other, "apply"); res.Exit != 3 {
			t.Errorf("exit %d, want 3: %s", res.Exit, res.Stderr)
		}
		// What stands in bounds may stay: there is nothing to write.
		out = n.must(n.apply(ruleset+"        - {hook: FORWARD, jump: SITE_INPUT}\n"), converge.Done)
		if !out.Plan.Diags.Has(diag.NativeRules) {
			t.Errorf("findings, want the warning %s:\n%s", diag.NativeRules, findings(out.Plan.Diags))
		}
	})
}
