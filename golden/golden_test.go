package golden_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/ipsets"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/netns"
)

var update = flag.Bool("update", false, "rewrite want/ and fail, so that the difference gets read")

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// variants are the folders under in/ and the kind of tables that each is for.
var variants = []struct {
	folder  string
	variant ir.Variant
}{{"nft", ir.IptablesNFT}, {"legacy", ir.IptablesLegacy}}

// backends are the variants and what is planned for tables of our own.
var backends = append(slices.Clone(variants), struct {
	folder  string
	variant ir.Variant
}{"native", ir.NFT})

func TestScenarios(t *testing.T) {
	dirs, err := filepath.Glob("scenarios/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Fatal("there are no scenarios")
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
				t.Errorf("a scenario says in its README.md what it shows: %v", err)
			}
			ran := 0
			for _, v := range backends {
				in := filepath.Join(dir, "in", v.folder)
				if _, err := os.Stat(in); err != nil {
					continue
				}
				ran++
				t.Run(v.folder, func(t *testing.T) {
					t.Parallel()
					(&scenario{dir: dir, in: in, want: filepath.Join(dir, "want", v.folder), variant: v.variant}).run(t)
				})
			}
			if ran == 0 {
				t.Error("the scenario has no in/nft, no in/legacy and no in/native")
			}
		})
	}
}

// scenario is one folder on one backend.
type scenario struct {
	dir, in, want string
	variant       ir.Variant
	snap          *ir.Snapshot
}

func (s *scenario) run(t *testing.T) {
	list := &diag.List{}
	programs := s.compile(t, list)
	s.attributes(t, programs)
	got := map[string]string{}
	var plan *compiler.Plan
	if !list.HasErrors() {
		plan = compiler.NewPlan(programs, s.snap, compiler.PlanOptions{})
		list.Append(plan.Diags)
		for _, k := range plan.Asked {
			list.Errorf(diag.Unknowable, diag.Span{}, "a constraint asks for %s, which was not recorded", k)
		}
		got["plan.txt"] = s.text(t, plan)
		if !plan.Empty() {
			got["transaction.txt"] = transaction(t, plan)
			got["predicted.txt"] = predicted(plan)
		}
	}
	list.Sort()
	if list.Len() > 0 {
		var b bytes.Buffer
		if err := diag.WriteText(&b, list, diag.TextOptions{Excerpts: true}); err != nil {
			t.Fatal(err)
		}
		got["diagnostics.txt"] = b.String()
	}
	s.compare(t, got)
	if plan == nil || list.HasErrors() {
		return
	}
	s.again(t, programs, plan)
	s.replay(t, programs, plan)
}

// shows finds the IDs that a scenario's README says it shows, in its last line.
var shows = regexp.MustCompile(`(?m)^Shows: ([HRNFVT]-[0-9]+(?:, [HRNFVT]-[0-9]+)*)\.\n?\z`)

// attributes says in the results of the tests what docs/field-tests.md is made
// of: the IDs, the variant, and the families that were planned.
func (s *scenario) attributes(t *testing.T, programs []*compiler.Program) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(s.dir, "README.md"))
	if err != nil {
		return // reported by the caller
	}
	m := shows.FindSubmatch(readme)
	if m == nil {
		if bytes.Contains(readme, []byte("Shows:")) {
			t.Errorf("the README's last line is not of the form %q", "Shows: H-1, R-3.")
		}
		return
	}
	var families []string
	for _, f := range ir.Families {
		wanted := func(p *compiler.Program) bool { return slices.Contains(p.Families, f) }
		if slices.Contains(s.snap.State.Families, f) && slices.ContainsFunc(programs, wanted) {
			families = append(families, f.String())
		}
	}
	t.Attr("ids", string(m[1]))
	t.Attr("variant", string(s.variant))
	t.Attr("families", strings.Join(families, ", "))
}

