package diag_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/dsl/diag"
)

// TestCodes: every constant of codes.go is in the table, once, in order, with a
// sentence.
func TestCodes(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []diag.Code
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, x := range v.Values {
			if lit, ok := x.(*ast.BasicLit); ok {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, diag.Code(s))
			}
		}
		return true
	})
	var got []diag.Code
	seen := map[diag.Code]bool{}
	for _, c := range diag.Codes {
		got = append(got, c.Code)
		if seen[c.Code] {
			t.Errorf("%s is in the table twice", c.Code)
		}
		seen[c.Code] = true
		if !strings.HasSuffix(c.Meaning, ".") || strings.ToUpper(c.Meaning[:1]) != c.Meaning[:1] && c.Meaning[:4] != "rule" {
			t.Errorf("%s: %q is no sentence", c.Code, c.Meaning)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of codes mismatch (-codes.go +Codes):\n%s", diff)
	}
}

// sample is a list that uses everything; its findings are not in order.
func sample() *diag.List {
	f := diag.NewFile("dir/ruleset.yaml", "first: line\n\tname:\t日本 \x1b[31mred\n"+strings.Repeat("x", 300)+"wrong"+strings.Repeat("y", 300)+"\nlast\r\nmore")
	l := &diag.List{}
	l.Warnf(diag.Held, diag.Span{}, "nowhere in %d%% of cases", 50)
	l.Errorf(diag.YAMLSyntax, f.Span(335, 340), "in a long line")
	l.Errorf(diag.UnknownKey, f.Span(19, 26), "wide \x1b[0m, %s", "with: colon").
		Note(f.Span(0, 5), "first\nplace").Note(diag.Span{}, "no place").WithHelp("write %q", "it")
	l.Infof(diag.Respelled, f.Span(13, 17), "behind a tab")
	l.Errorf(diag.MissingKey, f.Span(641, 652), "over two lines")
	l.Errorf(diag.MissingKey, f.Span(641, 652), "over two lines")
	l.Errorf(diag.InvalidValue, f.Span(26, 31), "an escape")
	return l
}

func TestWriteText(t *testing.T) {
	l := sample()
	var b bytes.Buffer
	if err := diag.WriteText(&b, l, diag.TextOptions{Excerpts: true}); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`dir/ruleset.yaml:2:2: info: behind a tab [respelled]`,
		`   2 |     name:   日本 \x1b[31mred`,
		`     |     ^^^^`,
		`dir/ruleset.yaml:2:8: error: wide \x1b[0m, with: colon [unknown-key]`,
		`   2 |     name:   日本 \x1b[31mred`,
		`     |             ^^^^^`,
		`dir/ruleset.yaml:1:1: note: first\nplace`,
		`   1 | first: line`,
		`     | ^^^^^`,
		`note: no place`,
		`help: write "it"`,
		`dir/ruleset.yaml:2:11: error: an escape [invalid-value]`,
		`   2 |     name:   日本 \x1b[31mred`,
		`     |                  ^^^^^^^^`,
		`dir/ruleset.yaml:3:301: error: in a long line [yaml-syntax]`,
		`   3 | ...` + strings.Repeat("x", 40) + "wrong" + strings.Repeat("y", 115) + `...`,
		`     | ` + strings.Repeat(" ", 43) + `^^^^^`,
		`dir/ruleset.yaml:4:1: error: over two lines [missing-key]`,
		`   4 | last`,
		`     | ^^^^`,
		`warning: nowhere in 50% of cases [held]`,
		``,
	}, "\n")
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("WriteText mismatch (-want +got):\n%s", diff)
	}
	if l.All()[0].Code != diag.Held {
		t.Error("WriteText changes the list")
	}
}

