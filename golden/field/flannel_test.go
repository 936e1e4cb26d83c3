package field

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/backend/recorded"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

const podNetworks = "pods: [10.244.0.0/16, \"fd00:10:244::/48\"]\n"

// version are values that put jumps in, or take them out again.
func version(i int) string {
	if i%2 == 0 {
		return podNetworks
	}
	return podNetworks + "keepSource: [10.20.0.0/16, \"fd00:20::/48\"]\ncloseForward: true\n"
}

// flannel applies the shipped ruleset; r is nil, or a runner around the node.
func (n *node) flannel(values string, r backend.Runner) *converge.Outcome {
	n.t.Helper()
	return n.applyWith(converge.Options{Backend: n.backend(r), Programs: shippedWith(n.t, "flannel", values), Store: n.store})
}

const (
	noSNAT     = `-m comment --comment "hookline:pod-network" -j PODNET-NOSNAT`
	podForward = `-m comment --comment "hookline:pod-network" -j PODNET-FORWARD`
)

// F-1: of the copies that we are about to delete every one is taken, or one of
// them, in the instant before our transaction is committed. In the first case the
// transaction fails as a whole, nothing of it is left, and the next round finds out
// what there is to do. In the second one it takes the last copy: that is found by
// the read-back, and made good.
func TestF1StaleDeleteIsDecidedAnew(t *testing.T) {
	for _, taken := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d copies taken", taken), func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				n.recorded("flannel-order")
				before := foreign(n.saves())
				thief := &thief{node: n, take: taken, chain: "POSTROUTING", table: "nat", rule: flannelPost}
				out := n.must(n.flannel(version(1), thief), converge.Done)
				if thief.done != 1 || out.Rounds < 2 || len(thief.refused) == 0 && taken == 3 {
					t.Errorf("the thief came %d times, %d rounds, refusals %q: want 1, more, and some if nothing was left", thief.done, out.Rounds, thief.refused)
				}
				if made := out.Diags.Has(diag.RaceLost); made != (taken == 1) {
					t.Errorf("findings %v: want one of a jump that was made again, if ours took the last", out.Diags.All())
				}
				for _, f := range ir.Families {
					want := []string{kubePost, noSNAT, flannelPost}
					if f == ir.IPv4 && taken == 3 {
						want = want[:2] // flannel appends its jump within 5 s
					}
					got := slices.DeleteFunc(n.chain(f, "nat", "POSTROUTING"), func(r string) bool { return strings.Contains(r, "CNI-") })
					if d := cmp.Diff(want, got); d != "" {
						t.Errorf("%s POSTROUTING (-want +got):\n%s", f, d)
					}
				}
				drop := func(save string) string {
					var out []string
					for line := range strings.Lines(stripCounters(save)) {
						if !strings.Contains(line, "-j FLANNEL-") && !strings.Contains(line, "PODNET-") {
							out = append(out, line)
						}
					}
					return strings.Join(out, "")
				}
				if d := cmp.Diff(drop(before), drop(foreign(n.saves()))); d != "" {
					t.Errorf("other foreign lines (-before +after):\n%s", d)
				}
			})
		})
	}
}

// F-1: between any of our reads and writes another writer adds a copy of flannel's
// jumps, or takes one away: the same rules that the applies collapse. None ends
// with a delete that was refused, and whoever looks never finds our chain half
// there.
func TestF1CollapsesWhileAnotherWriterAddsCopies(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("flannel")
		c := &copier{node: n, rand: rand.New(rand.NewPCG(3, 4))}
		applies(t, n, rounds(20, 300), c)
		settled(t, n)
		t.Logf("the other writer came %d times", c.steps)
		if c.steps < 5 {
			t.Error("the other writer hardly came: the test shows nothing")
		}
	})
}

// copier adds and takes copies of flannel's jumps ahead of our commits and behind
// them, as another program that does not see our lock.
type copier struct {
	*node
	rand  *rand.Rand
	steps int
}

func (c *copier) Run(ctx context.Context, cmd backend.Cmd) (backend.Result, error) {
	mine := writes(cmd)
	if mine {
		if err := c.step(ctx, 3); err != nil {
			return backend.Result{}, err
		}
	}
	res, err := c.node.Run(ctx, cmd)
	if mine && err == nil {
		err = c.step(ctx, 8)
	}
	return res, err
}

