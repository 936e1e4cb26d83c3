package field

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// The N-tests are a k3s node's with NetBird: native rules in iptables' tables, a
// program that rewrites whole tables, rules without comments.

const (
	nbInput       = `-i wt0 -m comment --comment "hookline:k3s-netbird" -j SITE-NB-INPUT`
	nbForward     = `-i wt0 -m comment --comment "hookline:k3s-netbird" -j SITE-NB-FORWARD`
	routerForward = `-m comment --comment "kube-router netpol - TEMCG2JMHZYE7H7T" -j KUBE-ROUTER-FORWARD`
	nbAccept      = `-i wt0 -j ACCEPT`
	routerInput   = `-m comment --comment "kube-router netpol - 4IA2OSFRMVNDXBVV" -j KUBE-ROUTER-INPUT`
)

// k3s is the shipped ruleset, with some of its text replaced.
func k3s(t *testing.T, oldnew ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "rulesets", "k3s-netbird", "ruleset.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Fatalf("the ruleset does not say %q", oldnew[i])
		}
	}
	return strings.NewReplacer(oldnew...).Replace(string(text))
}

// netbirdNatively writes what NetBird writes that found no iptables binary. The
// second rule asks for the connection's state first: iptables-nft 1.8.9 fails on
// that one as it does on NetBird's own, which loads the state into another
// register than nft does.
func (n *node) netbirdNatively() {
	n.t.Helper()
	for _, rule := range []string{
		`FORWARD iifname "wt0" counter accept`,
		`FORWARD ct state established,related oifname "wt0" counter accept`,
		`INPUT iifname "wt0" counter accept comment "inputaccept"`,
	} {
		n.run("", "nft", "insert rule ip filter "+rule)
	}
}

// N-1: native rules in a table of iptables are told with chain, handle, expression
// and probable author, whatever the tools say of the table; nothing is written
// into the chain, and what stands there of ours is not taken for missing.
func TestN1NativeRulesAreNamed(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.recorded("k3s-netbird-before-netbird")
	n.netbirdNatively()
	if res := n.try("", "iptables-nft-save", "-t", "filter"); res.Exit != 0 || strings.Contains(res.Stdout, "-A ") {
		t.Fatalf("iptables-nft-save is expected to print nothing and to exit 0: exit %d\n%s", res.Exit, res.Stdout)
	}
	if res := n.try("", "sh", "-c", "iptables-nft -C FORWARD "+routerForward); res.Exit != 3 || !strings.Contains(res.Stderr, "cmp sreg undef") {
		t.Fatalf("iptables-nft -C is expected to fail as it does for k3s: exit %d: %s", res.Exit, res.Stderr)
	}
	told := func(shown string) {
		t.Helper()
		for _, want := range []string{
			`FORWARD rule 1, handle`, `[ct state established,related] oifname "wt0" counter accept; probably by netbird`,
			"[" + string(diag.NativeRules) + "]", "iptables-can-read-the-node", "install iptables",
		} {
			if !strings.Contains(shown, want) {
				t.Errorf("the findings do not say %q:\n%s", want, shown)
			}
		}
	}
	n.unchanged(func() {
		out := n.must(n.apply(k3s(t)), converge.Refused)
		told(findings(out.Plan.Diags))
		if res := n.hookline(k3s(t), "apply"); res.Exit != 3 {
			t.Errorf("exit %d, want 3: %s", res.Exit, res.Stderr)
		}
	})

	t.Run("ours stands", func(t *testing.T) {
		n := newNode(t, ir.IptablesNFT)
		n.recorded("k3s-netbird-before-netbird")
		n.must(n.apply(k3s(t)), converge.Done)
		n.netbirdNatively()
		n.unchanged(func() {
			out := n.must(n.apply(k3s(t)), converge.Refused)
			for _, c := range out.Plan.Changes {
				// NetBird's native accept stands ahead of ours, and that is told as a move.
				if c.Key.Family == ir.IPv4 && c.Kind != compiler.Moved {
					t.Errorf("planned on a chain that cannot be read: %+v", c)
				}
			}
		})
	})
}

