package field

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// T-12: what is ours is known by the names of chains and the jumps to them, so
// that what a new version no longer has is found and taken away: also if nothing
// is recorded any more, and whatever the file is called and the comments say.
func TestT12OrphansOfARename(t *testing.T) {
	chain := func(name, comment string) string {
		return strings.NewReplacer("SITE_INPUT", name, "jump: SITE_INPUT", "jump: "+name+comment).Replace(siteInput(", after: [calico]"))
	}
	tests := []struct {
		name, before, after string
	}{
		{"a chain is renamed", chain("SITE_OLD", ""), chain("SITE_NEW", "")},
		{"a jump gets another comment", chain("SITE_IN", `, comment: "the first words"`), chain("SITE_IN", `, comment: "other words"`)},
		{"a jump gets another match", chain("SITE_IN", `, match: {in: eth0}`), chain("SITE_IN", `, match: {in: eth1}`)},
	}
	for _, tt := range tests {
		for _, kept := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, record kept %v", tt.name, kept), func(t *testing.T) {
				both(t, func(t *testing.T, n *node) {
					text := filterText(caliInput, firewall)
					n.load(text, text)
					before := foreign(n.saves())
					n.must(n.apply(tt.before), converge.Done)
					if !kept {
						if err := os.RemoveAll(n.state); err != nil {
							t.Fatal(err)
						}
					}
					n.must(n.apply(tt.after), converge.Done)
					// A node that never had the first version is the same.
					fresh := newNode(t, n.variant)
					fresh.load(text, text)
					fresh.must(fresh.apply(tt.after), converge.Done)
					// A jump that stands in its place stays, with the words that it has.
					words := strings.NewReplacer("other words", "words", "the first words", "words")
					if d := cmp.Diff(words.Replace(stripCounters(fresh.saves())), words.Replace(stripCounters(n.saves()))); d != "" {
						t.Errorf("the node, and one that had only the second version (-want +got):\n%s", d)
					}
					n.must(n.remove(tt.after), converge.Done)
					if d := cmp.Diff(before, foreign(n.saves())); d != "" || strings.Contains(n.saves(), "SITE_") {
						t.Errorf("after removal (-before +after):\n%s", d)
					}
				})
			})
		}
	}
}

// applyFile applies a ruleset from a file of that name, with the command.
func (n *node) applyFile(name, text string) {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	res := n.try("", command(n.t), "apply", path, "--state-dir", n.state, "--backend", string(n.variant), "--no-color")
	if res.Exit != 0 {
		n.t.Fatalf("apply %s: exit %d: %s%s", name, res.Exit, res.Stdout, res.Stderr)
	}
}

// A ruleset that is renamed does not take over the chains of its old name behind
// somebody's back: the jump says whose they are, with the record and without it.
func TestT12ARenamedRulesetTakesNothingOver(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("record kept %v", kept), func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				old := siteInput("")
				renamed := strings.NewReplacer("name: site", "name: edge", "SITE_INPUT", "SITE_EDGE").Replace(old)
				n.applyFile("site.yaml", old)
				n.unchanged(func() { n.applyFile("called-otherwise.yaml", old) })
				if !kept {
					if err := os.RemoveAll(n.state); err != nil {
						t.Fatal(err)
					}
				}
				n.unchanged(func() {
					res := n.hookline(renamed, "apply")
					if res.Exit != 1 && res.Exit != 3 || !strings.Contains(res.Stderr, `"site"`) && !strings.Contains(res.Stderr, "site ") {
						t.Errorf("exit %d, want a refusal that names the ruleset site:\n%s", res.Exit, res.Stderr)
					}
				})
				n.must(n.remove(old), converge.Done)
				n.applyFile("edge.yaml", renamed)
				if s := n.saves(); strings.Contains(s, "SITE_INPUT") || !strings.Contains(s, "hookline:edge") {
					t.Errorf("after the removal of site and the apply of edge:\n%s", s)
				}
			})
		})
	}
}