// compile reads the scenario's files. Names in spans are relative to the scenario,
// so that want/ is the same everywhere.
func (s *scenario) compile(t *testing.T, list *diag.List) []*compiler.Program {
	t.Helper()
	snap, l, err := recorded.Load(s.in, s.variant)
	if err != nil {
		t.Fatal(err)
	}
	list.Append(l)
	s.snap = snap
	snap.Source = filepath.Base(filepath.Dir(s.in)) + "/" + filepath.Base(s.in)
	docs, l := dsl.Parse(s.file(t, "ruleset.yaml"))
	list.Append(l)
	opt := compiler.CompileOptions{Facts: snap.Facts, ReadFile: s.beside}
	if s.variant == ir.NFT {
		opt.Backend = string(ir.NFT)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "values.yaml")); err == nil {
		entries, l := dsl.ParseValues(s.file(t, "values.yaml"))
		list.Append(l)
		opt.Values = append(opt.Values, entries)
	}
	if snap.Values != "" {
		entries, l := dsl.ParseValues(diag.NewFile(snap.ValuesName, snap.Values))
		list.Append(l)
		opt.Values = append(opt.Values, entries)
	}
	if list.HasErrors() {
		return nil
	}
	var programs []*compiler.Program
	for _, d := range docs {
		p, l := compiler.Compile(d, opt)
		list.Append(l)
		programs = append(programs, p)
	}
	compiler.UnusedValues(docs, opt.Values, list)
	return programs
}

// beside reads a file that the ruleset names.
func (s *scenario) beside(_ *diag.File, name string) (*diag.File, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("%s: no such file", name)
	}
	return diag.NewFile(name, string(text)), nil
}

func (s *scenario) file(t *testing.T, name string) *diag.File {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return diag.NewFile(name, string(text))
}

