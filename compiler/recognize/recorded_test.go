package recognize_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
)

var update = flag.Bool("update", false, "rewrite testdata/recorded.txt and fail, so that the difference gets read")

// snapshots is the folder of recorded states.
func snapshots(t *testing.T) string {
	t.Helper()
	shared := os.Getenv("HOOKLINE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(shared, "snapshots")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("THE RECORDED STATES ARE NOT HERE, NOTHING IS CHECKED: set HOOKLINE_SHARED (%v)", err)
	}
	return dir
}

// fileOf takes the kind of file off a file's name: what is left names the state.
var fileOf = regexp.MustCompile(`^(?:ip6?tables-(?:nft|legacy)-save\.txt|nft-list-ruleset\.json|(.+?)(?:\.(?:nft|legacy)\.v[46]\.save|\.nft\.nft\.json|\.nft\.json)(?:\.gz)?)$`)

// states are the recorded states, by path below the folder: folders, and prefixes
// of files in a folder. saves counts the files of iptables-save that they are made
// of.
func states(t *testing.T, dir string) (names []string, saves int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		m := fileOf.FindStringSubmatch(d.Name())
		if m == nil {
			return nil
		}
		if !strings.Contains(d.Name(), "json") {
			saves++
		}
		rel, err := filepath.Rel(dir, filepath.Join(filepath.Dir(path), m[1]))
		if !slices.Contains(names, rel) {
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names, saves
}

// ofTheSite are the rules that no program of the catalogue wrote, each with who
// did.
var ofTheSite = map[string]string{
	`filter FORWARD -m comment --comment "site policy" -j REJECT --reject-with icmp-port-unreachable`: "put in by hand, to see on which side of it Felix goes",
	"nat PREROUTING -j MY-HOOK": "the other program that blocks kube-proxy by a jump into one of its chains",
}

// siteTables are tables of nftables that no program of the catalogue made.
var siteTables = map[string]string{
	"inet site": "put in by hand, to see what NetBird and firewalld do to it",
}

// toolTables are the tables that iptables, ip6tables, arptables and ebtables make:
// programs share them, and recognition tells whose the rules are.
var toolTables = regexp.MustCompile(`^(ip6? (filter|nat|mangle|raw|security)|arp filter|bridge (filter|nat|broute))$`)

// TestEveryRecordedRuleHasAnAuthor attributes every rule of every chain of every
// recorded state, in both variants and families, native ones too, and every table
// of nftables. Who was found, with versions, is in testdata/recorded.txt: the
// READMEs beside the states say who ran.
func TestEveryRecordedRuleHasAnAuthor(t *testing.T) {
	dir := snapshots(t)
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	rec := recognize.New(cat, compiler.Fields)
	names, saves := states(t, dir)
	seen := &seen{unused: map[string]bool{}}
	for rule := range ofTheSite {
		seen.unused[rule] = true
	}
	for table := range siteTables {
		seen.unused[table] = true
	}
	var lines []string
	for _, name := range names {
		for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
			snap, list, err := recorded.Load(filepath.Join(dir, name), v)
			if err != nil {
				t.Fatal(err)
			}
			if snap.Variant != v {
				continue // a listing of nft alone
			}
			if list.HasErrors() {
				t.Errorf("%s: %v", name, list.Err())
			}
			var nft []ir.NFTTable
			if v == ir.IptablesNFT && snap.Host != nil {
				nft = snap.Host.NFTTables
			}
			seen.tables(t, name, cat, nft)
			table := rec.State(snap.State)
			seen.rules(t, name, snap.State, table)
			// Sets are no variant's: whose they are tells nothing of its tables.
			found := slices.DeleteFunc(table.Participants(nft), func(f recognize.Found) bool { return f.Chains+f.Rules+f.NFTTables == 0 })
			if len(found) > 0 {
				lines = append(lines, fmt.Sprintf("%s %s: %s", name, v, said(found)))
			}
			present(t, name, table, nft)
		}
	}
	for what := range seen.unused {
		t.Errorf("no recorded state holds %q any more: take it off the list", what)
	}
	if saves < 160 || seen.count < 80_000 || seen.natives < 30 || seen.nft < 50 {
		t.Errorf("only %d saves with %d rules, %d native rules and %d tables of programs were looked at", saves, seen.count, seen.natives, seen.nft)
	}
	compareLines(t, "testdata/recorded.txt", lines)
}

