package field

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// siteRule is siteInput with a rule ahead of the final DROP, and a chain in nat
// that is committed before filter is.
func siteRule(rule string) string {
	text := strings.Replace(siteInput(""), `            - "-j DROP"`, "            - '"+rule+"'\n            - \"-j DROP\"", 1)
	return text + `    nat:
      chains:
        SITE_PRE: {families: [ipv4], rules: ["-p tcp -m tcp --dport 80 -j RETURN"]}
      anchors:
        - {hook: PREROUTING, jump: SITE_PRE, families: [ipv4]}
`
}

// refusals are rules that can be read, and that a kernel does not take which lacks
// the extension or the object that it names.
var refusals = []struct{ name, rule string }{
	{"an extension that the kernel lacks", "-m ipvs --ipvs -j ACCEPT"},
	{"an object that the kernel lacks", "-m nfacct --nfacct-name nosuch -j ACCEPT"},
	{"a path that the kernel lacks", "-m cgroup --path no/such -j ACCEPT"},
}

func TestH9RefusedRuleLeavesTheNodeAsItWas(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				text := filterText(caliInput, firewall)
				n.load(text, text)
				before := foreign(n.saves())
				out := n.must(n.apply(siteRule(tt.rule)), converge.TakenBack)
				shown := findings(out.Diags)
				if !out.Diags.Has(diag.ToolRefused) || !strings.Contains(shown, "ruleset.yaml:14:") || !strings.Contains(shown, tt.rule) {
					t.Errorf("findings, want %s at line 14 with the rule:\n%s", diag.ToolRefused, shown)
				}
				if d := cmp.Diff(before, foreign(n.saves())); d != "" || strings.Contains(n.saves(), "SITE_") {
					t.Errorf("the node is not as before:\n%s\n%s", n.saves(), d)
				}
				if res := n.hookline(siteRule(tt.rule), "apply"); res.Exit != 5 {
					t.Errorf("exit %d, want 5: %s%s", res.Exit, res.Stdout, res.Stderr)
				}
			})
		})
	}
}

// The same over an earlier version that stands: it goes on standing, with its
// jump at its place.
func TestH9RefusedUpdateKeepsTheOldVersion(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		text := filterText(caliInput, firewall)
		n.load(text, text)
		old := siteRule("-p udp -m udp --dport 53 -j ACCEPT")
		n.must(n.apply(old), converge.Done)
		before := stripCounters(n.saves())
		update := strings.Replace(siteRule("-m nfacct --nfacct-name nosuch -j ACCEPT"), "dport 80", "dport 81", 1)
		n.must(n.apply(update), converge.TakenBack)
		if d := cmp.Diff(before, stripCounters(n.saves())); d != "" {
			t.Errorf("what stands (-before +after):\n%s", d)
		}
		if out := n.must(n.apply(old), converge.Done); out.Wrote {
			t.Error("the old version had to be written again")
		}
	})
}

var counters = regexp.MustCompile(`\[\d+:\d+\] ?`)

// stripCounters takes the counters out of a save: chains that were taken back
// were written anew.
func stripCounters(save string) string { return counters.ReplaceAllString(save, "") }

// A chain that is to go is still jumped to from another program's chain: that is
// said at the plan, not by "Device or resource busy" (kube-ovn#4034).
func TestH12ForeignReferenceToAStaleChain(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.must(n.apply(siteInput("")), converge.Done)
		n.run("*filter\n:AGENT - [0:0]\n-A AGENT -s 192.0.2.1/32 -j SITE_INPUT\n-A FORWARD -j AGENT\nCOMMIT\n", n.tool(ir.IPv4, "-restore"), "--noflush")
		other := strings.ReplaceAll(siteInput(""), "SITE_INPUT", "SITE_OTHER")
		n.unchanged(func() {
			for name, out := range map[string]*converge.Outcome{"apply": n.apply(other), "remove": n.remove(siteInput(""))} {
				n.must(out, converge.Refused)
				shown := findings(out.Plan.Diags)
				if !out.Plan.Diags.Has(diag.ForeignReference) || !strings.Contains(shown, "-A AGENT -s 192.0.2.1/32 -j SITE_INPUT") {
					t.Errorf("%s: findings, want %s with the rule:\n%s", name, diag.ForeignReference, shown)
				}
			}
			for _, args := range [][]string{{"plan"}, {"apply"}} {
				if res := n.hookline(other, args...); res.Exit != 3 || strings.Contains(res.Stderr, "busy") {
					t.Errorf("%s: exit %d, want 3: %s", args, res.Exit, res.Stderr)
				}
			}
		})
		n.run("", n.tool(ir.IPv4, ""), "-w", "-F", "AGENT")
		n.must(n.apply(other), converge.Done)
		if strings.Contains(n.saves(), "SITE_INPUT") {
			t.Errorf("the stale chain stands:\n%s", n.saves())
		}
	})
}

