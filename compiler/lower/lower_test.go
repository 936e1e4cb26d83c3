package lower

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

var update = flag.Bool("update", false, "rewrite testdata and fail")

// lowerCase is one paragraph of testdata/*.txt: a line `# name`, a line with a
// table and a rule in flow notation, and what becomes of it: rules behind the
// families that have them, families without rules, and findings with the text that
// they point at.
type lowerCase struct {
	name, table, rule string // the table, or TABLE/CHAIN
	want              []string
}

// readCases reads one file of cases.
func readCases(tb testing.TB, path string) []lowerCase {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var out []lowerCase
	for _, p := range strings.Split(strings.TrimSpace(string(b)), "\n\n") {
		l := strings.Split(p, "\n")
		table, rule, ok := strings.Cut(l[min(1, len(l)-1)], " ")
		if !ok || !strings.HasPrefix(l[0], "# ") {
			tb.Fatalf("%s: %q is no case", path, p)
		}
		out = append(out, lowerCase{l[0][2:], table, rule, l[2:]})
	}
	return out
}

func caseFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		tb.Fatal("no testdata")
	}
	return files
}

func TestLower(t *testing.T) {
	for _, path := range caseFiles(t) {
		var text strings.Builder
		seen := map[string]bool{}
		for _, c := range readCases(t, path) {
			if seen[c.name] {
				t.Errorf("%s: two cases are called %q", path, c.name)
			}
			seen[c.name] = true
			res, list := Lower(readRule(t, c.rule), testContext(c.table))
			got := append(lines(res), findings(list)...)
			fmt.Fprintf(&text, "# %s\n%s %s\n%s\n\n", c.name, c.table, c.rule, strings.Join(got, "\n"))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: %s\n%s\nmismatch (-want +got):\n%s", path, c.name, c.rule, diff)
			}
		}
		if *update {
			if err := os.WriteFile(path, []byte(strings.TrimSpace(text.String())+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if *update {
		t.Error("testdata is rewritten: read the diff")
	}
}

// TestLowerTwice checks that nothing but the rule decides the result.
func TestLowerTwice(t *testing.T) {
	for _, path := range caseFiles(t) {
		for _, c := range readCases(t, path) {
			a, l1 := Lower(readRule(t, c.rule), testContext(c.table))
			b, l2 := Lower(readRule(t, c.rule), testContext(c.table))
			if diff := cmp.Diff(append(lines(a), findings(l1)...), append(lines(b), findings(l2)...)); diff != "" {
				t.Errorf("%s: the second result differs:\n%s", c.name, diff)
			}
		}
	}
}

// lines prints a result: "4", "6" or "46" and the rule as in a save.
func lines(res Result) []string {
	byFamily := map[ir.Family][]string{}
	for _, f := range ir.Families {
		add := func(chain string, specs []*ir.Spec) {
			for _, s := range specs {
				byFamily[f] = append(byFamily[f], strings.TrimRight(" -A "+chain+" "+xtables.Print(s, f), " "))
			}
		}
		add("OWNER", res.Rules[f])
		for _, c := range res.Chains[f] {
			add(c.Name, c.Specs)
		}
	}
	var out []string
	put := func(family string, list []string) {
		for _, s := range list {
			out = append(out, family+s)
		}
	}
	if reflect.DeepEqual(byFamily[ir.IPv4], byFamily[ir.IPv6]) {
		put("46", byFamily[ir.IPv4])
	} else {
		put("4", byFamily[ir.IPv4])
		put("6", byFamily[ir.IPv6])
	}
	for _, d := range res.Dropped {
		out = append(out, fmt.Sprintf("%s none: %s [%s]", d.Family.String()[3:], d.Reason, d.Span.Text()))
	}
	return out
}

// findings prints diagnostics: severity, code, the text pointed at, message, help.
func findings(list *diag.List) []string {
	var out []string
	for _, d := range list.All() {
		s := fmt.Sprintf("%s %s [%s] %s", d.Severity, d.Code, diag.Visible(d.Span.Text()), d.Message)
		if d.Help != "" {
			s += "; " + d.Help
		}
		out = append(out, s)
		for _, n := range d.Notes {
			out = append(out, fmt.Sprintf("  note [%s] %s", n.Span.Text(), n.Message))
		}
	}
	return out
}