// N-1, N-2: what a tool prints of ours after an apply is what we sent, for every
// reader that is installed, and every one of them goes on working. Only iptables
// 1.8.9 is at hand, in both variants; older and newer readers are not shown.
func TestN2EveryReaderReadsOurs(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("k3s-netbird-healthy")
		before := foreign(n.saves())
		n.must(n.apply(k3s(t, "default: false", "default: true")), converge.Done)
		if d := cmp.Diff(before, foreignNB(n.saves())); d != "" {
			t.Errorf("foreign lines (-before +after):\n%s", d)
		}
		for _, f := range ir.Families {
			for _, kind := range []string{"nft", "legacy"} {
				name := map[ir.Family]string{ir.IPv4: "iptables-", ir.IPv6: "ip6tables-"}[f] + kind
				for _, argv := range [][]string{{name, "-S"}, {name, "-t", "mangle", "-S"}, {name, "-t", "nat", "-S"}, {name + "-save"}} {
					if res := n.try("", argv...); res.Exit != 0 || strings.Contains(res.Stdout+res.Stderr, "incompatible") {
						t.Errorf("%q: exit %d: %s", argv, res.Exit, res.Stderr)
					}
				}
			}
			saved := n.run("", n.tool(f, "-save"), "-t", "filter")
			for _, at := range [][2]string{{"INPUT", nbInput}, {"FORWARD", nbForward}} {
				n.run("", "sh", "-c", n.tool(f, "")+" -C "+at[0]+" "+at[1])
				listed := n.chain(f, "filter", at[0])
				if !slices.Contains(listed, at[1]) || !strings.Contains(saved, "-A "+at[0]+" "+at[1]+"\n") {
					t.Errorf("%s %s: -S and -save do not both print %s", f, at[0], at[1])
				}
			}
			for _, chain := range []string{"SITE-NB-INPUT", "SITE-NB-FORWARD", "SITE-NB-PORTS", "SITE-NB-DROP"} {
				var fromSave []string
				for line := range strings.Lines(saved) {
					if rule, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-A "+chain+" "); ok {
						fromSave = append(fromSave, rule)
					}
				}
				if d := cmp.Diff(n.chain(f, "filter", chain), fromSave); d != "" || len(fromSave) == 0 {
					t.Errorf("%s %s: -S and -save differ (-list +save):\n%s", f, chain, d)
				}
			}
		}
	})
}

// foreignNB is foreign for a node with the ruleset's chains.
func foreignNB(save string) string {
	var out strings.Builder
	for line := range strings.Lines(save) {
		if !strings.Contains(line, "SITE-NB-") {
			out.WriteString(line)
		}
	}
	return foreign(out.String())
}

// rewriter is kube-router's way with the filter table: it saves it, edits the text,
// and restores it whole, without looking at what happened meanwhile. It begins
// ahead of our write and ends behind it, so that ours is lost.
type rewriter struct {
	*node
	left *int // how often it still does so
	done *int
}

// policyChain is the end of the name of one of kube-router's policy chains, which
// changes with every sync.
var policyChain = regexp.MustCompile(`(KUBE-NWPLCY-[A-Z2-7]{15})[A-Z2-7]\b`)

func (r rewriter) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	if *r.left == 0 || !writes(c) || c.Argv[0] != lookPath(r.t, r.tool(ir.IPv4, "-restore")) && filepath.Base(c.Argv[0]) != r.tool(ir.IPv4, "-restore") {
		return r.node.Run(ctx, c)
	}
	*r.left--
	*r.done++
	saved, err := r.ns.Runner().Run(ctx, backend.Cmd{Argv: []string{r.tool(ir.IPv4, "-save"), "-t", "filter"}})
	if err != nil {
		return saved, err
	}
	res, err := r.node.Run(ctx, c)
	if err != nil || res.Exit != 0 {
		return res, err
	}
	edited := policyChain.ReplaceAllString(saved.Stdout, "${1}A")
	// k3s brings its own iptables, whose lock file is not the host's (FIELD M-53).
	back, err := r.ns.Runner().Run(ctx, backend.Cmd{
		Argv: []string{r.tool(ir.IPv4, "-restore"), "-T", "filter"}, Stdin: edited, Env: []string{"XTABLES_LOCKFILE=" + r.state + "/other.lock"},
	})
	if err == nil && back.Exit != 0 {
		err = errors.New(back.Stderr)
	}
	return res, err
}