// step does something one time in some.
func (c *copier) step(ctx context.Context, oneIn int) error {
	if c.rand.IntN(oneIn) > 0 {
		return nil
	}
	c.steps++
	f := ir.Families[c.rand.IntN(2)]
	table, chain, rule := "nat", "POSTROUTING", flannelPost
	if c.rand.IntN(2) == 0 {
		table, chain, rule = "filter", "FORWARD", flannelFwd
	}
	command := "-A "
	// -save does not wait for the lock that the apply holds.
	if c.rand.IntN(2) == 0 && strings.Contains(c.save(f), "-A "+chain+" "+rule+"\n") {
		command = "-D " // the last one, too: flannel appends it again
		if c.rand.IntN(2) == 0 {
			command = "-A " + chain + " " + rule + "\n-D "
		}
	}
	res, err := c.ns.Runner().Run(ctx, backend.Cmd{
		Argv: []string{c.tool(f, "-restore"), "--noflush"}, Stdin: "*" + table + "\n" + command + chain + " " + rule + "\nCOMMIT\n",
		Env: []string{"XTABLES_LOCKFILE=" + c.state + "/other.lock"},
	})
	if err == nil && res.Exit != 0 {
		err = fmt.Errorf("the other writer: %s", res.Stderr)
	}
	return err
}

// F-4: flannel resyncs, and its jumps are taken out again and again, so that it
// restores them behind ours.
func TestF4AppliesWhileFlannelRestores(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("flannel")
		p := n.start("flanneld-loses", lookPath(t, n.tool(ir.IPv4, "")))
		applies(t, n, rounds(10, 300), nil)
		t.Logf("meanwhile flannel came %d times", p.stop())
		settled(t, n)
	})
}

// applies runs applies that put both jumps in and take them out again, under a
// reader; r is a runner around the node, or nil.
func applies(t *testing.T, n *node, times int, r backend.Runner) {
	t.Helper()
	stop := n.watch(ir.IPv4, "filter", func(save string) error {
		// The chain is whole, or not wanted.
		if got := lines(save, "PODNET-FORWARD"); got != 0 && got != 5 || got == 0 && strings.Contains(save, "-j PODNET-FORWARD") {
			return fmt.Errorf("the owned chain has %d rules:\n%s", got, save)
		}
		return nil
	})
	var count tally
	for i := range times {
		start := time.Now()
		out := n.flannel(version(i+1), r)
		count.add(out, time.Since(start))
		if out.Status != converge.Moved {
			n.must(out, converge.Done)
		}
		if out.Diags.Has(diag.ToolRefused) {
			t.Fatalf("apply %d: a tool refused what it was given:\n%s", i, findings(out.Diags))
		}
	}
	looks := stop()
	if count.status[converge.Done] < times/2 {
		t.Errorf("only %d of %d applies were done", count.status[converge.Done], times)
	}
	t.Logf("%s; a reader looked %d times", &count, looks)
}

// settled lets flannel come to rest and applies once more: everything must be there
// once and in order.
func settled(t *testing.T, n *node) {
	t.Helper()
	n.start("flanneld", lookPath(t, n.tool(ir.IPv4, ""))).stop()
	n.must(n.flannel(version(1), nil), converge.Done)
	for _, f := range ir.Families {
		post := slices.DeleteFunc(n.chain(f, "nat", "POSTROUTING"), func(r string) bool { return strings.Contains(r, "CNI-") })
		if d := cmp.Diff([]string{kubePost, noSNAT, flannelPost}, post); d != "" {
			t.Errorf("%s POSTROUTING (-want +got):\n%s", f, d)
		}
		fwd := n.chain(f, "filter", "FORWARD")
		if d := cmp.Diff([]string{flannelFwd, podForward}, fwd[len(fwd)-2:]); len(fwd) != 6 || d != "" {
			t.Errorf("%s FORWARD holds %d rules and ends so (-want +got):\n%s", f, len(fwd), d)
		}
		var want []string
		for _, r := range flannelRules(f == ir.IPv6) {
			if r.chain == "FLANNEL-POSTRTG" {
				want = append(want, r.text)
			}
		}
		if d := cmp.Diff(want, n.chain(f, "nat", "FLANNEL-POSTRTG")); d != "" {
			t.Errorf("%s FLANNEL-POSTRTG (-want +got):\n%s", f, d)
		}
	}
}