func (s *scenario) text(t *testing.T, p *compiler.Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteText(&b, compiler.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func transaction(t *testing.T, p *compiler.Plan) string {
	t.Helper()
	if p.Variant == ir.NFT {
		return script(t, p)
	}
	scripts, err := iptables.Render(p.Transaction, p.Variant)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range scripts {
		of := s.Family.String()
		if s.Sets {
			of = "sets"
		}
		fmt.Fprintf(&b, "# %s\n%s", of, s.Text)
	}
	return b.String()
}

// predicted prints the chains that the transaction touches as they will stand.
func predicted(p *compiler.Plan) string {
	if p.Variant == ir.NFT {
		return predictedOwn(p)
	}
	var b strings.Builder
	touched := map[ir.ChainKey]bool{}
	for _, blk := range p.Transaction.Blocks {
		for _, o := range blk.Ops {
			touched[ir.ChainKey{Family: blk.Family, Table: blk.Table, Chain: o.Chain}] = true
		}
	}
	for _, c := range p.SetChanges {
		if s := p.Planned.Set(c.Name); s != nil {
			fmt.Fprintf(&b, "# set %s %s %s\n", s.Name, s.Type, s.Header)
			for _, e := range slices.Sorted(slices.Values(s.Elements)) {
				fmt.Fprintf(&b, "%s\n", e)
			}
		}
	}
	for _, t := range p.Planned.Tables {
		for _, c := range t.Chains {
			k := ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}
			if !touched[k] {
				continue
			}
			fmt.Fprintf(&b, "# %s\n", k)
			for _, r := range c.Rules {
				fmt.Fprintf(&b, "-A %s %s\n", c.Name, r.Text)
			}
		}
	}
	return b.String()
}

// compare checks want/ against what was produced, in both directions.
func (s *scenario) compare(t *testing.T, got map[string]string) {
	t.Helper()
	if *update {
		if err := os.RemoveAll(s.want); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(s.want, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range got {
			if err := os.WriteFile(filepath.Join(s.want, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Errorf("%s was rewritten: read the difference, then run again without -update", s.want)
		return
	}
	for name, text := range got {
		want, err := os.ReadFile(filepath.Join(s.want, name))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if d := cmp.Diff(string(want), text); d != "" {
			t.Errorf("%s/%s mismatch (-want +got):\n%s", s.want, name, d)
		}
	}
	left, err := os.ReadDir(s.want)
	if err != nil {
		t.Errorf("%v", err)
	}
	for _, e := range left {
		if _, ok := got[e.Name()]; !ok {
			t.Errorf("%s/%s is left over: nothing produces it", s.want, e.Name())
		}
	}
}

// again plans the predicted state: there must be nothing to do, and nothing of
// others may have been touched.
func (s *scenario) again(t *testing.T, programs []*compiler.Program, plan *compiler.Plan) {
	t.Helper()
	if keys := plan.LeavesForeign(); len(keys) > 0 {
		t.Errorf("foreign rules are lost, changed or out of order in %v", keys)
	}
	if s.variant == ir.NFT {
		s.againNative(t, plan)
	} else {
		s.goes(t, plan)
	}
	next := *s.snap
	next.State = plan.Planned
	second := compiler.NewPlan(programs, &next, compiler.PlanOptions{})
	if !second.Empty() {
		t.Errorf("planning the predicted state again is not empty:\n%s", s.text(t, second))
	}
	if err := ir.CheckTransaction(plan.Transaction); err != nil {
		t.Errorf("the transaction breaks a promise: %v", err)
	}
}

// replay loads the recorded state with the real tools, gives them the
// transaction, and compares what they then print with the prediction.
func (s *scenario) replay(t *testing.T, programs []*compiler.Program, plan *compiler.Plan) {
	t.Helper()
	if s.variant == ir.NFT {
		s.replayNative(t, programs, plan)
		return
	}
	ns := netns.ForTest(t)
	ctx := context.Background()
	s.load(t, ns)
	b, err := iptables.New(iptables.Options{Variant: s.variant, Runner: ns.Runner(), NetNS: ns.Do, LockFile: ns.LockFile()})
	if err != nil {
		t.Fatal(err)
	}
	session, err := b.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	before := s.read(t, session, programs)
	scripts, err := b.Render(plan.Transaction)
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		if err := session.Apply(ctx, script); err != nil {
			t.Fatalf("the real tool does not take the transaction: %v", err)
		}
	}
	after := s.read(t, session, programs)
	s.sameSets(t, plan.Planned, after.State)
	want, err := before.State.Apply(plan.Transaction)
	if err != nil {
		t.Fatalf("the transaction does not apply to what the tools loaded: %v", err)
	}
	same := func(f ir.Family, a, b *ir.Rule) bool { return xtables.Equal(a, b, f) }
	for _, d := range ir.Compare(want, after.State, ir.CompareOptions{Counters: true, SameRule: same}) {
		if s.variant == ir.IptablesLegacy && d.Kind == ir.CountersDiffer && d.Index < 0 {
			// libiptc zeroes the policy counters of a table with every change of it, also
			// with iptables -A (docs/decisions/0009).
			continue
		}
		t.Errorf("predicted from the loaded state: %v", d)
	}
	for _, d := range ir.Compare(plan.Planned, after.State, ir.CompareOptions{SameRule: same}) {
		if slices.Contains(plan.Planned.Families, d.Key.Family) {
			t.Errorf("predicted from the recorded state: %v", d)
		}
	}
	second := compiler.NewPlan(programs, after, compiler.PlanOptions{Families: plan.Planned.Families})
	if !second.Empty() || second.Diags.HasErrors() {
		t.Errorf("planning the real result again is not empty:\n%s", s.text(t, second))
	}
}

// sameSets compares the sets that are predicted with those that stand: the elements
// of ours, the names of all others.
func (s *scenario) sameSets(t *testing.T, planned, after *ir.State) {
	t.Helper()
	var want, got []string
	for _, x := range planned.Sets {
		want = append(want, x.Name)
		if now := after.Set(x.Name); now != nil && now.Header != "" && x.Header != "" && !ipsets.Equal(x, now) {
			t.Errorf("set %s holds %q, predicted were %q", x.Name, now.Elements, x.Elements)
		}
	}
	for _, x := range after.Sets {
		got = append(got, x.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("the sets %q stand, predicted were %q", got, want)
	}
}

func (s *scenario) read(t *testing.T, session backend.Session, programs []*compiler.Program) *ir.Snapshot {
	t.Helper()
	if s.variant == ir.NFT {
		return s.readNative(t, session, programs)
	}
	snap, err := session.Snapshot(context.Background(), ir.Scope{All: true, AllSets: true, SetGlobs: compiler.SetGlobs(programs, nil)})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// load brings the recorded node into a namespace: sets first, then both families.
func (s *scenario) load(t *testing.T, ns *netns.NS) {
	t.Helper()
	kind := strings.TrimPrefix(string(s.variant), "iptables-")
	in := s.in
	if _, err := os.Stat(filepath.Join(in, "before")); err == nil {
		// The saves cannot say what stands in a table with native rules: those of before
		// those rules came do, and native.nft.gz adds them.
		in = filepath.Join(in, "before")
	}
	feed := func(name string, argv ...string) {
		text, err := os.ReadFile(filepath.Join(in, name))
		if os.IsNotExist(err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: string(text)})
		if err != nil || res.Exit != 0 {
			t.Fatalf("loading %s: %v %s", name, err, res.Stderr)
		}
	}
	feed("ipset-save.txt", "ipset", "restore")
	feed("iptables-"+kind+"-save.txt", "iptables-"+kind+"-restore", "-c")
	feed("ip6tables-"+kind+"-save.txt", "ip6tables-"+kind+"-restore", "-c")
}