// N-4: a rewrite of the whole table that began before our apply and ended after it
// loses ours, with exit 0 on all sides. The apply that it hits notices and writes
// again; if it is hit every time, it ends with a race lost, and not with a lie.
func TestN4RewriteDuringTheApply(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times int
		want  converge.Status
	}{{"once", 1, converge.Done}, {"three times", 3, converge.Done}, {"always", 1000, converge.Moved}} {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				n.recorded("k3s-netbird-healthy")
				left, done := tt.times, 0
				out := n.must(n.applyWith(converge.Options{
					Backend: n.backend(rewriter{n, &left, &done}), Programs: compile(t, k3s(t)), Store: n.store,
				}), tt.want)
				if done == 0 || out.Rounds < min(done, 2) || out.Rounds > 20 {
					t.Errorf("%d rewrites, %d rounds: want a bounded number of rounds that follows them", done, out.Rounds)
				}
				saved := n.save(ir.IPv4)
				if tt.want == converge.Moved {
					if !out.Diags.Has(diag.RaceLost) || strings.Contains(saved, "-j SITE-NB-FORWARD") {
						t.Errorf("want %s and nothing of ours:\n%s", diag.RaceLost, findings(out.Diags))
					}
					return
				}
				for chain, jump := range map[string]string{"INPUT": nbInput, "FORWARD": nbForward} {
					got := n.chain(ir.IPv4, "filter", chain)
					accept := slices.IndexFunc(got, func(r string) bool { return strings.HasPrefix(r, "-i wt0 ") && r != jump })
					if at := slices.Index(got, jump); at < 1 || !strings.HasSuffix(got[0], "-j KUBE-ROUTER-"+chain) || accept >= 0 && accept < at {
						t.Errorf("%s is %q, want ours behind kube-router and ahead of NetBird", chain, got)
					}
				}
				if !strings.Contains(saved, "KUBE-ROUTER-FORWARD") || strings.Count(saved, "-A SITE-NB-DROP ") != 2 {
					t.Errorf("something is missing:\n%s", saved)
				}
			})
		})
	}
}

