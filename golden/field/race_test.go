package field

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// long asks for the full number of rounds.
func long() bool { return os.Getenv("HOOKLINE_LONG") == "1" }

// rounds is how many rounds a counting test does.
func rounds(short, full int) int {
	if long() {
		return full
	}
	return short
}

// racing is a ruleset of which every version changes the owned chain of 25 rules
// and both jumps, so that each apply writes into shared chains.
func racing(version int) string {
	var rules strings.Builder
	for i := range 24 {
		fmt.Fprintf(&rules, "            - \"-p tcp -m tcp --dport %d -j ACCEPT\"\n", 1000+i+100*(version%2))
	}
	return fmt.Sprintf(`apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.%d}
spec:
  families: [ipv4]
  owns: {chains: ["SITE_*"]}
  tables:
    filter:
      chains:
        SITE_INPUT:
          rules:
            - "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
%s      anchors:
        - {hook: INPUT, jump: SITE_INPUT, match: {in: eth%[1]d}, after: [calico], before: [kubelet]}
    nat:
      chains:
        SITE_PRE: {rules: ["-p tcp -m tcp --dport %[3]d -j RETURN"]}
      anchors:
        - {hook: PREROUTING, jump: SITE_PRE, match: {in: eth%[1]d}, after: [calico], before: [kube-proxy]}
`, version%2, rules.String(), 80+version%2)
}

// stands tells what is wrong with a chain in which foreign rules must stand in
// an order, and one jump of ours behind the first and ahead of another. Rules of
// the churn simulator may be there, and two copies of a jump that is just being
// put in again.
func stands(got, foreign []string, ours, before string) error {
	var rest []string
	at := map[string][]int{}
	for i, r := range got {
		at[r] = append(at[r], i)
		if r != ours && !strings.Contains(r, "--comment churn ") {
			rest = append(rest, r)
		}
	}
	if d := cmp.Diff(foreign, slices.Compact(rest)); d != "" {
		return fmt.Errorf("holds other foreign rules (-want +got):\n%s", d)
	}
	after := at[foreign[0]]
	if len(at[ours]) != 1 || at[ours][0] < after[len(after)-1] || at[ours][0] > at[before][0] {
		return fmt.Errorf("does not hold one jump of ours behind the first rule and ahead of %s: %q", before, got)
	}
	return nil
}

// tally counts how applies end.
type tally struct {
	status  [converge.Stuck + 1]int
	rounds  int
	most    int
	took    time.Duration
	applies int
}

func (s *tally) add(out *converge.Outcome, took time.Duration) {
	s.applies++
	s.status[out.Status]++
	s.rounds += out.Rounds
	s.most = max(s.most, out.Rounds)
	s.took += took
}

func (s *tally) String() string {
	return fmt.Sprintf("%d applies, %v each: %d done, %d refused, %d moved, %d taken back, %d stuck; %d rounds of writing, at most %d in one apply",
		s.applies, (s.took / time.Duration(max(s.applies, 1))).Round(time.Millisecond), s.status[converge.Done], s.status[converge.Refused],
		s.status[converge.Moved], s.status[converge.TakenBack], s.status[converge.Stuck], s.rounds, s.most)
}

