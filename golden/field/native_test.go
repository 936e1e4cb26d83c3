package field

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/golden/injector"
	"hookline/internal/converge"
)

// peers is a ruleset with chains at the hooks into which NetBird puts its rules.
const peers = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  intrusions: POLICY
  tables:
    filter:
      chains:
        SITE-IN:
          rules:
            - {name: answers, match: {state: [established, related]}, action: return}
            - {name: ssh, match: {protocol: tcp, dport: 22}, action: return}
            - {name: rest, action: drop}
        SITE-FWD: {rules: [{name: telnet, match: {protocol: tcp, dport: 23}, action: drop}]}
      anchors:
        - {hook: INPUT, match: {in: wt0}, jump: SITE-IN, before: [netbird, kube-router]}
        - {hook: FORWARD, match: {in: wt0}, jump: SITE-FWD, before: [netbird, kube-router]}
`

func peersWith(policy string, oldnew ...string) string {
	return strings.NewReplacer(append(oldnew, "POLICY", policy)...).Replace(peers)
}

// k3sNodes are the recorded k3s nodes with NetBird, those that iptables cannot read
// among them.
var k3sNodes = []string{
	"k3s-netbird-through-iptables-v0.35.1", "k3s-netbird-native-nft-unparsable-v0.35.1", "k3s-netbird-native-nft-unparsable-v0.77.1",
}

// N-2: what the tools of both variants say of the tables of iptables, and how they
// end, is the same before and after an apply of a table of our own, an update of it,
// and its removal. Only iptables 1.8.9 is at hand.
func TestN2ToolsSayTheSameBesideOurTable(t *testing.T) {
	for _, name := range k3sNodes {
		t.Run(name, func(t *testing.T) {
			n := nativeNode(t, name)
			said := func() string {
				var out strings.Builder
				for _, tool := range []string{"iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"} {
					for _, argv := range [][]string{{tool + "-save", "-c"}, {tool, "-S"}, {tool, "-t", "nat", "-S"}, {tool, "-S", "INPUT"}, {tool, "-L", "FORWARD", "-n"}} {
						res := n.try("", argv...)
						fmt.Fprintf(&out, "%s: exit %d\n%s%s", strings.Join(argv, " "), res.Exit, stamp.ReplaceAllString(res.Stdout, ""), res.Stderr)
					}
				}
				return out.String()
			}
			said() // to look at legacy tables makes them
			before := said()
			if !strings.Contains(before, "KUBE-ROUTER-INPUT") {
				t.Fatalf("the node is not there:\n%s", before)
			}
			ruleset := shipped(t, "k3s-netbird-native")
			for step, apply := range []func() *converge.Outcome{
				func() *converge.Outcome { return n.native(ruleset) },
				func() *converge.Outcome { return n.native(strings.Replace(ruleset, "[22, 80, 443, 6443]", "[22]", 1)) },
				func() *converge.Outcome { return n.native(ruleset, peersWith("tolerate")) },
				func() *converge.Outcome { return n.applyNative(true, ruleset, peersWith("tolerate")) },
			} {
				n.must(apply(), converge.Done)
				if d := cmp.Diff(before, said()); d != "" {
					t.Fatalf("after step %d the tools say something else (-before +after):\n%s", step+1, d)
				}
			}
		})
	}
}

// N-3: kube-router asks whether its jump stands, and ends its process if iptables
// fails on that. It answers as before beside our table: with yes where it could, and
// as it did where NetBird's native rules keep it from it.
func TestN3CheckAnswersBesideOurTable(t *testing.T) {
	for _, name := range k3sNodes {
		t.Run(name, func(t *testing.T) {
			n := nativeNode(t, name)
			ask := func() (out []backend.Result) {
				for _, tool := range []string{"iptables-nft", "ip6tables-nft"} {
					for _, rule := range []string{"INPUT " + routerInput, "FORWARD " + routerForward, "INPUT -j KUBE-FIREWALL", "INPUT -j NOBODY"} {
						out = append(out, n.try("", "sh", "-c", tool+" -w -C "+rule))
					}
				}
				return out
			}
			before := ask()
			if name == k3sNodes[0] && (before[0].Exit != 0 || before[1].Exit != 0) || before[4].Exit != 0 || before[3].Exit == 0 {
				t.Fatalf("before: %+v", before)
			}
			n.must(n.native(shipped(t, "k3s-netbird-native"), peersWith("tolerate")), converge.Done)
			if d := cmp.Diff(before, ask()); d != "" {
				t.Errorf("iptables -C answers otherwise (-before +after):\n%s", d)
			}
		})
	}
}

// tags are the texts of NetBird beside the rules of a chain of ours.
func (n *node) tags(chain string) []string {
	n.t.Helper()
	conn, err := nfnetlink.Dial(n.ns.Do)
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	tables, err := conn.Tables()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, t := range tables {
		for _, c := range t.Chains {
			if t.Name == "hookline-site" && c.Name == chain {
				return slices.DeleteFunc(slices.Clone(c.Tags), func(tag string) bool { return strings.HasPrefix(tag, "hookline:") })
			}
		}
	}
	n.t.Fatalf("there is no chain %s of ours", chain)
	return nil
}

// N-7: rules that NetBird puts into our table are told with their author, kept apart
// from the rules that the ruleset asks for, and stay, go or stop the apply as it
// says.
func TestN7InjectedRules(t *testing.T) {
	both := func(n *node) []string { return append(n.tags("filter-INPUT"), n.tags("filter-FORWARD")...) }
	all := []string{"inputaccept", "frwacceptiif", "frwacceptoif"}
	begin := func(t *testing.T) *node {
		t.Helper()
		n := nativeNode(t, "k3s-netbird-native-nft-unparsable-v0.77.1")
		n.must(n.native(peersWith("tolerate")), converge.Done)
		bird, err := injector.Start(n.ns)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bird.Stop(); err != nil {
			t.Fatal(err)
		}
		if got := both(n); !slices.Equal(got, all) {
			t.Fatalf("our chains hold NetBird's rules %q, want %q", got, all)
		}
		return n
	}
	told := func(t *testing.T, out *converge.Outcome, words string) {
		t.Helper()
		text := findings(out.Plan.Diags)
		if strings.Count(text, "netbird has put a rule into") != 3 || !strings.Contains(text, words) || !strings.Contains(text, "inputaccept") {
			t.Errorf("the findings do not name the rules and say %q:\n%s", words, text)
		}
		if len(out.Plan.Changes) != 0 && words != "it is removed" {
			t.Errorf("the rules of others are changes of ours: %+v", out.Plan.Changes)
		}
	}
	t.Run("tolerate", func(t *testing.T) {
		n := begin(t)
		out := n.must(n.native(peersWith("tolerate")), converge.Done)
		told(t, out, "it stays there")
		if out.Wrote || !slices.Equal(both(n), all) {
			t.Errorf("wrote %v, and there stand %q", out.Wrote, both(n))
		}
		if res := n.hookline(peersWith("tolerate"), "verify"); res.Exit != 0 {
			t.Errorf("verify ends with %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
		// A change of ours leaves them too, where they stand.
		n.must(n.native(peersWith("tolerate", "dport: 23", "dport: [23, 2323]")), converge.Done)
		if !slices.Equal(both(n), all) {
			t.Errorf("behind a change there stand %q", both(n))
		}
	})
	t.Run("remove", func(t *testing.T) {
		n := begin(t)
		out := n.must(n.native(peersWith("remove")), converge.Done)
		told(t, out, "it is removed")
		if got := both(n); len(got) > 0 {
			t.Errorf("there stand %q", got)
		}
		if out := n.must(n.native(peersWith("remove")), converge.Done); out.Wrote {
			t.Error("the second apply writes")
		}
	})
	t.Run("fail", func(t *testing.T) {
		n := begin(t)
		out := n.must(n.native(peersWith("fail")), converge.Refused)
		told(t, out, "keep that program from it")
		if !out.Plan.Diags.Has(diag.Intrusion) || !slices.Equal(both(n), all) {
			t.Errorf("there stand %q", both(n))
		}
		if res := n.hookline(peersWith("fail"), "apply"); res.Exit != 3 {
			t.Errorf("apply ends with %d: %s", res.Exit, res.Stderr)
		}
	})
	t.Run("prerouting", func(t *testing.T) {
		// The shipped ruleset stands where NetBird puts nothing, and says so if it does.
		n := nativeNode(t, "k3s-netbird-native-nft-unparsable-v0.77.1")
		n.must(n.native(shipped(t, "k3s-netbird-native")), converge.Done)
		bird, err := injector.Start(n.ns)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := bird.Stop(); err != nil {
				t.Error(err)
			}
		}()
		if out := n.must(n.native(shipped(t, "k3s-netbird-native")), converge.Done); out.Wrote || len(out.Plan.Intrusions) > 0 {
			t.Errorf("wrote %v; intrusions %v", out.Wrote, out.Plan.Intrusions)
		}
	})
}

// N-8: an apply that changes nothing raises no event, so that nobody answers it; and
// NetBird, which answers each new table and chain half a second later, does not go
// round and round with us, whatever the ruleset says of its rules.
func TestN8NoEventAndNoLoop(t *testing.T) {
	t.Run("events", func(t *testing.T) {
		n := nativeNode(t, "k3s-netbird-native-nft-unparsable-v0.77.1")
		events := n.watchEvents()
		ruleset := peersWith("tolerate")
		n.must(n.native(ruleset, shipped(t, "k3s-netbird-native")), converge.Done)
		if got := events.events(); len(got) < 10 {
			t.Fatalf("the first apply raised %q: the monitor hears nothing", got)
		}
		for range 2 {
			if out := n.must(n.native(ruleset, shipped(t, "k3s-netbird-native")), converge.Done); out.Wrote {
				t.Error("an apply that changes nothing writes")
			}
			if got := events.events(); len(got) > 0 {
				t.Errorf("an apply that changes nothing raised %q", got)
			}
		}
	})
	for _, policy := range []string{"tolerate", "remove"} {
		t.Run(policy, func(t *testing.T) {
			n := nativeNode(t, "k3s-netbird-native-nft-unparsable-v0.77.1")
			bird, err := injector.Start(n.ns)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if _, err := bird.Stop(); err != nil {
					t.Error(err)
				}
			}()
			rounds := func(want int) {
				t.Helper()
				for end := time.Now().Add(10 * time.Second); bird.Rounds() < want && time.Now().Before(end); {
					time.Sleep(10 * time.Millisecond)
				}
			}
			n.must(n.native(peersWith(policy)), converge.Done)
			rounds(1) // NetBird has seen our chains
			wrote := 0
			for range 4 {
				if n.must(n.native(peersWith(policy)), converge.Done).Wrote {
					wrote++
				}
				time.Sleep(750 * time.Millisecond) // longer than NetBird waits
			}
			if want := map[string]int{"tolerate": 0, "remove": 1}[policy]; wrote != want || bird.Rounds() != 1 {
				t.Errorf("%d applies of 4 wrote, want %d; NetBird put its rules %d times, want once", wrote, want, bird.Rounds())
			}
			// Who changes rules, and no chain, gets no answer either.
			n.must(n.native(peersWith(policy, "dport: 22", "dport: [22, 2222]")), converge.Done)
			time.Sleep(750 * time.Millisecond)
			if bird.Rounds() != 1 {
				t.Errorf("NetBird answered a change of rules")
			}
			if stands := len(n.tags("filter-INPUT")) > 0; stands != (policy == "tolerate") {
				t.Errorf("NetBird's rule stands: %v", stands)
			}
		})
	}
}

// T-18: each base chain of ours has a priority that no other base chain has which
// sees the same packets, on every recorded node whose programs write nftables.
func TestT18PrioritiesAreOurs(t *testing.T) {
	ruleset := `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  tables:
    raw: {chains: {SITE-R: {rules: [{action: return}]}}, anchors: [{hook: PREROUTING, jump: SITE-R}, {hook: OUTPUT, jump: SITE-R}]}
    mangle: {chains: {SITE-M: {rules: [{action: return}]}}, anchors: [{hook: PREROUTING, jump: SITE-M}, {hook: FORWARD, jump: SITE-M}]}
    nat: {chains: {SITE-N: {rules: [{action: return}]}}, anchors: [{hook: PREROUTING, jump: SITE-N}, {hook: POSTROUTING, jump: SITE-N}]}
    filter: {chains: {SITE-F: {rules: [{action: return}]}}, anchors: [{hook: INPUT, jump: SITE-F}, {hook: FORWARD, jump: SITE-F}, {hook: OUTPUT, jump: SITE-F}]}
