package golden_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/raise"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// mostRaw is the share of rules, in thousandths, that may stay iptables text.
const mostRaw = 50

// manyRules is more than a node has that is not about size.
const manyRules = 10_000

// imports counts what a run of imports came to.
type imports struct {
	sync.Mutex
	snapshots, chains, rules, raw, anchors, constraints int
	// rules and raw of nodes with so many rules of one kind that they would decide
	// alone.
	bigRules, bigRaw int
	reasons          map[string]int
}

// add counts the import of a whole node.
func (c *imports) add(res *raise.Result) {
	c.Lock()
	defer c.Unlock()
	c.snapshots++
	if res.Rules > manyRules {
		c.bigRules += res.Rules
		c.bigRaw += res.Raw
	} else {
		c.rules += res.Rules
		c.raw += res.Raw
	}
	c.anchors += res.Anchors
	c.constraints += res.Constraints
	for _, r := range res.Reasons {
		c.reasons[r.Why] += r.Count
	}
}

func (c *imports) check(t *testing.T) {
	t.Helper()
	var table strings.Builder
	for _, why := range slices.SortedFunc(maps.Keys(c.reasons), func(a, b string) int { return cmp.Or(c.reasons[b]-c.reasons[a], strings.Compare(a, b)) }) {
		fmt.Fprintf(&table, "\n%8d  %s", c.reasons[why], why)
	}
	t.Logf("%d snapshots, %d imports of one chain each; of all chains together: %d rules, %d of them as iptables text (%.1f %%); on large nodes %d, %d of them as text; %d anchors, %d constraints%s",
		c.snapshots, c.chains, c.rules, c.raw, 100*float64(c.raw)/float64(max(c.rules, 1)), c.bigRules, c.bigRaw, c.anchors, c.constraints, table.String())
	if c.raw*1000 > c.rules*mostRaw {
		t.Errorf("%d of %d rules stay iptables text: more than %d of 1000", c.raw, c.rules, mostRaw)
	}
}

// TestImportNodes imports every chain of the nodes in the tree: alone, with its
// table, and with all of the node.
func TestImportNodes(t *testing.T) {
	dirs, err := filepath.Glob("nodes/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("the recorded nodes: %v, %v", dirs, err)
	}
	more, err := filepath.Glob("scenarios/*/in/*")
	if err != nil || len(more) < 20 {
		t.Fatalf("the scenarios' nodes: %v, %v", more, err)
	}
	seen := map[string]bool{}
	for _, path := range more {
		// Many scenarios share a node.
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			t.Fatal(err)
		}
		if !seen[real] && filepath.Base(filepath.Dir(real)) != "nodes" {
			dirs = append(dirs, real)
		}
		seen[real] = true
	}
	dirs = slices.DeleteFunc(dirs, refusedImports.MatchString)
	importAll(t, dirs)
}

// refusedImports are hosts of which not every chain can be imported, and must not
// be: on some stand jumps of a ruleset that is applied there, which are that
// ruleset's, and one has a jump with a match that nobody can read.
var refusedImports = regexp.MustCompile(`(^|/)(collect-ours|collect-undeletable)/|(^|/)docker29-lost-jump-`)

// TestImportCorpus does the same for every recorded state that is not part of the
// tree.
func TestImportCorpus(t *testing.T) {
	shared := cmp.Or(os.Getenv("HOOKLINE_SHARED"), filepath.Join("..", "..", "shared"))
	root := filepath.Join(shared, "snapshots")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("THE RECORDED STATES ARE NOT HERE, NOTHING IS CHECKED: set HOOKLINE_SHARED (%v)", err)
	}
	paths := snapshotsBelow(t, root)
	if len(paths) < 80 {
		t.Fatalf("only %d recorded states below %s", len(paths), root)
	}
	importAll(t, paths)
}