// F-2: an iptables that says at random that a rule is not there, wherever it is
// asked (kube-router#1676, flannel#2145). State is judged from one read of the
// chain; a guard that lies costs a round, or is left out.
func TestF2LyingCheckMakesNoDuplicates(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("flannel-order")
		liar := &liar{node: n, rand: rand.New(rand.NewPCG(1, 2))}
		for i := range rounds(8, 100) {
			n.must(n.flannel(version(i+1), liar), converge.Done)
			for _, f := range ir.Families {
				want := []string{kubePost, noSNAT, flannelPost}
				if i%2 == 1 {
					want = []string{kubePost, flannelPost}
				}
				got := slices.DeleteFunc(n.chain(f, "nat", "POSTROUTING"), func(r string) bool { return strings.Contains(r, "CNI-") })
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("apply %d: %s POSTROUTING (-want +got):\n%s", i, f, d)
				}
			}
		}
		if n.variant == ir.IptablesNFT && liar.lies == 0 {
			t.Error("nothing was lied about: the test shows nothing")
		}
		for _, c := range liar.asked {
			t.Errorf("a rule was asked for by itself: %q", c)
		}
		t.Logf("%d lies", liar.lies)
	})
}

// liar has iptables not find rules, every third time.
type liar struct {
	*node
	rand  *rand.Rand
	lies  int
	asked [][]string
}

func (l *liar) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	for _, word := range []string{"-C", "--check"} {
		if slices.Contains(c.Argv, word) {
			l.asked = append(l.asked, c.Argv)
		}
	}
	if head, tail, ok := strings.Cut(c.Stdin, "\n-C "); ok && l.rand.IntN(3) == 0 {
		l.lies++
		chain, _, _ := strings.Cut(tail, " ")
		_, rest, _ := strings.Cut(tail, "\n")
		c.Stdin = head + "\n-C " + chain + " -s 192.0.2.77/32 -j RETURN\n" + rest
	}
	return l.node.Run(ctx, c)
}

// F-3: copies and a wrong order, which flannel itself never looks at
// (flannel-io/flannel#1337), are told by plan and verify, and mended by apply.
func TestF3CopiesAndOrderAreReported(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("flannel-order")
		text := shipped(t, "flannel")
		res := n.hookline(text, "verify")
		for _, want := range []string{"copies-found: ", "order-found: ", "flannel, adopted"} {
			if !strings.Contains(res.Stdout+res.Stderr, want) {
				t.Errorf("verify does not say %q:\n%s%s", want, res.Stdout, res.Stderr)
			}
		}
		if res.Exit != 2 {
			t.Errorf("verify: exit %d, want 2", res.Exit)
		}
		if res := n.hookline(text, "apply"); res.Exit != 0 {
			t.Errorf("apply: exit %d: %s", res.Exit, res.Stderr)
		}
		res = n.hookline(text, "verify")
		if res.Exit != 0 || strings.Contains(res.Stderr, "-found") {
			t.Errorf("verify afterwards: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
	})
}

// F-3: what only flannel can mend is shown, and left alone.
func TestF3LostRaceIsNamed(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.recorded("flannel-iptables-after-lost-race")
	n.unchanged(func() {
		out := n.must(n.flannel(podNetworks, nil), converge.Refused)
		shown := findings(out.Plan.Diags)
		if !strings.Contains(shown, "masquerade-comes-last") || !strings.Contains(shown, "restart flannel") {
			t.Errorf("findings:\n%s", shown)
		}
	})
}

// F-4: many applies beside a flannel that resyncs: the number of rules stays, and
// nobody trips over the lock.
func TestF4RuleCountIsConstant(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("flannel")
		counts := map[int]int{}
		count := func() int { return strings.Count(n.saves(), "-A ") }
		for i := range 2 {
			n.must(n.flannel(version(i), nil), converge.Done)
			counts[i] = count()
		}
		var running []*program
		for _, f := range ir.Families {
			running = append(running, n.start("flanneld", lookPath(t, n.tool(f, ""))))
		}
		applies := rounds(30, 1000)
		for i := range applies {
			out := n.must(n.flannel(version(i), nil), converge.Done)
			if out.Rounds != 1 {
				t.Errorf("apply %d took %d rounds, although nobody wrote", i, out.Rounds)
			}
			if i%10 < 2 {
				if now := count(); now != counts[i%2] {
					t.Fatalf("after apply %d there are %d rules, want %d", i, now, counts[i%2])
				}
			}
		}
		var did []int
		for _, p := range running {
			did = append(did, p.stop())
		}
		t.Logf("%d applies beside %d rounds of flannel", applies, did)
	})
}

