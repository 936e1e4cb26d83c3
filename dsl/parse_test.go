package dsl_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/dsl"
	"hookline/dsl/diag"
)

var update = flag.Bool("update", false, "rewrite the wanted texts and fail")

// printed is a list as a person sees it.
func printed(t *testing.T, l *diag.List) string {
	t.Helper()
	var b strings.Builder
	if err := diag.WriteText(&b, l, diag.TextOptions{Excerpts: true}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMistakes compares what is printed about each text in testdata/mistakes with
// the text beside it, and makes sure that every code of this package is shown.
func TestMistakes(t *testing.T) {
	names, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no mistakes found: %v", err)
	}
	seen := map[diag.Code]bool{}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			_, l := dsl.Parse(diag.NewFile(filepath.Base(name), read(t, name)))
			for _, d := range l.All() {
				seen[d.Code] = true
			}
			if !l.HasErrors() {
				t.Errorf("Parse(%s) finds no error", name)
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".txt"
			got := printed(t, l)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				t.Error("rewritten; read the difference")
				return
			}
			if diff := cmp.Diff(read(t, golden), got); diff != "" {
				t.Errorf("Parse(%s) mismatch (-want +got):\n%s", name, diff)
			}
		})
	}
	for _, c := range diag.Codes {
		if c.Code == diag.FileTooLarge { // TestSize
			continue
		}
		if c.Code == diag.CELSyntax {
			break
		}
		if !seen[c.Code] {
			t.Errorf("no text in testdata/mistakes shows %s", c.Code)
		}
	}
}

// TestComplete reads the example of the language's description.
func TestComplete(t *testing.T) {
	text := read(t, "testdata/complete.yaml")
	for _, tt := range []struct{ name, text string }{
		{"as it is", text},
		{"lines end in CR LF", strings.ReplaceAll(text, "\n", "\r\n")},
		{"byte order mark", "\ufeff" + text},
		{"twice", text + "---\n" + text + "---\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			docs, l := dsl.Parse(diag.NewFile("complete.yaml", tt.text))
			if got := printed(t, l); got != "" {
				t.Errorf("Parse finds:\n%s", got)
			}
			if want := strings.Count(tt.text, "apiVersion"); len(docs) != want {
				t.Fatalf("Parse returns %d documents, want %d", len(docs), want)
			}
			checkComplete(t, docs[len(docs)-1])
		})
	}
}

// checkComplete compares parts of every kind with what is written.
func checkComplete(t *testing.T, d *dsl.Document) {
	t.Helper()
	input := d.Tables[0].Chains[0]
	anchor := d.Tables[0].Anchors[0]
	collect := d.Tables[2].Collect[0]
	got := []string{
		d.Name.Value, d.Version.Value, d.Families[1].Value, d.Params[0].Name.Value, d.Params[3].Type.Value,
		d.Params[3].Default.Entries[1].Value.Items[3].Text.Span.Text(), d.Owns.Chains[0].Value,
		d.Participants[0].Rules[0].Target.Value, d.Sets[0].Elements[1].Text.Span.Text(), input.Rules[0].String.Value,
		input.Rules[2].Match.Keys[1].Value.Entries[0].Value.Text.Value, input.Rules[2].Match.Keys[2].Value.Text.Parts[0].Expr.Source,
		input.Rules[3].Action.Args.Entries[0].Value.Text.Value, input.Rules[4].Action.Kind.Value,
		anchor.Hook.Value, anchor.After[0].Name.Value, anchor.IfMissingByName[0].Key.Value, d.Tables[1].Adopts[0].Duplicates.Value,
		collect.Where.Span.Text(), collect.DropEmpty.Value, d.Constraints[0].That.Source, d.Constraints[0].Severity.Span.String()[:13],
	}
	want := []string{
		"harvester-node", "1.2.0", "ipv6", "role", "map(list(port))", `"2379:2380"`, "HARVESTER_*", "ACCEPT", `"fd00::/8"`,
		"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "hv-admins", "params.ports[params.role]", "HV_DROP ", "drop",
		"INPUT", "calico", "kubelet", "collapse",
		`rule.comment.startsWith("a3ViZS12aXAK=kube-vip-") && !(rule.source in params.keep)`, "true",
		`planned.chain("ipv4", "nat", "PREROUTING").ordered(["cali-PREROUTING", "OVN-PREROUTING", "KUBE-SERVICES"])`, "complete.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse mismatch (-want +got):\n%s", diff)
	}
	if !d.Constraints[0].That.Exact || !collect.Where.Exact {
		t.Error("the expressions have no exact place")
	}
}

