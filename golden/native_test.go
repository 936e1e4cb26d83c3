package golden_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookline/backend"
	"hookline/backend/nft"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl/diag"
	"hookline/golden/injector"
	"hookline/internal/netns"
)

// script is a transaction as nft is given it. Steps on handles that stand in the
// snapshot have those of the recorded node.
func script(t *testing.T, p *compiler.Plan) string {
	t.Helper()
	scripts, err := nft.Render(p.Transaction)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range scripts {
		b.WriteString("# nft -f -\n" + s.Text)
	}
	return b.String()
}

// predictedOwn prints the tables of ours as they will stand.
func predictedOwn(p *compiler.Plan) string {
	return nftables.Text(nftables.Script(p.Planned.Own))
}

// foreignTables are the tables of nftables that are not ours, as they stand.
func foreignTables(s *ir.State) []ir.NFTTable {
	return slices.DeleteFunc(slices.Clone(s.NFTTables), func(t ir.NFTTable) bool { return strings.HasPrefix(t.Name, ir.OwnTablePrefix) })
}

// baseChains is where every table of nftables hooks in, without how much is in it:
// the nft backend does not look.
func baseChains(s *ir.State) []string {
	var out []string
	for _, t := range s.NFTTables {
		out = append(out, t.Key())
		for _, c := range t.Chains {
			out = append(out, fmt.Sprintf("%s %s: %s %s %d %s", t.Key(), c.Name, c.Type, c.Hook, c.Priority, cmp.Or(c.Policy, "accept")))
		}
	}
	return out
}

// sameOwn compares tables of ours but for handles, counters and places in rulesets.
var sameOwn = gocmp.Options{
	cmpopts.IgnoreFields(ir.OwnRule{}, "Handle", "Packets", "Bytes", "Label", "Printed"),
	cmpopts.IgnoreFields(ir.OwnSet{}, "Type"), // a listing cannot tell addresses from prefixes; the elements can
	cmpopts.IgnoreTypes(diag.Span{}), cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b *ir.OwnTable) bool { return a.Key() < b.Key() }),
	cmpopts.SortSlices(func(a, b *ir.OwnChain) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b *ir.OwnSet) bool { return a.Name < b.Name }),
}

// againNative is what again asks of the nft backend besides: nothing of others is
// another one.
func (s *scenario) againNative(t *testing.T, plan *compiler.Plan) {
	t.Helper()
	if d := gocmp.Diff(foreignTables(plan.Live), foreignTables(plan.Planned)); d != "" {
		t.Errorf("tables of others are predicted to change (-live +planned):\n%s", d)
	}
	if d := gocmp.Diff(plan.Live.Tables, plan.Planned.Tables, cmpopts.IgnoreTypes(diag.Span{}, &ir.Spec{})); d != "" {
		t.Errorf("tables of iptables are predicted to change (-live +planned):\n%s", d)
	}
}

var (
	handles  = regexp.MustCompile(`\bhandle \d+`)
	tableEnd = regexp.MustCompile(`(?m)^}\n`)
)

// replayNative loads the recorded node with the real tools, plans what stands there
// then, gives nft the transaction, and compares what the kernel then holds with the
// prediction. What is not ours is byte for byte as before.
func (s *scenario) replayNative(t *testing.T, programs []*compiler.Program, plan *compiler.Plan) {
	t.Helper()
	ns := netns.ForTest(t)
	s.load(t, ns)
	s.loadNative(t, ns)
	b, err := nft.New(nft.Options{Runner: ns.Runner(), NetNS: ns.Do})
	if err != nil {
		t.Fatal(err)
	}
	session, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	s.deleteUnmade(t, ns, session, programs)
	before := s.read(t, session, programs)
	if d := gocmp.Diff(baseChains(plan.Live), baseChains(before.State)); d != "" {
		t.Errorf("the node that was loaded is not the one that was recorded (-recorded +loaded):\n%s", d)
	}
	now := compiler.NewPlan(programs, before, compiler.PlanOptions{})
	want, got := handles.ReplaceAllString(script(t, plan), "handle N"), handles.ReplaceAllString(script(t, now), "handle N")
	if want != got {
		t.Errorf("the loaded node has another transaction (-recorded +loaded):\n%s", gocmp.Diff(want, got))
	}
	foreign := foreignText(t, ns)
	scripts, err := b.Render(now.Transaction)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range scripts {
		if err := session.Apply(context.Background(), x); err != nil {
			t.Fatalf("nft does not take the transaction: %v", err)
		}
	}
	after := s.read(t, session, programs)
	if d := gocmp.Diff(now.Planned.Own, after.State.Own, sameOwn); d != "" {
		t.Errorf("predicted from the loaded state (-predicted +read back):\n%s", d)
	}
	if d := gocmp.Diff(plan.Planned.Own, after.State.Own, sameOwn); d != "" {
		t.Errorf("predicted from the recorded state (-predicted +read back):\n%s", d)
	}
	if d := gocmp.Diff(baseChains(plan.Planned), baseChains(after.State)); d != "" {
		t.Errorf("base chains (-predicted +read back):\n%s", d)
	}
	if d := gocmp.Diff(foreign, foreignText(t, ns)); d != "" {
		t.Errorf("what is not ours is not as before (-before +after):\n%s", d)
	}
	second := compiler.NewPlan(programs, after, compiler.PlanOptions{})
	if !second.Empty() || second.Diags.HasErrors() {
		t.Errorf("planning the real result again is not empty:\n%s", s.text(t, second))
	}
}

