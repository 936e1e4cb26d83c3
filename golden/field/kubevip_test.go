package field

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// liveLists are the values of a cluster in which the namespace shop and one of its
// pods live.
const liveLists = `namespaces: [default, kube-system, monitoring, shop]
pods: {shop: [10.244.1.20, "fd00:10:244:1::20"]}
networks: [10.244.0.0/16, 10.96.0.0/12, "fd00:10:244::/48", "fd00:10:96::/112"]
`

// kubeVip is the shipped ruleset with values.
func kubeVip(t *testing.T, values string) []*compiler.Program {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "rulesets", "kube-vip", "ruleset.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", string(text)))
	entries, l := dsl.ParseValues(diag.NewFile("values.yaml", values))
	list.Append(l)
	if list.HasErrors() {
		t.Fatal(findings(list))
	}
	p, list := compiler.Compile(docs[0], compiler.CompileOptions{Values: [][]*dsl.Entry{entries}})
	if list.HasErrors() {
		t.Fatal(findings(list))
	}
	return []*compiler.Program{p}
}

// tidy applies the shipped ruleset.
func (n *node) tidy(values string) *converge.Outcome {
	n.t.Helper()
	return n.applyWith(converge.Options{Backend: n.backend(nil), Programs: kubeVip(n.t, values), Store: n.store})
}

// comparable are the lines of both families' saves, by family and table; counters
// count but for those of policies, which legacy zeroes with every change.
func (n *node) comparable() []string {
	n.t.Helper()
	var out []string
	for _, f := range ir.Families {
		table := ""
		for line := range strings.Lines(n.save(f)) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "*"):
				table = line
			case strings.HasPrefix(line, ":"):
				out = append(out, fmt.Sprintf("%s %s %s", f, table, line[:strings.LastIndex(line, "[")]))
			case line != "COMMIT" && line != "":
				out = append(out, fmt.Sprintf("%s %s %s", f, table, line))
			}
		}
	}
	return out
}

// V-1: without a list of what lives nothing is removed, whatever stands.
func TestV1NothingGoesWithoutLists(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("kube-vip-live-and-stale")
		n.unchanged(func() {
			for _, values := range []string{"{}\n", "namespaces: []\nretired: []\nnetworks: []\npods: {}\n", "pods: {shop: [], e2e-test: []}\n"} {
				out := n.must(n.tidy(values), converge.Done)
				if out.Wrote || !out.Plan.Empty() {
					t.Errorf("%s: something was written", values)
				}
			}
			// What contradicts itself is refused.
			if out := n.must(n.tidy("namespaces: [shop]\n"), converge.Refused); !out.Plan.Diags.Has(diag.ConstraintNot) {
				t.Errorf("a list without kube-system: %s", findings(out.Plan.Diags))
			}
		})
	})
}

// V-2, V-9: of a node with live and stale rules exactly the stale ones go, in both
// families and in three tables; what stays keeps its bytes, its order and its
// counters, and a second run writes nothing.
func TestV2ExactlyTheStaleRulesGo(t *testing.T) {
	stale := func(line string) bool {
		return strings.Contains(line, "e2e-test") || strings.Contains(line, "-s 10.244.1.21/32 ") || strings.Contains(line, "-s fd00:10:244:1::21/128 ") ||
			strings.Contains(line, "KUBE-VIP-EGRESS -d 10.0.0.0/16 ")
	}
	both(t, func(t *testing.T, n *node) {
		n.recorded("kube-vip-live-and-stale")
		n.traffic()
		before := n.comparable()
		var want []string
		for _, line := range before {
			if !stale(line) {
				want = append(want, line)
			}
		}
		if gone := len(before) - len(want); gone != 22 {
			t.Fatalf("%d stale rules stand, want 22", gone)
		}
		n.must(n.tidy(liveLists), converge.Done)
		if d := cmp.Diff(want, n.comparable()); d != "" {
			t.Errorf("lines of both saves (-want +got):\n%s", d)
		}
		n.unchanged(func() {
			if out := n.must(n.tidy(liveLists), converge.Done); out.Wrote || !out.Plan.Empty() {
				t.Error("a second run wrote something")
			}
		})
	})
}