// F-5: every kind of rule that flannel writes, in the words in which it writes
// them, is the same rule when it is read back.
func TestF5FlannelsOwnRulesAreIdempotent(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: hookline/v1\nkind: Ruleset\nmetadata: {name: site, version: 1.0.0}\nspec:\n  owns: {chains: [\"SITE_*\"]}\n  tables:\n")
	for _, table := range []string{"nat", "filter"} {
		hook := map[string]string{"nat": "POSTROUTING", "filter": "FORWARD"}[table]
		fmt.Fprintf(&b, "    %s:\n      chains:\n        SITE_%s:\n          rules:\n", table, table)
		for _, f := range ir.Families {
			for _, r := range flannelRules(f == ir.IPv6) {
				if r.table == table && !strings.Contains(r.text, "-j FLANNEL-") {
					// What flannel says in a comment gets a rule deleted by k3s-killall.sh.
					fmt.Fprintf(&b, "            - {iptables: %q, families: [%s]}\n", strings.ReplaceAll(r.text, "flanneld", "site"), f)
				}
			}
		}
		more := []string{
			"-m comment --comment site -m mark --mark 0x4000 -j RETURN",
			"-m mark --mark 16384/0x4000 -m comment --comment site -j RETURN",
			"-p tcp --dport 443 -m comment --comment site -j ACCEPT",
			"-p tcp -m comment --comment site -m tcp --dport 443 -j ACCEPT",
		}
		for _, text := range more {
			fmt.Fprintf(&b, "            - %q\n", text)
		}
		if table == "nat" {
			b.WriteString("            - {iptables: \"-s 10.244.1.2 -j MASQUERADE --random-fully\", families: [ipv4]}\n")
			b.WriteString("            - {iptables: \"-s fd00:10:244:1::2/128 -j MASQUERADE --random-fully\", families: [ipv6]}\n")
		}
		fmt.Fprintf(&b, "      anchors:\n        - {hook: %s, jump: SITE_%s}\n", hook, table)
	}
	both(t, func(t *testing.T, n *node) {
		n.must(n.apply(b.String()), converge.Done)
		n.traffic()
		n.unchanged(func() {
			if again := n.must(n.apply(b.String()), converge.Done); again.Wrote {
				t.Error("the second apply says that it wrote")
			}
		})
		if res := n.hookline(b.String(), "verify"); res.Exit != 0 {
			t.Errorf("verify: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
	})
}

// F-6: rules that an old flannel left outside of its chain are found, with its
// comment and without; of two nodes' worth of rules exactly they go.
func TestF6LeftoversGoAndNothingElse(t *testing.T) {
	// flannel before 0.16 wrote no comments; the last three are somebody else's.
	more := map[ir.Family][]string{
		ir.IPv4: {
			"-s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
			"-s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
			"! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE",
			"-s 10.244.0.0/16 -o eth1 -d 192.0.2.0/24 -j MASQUERADE",
			"-s 10.9.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE",
			`-s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "site's own" -j MASQUERADE`,
		},
		ir.IPv6: {
			"-s fd00:10:244::/48 -d fd00:10:244::/48 -j RETURN",
			"-s fd00:10:244::/48 ! -d ff00::/8 -j MASQUERADE",
			"! -s fd00:10:244::/48 -d fd00:10:244::/48 -j MASQUERADE --random-fully",
			"-s fd00:10:244::/48 -o eth1 -d 2001:db8::/32 -j MASQUERADE",
			"-s fd00:9::/48 ! -d ff00::/8 -j MASQUERADE",
			`-s fd00:10:244::/48 ! -d ff00::/8 -m comment --comment "site's own" -j MASQUERADE`,
		},
	}
	both(t, func(t *testing.T, n *node) {
		n.recorded("flannel-leftovers")
		for _, f := range ir.Families {
			n.run("*nat\n-A POSTROUTING "+strings.Join(more[f], "\n-A POSTROUTING ")+"\nCOMMIT\n", n.tool(f, "-restore"), "--noflush")
		}
		before := foreign(n.saves())
		out := n.must(n.flannel(podNetworks, nil), converge.Refused)
		if shown := findings(out.Plan.Diags); !strings.Contains(shown, "no-leftovers: ") || !strings.Contains(shown, "no-leftovers-forward: ") {
			t.Errorf("findings:\n%s", shown)
		}
		n.must(n.flannel(podNetworks+"removeLeftovers: true\n", nil), converge.Done)
		var want []string
		for line := range strings.Lines(before) {
			old := strings.Contains(line, `"flanneld `) && (strings.Contains(line, "-A POSTROUTING") || strings.Contains(line, "-A FORWARD")) &&
				!strings.Contains(line, "-j FLANNEL-")
			for _, f := range ir.Families {
				old = old || slices.ContainsFunc(more[f][:3], func(r string) bool { return strings.HasSuffix(line, "-A POSTROUTING "+r+"\n") })
			}
			if !old {
				want = append(want, line)
			}
		}
		if gone := strings.Count(before, "\n") - len(want); gone != 18 {
			t.Fatalf("%d lines are to go, want 18: the test is wrong", gone)
		}
		if d := cmp.Diff(strings.Join(want, ""), foreign(n.saves())); d != "" {
			t.Errorf("foreign lines, counters included (-want +got):\n%s", d)
		}
		n.unchanged(func() { n.must(n.flannel(podNetworks+"removeLeftovers: true\n", nil), converge.Done) })
	})
}

// F-6: a flannel before 0.20 that still runs has no chain: nothing of it goes.
func TestF6OldFlannelThatRunsIsLeftAlone(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.load("*nat\n[1:60] -A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 "+flannelMasq+" -j MASQUERADE\nCOMMIT\n", "")
		n.unchanged(func() {
			out := n.must(n.flannel(podNetworks+"removeLeftovers: true\n", nil), converge.Refused)
			if shown := findings(out.Plan.Diags); !strings.Contains(shown, "leftovers-are-old: ") {
				t.Errorf("findings:\n%s", shown)
			}
		})
	})
}

// F-7: a mark beside the one that flannel's nftables mode compares as a whole is
// told on such a host, at the rule, and on no other.
func TestF7MarkBesideFlannelsIsTold(t *testing.T) {
	const ruleset = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  tables:
    mangle:
      chains:
        SITE_MARK: {rules: ["-p udp -j MARK --set-xmark 0x1000000/0x1000000"]}
      anchors:
        - {hook: PREROUTING, jump: SITE_MARK}
`
	both(t, func(t *testing.T, n *node) {
		told := func() (v4, v6 bool) {
			res := n.hookline(ruleset, "plan")
			if res.Exit != 0 {
				t.Fatalf("plan: exit %d: %s", res.Exit, res.Stderr)
			}
			v4 = strings.Contains(res.Stderr, "8:29: warning: the bits 0x1000000 hide the mark 0x4000 of flannel: its table ip flannel-ipv4")
			v6 = strings.Contains(res.Stderr, "8:29: warning: the bits 0x1000000 hide the mark 0x4000 of flannel: its table ip6 flannel-ipv6")
			return v4, v6
		}
		if v4, v6 := told(); v4 || v6 {
			t.Error("it is told on a host without flannel")
		}
		n.run("", "nft", "add", "table", "ip", "flannel-ipv4")
		if v4, v6 := told(); !v4 || v6 {
			t.Errorf("with flannel's table for IPv4: told for IPv4 %v, for IPv6 %v", v4, v6)
		}
		n.run("", "nft", "add", "table", "ip6", "flannel-ipv6")
		if v4, v6 := told(); !v4 || !v6 {
			t.Errorf("with both of flannel's tables: told for IPv4 %v, for IPv6 %v", v4, v6)
		}
		// A host that was recorded tells the same.
		file := filepath.Join(n.state, "node.txtar")
		session, err := n.backend(nil).Session(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		snap, err := session.Snapshot(context.Background(), ir.Scope{All: true, AllSets: true, Whole: true})
		if err = errors.Join(err, session.Close()); err != nil {
			t.Fatal(err)
		}
		recording, err := recorded.Write(snap, recorded.WriteOptions{})
		if err == nil {
			err = os.WriteFile(file, recording, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		res := n.hookline(ruleset, "plan", "--snapshot", file)
		if got := strings.Count(res.Stderr, "compares the whole mark"); got != 2 {
			t.Errorf("against the recorded host it is told %d times, want 2: %s", got, res.Stderr)
		}
	})
}