func TestWriteTextPlain(t *testing.T) {
	f := diag.NewFile("a", "text\n")
	l := &diag.List{}
	l.Errorf(diag.YAMLSyntax, f.Span(0, 4), "bad").WithHelp("do")
	for _, tt := range []struct {
		name string
		opt  diag.TextOptions
		want string
	}{
		{"bare", diag.TextOptions{}, "a:1:1: error: bad [yaml-syntax]\nhelp: do\n"},
		{"colour", diag.TextOptions{Color: true, Excerpts: true}, "\x1b[1ma:1:1:\x1b[0m \x1b[1;31merror:\x1b[0m \x1b[1mbad\x1b[0m [yaml-syntax]\n" +
			"\x1b[2m   1 |\x1b[0m text\n\x1b[2m     |\x1b[0m \x1b[1;31m^^^^\x1b[0m\n\x1b[1;32mhelp:\x1b[0m do\n"},
	} {
		var b bytes.Buffer
		if err := diag.WriteText(&b, l, tt.opt); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, b.String()); diff != "" {
			t.Errorf("%s: WriteText mismatch (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestWriteGitHub(t *testing.T) {
	var b bytes.Buffer
	if err := diag.WriteGitHub(&b, sample()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	want := []string{
		`::notice file=dir/ruleset.yaml,line=2,col=2,endLine=2,title=respelled::behind a tab`,
		`::error file=dir/ruleset.yaml,line=2,col=8,endLine=2,title=unknown-key::wide \x1b[0m, with: colon%0Adir/ruleset.yaml:1:1: note: first%0Aplace%0Anote: no place%0Ahelp: write "it"`,
	}
	if diff := cmp.Diff(want, lines[:2]); diff != "" {
		t.Errorf("WriteGitHub mismatch (-want +got):\n%s", diff)
	}
	if got, want := lines[len(lines)-1], `::warning title=held::nowhere in 50%25 of cases`; got != want {
		t.Errorf("WriteGitHub ends with %s, want %s", got, want)
	}
	l := &diag.List{}
	l.Errorf("x", diag.NewFile("a,b:c%\n.yaml", "x").Span(0, 1), "100%%\r\n::error::x")
	b.Reset()
	if err := diag.WriteGitHub(&b, l); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "::error file=a%2Cb%3Ac%25\\n.yaml,line=1,col=1,endLine=1,title=x::100%25\\r%0A::error::x\n"; got != want {
		t.Errorf("WriteGitHub = %s, want %s", got, want)
	}
}

func TestWriteJSON(t *testing.T) {
	var b, again bytes.Buffer
	if err := errors.Join(diag.WriteJSON(&b, sample()), diag.WriteJSON(&again, sample())); err != nil {
		t.Fatal(err)
	}
	if b.String() != again.String() {
		t.Error("WriteJSON is not deterministic")
	}
	var got struct{ Diagnostics []diag.Record }
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := diag.Record{
		Severity: "error", Code: diag.UnknownKey, Message: "wide \x1b[0m, with: colon",
		Place: &diag.Place{File: "dir/ruleset.yaml", Line: 2, Column: 8, EndLine: 2, EndColumn: 11},
		Notes: []diag.NoteRecord{
			{Message: "first\nplace", Place: &diag.Place{File: "dir/ruleset.yaml", Line: 1, Column: 1, EndLine: 1, EndColumn: 6}}, {Message: "no place"},
		},
		Help: `write "it"`,
	}
	if diff := cmp.Diff(want, got.Diagnostics[1]); diff != "" {
		t.Errorf("WriteJSON mismatch (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := diag.WriteJSON(&b, nil); err != nil || b.String() != "{\n  \"diagnostics\": []\n}\n" {
		t.Errorf("WriteJSON of nothing = %s, %v", b.String(), err)
	}
}

func TestWriteSARIF(t *testing.T) {
	l := sample()
	l.Errorf("unheard-of", diag.NewFile("/abs/a b.yaml", "x").Span(0, 1), "x")
	l.Errorf(diag.YAMLSyntax, diag.NewFile("--set k:v", "x").Span(0, 1), "x")
	var b bytes.Buffer
	if err := diag.WriteSARIF(&b, l); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID    string
				RuleIndex *int
				Level     string
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           map[string]int
					}
				}
				RelatedLocations []struct{ ID int }
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if log.Version != "2.1.0" || len(run.Tool.Driver.Rules) != len(diag.Codes) {
		t.Errorf("version %s with %d rules", log.Version, len(run.Tool.Driver.Rules))
	}
	uris := map[string]bool{}
	for _, r := range run.Results {
		if r.RuleIndex != nil && run.Tool.Driver.Rules[*r.RuleIndex].ID != r.RuleID {
			t.Errorf("rule index %d is not %s", *r.RuleIndex, r.RuleID)
		}
		if r.RuleIndex == nil && r.RuleID != "unheard-of" {
			t.Errorf("%s has no rule", r.RuleID)
		}
		if r.Level != "error" && r.Level != "warning" && r.Level != "note" {
			t.Errorf("level %s", r.Level)
		}
		for _, loc := range r.Locations {
			uris[loc.PhysicalLocation.ArtifactLocation.URI] = true
		}
	}
	want := map[string]bool{"dir/ruleset.yaml": true, "file:///abs/a%20b.yaml": true, "./--set%20k:v": true}
	if diff := cmp.Diff(want, uris); diff != "" {
		t.Errorf("WriteSARIF names other files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"startLine": 2, "startColumn": 8, "endLine": 2, "endColumn": 11}, run.Results[3].Locations[0].PhysicalLocation.Region); diff != "" {
		t.Errorf("WriteSARIF region mismatch (-want +got):\n%s", diff)
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"filter", "mangle", "nat", "raw", "security", "KUBE-SERVICES", "KUBE-SERVICE"}
	tests := []struct{ in, want, why string }{
		{"fiter", "filter", "one letter missing"},
		{"fliter", "filter", "neighbours swapped count once"},
		{"FILTER", "filter", "case costs nothing"},
		{"kube-servics", "KUBE-SERVICE", "equally near: the first in the alphabet"},
		{"filter", "", "no other is near"},
		{"xyz", "", ""},
		{"na", "", "too short to tell"},
		{"", "", ""},
		{strings.Repeat("a", 1<<20), "", "a hostile word takes no time"},
	}
	for _, tt := range tests {
		if got := diag.DidYouMean(tt.in, names); got != tt.want {
			t.Errorf("DidYouMean(%.20q) = %q, want %q (%s)", tt.in, got, tt.want, tt.why)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"ab", "", 2}, {"calico", "calcio", 1}, {"kitten", "sitting", 3}} {
		if got := diag.Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
