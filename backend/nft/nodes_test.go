package nft_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// TestNodes loads the tables of recorded nodes, and reads them: as tables of others,
// of which the base chains are known, and as if they were ours, with every rule.
func TestNodes(t *testing.T) {
	paths, err := filepath.Glob("../../golden/nodes/*/nft-list-ruleset.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			n := readNode(t, path)
			if n.rules == 0 {
				return
			}
			loaded++
			n.check(t)
		})
	}
	if loaded < 20 {
		t.Errorf("only %d nodes have rules of nftables", loaded)
	}
}

// node is a recorded listing.
type node struct {
	doc   []byte
	bases map[string]ir.BaseChain
	// rules is the number of rules that nft can load, by itself: it does not write those
	// of iptables' extensions.
	rules int
	names []string
}

func readNode(t *testing.T, path string) *node {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Nftables []map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	n := &node{bases: map[string]ir.BaseChain{}}
	// nft lists a chain ahead of those that it jumps to, and loads in that order.
	var sorted [3][]map[string]json.RawMessage
	for _, o := range doc.Nftables {
		at := 1
		for kind, body := range o {
			var x struct {
				Family, Table, Name, Type, Hook, Policy string
				Prio                                    int
			}
			if err := json.Unmarshal(body, &x); err != nil && kind != "metainfo" {
				_ = err // a set's type may be a list
			}
			switch {
			case kind == "metainfo":
				at = -1
			case kind == "table":
				at = 0
				n.names = append(n.names, x.Name)
			case kind == "chain" && x.Hook != "":
				n.bases[x.Family+" "+x.Table+" "+x.Name] = ir.BaseChain{Type: x.Type, Hook: x.Hook, Priority: x.Prio, Policy: x.Policy}
				at = 0
			case kind == "chain":
				at = 0
			case kind == "rule" && bytes.Contains(body, []byte(`"xt"`)):
				at = -1
			case kind == "rule":
				n.rules++
				at = 2
			}
		}
		if at >= 0 {
			sorted[at] = append(sorted[at], o)
		}
	}
	doc.Nftables = slices.Concat(sorted[0], sorted[1], sorted[2])
	if n.doc, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) check(t *testing.T) {
	t.Helper()
	ns := netns.ForTest(t)
	run(t, ns, string(n.doc), "nft", "-j", "-f", "-")
	s, err := newBackend(t, ns).Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{"hookline-none"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]ir.BaseChain{}
	for _, x := range snap.State.NFTTables {
		for _, c := range x.Chains {
			got[x.Key()+" "+c.Name] = ir.BaseChain{Type: c.Type, Hook: c.Hook, Priority: c.Priority, Policy: c.Policy}
		}
	}
	if d := cmp.Diff(n.bases, got); d != "" {
		t.Errorf("base chains (-recorded +read):\n%s", d)
	}
	whole, err := s.Snapshot(context.Background(), ir.Scope{Own: n.names, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, x := range whole.State.Own {
		for _, c := range x.Chains {
			for _, r := range c.Rules {
				rules++
				if r.Text == "" || r.Handle == 0 {
					t.Errorf("%s %s: a rule without text or handle: %+v", x.Key(), c.Name, r)
				}
			}
		}
	}
	counted := 0
	for _, x := range whole.Host.NFTTables {
		counted += x.Rules
	}
	if rules > n.rules || counted != n.rules {
		t.Errorf("%d rules are read and %d counted of %d", rules, counted, n.rules)
	}
}