// race applies a changing ruleset again and again while programs write into the
// same base chains, and a reader looks at the owned chain all the time. What must
// hold whenever an apply says that it is done: both chains in order, nothing of
// others lost. What must hold always: the owned chain is full.
func race(t *testing.T, n *node, applies int, programs ...string) {
	t.Helper()
	n.load(natText(caliJump, ovnJump, kubeJump, hostJump)+filterText(caliInput, `-i wt0 -j ACCEPT`, firewall), "")
	n.must(n.apply(racing(0)), converge.Done)
	foreignRules := func() string {
		var out []string
		for line := range strings.Lines(stripCounters(foreign(n.save(ir.IPv4)))) {
			if !strings.Contains(line, "--comment churn ") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	}
	before := foreignRules()
	seen := n.watch(ir.IPv4, "filter", func(save string) error {
		if got := lines(save, "SITE_INPUT"); got != 25 {
			return fmt.Errorf("the owned chain has %d rules, want 25:\n%s", got, save)
		}
		return nil
	})
	var running []*program
	for _, mode := range programs {
		running = append(running, n.start(mode, lookPath(t, n.tool(ir.IPv4, ""))))
	}
	var count tally
	for i := range applies {
		start := time.Now()
		out := n.apply(racing(i + 1))
		count.add(out, time.Since(start))
		if out.Status != converge.Done {
			if out.Status != converge.Moved {
				n.must(out, converge.Moved)
			}
			continue
		}
		eth := fmt.Sprintf("-i eth%d ", (i+1)%2)
		if err := stands(n.chain(ir.IPv4, "filter", "INPUT"), []string{caliInput, `-i wt0 -j ACCEPT`, firewall}, eth+inputJump, firewall); err != nil {
			t.Fatalf("apply %d is done, and INPUT %v", i+1, err)
		}
		if err := stands(n.chain(ir.IPv4, "nat", "PREROUTING"), []string{caliJump, ovnJump, kubeJump, hostJump}, eth+preJump, kubeJump); err != nil {
			t.Fatalf("apply %d is done, and PREROUTING %v", i+1, err)
		}
	}
	var did []string
	for i, p := range running {
		did = append(did, fmt.Sprintf("%s %d rounds", programs[i], p.stop()))
	}
	looks := seen()
	if d := cmp.Diff(before, foreignRules()); d != "" {
		t.Errorf("foreign rules, in order (-before +after):\n%s", d)
	}
	if count.status[converge.Done] == 0 {
		t.Error("no apply was done")
	}
	t.Logf("%s; meanwhile %s; a reader looked %d times", &count, strings.Join(did, ", "), looks)
}

// Another process inserts and deletes at position 1 of the same base chains,
// without a pause. The nft variant has no lock that would keep it out, so that an
// apply takes longer there.
func TestH2UpdatesWhileAnotherProgramWrites(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		short := 100
		if n.variant == ir.IptablesNFT {
			short = 40
		}
		race(t, n, rounds(short, 1000), "churn")
	})
}

// Felix puts its jump back at the top of INPUT, the new one before the old one
// goes: the rule behind which ours must stand moves all the time.
func TestH2UpdatesWhileFelixResyncs(t *testing.T) {
	both(t, func(t *testing.T, n *node) { race(t, n, rounds(15, 300), "felix") })
}

// T-1: nothing that is sent deletes or replaces by index.
func TestT1NoDeleteByIndex(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		sentLines(life(t, n), func(table, line string) {
			words := strings.Fields(line)
			if len(words) < 2 {
				return
			}
			if words[0] == "-R" || words[0] == "-D" && len(words) == 3 && strings.Trim(words[2], "0123456789") == "" {
				t.Errorf("sent to %s: %s", table, line)
			}
		})
	})
}

// T-1: a race that cannot be won ends with its own exit code, after a bounded
// number of rounds, and leaves nothing of ours.
func TestT1RaceLost(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.load(natText(caliJump, kubeJump)+filterText(caliInput, firewall), "")
		before := foreign(n.saves())
		text := strings.Replace(siteInput(", after: [calico]"), "spec:\n", "spec:\n  families: [ipv4]\n", 1)
		out := n.applyWith(converge.Options{Backend: n.backend(spoiler{n}), Programs: compile(t, text), Store: n.store})
		n.must(out, converge.Moved)
		if !out.Diags.Has(diag.RaceLost) || out.Rounds < 2 || out.Rounds > 20 {
			t.Errorf("rounds %d, findings %s: want some, a bound, and %s", out.Rounds, findings(out.Diags), diag.RaceLost)
		}
		if d := cmp.Diff(before, foreign(n.saves())); d != "" || strings.Contains(n.saves(), "SITE_") {
			t.Errorf("something is left, or lost:\n%s\n%s", n.saves(), d)
		}
	})
}

// spoiler takes our jump out after each commit that puts it in.
type spoiler struct{ *node }

func (s spoiler) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	res, err := s.node.Run(ctx, c)
	if !strings.Contains(c.Stdin, "-I INPUT ") || err != nil || res.Exit != 0 {
		return res, err
	}
	del := "*filter\n-D INPUT " + inputJump + "\nCOMMIT\n"
	// Another program on legacy that does not see our lock (FIELD M-53).
	spoilt, err := s.ns.Runner().Run(ctx, backend.Cmd{
		Argv: []string{s.tool(ir.IPv4, "-restore"), "--noflush"}, Stdin: del, Env: []string{"XTABLES_LOCKFILE=" + s.state + "/other.lock"},
	})
	if err == nil && spoilt.Exit != 0 {
		err = errors.New(spoilt.Stderr)
	}
	return res, err
}