// TestSize: what is too large is refused before anything looks at it.
func TestSize(t *testing.T) {
	text := strings.Repeat("#", dsl.ReadLimit) + "\n"
	file := diag.NewFile("large.yaml", text)
	for name, parse := range map[string]func() *diag.List{
		"Parse":       func() *diag.List { _, l := dsl.Parse(file); return l },
		"ParseValues": func() *diag.List { _, l := dsl.ParseValues(file); return l },
		"ParseFacts":  func() *diag.List { _, l := dsl.ParseFacts(file); return l },
		"ParseSet":    func() *diag.List { _, _, l := dsl.ParseSet("a=" + text); return l },
	} {
		l := parse()
		if l.Len() != 1 || !l.Has(diag.FileTooLarge) {
			t.Errorf("%s of a large text: %v", name, l.Err())
		}
	}
}

// TestBombs: texts that are made to take long are refused at once. The bound is
// far above what they take, and far below what they would take.
func TestBombs(t *testing.T) {
	bombs := map[string]string{
		"flow lists":     strings.Repeat("[", 4_000_000),
		"flow mappings":  strings.Repeat("{a: ", 1_000_000),
		"block lists":    strings.Repeat("- ", 2_000_000),
		"complex keys":   strings.Repeat("? ", 2_000_000),
		"aliases":        read(t, "testdata/mistakes/alias-bomb.yaml"),
		"deep mappings":  indented(2500),
		"open templates": "apiVersion: '" + strings.Repeat("${", 200_000) + "'\n",
	}
	for name, text := range bombs {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, l := dsl.Parse(diag.NewFile("bomb.yaml", text))
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("Parse takes %v", took)
			}
			if !l.HasErrors() {
				t.Error("Parse finds no error")
			}
			_ = printed(t, l)
		})
	}
}

func indented(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// TestBytes: characters that YAML or a terminal would take for something else.
func TestBytes(t *testing.T) {
	head := "apiVersion: hookline/v1\nkind: Ruleset\nmetadata: {name: a, version: 1.0.0, description: x"
	tests := []struct{ name, in, want string }{
		{"NUL", "\x00", "character U+0000 is not allowed in a file"},
		{"escape", "\x1b[2J", "character U+001B is not allowed in a file"},
		{"lone carriage return", "\rkind: x", "character U+000D is not allowed in a file"},
		{"next line", "\u0085", "character U+0085 is not allowed in a file"},
		{"line separator", "\u2028a: b", "character U+2028 is not allowed in a file"},
		{"right-to-left override", "\u202e", "character U+202E is not allowed in a file"},
		{"byte order mark inside", "\ufeff", "character U+FEFF is not allowed in a file"},
		{"not UTF-8", "\xff", "byte 0xff is not UTF-8"},
		{"half a character", "\xe2\x82", "byte 0xe2 is not UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, l := dsl.Parse(diag.NewFile("a.yaml", head+tt.in+"y}\nspec: {}\n"))
			if l.Len() == 0 || l.All()[0].Message != tt.want || l.All()[0].Span.Start != len(head) {
				t.Errorf("Parse finds %v, want %q at %d", l.Err(), tt.want, len(head))
			}
			out := printed(t, l)
			if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && (r < ' ' || r == 0x7f || r == 0x202e || r == '\ufffd') }); i >= 0 {
				t.Errorf("the printed text holds %q:\n%q", out[i], out)
			}
		})
	}
}
