package golden_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/raise"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// watched is a runner that keeps the restores that write.
type watched struct {
	backend.Runner
	mu     sync.Mutex
	writes []string
}

func (w *watched) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	if strings.Contains(c.Argv[0], "restore") {
		for line := range strings.Lines(c.Stdin) {
			if strings.HasPrefix(line, ":") || strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "-S") && !strings.HasPrefix(line, "-C") {
				w.mu.Lock()
				w.writes = append(w.writes, line)
				w.mu.Unlock()
			}
		}
	}
	return w.Runner.Run(ctx, c)
}

// TestImportOnKernel loads recorded nodes with the real tools, imports what the
// tools then print, and applies it: it is done, and nothing was written.
func TestImportOnKernel(t *testing.T) {
	for _, node := range []string{"nodes/harvester-healthy-", "nodes/rke2-duplicates-", "scenarios/replaced-names/in/"} {
		for _, v := range variants {
			t.Run(node+v.folder, func(t *testing.T) {
				t.Parallel()
				ns := netns.ForTest(t)
				s := &scenario{in: node + v.folder, variant: v.variant}
				s.load(t, ns)
				for _, globs := range [][]string{{"*"}, {"KUBE-SERVICES", "KUBE-FORWARD"}, {"OVN-*"}, {"cali-PREROUTING"}, {"CNI-HOSTPORT-*"}, {"FLANNEL-*"}} {
					importLive(t, ns, v.variant, globs)
				}
			})
		}
	}
}

// importLive imports chains of a live node, as far as they stand, and applies them.
func importLive(t *testing.T, ns *netns.NS, variant ir.Variant, globs []string) {
	t.Helper()
	ctx := context.Background()
	run := &watched{Runner: ns.Runner()}
	b, err := iptables.New(iptables.Options{Variant: variant, Runner: run, NetNS: ns.Do, LockFile: ns.LockFile()})
	if err != nil {
		t.Fatal(err)
	}
	read := func() *ir.Snapshot {
		session, err := b.Session(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		snap, err := session.Snapshot(ctx, ir.Scope{All: true, AllSets: true})
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	before := read()
	res, list, err := raise.Import(before, raise.Options{Chains: globs})
	if err != nil {
		t.Fatalf("%v: %v", globs, err)
	}
	if res == nil {
		if !list.Has(diag.UnknownChain) {
			t.Errorf("%v: %v", globs, list.Err())
		}
		return
	}
	docs, list := dsl.Parse(diag.NewFile("import.yaml", res.Text))
	if list.HasErrors() {
		t.Fatal(list.Err())
	}
	program, list := compiler.Compile(docs[0], compiler.CompileOptions{})
	if list.HasErrors() {
		t.Fatal(list.Err())
	}
	run.writes = nil
	out, err := converge.Apply(ctx, converge.Options{Backend: b, Programs: []*compiler.Program{program}, Store: converge.OpenStore(t.TempDir())})
	if err != nil || out.Status != converge.Done {
		t.Fatalf("%v: applying what was imported: %v, status %d, %v", globs, err, out.Status, out.Diags.Err())
	}
	if len(run.writes) > 0 {
		t.Errorf("%v: applying what was imported writes:\n%s", globs, strings.Join(run.writes, ""))
	}
	after := read()
	if diff := cmp.Diff(before.Generation, after.Generation); diff != "" {
		t.Errorf("%v: the kernel counted a commit:\n%s", globs, diff)
	}
	for _, d := range ir.Compare(before.State, after.State, ir.CompareOptions{}) {
		t.Errorf("%v: %v", globs, d)
	}
}