// The rest of T-8 stands in text_test.go: what is sent.
func TestT8WhatIsCommittedTogether(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		text := natText(caliJump, kubeJump) + filterText(caliInput, firewall)
		n.load(text, text)
		ruleset := siteInput(", after: [calico]") + strings.SplitAfter(sitePre(between), "  tables:\n")[1]
		n.must(n.apply(ruleset), converge.Done)
		if len(n.sent) != 2 {
			t.Errorf("%d restores, want one for each family: %q", len(n.sent), n.sent)
		}
		for _, c := range n.sent {
			if got := strings.Count(c.Stdin, "COMMIT\n"); got != 2 || strings.Count(c.Stdin, "*nat\n") != 1 || strings.Count(c.Stdin, "*filter\n") != 1 {
				t.Errorf("%d blocks, want one for nat and one for filter:\n%s", got, c.Stdin)
			}
		}
		plan := n.hookline(strings.Replace(ruleset, "dport 22", "dport 23", 1), "plan")
		for _, want := range []string{"2 commits", "ipv4 filter", "ipv6 filter"} {
			if !strings.Contains(plan.Stdout, want) {
				t.Errorf("the plan does not say %q:\n%s", want, plan.Stdout)
			}
		}
		n.must(n.remove(ruleset), converge.Done)
	})
}

// A process that is killed between two commits leaves each table old or new, and
// the next apply ends what it began.
func TestT8KilledBetweenTables(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		text := natText(caliJump, kubeJump) + filterText(caliInput, firewall)
		n.load(text, text)
		ruleset := siteInput(", after: [calico], before: [kubelet]") + strings.SplitAfter(sitePre(between), "  tables:\n")[1]
		opt := converge.Options{Backend: n.backend(&killed{node: n}), Programs: compile(t, ruleset), Store: n.store}
		if _, err := converge.Apply(context.Background(), opt); !errors.Is(err, errKilled) {
			t.Errorf("the apply ended with %v, want %v", err, errKilled)
		}
		if d := cmp.Diff([]string{caliJump, preJump, kubeJump}, n.chain(ir.IPv4, "nat", "PREROUTING")); d != "" {
			t.Errorf("nat was to be new (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]string{caliInput, firewall}, n.chain(ir.IPv4, "filter", "INPUT")); d != "" {
			t.Errorf("filter was to be old (-want +got):\n%s", d)
		}
		n.must(n.apply(ruleset), converge.Done)
		for _, f := range ir.Families {
			if d := cmp.Diff([]string{caliInput, inputJump, firewall}, n.chain(f, "filter", "INPUT")); d != "" {
				t.Errorf("%s INPUT (-want +got):\n%s", f, d)
			}
		}
	})
}

// T-13: the references go before the chain; the nft variant gets a block of its
// own for the deletion.
func TestT13ReferencesGoFirst(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		first := siteInput(", after: [calico]")
		first = strings.Replace(first, "        SITE_INPUT:\n", "        SITE_OLD: {rules: [\"-j SITE_OLDER\"]}\n        SITE_OLDER: {rules: [\"-j DROP\"]}\n        SITE_INPUT:\n", 1)
		first += "        - {hook: FORWARD, jump: SITE_OLD}\n        - {hook: OUTPUT, jump: SITE_OLD, match: {out: eth9}}\n"
		text := filterText(caliInput, firewall)
		n.load(text, text)
		n.must(n.apply(first), converge.Done)
		n.sent = nil
		n.must(n.apply(siteInput(", after: [calico]")), converge.Done)
		if strings.Contains(n.saves(), "SITE_OLD") {
			t.Errorf("stale chains stand:\n%s", n.saves())
		}
		for _, c := range n.sent {
			drop, del := strings.Index(c.Stdin, "-X "), strings.LastIndex(c.Stdin, "-D ")
			if drop < del {
				t.Errorf("a chain is deleted before its last jump:\n%s", c.Stdin)
			}
			between := strings.Contains(c.Stdin[del:drop], "COMMIT")
			if want := n.variant == ir.IptablesNFT; between != want {
				t.Errorf("the deletion has a block of its own: %v, want %v:\n%s", between, want, c.Stdin)
			}
		}
	})
}

// killed is the node for a process that is killed behind the first table that it
// commits: from then on it neither reads nor writes, and so takes nothing back.
type killed struct {
	*node
	dead bool
}

var errKilled = errors.New("killed")

func (k *killed) Run(ctx context.Context, cmd backend.Cmd) (backend.Result, error) {
	if k.dead {
		return backend.Result{}, errKilled
	}
	if !writes(cmd) {
		return k.node.Run(ctx, cmd)
	}
	k.dead = true
	cmd.Stdin = cmd.Stdin[:strings.Index(cmd.Stdin, "COMMIT\n")+len("COMMIT\n")]
	if res, err := k.node.Run(ctx, cmd); err != nil || res.Exit != 0 {
		k.t.Errorf("the first table: %v, exit %d: %s", err, res.Exit, res.Stderr)
	}
	return backend.Result{}, errKilled
}