// readNative reads what a plan needs, and everything if constraints ask for more.
func (s *scenario) readNative(t *testing.T, session backend.Session, programs []*compiler.Program) *ir.Snapshot {
	t.Helper()
	scope := compiler.NFTScope(programs, compiler.PlanOptions{})
	for {
		snap, err := session.Snapshot(context.Background(), scope)
		if err != nil {
			t.Fatal(err)
		}
		if p := compiler.NewPlan(programs, snap, compiler.PlanOptions{}); scope.All || len(p.Asked)+len(p.AskedSets) == 0 {
			return snap
		}
		scope = ir.Scope{All: true, AllSets: true, Own: compiler.OwnTables(programs)}
	}
}

// loadNative brings the tables of nftables that iptables-nft does not print into a
// namespace. `nft -j` is no restore format (FIELD M-46), so a node with such tables
// has their text too.
func (s *scenario) loadNative(t *testing.T, ns *netns.NS) {
	t.Helper()
	file, err := os.Open(filepath.Join(s.in, "native.nft.gz"))
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: []string{"nft", "-f", "-"}, Stdin: string(text)})
	if err != nil || res.Exit != 0 {
		t.Fatalf("loading native.nft: %v %s", err, res.Stderr)
	}
	for _, table := range s.snap.State.Own {
		for _, c := range table.Chains {
			var rules []injector.Rule
			for _, r := range c.Rules {
				if r.Tag != "" {
					rules = append(rules, injector.Rule{Text: r.Text, Tag: r.Tag})
				}
			}
			// nft has no words for what other programs leave beside rules.
			if err := injector.Insert(ns, table.Kind, table.Name, c.Name, rules); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// deleteUnmade deletes the base chains of iptables' tables that the node did not
// have: iptables-restore makes all that a save prints, and a save prints all that
// there could be.
func (s *scenario) deleteUnmade(t *testing.T, ns *netns.NS, session backend.Session, programs []*compiler.Program) {
	t.Helper()
	recorded := baseChains(s.snap.State)
	for _, table := range s.read(t, session, programs).State.NFTTables {
		if table.Family == string(ir.Inet) || ir.BuiltinChains(table.Name) == nil {
			continue
		}
		for _, c := range table.Chains {
			name := table.Key() + " " + c.Name
			if slices.ContainsFunc(recorded, func(r string) bool { return strings.HasPrefix(r, name+":") }) {
				continue
			}
			res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: append([]string{"nft", "delete", "chain"}, strings.Fields(name)...)})
			if err != nil || res.Exit != 0 {
				t.Fatalf("deleting %s: %v %s", name, err, res.Stderr)
			}
		}
	}
}

// foreignText is what nft lists of the tables that are not ours.
func foreignText(t *testing.T, ns *netns.NS) string {
	t.Helper()
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: []string{"nft", "list", "ruleset"}})
	if err != nil || res.Exit != 0 {
		t.Fatalf("nft list ruleset: %v %s", err, res.Stderr)
	}
	var out strings.Builder
	for _, table := range tableEnd.Split(res.Stdout, -1) {
		if _, name, _ := strings.Cut(strings.TrimPrefix(table, "table "), " "); !strings.HasPrefix(name, ir.OwnTablePrefix) {
			out.WriteString(table + "}\n")
		}
	}
	return out.String()
}