// N-4: a rewrite that ends after the apply did is for verify to notice, which says
// what is missing, and for the next apply to mend.
func TestN4RewriteAfterTheApply(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("k3s-netbird-healthy")
		saved := n.run("", n.tool(ir.IPv4, "-save"), "-t", "filter")
		n.must(n.apply(k3s(t)), converge.Done)
		if res := n.hookline(k3s(t), "verify"); res.Exit != 0 {
			t.Fatalf("verify: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
		n.run(policyChain.ReplaceAllString(saved, "${1}A"), n.tool(ir.IPv4, "-restore"), "-w", "-T", "filter")
		res := n.hookline(k3s(t), "verify")
		if res.Exit != 2 || !strings.Contains(res.Stdout, "SITE-NB-FORWARD") {
			t.Errorf("verify: exit %d, want 2 with what is missing:\n%s%s", res.Exit, res.Stdout, res.Stderr)
		}
		n.must(n.apply(k3s(t)), converge.Done)
		if res := n.hookline(k3s(t), "verify"); res.Exit != 0 {
			t.Errorf("verify: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
	})
}

// N-5: what we write keeps its meaning when another program saves and restores it
// whole, as the oldest iptables on the node prints and reads it: a mark's match
// stays (k8s#112477), a /8 stays a /8. The oldest at hand is 1.8.9.
func TestN5MeaningSurvivesSaveAndRestore(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("k3s-netbird-healthy")
		text := k3s(t, `            - {name: rest, action: {goto: SITE-NB-DROP}}
        SITE-NB-FORWARD:`, `            - "-m mark --mark 0x8000/0x8000 -j DROP"
            - {families: [ipv4], match: {source: 127.0.0.0/8, not: {in: lo}}, action: drop}
            - {match: {protocol: tcp, tcpFlags: syn, limit: 5/minute, mark: 0x4/0xc}, action: return}
            - {name: rest, action: {goto: SITE-NB-DROP}}
        SITE-NB-FORWARD:`, "default: false", "default: true")
		n.must(n.apply(text), converge.Done)
		read := func() *ir.State {
			s, err := n.backend(nil).Session(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			snap, err := s.Snapshot(context.Background(), ir.Scope{All: true})
			if err != nil {
				t.Fatal(err)
			}
			return snap.State
		}
		before := read()
		for _, f := range ir.Families {
			n.run("", "sh", "-ec", n.tool(f, "-save")+" > "+n.state+"/saved; "+n.tool(f, "-restore")+" < "+n.state+"/saved")
		}
		same := func(f ir.Family, a, b *ir.Rule) bool { return xtables.Equal(a, b, f) }
		if d := ir.Compare(before, read(), ir.CompareOptions{SameRule: same}); len(d) > 0 {
			t.Errorf("after save and restore: %v", d)
		}
		if out := n.must(n.apply(text), converge.Done); out.Wrote {
			t.Error("an apply after save and restore has something to write")
		}
	})
}

// N-6: nothing is ever deleted by a text that was read back, other than one that we
// send ourselves. Foreign rules that were misread long ago (cilium#47956: an
// interface's name as an address) stand by.
func TestN6DeletedByOurTextOnly(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("k3s-netbird-healthy")
		misread := `-s 101.110.0.0/16 -i wt0 -j ACCEPT`
		// NetBird has rules about either interface: else the ruleset refuses one of them.
		n.run("*filter\n-A INPUT -i wt1 -j ACCEPT\n-A FORWARD -i wt1 -j ACCEPT\nCOMMIT\n", n.tool(ir.IPv4, "-restore"), "--noflush")
		n.run("*filter\n-A FORWARD "+misread+"\n-A INPUT "+misread+"\nCOMMIT\n", n.tool(ir.IPv4, "-restore"), "--noflush")
		other := k3s(t, "default: wt0", "default: wt1")
		n.must(n.apply(k3s(t)), converge.Done)
		n.must(n.apply(other), converge.Done)
		n.must(n.apply(k3s(t)), converge.Done)
		// A copy of ours, as a crash of an earlier version leaves it.
		n.run("*filter\n-A FORWARD "+nbForward+"\nCOMMIT\n", n.tool(ir.IPv4, "-restore"), "--noflush")
		n.must(n.apply(k3s(t)), converge.Done)
		n.must(n.remove(k3s(t)), converge.Done)
		ours := map[string]bool{}
		for _, wt := range []string{"wt0", "wt1"} {
			for chain, jump := range map[string]string{"INPUT": nbInput, "FORWARD": nbForward} {
				ours[chain+" "+strings.Replace(jump, "wt0", wt, 1)] = true
			}
		}
		deleted := 0
		sentLines(n.sent, func(_, line string) {
			if rest, ok := strings.CutPrefix(line, "-D "); ok {
				deleted++
				if !ours[rest] {
					t.Errorf("deleted by a text that is not ours: %s", line)
				}
			}
		})
		if deleted < 7 {
			t.Errorf("only %d deletes were sent: the test shows nothing", deleted)
		}
		for _, chain := range []string{"INPUT", "FORWARD"} {
			if got := n.chain(ir.IPv4, "filter", chain); got[len(got)-1] != misread {
				t.Errorf("%s ends with %q, want the misread rule", chain, got[len(got)-1])
			}
		}
	})
}