// snapshotsBelow lists the recorded states in a folder and those inside: the
// folders, and FOLDER/NAME where one folder holds several.
func snapshotsBelow(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimSuffix(d.Name(), ".gz")
		for _, end := range []string{".nft.v4.save", ".nft.v6.save", ".legacy.v4.save", ".legacy.v6.save", ".v4.save", ".v6.save"} {
			if prefix, ok := strings.CutSuffix(name, end); ok {
				out = append(out, filepath.Join(filepath.Dir(path), prefix))
				return err
			}
		}
		if strings.Contains(name, "tables-") && strings.HasSuffix(name, "save.txt") {
			out = append(out, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func importAll(t *testing.T, paths []string) {
	count := &imports{reasons: map[string]int{}}
	t.Run("snapshots", func(t *testing.T) {
		for _, path := range paths {
			for _, v := range variants {
				t.Run(path+" "+v.folder, func(t *testing.T) {
					t.Parallel()
					snap, list, err := recorded.Load(path, v.variant)
					if err != nil {
						t.Fatal(err)
					}
					if list.HasErrors() || len(snap.State.Families) == 0 {
						return // recorded of the other variant only, or a scenario about broken texts
					}
					if !strings.Contains(path, "mixed") {
						// Two runs of one program, each on an empty host, recorded side by side.
						snap.Others = nil
					}
					importNode(t, snap, count)
				})
			}
		}
	})
	count.check(t)
}

// importNode imports every chain of a node alone, the chains of each table together
// and those of the node together.
func importNode(t *testing.T, snap *ir.Snapshot, count *imports) {
	chains := map[string][]ir.ChainKey{}
	tables := map[string]bool{}
	for _, table := range snap.State.Tables {
		for _, c := range table.Chains {
			if !ir.IsBuiltin(table.Name, c.Name) && table.Unreadable == "" {
				chains[c.Name] = append(chains[c.Name], ir.ChainKey{Family: table.Family, Table: table.Name, Chain: c.Name})
				tables[table.Name] = true
			}
		}
	}
	if len(chains) == 0 {
		return
	}
	all := importChains(t, snap, chains, raise.Options{Chains: []string{"*"}})
	if all == nil {
		return
	}
	count.add(all)
	names := slices.Sorted(maps.Keys(chains))
	if len(names) > 2000 && os.Getenv("HOOKLINE_LONG") != "1" {
		// Nearly every chain of a table leads to all others, which was done above.
		names, tables = ofEachKind(names), nil
	}
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		importChains(t, snap, chains, raise.Options{Chains: []string{"*"}, Tables: []string{table}})
	}
	for _, name := range names {
		importChains(t, snap, chains, raise.Options{Chains: []string{name}})
	}
	count.Lock()
	count.chains += len(names)
	count.Unlock()
}

// ofEachKind keeps a few names of each beginning up to the last dash: a node has
// ten thousand chains KUBE-SEP-*.
func ofEachKind(names []string) []string {
	var out []string
	seen := map[string]int{}
	for _, n := range names {
		kind := n[:strings.LastIndexByte(n, '-')+1]
		if seen[kind]++; seen[kind] <= 3 {
			out = append(out, n)
		}
	}
	return out
}

// importChains imports, and reads the text that it gets as a user would: it is
// valid, it declares what was asked for, and planned against the same node it
// changes nothing and all its constraints hold.
func importChains(t *testing.T, snap *ir.Snapshot, chains map[string][]ir.ChainKey, opt raise.Options) *raise.Result {
	t.Helper()
	res, list, err := raise.Import(snap, opt)
	if err != nil || res == nil {
		t.Errorf("importing %v %v: %v, %v", opt.Chains, opt.Tables, err, list.Err())
		return nil
	}
	docs, list := dsl.Parse(diag.NewFile("import.yaml", res.Text))
	if list.Len() > 0 || len(docs) != 1 {
		t.Errorf("%v: reading it back: %v", opt.Chains, list.Err())
		return nil
	}
	program, list := compiler.Compile(docs[0], compiler.CompileOptions{})
	if list.HasErrors() {
		t.Errorf("%v: compiling it: %v", opt.Chains, list.Err())
		return nil
	}
	plan := compiler.NewPlan([]*compiler.Program{program}, snap, compiler.PlanOptions{})
	switch {
	case plan.Diags.HasErrors():
		t.Errorf("%v: planning it: %v", opt.Chains, plan.Diags.Err())
	case !plan.Empty():
		t.Errorf("%v: it changes the node: %v", opt.Chains, plan.Changes)
	case len(plan.Asked) > 0 || len(plan.Constraints) < res.Constraints:
		t.Errorf("%v: it asks for %v; %d of %d constraints were evaluated", opt.Chains, plan.Asked, len(plan.Constraints), res.Constraints)
	}
	for _, c := range plan.Constraints {
		if !c.Holds {
			t.Errorf("%v: the constraint %s does not hold: %s%s", opt.Chains, c.Name, c.Message, c.Error)
		}
	}
	for name, places := range chains {
		asked := slices.ContainsFunc(opt.Chains, func(g string) bool { return ir.MatchGlob(g, name) }) &&
			(len(opt.Tables) == 0 || slices.ContainsFunc(places, func(k ir.ChainKey) bool { return slices.Contains(opt.Tables, k.Table) }))
		for _, k := range places {
			if asked && program.Chain(k) == nil {
				t.Errorf("%v: %s is not declared", opt.Chains, k)
			}
		}
	}
	if fresh := compiler.EmptyHost([]*compiler.Program{program}, snap.Variant); fresh.Diags.HasErrors() {
		t.Errorf("%v: on an empty host: %v", opt.Chains, fresh.Diags.Err())
	}
	return res
}