`
	for _, name := range []string{
		"mixed-all-native-nftables-nft", "calico-felix-v3.32.1-nftables-mode-nft", "firewalld-1.3.3-nftables-with-netbird-v0.77.1-nft",
		"firewalld-1.3.3-nftables-backend-after-kube-proxy", "k3s-netbird-native-nft-unparsable-v0.77.1",
	} {
		t.Run(name, func(t *testing.T) {
			n := nativeNode(t, name)
			n.must(n.native(ruleset), converge.Done)
			conn, err := nfnetlink.Dial(n.ns.Do)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			tables, err := conn.Tables()
			if err != nil {
				t.Fatal(err)
			}
			ours := 0
			for _, mine := range tables {
				if !strings.HasPrefix(mine.Name, ir.OwnTablePrefix) {
					continue
				}
				for _, c := range mine.Chains {
					ours++
					for _, other := range tables {
						if other.Family == "arp" || other.Family == "bridge" || other.Family == "netdev" {
							continue
						}
						for _, o := range other.Chains {
							if o.Hook == c.Hook && o.Priority == c.Priority && (other.Key() != mine.Key() || o.Name != c.Name) {
								t.Errorf("%s has priority %d at %s, and so has %s %s", c.Name, c.Priority, c.Hook, other.Key(), o.Name)
							}
						}
					}
				}
			}
			if ours != 9 {
				t.Errorf("%d base chains of ours stand, want 9", ours)
			}
		})
	}
}

// T-19: the kernel does not move a base chain. Ours goes and comes in one
// transaction, so that no packet passes without it; what is not moved keeps its
// handles and counters.
func TestT19PriorityChangeIsOneTransaction(t *testing.T) {
	n := nativeNode(t, "mixed-all-native-nftables-nft")
	ruleset := func(bound string) string {
		return strings.ReplaceAll(peersWith("tolerate"), "before: [netbird, kube-router]", bound)
	}
	n.must(n.native(ruleset("before: [kube-proxy]")), converge.Done)
	priority := func(chain string) (p int) {
		t.Helper()
		text := n.run("", "nft", "-nn", "list", "chain", "inet", "hookline-site", chain)
		if _, err := fmt.Sscanf(text[strings.Index(text, "priority "):], "priority %d;", &p); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return p
	}
	conn, err := nfnetlink.Dial(n.ns.Do)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	generation := func() uint32 {
		g, err := conn.Generation()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	was, before := priority("filter-INPUT"), generation()
	handles := n.run("", "nft", "-a", "list", "chain", "inet", "hookline-site", "filter-SITE-IN")
	out := n.must(n.native(ruleset("after: [kube-proxy]")), converge.Done)
	now, after := priority("filter-INPUT"), generation()
	if was >= now || !out.Wrote {
		t.Errorf("the chain stands at %d, and stood at %d", now, was)
	}
	if after != before+1 {
		t.Errorf("it took %d transactions, want 1", after-before)
	}
	if d := cmp.Diff(handles, n.run("", "nft", "-a", "list", "chain", "inet", "hookline-site", "filter-SITE-IN")); d != "" {
		t.Errorf("a chain that did not move is another one (-before +after):\n%s", d)
	}
	if out := n.must(n.native(ruleset("after: [kube-proxy]")), converge.Done); out.Wrote {
		t.Error("the second apply writes")
	}
}