// T-14: a plan shows the whole chains as they will stand, foreign rules and who
// wrote them, with marks, constraints that do not hold, and what is missing. It is
// the same bytes each time, and its JSON says the same.
func TestT14PlanShowsWholeChains(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("rke2-duplicates")
		n.feed(ir.IPv4, "nat", "-D PREROUTING "+hostJump)
		ruleset := shipped(t, "rke2") + `    - name: nobody-accepts
      severity: warning
      that: planned.chain("ipv4", "filter", "FORWARD").rules.all(r, r.target != "ACCEPT")
      message: somebody accepts
`
		n.unchanged(func() {
			first := n.hookline(ruleset, "plan", "--detailed-exitcode")
			if first.Exit != 2 {
				t.Errorf("exit %d, want 2: %s", first.Exit, first.Stderr)
			}
			if again := n.hookline(ruleset, "plan", "--detailed-exitcode"); again.Stdout != first.Stdout || again.Stderr != first.Stderr {
				t.Errorf("a second plan prints something else:\n%s", cmp.Diff(first.Stdout+first.Stderr, again.Stdout+again.Stderr))
			}
			for _, chain := range [][2]string{{"filter", "FORWARD"}, {"nat", "PREROUTING"}} {
				for _, rule := range n.chain(ir.IPv4, chain[0], chain[1]) {
					if !strings.Contains(first.Stdout, "  "+rule+"\n") {
						t.Errorf("the plan does not show %s of %s %s", rule, chain[0], chain[1])
					}
				}
			}
			for _, want := range []string{
				"\nipv4 filter FORWARD (shared chain, policy ACCEPT)\n",
				"  -      kube-ovn, adopted  " + ovnJump + "\n",
				"  +   8  ours        " + rke2Forward + "\n",
				"  nobody-accepts  does not hold (warning)\n",
				"nat PREROUTING: the jump to CNI-HOSTPORT-DNAT (lost: ",
			} {
				if !strings.Contains(first.Stdout, want) {
					t.Errorf("the plan does not say %q:\n%s", want, first.Stdout)
				}
			}
			n.sameInJSON(ruleset)
		})
	})
}

// sameInJSON compares a plan's JSON with the host and with what T-14 asks for.
func (n *node) sameInJSON(ruleset string) {
	n.t.Helper()
	var plan struct {
		FormatVersion int
		Chains        []struct {
			Family, Table, Chain string
			Rules                []struct {
				Action, Text, Participant string
				Ours                      bool
			}
		}
		Constraints []struct{ Name, Result string }
		Missing     []struct {
			Name string
			Lost bool
		}
		Diagnostics []struct{ Code string }
	}
	res := n.hookline(ruleset, "plan", "-o", "json")
	if err := json.Unmarshal([]byte(res.Stdout), &plan); err != nil {
		n.t.Fatalf("%v: %s", err, res.Stdout)
	}
	seen := 0
	for _, c := range plan.Chains {
		if c.Family != "ipv4" {
			continue
		}
		var stands []string
		for _, r := range c.Rules {
			if r.Action != "add" && r.Action != "move" {
				stands = append(stands, r.Text)
			}
			if r.Participant == "" && !r.Ours {
				n.t.Errorf("%s %s: nobody is said to have written %q", c.Table, c.Chain, r.Text)
			}
		}
		if d := cmp.Diff(n.chain(ir.IPv4, c.Table, c.Chain), stands); d != "" {
			n.t.Errorf("%s %s as it stands, by the JSON (-want +got):\n%s", c.Table, c.Chain, d)
		}
		seen++
	}
	fails, lost, coded := false, false, false
	for _, c := range plan.Constraints {
		fails = fails || c.Name == "nobody-accepts" && c.Result == "fails"
	}
	for _, m := range plan.Missing {
		lost = lost || m.Name == "CNI-HOSTPORT-DNAT" && m.Lost
	}
	for _, d := range plan.Diagnostics {
		coded = coded || d.Code == string(diag.MissingReference)
	}
	if seen < 2 || !fails || !lost || !coded || plan.FormatVersion != 1 {
		n.t.Errorf("%d chains of IPv4, false constraint %v, missing rule %v, finding %v, version %d", seen, fails, lost, coded, plan.FormatVersion)
	}
}