// V-2, over time: kube-vip writes a stale rule again after we tidied up. verify
// finds it as drift, and the next apply takes it away.
func TestV2StaleAgainIsDrift(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("kube-vip-live-and-stale")
		values := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(values, []byte(liveLists), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join("..", "..", "rulesets", "kube-vip", "ruleset.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			command string
			exit    int
		}{{"verify", 2}, {"apply", 0}, {"verify", 0}} {
			if res := n.hookline(string(text), step.command, "--values", values); res.Exit != step.exit {
				t.Fatalf("%s: exit %d, want %d: %s", step.command, res.Exit, step.exit, res.Stderr)
			}
		}
		// As kube-vip says it: an address without its length, a mark in decimal.
		n.run("", n.tool(ir.IPv6, ""), "-w", "-t", "mangle", "-A", "KUBE-VIP-EGRESS", "-s", "FD00:10:244:1:0::21", "-j", "MARK", "--set-mark", "64/64",
			"-m", "comment", "--comment", "a3ViZS12aXAK=kube-vip-shop")
		if res := n.hookline(string(text), "verify", "--values", values); res.Exit != 2 || !strings.Contains(res.Stdout, "fd00:10:244:1::21/128") {
			t.Errorf("verify: exit %d, want 2 and the rule: %s", res.Exit, res.Stdout)
		}
		n.must(n.tidy(liveLists), converge.Done)
	})
}

// V-3: a chain of ours has another name in the next version, and its jump another
// comment: the old chain and the old jump go in the transaction that puts in the
// new ones. A ruleset that changes its own name does not take the old one's jumps.
func TestV3RenamedChainGoesAtOnce(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("kube-vip-live-and-stale")
		before := foreign(n.saves())
		old := siteInput(", before: [kubelet], comment: first words")
		renamed := strings.NewReplacer("SITE_INPUT", "SITE_IN", "first words", "other words").Replace(old)
		n.must(n.apply(old), converge.Done)
		n.sent = nil
		out := n.must(n.apply(renamed), converge.Done)
		if len(n.sent) != 2 || out.Rounds != 1 { // one restore for each family
			t.Errorf("%d restores in %d rounds, want one for each family", len(n.sent), out.Rounds)
		}
		for _, c := range n.sent {
			first, _, _ := strings.Cut(c.Stdin, "COMMIT\n")
			for _, line := range []string{"\n-D INPUT ", "\n-I INPUT ", "\n:SITE_IN ", "\n-F SITE_INPUT\n"} {
				if !strings.Contains(first, line) {
					t.Errorf("the first commit does not hold %q:\n%s", line, c.Stdin)
				}
			}
		}
		if s := n.saves(); strings.Contains(s, "SITE_INPUT") || strings.Contains(s, "first words") {
			t.Errorf("something of the old name stands:\n%s", s)
		}
		if d := cmp.Diff(before, foreign(n.saves())); d != "" {
			t.Errorf("foreign lines (-before +after):\n%s", d)
		}
		other := strings.Replace(renamed, "name: site,", "name: edge,", 1)
		n.unchanged(func() {
			out := n.applyWith(converge.Options{Backend: n.backend(nil), Programs: compile(t, other)}) // without a record
			if out.Status != converge.Refused || !out.Plan.Diags.Has(diag.OtherRuleset) {
				t.Errorf("status %d: %s", out.Status, findings(out.Plan.Diags))
			}
		})
	})
}

// collecting is a ruleset that takes all of an agent's chain away.
const collecting = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: tidy, version: 1.0.0}
spec:
  families: [ipv4]
  tables:
    mangle:
      collect:
        - {chain: AGENT, where: 'rule.comment.startsWith("agent")', dropEmpty: true, reason: the agent is gone}