// said is who was found, with what their versions are.
func said(found []recognize.Found) string {
	var out []string
	for _, f := range found {
		s := f.Name
		if len(f.Versions) > 0 {
			s += " (" + strings.Join(f.Versions, "; ") + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// present: the quick list of participants is the same as the whole one.
func present(t *testing.T, name string, table *recognize.Table, nft []ir.NFTTable) {
	t.Helper()
	var want []string
	for _, f := range table.Participants(nft) {
		if f.Chains+f.Rules+f.Sets > 0 {
			want = append(want, f.Name)
		}
	}
	if d := cmp.Diff(want, table.Present()); d != "" {
		t.Errorf("%s: Present mismatch (-want +got):\n%s", name, d)
	}
}

// seen counts what was looked at.
type seen struct {
	count, natives, nft int
	unused              map[string]bool
	// site matches the rules, behind table and chain, that are of no program on purpose;
	// nil matches none.
	site *regexp.Regexp
}

func (s *seen) rules(t *testing.T, name string, state *ir.State, table *recognize.Table) {
	t.Helper()
	for _, tb := range state.Tables {
		for _, c := range tb.Chains {
			k := ir.ChainKey{Family: tb.Family, Table: tb.Name, Chain: c.Name}
			attributions := table.Rules(k)
			for i, r := range c.Rules {
				s.count++
				rule := tb.Name + " " + c.Name + " " + r.Text
				switch owner := attributions[i].Participant; {
				case owner == "" && ofTheSite[rule] != "":
					delete(s.unused, rule)
				case owner == "" && s.site != nil && s.site.MatchString(rule):
				case owner == "":
					t.Errorf("%s: nobody claims %s rule %d: %s %v", name, k, i+1, r.Text, r.Native)
				}
			}
			for _, n := range table.NativesIn(k) {
				s.natives++
				if n.Author.Participant == "" {
					t.Errorf("%s: nobody claims the native rule %s %d: %s", name, k, n.Index+1, n)
				}
			}
		}
	}
}

func (s *seen) tables(t *testing.T, name string, cat *participant.Catalogue, nft []ir.NFTTable) {
	t.Helper()
	for _, n := range nft {
		switch _, known := cat.NFTTable(n.Key()); {
		case known:
			s.nft++
		case siteTables[n.Key()] != "":
			delete(s.unused, n.Key())
		case !toolTables.MatchString(n.Key()):
			t.Errorf("%s: nobody claims table %s", name, n.Key())
		}
	}
}

// compareLines compares lines with a file's, or rewrites the file.
func compareLines(t *testing.T, path string, lines []string) {
	t.Helper()
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s was rewritten: read the difference, then run again without -update", path)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text, "\n")); d != "" {
		t.Errorf("%s mismatch (-want +got):\n%s", path, d)
	}
}

// TestGoldenNodesHaveAuthors is the same for the nodes that are part of the tree.
func TestGoldenNodesHaveAuthors(t *testing.T) {
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	rec := recognize.New(cat, compiler.Fields)
	nodes, err := filepath.Glob("../../golden/nodes/*")
	if err != nil || len(nodes) == 0 {
		t.Fatalf("the nodes are not there: %v", err)
	}
	// The chains and jumps of rulesets of ours, which stand on some of the nodes, and a
	// site's REJECT ahead of flannel.
	seen := &seen{unused: map[string]bool{}, site: regexp.MustCompile(
		`^\S+ (HOSTFW-\S* |\S+ -[jg] HOSTFW-|\S+ .*--comment "?hookline:|FORWARD -j REJECT --reject-with icmp6?-(host|adm)-prohibited$)`)}
	for _, dir := range nodes {
		snap, list, err := recorded.Load(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		if list.HasErrors() {
			t.Error(list.Err())
		}
		seen.rules(t, filepath.Base(dir), snap.State, rec.State(snap.State))
	}
	if seen.count < 100*len(nodes) {
		t.Errorf("only %d rules in %d nodes", seen.count, len(nodes))
	}
}
