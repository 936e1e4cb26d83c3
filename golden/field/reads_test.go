package field

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/converge"
)

// listener is a Runner that keeps every command line.
type listener struct {
	n  *node
	mu sync.Mutex
	// ran are the command lines, in order.
	ran [][]string
}

func (l *listener) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	l.mu.Lock()
	l.ran = append(l.ran, slices.Clone(c.Argv))
	l.mu.Unlock()
	return l.n.Run(ctx, c)
}

// TestT20NothingListsTheRuleset: an old nft dies of the sets of a newer program
// (k8s#136786), and a listing of everything takes seconds. So no command of ours
// runs nft on the iptables backends but to ask for its version.
func TestT20NothingListsTheRuleset(t *testing.T) {
	const ruleset = `
apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  tables:
    filter:
      chains: {SITE_IN: {rules: ["-p tcp -m tcp --dport 22 -j ACCEPT"]}}
      anchors: [{hook: INPUT, jump: SITE_IN}]
`
	both(t, func(t *testing.T, n *node) {
		n.run("table inet other {\n set s { type ipv4_addr; elements = { 192.0.2.1 } }\n chain c { type filter hook input priority 5; ip saddr @s accept; }\n}\n", "nft", "-f", "-")
		l := &listener{n: n}
		opt := converge.Options{Backend: n.backend(l), Programs: compile(t, ruleset), Store: n.store}
		n.must(n.applyWith(opt), converge.Done)
		if plan, err := converge.Plan(context.Background(), opt); err != nil || !plan.Empty() {
			t.Fatalf("the plan after the apply: %v, %v", plan, err)
		}
		opt.Remove = true
		n.must(n.applyWith(opt), converge.Done)
		session, err := n.backend(l).Session(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.Snapshot(context.Background(), ir.Scope{All: true, AllSets: true}); err != nil {
			t.Fatal(err)
		}
		if err := session.Close(); err != nil {
			t.Fatal(err)
		}
		if len(l.ran) == 0 {
			t.Fatal("no tool ran")
		}
		for _, argv := range l.ran {
			if filepath.Base(argv[0]) == "nft" && !slices.Equal(argv[1:], []string{"--version"}) {
				t.Errorf("%s was run", strings.Join(argv, " "))
			}
		}
	})
}