`

// leftAgent are an agent's chain and jumps to it from everywhere, some twice.
func (n *node) leftAgent() {
	n.t.Helper()
	var b strings.Builder
	b.WriteString("*mangle\n:AGENT - [0:0]\n:OTHER - [0:0]\n")
	for _, hook := range []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "OTHER"} {
		fmt.Fprintf(&b, "-A %s -s 192.0.2.1/32 -j RETURN\n-A %[1]s -j AGENT\n-A %[1]s -m mark --mark 0x1 -j RETURN\n-A %[1]s -m comment --comment \"agent: %[1]s\" -j AGENT\n-A %[1]s -j AGENT\n-A %[1]s -p udp -g AGENT\n", hook)
	}
	b.WriteString("-A AGENT -s 10.1.2.3/32 -m comment --comment agent -j MARK --set-xmark 0x40/0x40\nCOMMIT\n")
	n.run(b.String(), n.tool(ir.IPv4, "-restore"), "--noflush")
}

// V-4: a chain is jumped to from 24 places. All the jumps go, and then the chain.
func TestV4EveryJumpGoesFirst(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.leftAgent()
		n.must(n.apply(collecting), converge.Done)
		text := n.save(ir.IPv4)
		if strings.Contains(text, "AGENT") || strings.Count(text, "-s 192.0.2.1/32 -j RETURN") != 6 || strings.Count(text, "-m mark --mark 0x1 -j RETURN") != 6 {
			t.Errorf("after the apply:\n%s", text)
		}
	})
}

// tool stands in for restores: it is given the script and the real tool.
type tool struct {
	n       *node
	restore func(c backend.Cmd, run func(backend.Cmd) (backend.Result, error)) (backend.Result, error)
}

func (r *tool) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	run := func(c backend.Cmd) (backend.Result, error) { return r.n.ns.Runner().Run(ctx, c) }
	if !writes(c) {
		return run(c)
	}
	return r.restore(c, run)
}

// blocks cuts a restore text behind its first COMMIT.
func blocks(c backend.Cmd) (first, rest backend.Cmd) {
	first, rest = c, c
	i := strings.Index(c.Stdin, "COMMIT\n") + len("COMMIT\n")
	first.Stdin, rest.Stdin = c.Stdin[:i], c.Stdin[i:]
	return first, rest
}

// V-5: killed between two commits. On iptables-nft an empty chain that nothing
// refers to is left; the next apply ends where an undisturbed one would have.
func TestV5KilledBetweenCommits(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.leftAgent()
		_, err := converge.Apply(context.Background(), converge.Options{Backend: n.backend(&killed{node: n}), Programs: compile(t, collecting)})
		if !errors.Is(err, errKilled) {
			t.Fatalf("the killed apply ended with %v", err)
		}
		text := n.save(ir.IPv4)
		if left := strings.Contains(text, ":AGENT - "); strings.Contains(text, "-j AGENT") || strings.Contains(text, "-A AGENT") || left != (n.variant == ir.IptablesNFT) {
			t.Errorf("between the commits:\n%s", text)
		}
		n.must(n.apply(collecting), converge.Done)
		if strings.Contains(n.save(ir.IPv4), "AGENT") {
			t.Errorf("after the next apply:\n%s", n.save(ir.IPv4))
		}
	})
}

// V-5, from the other side: the agent is not gone, and fills its chain between our
// two commits. The chain stays, and the jumps are put back to their places.
func TestV5FilledBetweenCommits(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.leftAgent()
	const live = "-A AGENT -s 10.9.9.9/32 -m comment --comment live -j MARK --set-xmark 0x40/0x40\n"
	want := strings.Replace(bareSave(n), "-A OTHER", live+"-A OTHER", 1)
	filled := false
	r := &tool{n, func(c backend.Cmd, run func(backend.Cmd) (backend.Result, error)) (backend.Result, error) {
		if filled {
			return run(c)
		}
		filled = true
		first, rest := blocks(c)
		if res, err := run(first); err != nil || res.Exit != 0 {
			t.Fatalf("the first commit: %v %s", err, res.Stderr)
		}
		n.run("*mangle\n"+live+"COMMIT\n", n.tool(ir.IPv4, "-restore"), "--noflush")
		res, err := run(rest)
		if err == nil && res.Exit == 0 {
			t.Error("iptables-nft deleted a chain with a rule in it")
		}
		// The tool counts the lines of what it was given.
		res.Stderr = strings.ReplaceAll(res.Stderr, "line 2:", fmt.Sprintf("line %d:", 2+strings.Count(first.Stdin, "\n")))
		return res, err
	}}
	out := n.applyWith(converge.Options{Backend: n.backend(r), Programs: compile(t, collecting)})
	if out.Status != converge.Moved || !out.Diags.Has(diag.RaceLost) {
		t.Errorf("status %d: %s", out.Status, findings(out.Diags))
	}
	if d := cmp.Diff(want, bareSave(n)); d != "" {
		t.Errorf("after taking back (-want +got):\n%s", d)
	}
}

// V-5, of the whole: IPv6 refuses its transaction, and what was collected in IPv4
// is taken back by the real tools, the chain and all jumps to it included.
func TestV5TakenBackWhole(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.leftAgent()
		n.run("*mangle\n:AGENT - [0:0]\n-A PREROUTING -j AGENT\nCOMMIT\n", n.tool(ir.IPv6, "-restore"), "--noflush")
		before := bareSave(n)
		committed := false
		r := &tool{n, func(c backend.Cmd, run func(backend.Cmd) (backend.Result, error)) (backend.Result, error) {
			if strings.HasPrefix(filepath.Base(c.Argv[0]), "ip6tables") {
				return backend.Result{Exit: 1, Stderr: c.Argv[0] + ": line 2 failed: Device or resource busy.\n"}, nil
			}
			res, err := run(c)
			committed = committed || !strings.Contains(n.save(ir.IPv4), "AGENT")
			return res, err
		}}
		out := n.applyWith(converge.Options{Backend: n.backend(r), Programs: compile(t, strings.Replace(collecting, "  families: [ipv4]\n", "", 1))})
		n.must(out, converge.TakenBack)
		if d := cmp.Diff(before, bareSave(n)); d != "" || !committed {
			t.Errorf("IPv4 was committed: %v; after taking back (-before +after):\n%s", committed, d)
		}
	})
}

// bareSave is the IPv4 save without counters.
func bareSave(n *node) string {
	n.t.Helper()
	return stamp.ReplaceAllString(n.run("", n.tool(ir.IPv4, "-save")), "")
}

// V-6: removal gives the tables back byte for byte, counters apart, and with what
// others did meanwhile. What was collected stays collected.
func TestV6RemovalGivesTheTablesBack(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("kube-vip-live-and-stale")
		saves := func() string {
			return bareSave(n) + stamp.ReplaceAllString(n.run("", n.tool(ir.IPv6, "-save")), "")
		}
		ruleset := siteInput(", before: [kubelet]") + `    nat:
      chains: {SITE_POST: {rules: ["-d 10.20.0.0/16 -j ACCEPT"], families: [ipv4]}}
      anchors: [{hook: POSTROUTING, jump: SITE_POST, families: [ipv4], after: [kube-vip], before: [kube-proxy]}]
    mangle:
      chains: {SITE_PRE: {rules: ["-i eth9 -j RETURN"]}}
      anchors: [{hook: PREROUTING, jump: SITE_PRE, at: first}]
