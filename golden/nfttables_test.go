package golden_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/timeline"
)

// listed is a listing of nft -j, as far as it tells where rules lead.
type listed struct {
	tables []ir.NFTTable
	bases  map[string]string           // base chain "ip x y": its policy
	leads  map[string]map[string]bool  // chain to chains and maps
	drops  map[string]bool             // chains and maps with a drop or reject
	rules  map[string]int              // rules of a chain
	all    []map[string]map[string]any // the objects
}

// listing reads a recorded listing, packed or not; nil if the file is none.
func readListing(t *testing.T, path string) *listed {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var top struct {
		NFTables []map[string]map[string]any `json:"nftables"`
	}
	if err := json.NewDecoder(r).Decode(&top); err != nil || top.NFTables == nil {
		return nil
	}
	l := &listed{bases: map[string]string{}, leads: map[string]map[string]bool{}, drops: map[string]bool{}, rules: map[string]int{}, all: top.NFTables}
	for _, o := range l.all {
		for kind, x := range o {
			name := func(key string) string { return fmt.Sprintf("%v %v %v", x["family"], x["table"], x[key]) }
			switch kind {
			case "table":
				l.tables = append(l.tables, ir.NFTTable{Family: x["family"].(string), Name: x["name"].(string)})
			case "chain":
				if x["hook"] != nil {
					l.bases[name("name")] = fmt.Sprint(x["policy"])
				}
			case "rule":
				l.rules[name("chain")]++
				l.walk(name("chain"), fmt.Sprintf("%v %v ", x["family"], x["table"]), x["expr"])
			case "map":
				l.walk(fmt.Sprintf("%v %v @%v", x["family"], x["table"], x["name"]), fmt.Sprintf("%v %v ", x["family"], x["table"]), x["elem"])
			}
		}
	}
	return l
}

// walk finds where a rule or the elements of a map lead.
func (l *listed) walk(from, table string, x any) {
	switch x := x.(type) {
	case []any:
		for _, v := range x {
			l.walk(from, table, v)
		}
	case string:
		if strings.HasPrefix(x, "@") {
			l.lead(from, table+x)
		}
	case map[string]any:
		for k, v := range x {
			switch k {
			case "drop", "reject":
				l.drops[from] = true
			case "target":
				l.lead(from, table+fmt.Sprint(v))
			}
			l.walk(from, table, v)
		}
	}
}

func (l *listed) lead(from, to string) {
	if l.leads[from] == nil {
		l.leads[from] = map[string]bool{}
	}
	l.leads[from][to] = true
}

// canDrop tells whether a drop can be reached from a chain.
func (l *listed) canDrop(chain string) bool {
	seen, queue := map[string]bool{chain: true}, []string{chain}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if l.drops[at] {
			return true
		}
		for to := range l.leads[at] {
			if !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return false
}

// listings are the recorded listings: those of the nodes here, and of the shared
// states where they are at hand.
func listings(t *testing.T) map[string]*listed {
	t.Helper()
	dirs := []string{"nodes"}
	shared := os.Getenv("HOOKLINE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(shared, "snapshots")); err == nil {
		dirs = append(dirs, filepath.Join(shared, "snapshots"))
	}
	out := map[string]*listed{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(strings.TrimSuffix(path, ".gz"), ".json") {
				if l := readListing(t, path); l != nil {
					out[path] = l
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) < 20 {
		t.Fatalf("%d recorded listings", len(out))
	}
	return out
}

// nobodys are tables that no program of the catalogue writes: a site's own, and
// those of ebtables, in which several programs write.
var nobodys = []string{"inet site", "bridge filter", "bridge nat"}

// TestEveryRecordedTableHasAnOwner: each table of nftables that was ever recorded is
// iptables' or a known program's.
func TestEveryRecordedTableHasAnOwner(t *testing.T) {
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for path, l := range listings(t) {
		for _, table := range l.tables {
			owner := timeline.Owner(cat, table)
			if owner == "" && !slices.Contains(nobodys, table.Key()) {
				t.Errorf("%s: nobody owns %s", path, table.Key())
			}
			found[owner] = true
		}
	}
	for _, name := range []string{"iptables", "calico", "docker", "firewalld", "flannel", "kube-proxy", "netbird", "portmap", "kube-vip"} {
		if !found[name] {
			t.Errorf("no recorded table is of %s", name)
		}
	}
}

// hostEndpoints are base chains in which Calico drops only if there are host
// endpoints, which no recording has.
var hostEndpoints = []string{"ip calico filter-OUTPUT", "ip6 calico filter-OUTPUT", "ip calico mangle-PREROUTING", "ip6 calico mangle-PREROUTING"}

// TestCatalogueKnowsWhoDrops: where a drop or a reject can be reached from a base
// chain of a program, the catalogue says that the program drops there; and what it
// says was recorded at least once, as far as the base chain was.
func TestCatalogueKnowsWhoDrops(t *testing.T) {
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	claimed, shown := map[string]bool{}, map[string]bool{}
	for path, l := range listings(t) {
		for chain, policy := range l.bases {
			words := strings.SplitN(chain, " ", 3)
			e := cat.Entry(timeline.Owner(cat, ir.NFTTable{Family: words[0], Name: words[1]}))
			if e == nil {
				continue
			}
			says := e.DropsIn(chain)
			can := l.canDrop(chain) || policy == "drop"
			if can && says == "" {
				t.Errorf("%s: a packet can be dropped in %s, which the catalogue does not know", path, chain)
			}
			if says != "" && l.rules[chain] > 0 {
				claimed[chain] = true
				shown[chain] = shown[chain] || can
			}
		}
	}
	for chain := range claimed {
		if !shown[chain] && !slices.Contains(hostEndpoints, chain) {
			t.Errorf("the catalogue says that packets are dropped in %s, and no recording shows it", chain)
		}
	}
	if len(claimed) < 10 {
		t.Errorf("only %d base chains in which packets are dropped", len(claimed))
	}
}
