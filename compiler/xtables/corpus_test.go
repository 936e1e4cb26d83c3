package xtables

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// sharedFile finds a file of the reference data, which is not part of the project.
func sharedFile(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("HOOKLINE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: no reference data (%v); set HOOKLINE_SHARED to its folder", err)
	}
	return path
}

// jsonLines reads a file of gzip'd JSON lines.
func jsonLines[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open(sharedFile(t, filepath.Join("corpora", name)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	d := json.NewDecoder(z)
	for d.More() {
		var row T
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

type pairRow struct {
	File, Args, Cmd, Table, Chain, Stderr string
	RC                                    int
	Saved                                 []string
}

func (r pairRow) family() ir.Family {
	if r.Cmd == "ip6tables" {
		return ir.IPv6
	}
	return ir.IPv4
}

// saved are the texts that the tool prints for the row's rule.
func (r pairRow) saved() []string {
	var out []string
	for _, s := range r.Saved {
		s = strings.TrimPrefix(s, "-A "+r.Chain)
		out = append(out, strings.TrimPrefix(s, " "))
	}
	return out
}

// knownMisses are the rows of the corpus that do not give what the tool printed,
// on purpose.
var knownMisses = []struct{ file, contains, why string }{
	{"libxt_NFLOG.t", "--nflog-range", "legacy prints an option that never did anything, nft does not: it is left out"},
	{"libxt_NFLOG.t", strings.Repeat("x", maxNFLogPrefix+1), "the tool cuts the prefix without a word: it is refused"},
}

func TestCorpusPairs(t *testing.T) {
	type count struct{ rows, right, raw, known, refused, taken int }
	byFile := make(map[string]*count)
	var total count
	for _, row := range jsonLines[pairRow](t, "iptables-pairs.jsonl.gz") {
		c := byFile[row.File]
		if c == nil {
			c = &count{}
			byFile[row.File] = c
		}
		opt := Options{Family: row.family(), Table: row.Table, Chain: row.Chain}
		specs, err := Parse(row.Args, opt)
		if row.RC != 0 {
			c.refused++
			why := typedRule{opt.Family, row.Table, row.Chain, row.Args}.refusal()
			if why == "" {
				c.taken++
				t.Errorf("taken, but the tool refuses: %s %s %s: %s (%s)", row.Cmd, row.Table, row.Chain, row.Args,
					strings.SplitN(row.Stderr, "\n", 2)[0])
			}
			continue
		}
		c.rows++
		var got []string
		raw := false
		for _, s := range specs {
			got = append(got, Print(s, opt.Family))
			raw = raw || hasRaw(s)
		}
		if raw {
			c.raw++
		}
		known := false
		for _, k := range knownMisses {
			known = known || k.file == row.File && strings.Contains(row.Args, k.contains)
		}
		switch {
		case err == nil && strings.Join(got, "\n") == strings.Join(row.saved(), "\n"):
			c.right++
		case known:
			c.known++
		default:
			t.Errorf("%s: %s\n  the tool prints %q\n  we print %q, %v", row.Cmd, row.Args, row.saved(), got, err)
		}
		for _, text := range row.saved() {
			if s, ok := Decode(text, opt.Family); !ok || Print(s, opt.Family) != text {
				t.Errorf("Decode and Print do not give back %q", text)
			}
		}
	}
	var b strings.Builder
	for _, f := range slices.Sorted(maps.Keys(byFile)) {
		c := byFile[f]
		fmt.Fprintf(&b, "\n%-24s right %4d of %4d, known misses %2d, raw %4d; refused by the tool %4d, of which taken %d",
			f, c.right, c.rows, c.known, c.raw, c.refused, c.taken)
		total.rows += c.rows
		total.right += c.right
		total.raw += c.raw
		total.known += c.known
		total.refused += c.refused
		total.taken += c.taken
	}
	share := 100 * float64(total.right) / float64(total.rows)
	if share < 99 {
		t.Errorf("%.2f %% of the rules are spelled as the tool does, want 99", share)
	}
	t.Logf("right %d of %d (%.2f %%), known misses %d, raw %d; refused by the tool %d, of which taken here %d%s",
		total.right, total.rows, share, total.known, total.raw, total.refused, total.taken, b.String())
}

func hasRaw(s *ir.Spec) bool {
	for _, m := range s.Matches {
		if _, ok := m.(*ir.RawMatch); ok {
			return true
		}
	}
	_, ok := s.Target.(*ir.RawTarget)
	return ok
}

// ruleLine is the family and the text of a rule in a save.
type ruleLine struct {
	family ir.Family
	text   string
}

// saveRules gives the rules of a save text.
func saveRules(f ir.Family, save []byte) []ruleLine {
	var out []ruleLine
	sc := bufio.NewScanner(bytes.NewReader(save))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if strings.HasPrefix(line, "[") {
			_, line, _ = strings.Cut(line, "] ")
		}
		if rest, ok := strings.CutPrefix(line, "-A "); ok {
			_, text, _ := strings.Cut(rest, " ")
			out = append(out, ruleLine{f, text})
		}
	}
	return out
}

func corpusRules(t testing.TB) []ruleLine {
	t.Helper()
	var rules []ruleLine
	root := sharedFile(t, "snapshots")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "-save.txt") {
			return err
		}
		f := ir.IPv4
		if strings.HasPrefix(d.Name(), "ip6") {
			f = ir.IPv6
		}
		data, err := os.ReadFile(path)
		rules = append(rules, saveRules(f, data)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range jsonLines[map[string]any](t, "iptables-dumps.jsonl.gz") {
		f := ir.IPv4
		if strings.Contains(fmt.Sprint(d["family"]), "6") {
			f = ir.IPv6
		}
		for _, k := range []string{"saved_nft", "saved_legacy"} {
			if s, ok := d[k].(string); ok {
				rules = append(rules, saveRules(f, []byte(s))...)
			}
		}
	}
	return rules
}

func TestCorpusDecode(t *testing.T) {
	rules := corpusRules(t)
	bad, raw := 0, 0
	why := make(map[string]int)
	for _, r := range rules {
		s, ok := Decode(r.text, r.family)
		if !ok || Print(s, r.family) != r.text {
			if bad++; bad < 20 {
				t.Errorf("Decode and Print of %s %q gives %q", r.family, r.text, Print(s, r.family))
			}
			continue
		}
		if hasRaw(s) {
			raw++
			for _, m := range s.Matches {
				if m, ok := m.(*ir.RawMatch); ok {
					why["-m "+m.Module]++
				}
			}
			if m, ok := s.Target.(*ir.RawTarget); ok {
				why["-j "+m.Name]++
			}
		}
		want, wantGoto := "", false
		switch x := s.Target.(type) {
		case *ir.Jump:
			want, wantGoto = x.Chain, x.Goto
		case nil:
		default:
			want = strings.Fields(string(appendTarget(nil, x, 0)))[1]
		}
		if target, isGoto := TargetOf(r.text); target != want || isGoto != wantGoto {
			t.Errorf("TargetOf(%q) = %q %v, want %q %v", r.text, target, isGoto, want, wantGoto)
		}
		if got, want := strings.Join(CommentsOf(r.text), "\n"), strings.Join(s.Comments(), "\n"); got != want {
			t.Errorf("CommentsOf(%q) = %q, want %q", r.text, got, want)
		}
	}
	if len(rules) < 10000 {
		t.Errorf("only %d rules found", len(rules))
	}
	t.Logf("%d rules, %d not printed back, %d with raw parts: %v", len(rules), bad, raw, why)
}