`
		before := saves()
		n.must(n.apply(ruleset), converge.Done)
		n.must(n.remove(ruleset), converge.Done)
		if d := cmp.Diff(before, saves()); d != "" {
			t.Errorf("after removal (-before +after):\n%s", d)
		}
		n.must(n.apply(ruleset), converge.Done)
		const theirs = "-A FORWARD -i wt0 -j ACCEPT\n"
		n.run("*filter\n"+theirs+"COMMIT\n", n.tool(ir.IPv4, "-restore"), "--noflush")
		n.must(n.remove(ruleset), converge.Done)
		if d := cmp.Diff(before, strings.Replace(saves(), theirs, "", 1)); d != "" {
			t.Errorf("after removal, with a foreign change (-before +after):\n%s", d)
		}
		n.must(n.tidy(liveLists), converge.Done)
		tidied := saves()
		out := n.applyWith(converge.Options{Backend: n.backend(nil), Programs: kubeVip(t, liveLists), Store: n.store, Remove: true})
		n.must(out, converge.Done)
		if d := cmp.Diff(tidied, saves()); d != "" || len(out.Plan.LeftAsIs) > 0 {
			t.Errorf("removing what only collects, left %q (-before +after):\n%s", out.Plan.LeftAsIs, d)
		}
	})
}

// V-7: kube-vip writes into legacy tables while the node uses the other variant:
// that is said before anything is written.
func TestV7WrongVariantIsNamed(t *testing.T) {
	n := newNode(t, ir.IptablesNFT).recorded("kube-vip-mixed")
	text, err := os.ReadFile(filepath.Join("..", "scenarios", "kube-vip-mixed", "in", "legacy", "iptables-legacy-save.txt"))
	if err != nil {
		t.Fatal(err)
	}
	n.run(string(text), "iptables-legacy-restore")
	n.unchanged(func() {
		out := n.must(n.tidy("namespaces: [kube-system]\n"), converge.Done)
		shown := findings(out.Plan.Diags)
		if !out.Plan.Diags.Has(diag.MixedBackends) || !strings.Contains(shown, "KUBE-VIP-EGRESS stands in iptables-legacy") {
			t.Errorf("findings: %s", shown)
		}
	})
	legacy := &node{t: t, ns: n.ns, variant: ir.IptablesLegacy, store: n.store, state: n.state}
	legacy.must(legacy.tidy("namespaces: [kube-system]\n"), converge.Done)
	if s := n.run("", "iptables-legacy-save"); strings.Contains(s, "VIP") || strings.Contains(s, "kube-vip") {
		t.Errorf("legacy tables after tidying them:\n%s", s)
	}
}

// V-8: the constraint on the order of masquerading, on the host: with Calico 3.28
// it stops the apply (exit 3), with 3.29 it holds.
func TestV8OrderAgainstCalico(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "rulesets", "kube-vip", "ruleset.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, n *node) {
		n.recorded("kube-vip-calico-3.29")
		if res := n.hookline(string(text), "verify", "--set", "namespaces=[kube-system, shop]"); res.Exit != 0 {
			t.Errorf("3.29: exit %d: %s", res.Exit, res.Stderr)
		}
		for _, f := range ir.Families {
			// Back to where 3.28 keeps it.
			n.run("", n.tool(f, ""), "-w", "-t", "nat", "-D", "POSTROUTING", "-m", "comment", "--comment", "cali:0i8pjzKKPyA34aQD", "-j", "cali-POSTROUTING")
			n.run("", n.tool(f, ""), "-w", "-t", "nat", "-I", "POSTROUTING", "-m", "comment", "--comment", "cali:O3lYWMrLQYEMJtB5", "-j", "cali-POSTROUTING")
		}
		n.unchanged(func() {
			for _, command := range []string{"apply", "verify"} {
				res := n.hookline(string(text), command, "--set", "namespaces=[kube-system, shop]", "--set", "networks=[10.244.0.0/16]")
				if res.Exit != 3 || !strings.Contains(res.Stderr, "Upgrade to Calico 3.29") {
					t.Errorf("3.28, %s: exit %d, want 3 and what to do: %s", command, res.Exit, res.Stderr)
				}
			}
		})
		res := n.hookline(string(text), "apply", "--set", "namespaces=[kube-system, shop]", "--set", "networks=[10.244.0.0/16]", "--set", "strictOrder=false")
		if res.Exit != 0 || !strings.Contains(res.Stderr, "warning: egress-ahead-of-calico-reported") || strings.Contains(n.save(ir.IPv4), "-d 10.96.0.0/12 -m comment --comment \"a3Vi") {
			t.Errorf("3.28, lenient: exit %d, want 0, the warning and the stale rule gone: %s", res.Exit, res.Stderr)
		}
	})
}

// V-9: rules typed in every way that iptables takes are chosen by what they mean,
// and the text that the tool prints deletes them.
func TestV9EverySpellingCanBeCollected(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		for f, typed := range map[ir.Family][][]string{
			ir.IPv4: {
				{"-s", "10.1.2.3", "-j", "MARK", "--set-mark", "64/64"},
				{"-s", "10.1.2.3/255.255.255.255", "-j", "MARK", "--or-mark", "0x40"},
				{"-s", "10.1.2.3/32", "-p", "6", "--dport", "smtp", "-j", "MARK", "--set-xmark", "0x40/0x40"},
				{"!", "-d", "10.1.9.9/16", "-j", "RETURN"},
			},
			ir.IPv6: {
				{"-s", "FD00:0:0::0003", "-j", "MARK", "--set-mark", "64/64"},
				{"-s", "fd00::3/32", "-j", "RETURN"},
				{"-s", "::ffff:10.1.2.3/128", "-j", "RETURN"},
				{"-d", "fd00::3", "-p", "ipv6-icmp", "--icmpv6-type", "echo-request", "-j", "RETURN"},
			},
		} {
			n.run("", n.tool(f, ""), "-w", "-t", "mangle", "-N", "AGENT")
			n.run("", n.tool(f, ""), "-w", "-t", "mangle", "-A", "PREROUTING", "-j", "AGENT")
			for _, rule := range typed {
				argv := slices.Concat([]string{n.tool(f, ""), "-w", "-t", "mangle", "-A", "AGENT"}, rule, []string{"-m", "comment", "--comment", "agent"})
				n.run("", argv...)
			}
		}
		n.must(n.apply(strings.Replace(collecting, "  families: [ipv4]\n", "", 1)), converge.Done)
		if s := n.saves(); strings.Contains(s, "AGENT") || strings.Contains(s, "agent") {
			t.Errorf("after the apply:\n%s", s)
		}
	})
}

// T-2, of rules of others: beside native rules no text is a safe one, and a table
// that iptables cannot read is not guessed at. Nothing goes, and exit 3 or 1 says so.
func TestT2NothingCollectedBesideNativeRules(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.leftAgent()
	n.run("", "nft", "add", "rule", "ip", "mangle", "OTHER", "ct", "state", "established", "counter", "accept")
	n.unchanged(func() {
		out := n.must(n.apply(collecting), converge.Refused)
		if shown := findings(out.Plan.Diags); !out.Plan.Diags.Has(diag.UndeletableRule) || !strings.Contains(shown, "4 rules of ipv4 mangle OTHER") {
			t.Errorf("findings, want %s for OTHER:\n%s", diag.UndeletableRule, shown)
		}
		if res := n.hookline(collecting, "apply"); res.Exit != 3 {
			t.Errorf("exit %d, want 3: %s", res.Exit, res.Stderr)
		}
	})
	// Without the chain going, nothing has to be deleted beside the native rule.
	n.must(n.apply(strings.Replace(collecting, "dropEmpty: true, ", "", 1)), converge.Done)
	if got := n.chain(ir.IPv4, "mangle", "AGENT"); len(got) > 0 {
		t.Errorf("AGENT holds %q", got)
	}
	// A native rule that the expression chooses.
	n.run("", "nft", "add", "rule", "ip", "mangle", "AGENT", "ct", "state", "established", "counter", "accept")
	out := n.must(n.apply(strings.Replace(collecting, `rule.comment.startsWith("agent")`, "rule.native", 1)), converge.Refused)
	if shown := findings(out.Plan.Diags); !out.Plan.Diags.Has(diag.UndeletableRule) || !strings.Contains(shown, "native nft rule") {
		t.Errorf("findings, want %s and the rule:\n%s", diag.UndeletableRule, shown)
	}
}