// N-9: rules without a comment are known by target and match: NetBird's accepts,
// kubelet's jump, Tailscale's. Ours keeps its place among them while their
// programs put them back.
func TestN9AnchorsWithoutComments(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		text := "*filter\n:KUBE-ROUTER-FORWARD - [0:0]\n:KUBE-ROUTER-INPUT - [0:0]\n:KUBE-FIREWALL - [0:0]\n:ts-input - [0:0]\n:FLANNEL-FWD - [0:0]\n" +
			"-A INPUT " + routerInput + "\n-A INPUT -i wt0 -j ACCEPT\n-A INPUT " + firewall + "\n-A INPUT -j ts-input\n" +
			"-A FORWARD " + routerForward + "\n-A FORWARD -o wt0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i wt0 -j ACCEPT\n" +
			"-A FORWARD -m comment --comment \"flanneld forward\" -j FLANNEL-FWD\nCOMMIT\n"
		n.run(text, n.tool(ir.IPv4, "-restore"))
		order := func(what string) {
			t.Helper()
			for chain, want := range map[string][2]string{"INPUT": {routerInput, nbInput}, "FORWARD": {routerForward, nbForward}} {
				got := n.chain(ir.IPv4, "filter", chain)
				at := slices.Index(got, want[1])
				if at < 0 || slices.Index(got, want[0]) > at || slices.Index(got, "-i wt0 -j ACCEPT") < at {
					t.Errorf("%s: %s is %q, want ours behind kube-router and ahead of NetBird's accept", what, chain, got)
				}
			}
		}
		n.must(n.apply(k3s(t)), converge.Done)
		order("after the first apply")
		// NetBird starts again, at position 1: ours goes ahead of it at once, and
		// kube-router's own sync puts the rest right.
		netbird := func(chain string) {
			n.run("", n.tool(ir.IPv4, ""), "-w", "-D", chain, "-i", "wt0", "-j", "ACCEPT")
			n.run("", n.tool(ir.IPv4, ""), "-w", "-I", chain, "1", "-i", "wt0", "-j", "ACCEPT")
		}
		netbird("FORWARD")
		netbird("INPUT")
		out := n.must(n.apply(k3s(t)), converge.Done)
		if shown := findings(out.Plan.Diags); !out.Plan.Diags.Has(diag.ConstraintNot) || !strings.Contains(shown, "kube-router-first") {
			t.Errorf("findings, want a warning that kube-router is not first:\n%s", shown)
		}
		for chain, want := range map[string][]string{
			"INPUT": {nbInput, nbAccept, routerInput}, "FORWARD": {nbForward, nbAccept, routerForward},
		} {
			if got := n.chain(ir.IPv4, "filter", chain); len(got) < 3 || !slices.Equal(got[:3], want) {
				t.Errorf("%s is %q, want ours ahead of NetBird's accept at once", chain, got)
			}
		}
		n.unchanged(func() {
			if out := n.must(n.apply(k3s(t)), converge.Done); out.Wrote {
				t.Error("an apply before kube-router's sync wrote something")
			}
		})
		n.routerSyncs()
		order("after kube-router's sync, before an apply")
		out = n.must(n.apply(k3s(t)), converge.Done)
		if out.Wrote || out.Plan.Diags.Has(diag.ConstraintNot) {
			t.Errorf("after kube-router's sync: wrote %v, want nothing to do and no warning:\n%s", out.Wrote, findings(out.Plan.Diags))
		}
		// And by target alone, between two jumps without comments.
		n.must(n.apply(k3s(t), strings.Replace(siteInput(`, after: [{target: KUBE-FIREWALL}], before: [{target: ts-input}]`), "spec:\n", "spec:\n  families: [ipv4]\n", 1)), converge.Done)
		got := n.chain(ir.IPv4, "filter", "INPUT")
		if at := slices.Index(got, inputJump); at < 1 || got[at-1] != firewall || got[at+1] != "-j ts-input" {
			t.Errorf("INPUT is %q, want our jump between kubelet's and Tailscale's", got)
		}
	})
}

// N-10: the mark of the shipped ruleset is nobody's; TestT11EveryMarkIsTold shows
// that every other one is told.
func TestN10ShippedMarkIsNobodys(t *testing.T) {
	on := k3s(t, "default: false", "default: true")
	if list := compiled(t, on); len(found(list, diag.MarkCollision)) > 0 || list.HasErrors() {
		t.Errorf("findings: %s", findings(list))
	}
	told := found(compiled(t, strings.Replace(on, "default: 0x80/0x80", "default: 0x20/0x20", 1)), diag.MarkCollision)
	if len(told) == 0 || !strings.Contains(told[0].Notes[0].Message, "netbird") {
		t.Errorf("0x20 is a bit of NetBird's marks (netbird#6289), but: %v", told)
	}
}
