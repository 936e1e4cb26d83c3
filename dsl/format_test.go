package dsl_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/dsl/dsltest"
)

// sameValues compares documents by what they say: not by places, quotes, and how
// an expression is broken into lines.
var sameValues = cmp.Options{
	cmpopts.IgnoreTypes(diag.Span{}, &diag.File{}),
	cmpopts.IgnoreFields(dsl.Text{}, "Quoted"),
	cmpopts.IgnoreFields(dsl.Expr{}, "Exact"),
	cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && f.Name() == "Source"
	}, cmp.Comparer(func(a, b string) bool { return reflect.DeepEqual(strings.Fields(a), strings.Fields(b)) })),
}

// checkFormat: what Format writes of a document says the same.
func checkFormat(t *testing.T, name string, d *dsl.Document) {
	t.Helper()
	text := dsl.Format(d, dsl.FormatOptions{})
	if len(text) > dsl.ReadLimit {
		return
	}
	again, l := dsl.Parse(diag.NewFile(name, text))
	if l.Len() > 0 || len(again) != 1 {
		t.Fatalf("%s: what is written cannot be read: %d documents, %v\n%s", name, len(again), l.Records(), text)
	}
	if diff := cmp.Diff(d, again[0], sameValues); diff != "" {
		t.Fatalf("%s: what is written says something else (-document +read back):\n%s\n%s", name, diff, text)
	}
	if twice := dsl.Format(again[0], dsl.FormatOptions{}); twice != text {
		t.Errorf("%s: writing twice differs:\n%s", name, cmp.Diff(text, twice))
	}
}

// TestFormatRulesets writes every ruleset of the tree that has no mistakes.
func TestFormatRulesets(t *testing.T) {
	n := 0
	for _, glob := range []string{"testdata/*.yaml", "../rulesets/*/*.yaml", "../golden/scenarios/*/*.yaml"} {
		names, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			docs, l := dsl.Parse(diag.NewFile(name, string(text)))
			if l.HasErrors() {
				continue
			}
			for _, d := range docs {
				n++
				checkFormat(t, name, d)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d rulesets were written", n)
	}
}

// TestFormatPlaces writes a ruleset for every place of the grammar.
func TestFormatPlaces(t *testing.T) {
	n := 0
	for _, p := range dsltest.Places(dsl.Grammar()) {
		docs, l := dsl.Parse(diag.NewFile(p.Path, p.Document(p.Example())))
		if l.HasErrors() {
			continue // a place that is valid only beside others
		}
		for _, d := range docs {
			n++
			checkFormat(t, p.Path, d)
		}
	}
	if n < 200 {
		t.Errorf("only %d rulesets were written", n)
	}
}

func TestFormat(t *testing.T) {
	chain := &dsl.Chain{Name: dsl.NewText("HARVESTER_INPUT"), Rules: []*dsl.Rule{
		{String: dsl.NewText(`-m comment --comment "it's #1: ${x}" -j ACCEPT`)},
		{
			Name: dsl.NewText("ssh"), Match: &dsl.Match{
				Keys: []*dsl.Entry{
					{dsl.NewWord("protocol"), &dsl.Value{Text: dsl.NewWord("tcp")}},
					{dsl.NewWord("dport"), &dsl.Value{Kind: dsl.Sequence, Items: []*dsl.Value{{Text: dsl.NewWord("22")}, {Text: dsl.NewWord("2379:2380")}}}},
				},
				Not: []*dsl.Entry{{dsl.NewWord("source"), &dsl.Value{Text: dsl.NewWord("fd00::/8")}}},
			},
			Action: &dsl.Action{Kind: dsl.NewWord("accept")}, Comments: []*dsl.Text{dsl.NewText("yes"), dsl.NewText("22")},
		},
		{Action: &dsl.Action{Kind: dsl.NewWord("drop")}},
	}}
	empty := &dsl.Chain{Name: dsl.NewText("1"), Families: []*dsl.Text{dsl.NewWord("ipv4")}}
	anchor := &dsl.Anchor{Hook: dsl.NewText("INPUT"), Jump: dsl.NewText("HARVESTER_INPUT"), After: []*dsl.Ref{{Name: dsl.NewText("calico")}, {Glob: &dsl.RuleGlob{Target: dsl.NewText("REJECT")}}}}
	doc := &dsl.Document{
		Name: dsl.NewText("harvester-input"), Version: dsl.NewText("1.0.0"), Description: dsl.NewText("two\nlines"),
		Owns:        &dsl.Owns{HasChains: true, Chains: []*dsl.Text{dsl.NewText("HARVESTER_*")}, Replaces: []*dsl.Text{dsl.NewText("kube-proxy")}},
		Tables:      []*dsl.Table{{Name: dsl.NewWord("filter"), Chains: []*dsl.Chain{chain, empty}, Anchors: []*dsl.Anchor{anchor}}},
		Constraints: []*dsl.Constraint{{Name: dsl.NewText("once"), That: &dsl.Expr{Source: `planned.chain("ipv4", "filter", "INPUT").count("X") == 1`}}},
	}
	got := dsl.Format(doc, dsl.FormatOptions{
		Schema: "ruleset.schema.json", Head: []string{"Imported.\nNot from \x1b[31m here.\u2028and: more"},
		Remarks: map[any][]string{anchor: {"portmap stands behind"}, chain.Rules[1]: {"why"}, chain: {"all of it"}},
	})
	want := `# yaml-language-server: $schema=ruleset.schema.json
# Imported.
# Not from \x1b[31m here.\u2028and: more
apiVersion: hookline/v1
kind: Ruleset
metadata:
  name: harvester-input
  version: "1.0.0"
  description: "two\nlines"
spec:
  owns:
    chains: ["HARVESTER_*"]
    replaces: [kube-proxy]
  tables:
    filter:
      chains:
        # all of it
        HARVESTER_INPUT:
          rules:
            - "-m comment --comment \"it's #1: $${x}\" -j ACCEPT"
            # why
            - name: ssh
              match: {protocol: tcp, dport: [22, "2379:2380"], not: {source: "fd00::/8"}}
              action: accept
              comment: ["yes", "22"]
            - {action: drop}
        "1": {families: [ipv4], rules: []}
      anchors:
        # portmap stands behind
        - hook: INPUT
          jump: HARVESTER_INPUT
          after: [calico, {target: REJECT}]
  constraints:
    - name: once
      that: 'planned.chain("ipv4", "filter", "INPUT").count("X") == 1'
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Format mismatch (-want +got):\n%s", diff)
	}
	checkFormat(t, "TestFormat", doc)
}

// TestFormatBlocks: what does not fit on a line stands on several, and says the
// same.
func TestFormatBlocks(t *testing.T) {
	var ports []*dsl.Value
	for range 40 {
		ports = append(ports, &dsl.Value{Text: dsl.NewWord("65535")})
	}
	keys := []*dsl.Entry{
		{dsl.NewWord("protocol"), &dsl.Value{Text: dsl.NewWord("tcp")}},
		{dsl.NewWord("dport"), &dsl.Value{Kind: dsl.Sequence, Items: ports}},
		{dsl.NewWord("limit"), &dsl.Value{Kind: dsl.Mapping, Entries: []*dsl.Entry{{dsl.NewWord("rate"), &dsl.Value{Text: dsl.NewWord("5/minute")}}}}},
	}
	doc := &dsl.Document{Name: dsl.NewText("a"), Version: dsl.NewText("1.0.0"), Tables: []*dsl.Table{{Name: dsl.NewWord("filter"), Chains: []*dsl.Chain{{
		Name: dsl.NewText("SITE"), Rules: []*dsl.Rule{{Match: &dsl.Match{Keys: keys}, Action: &dsl.Action{Kind: dsl.NewWord("drop")}}},
	}}}}}
	checkFormat(t, "TestFormatBlocks", doc)
	if text := dsl.Format(doc, dsl.FormatOptions{}); !strings.Contains(text, "            - match:\n                protocol: tcp\n                dport:\n                  - 65535\n") {
		t.Errorf("a long rule is written so:\n%s", text)
	}
}

func TestTextProblem(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"plain # ${x} \"'\\ ünïcode", ""},
		{"\ufffd", ""},
		{"a\xffb", "holds the byte 0xff, which is not UTF-8"},
		{"a\nb", "holds a line end"},
		{"\u202e", "holds the control character U+202E"},
	} {
		if got := dsl.TextProblem(tt.text); got != tt.want {
			t.Errorf("TextProblem(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
	for _, tt := range []struct{ name, want string }{
		{"SITE-IN", ""},
		{"fwd:1", ""},
		{"", "is empty"},
		{"a b", `holds the character ' '`},
		{"it's", `holds the character '\''`},
		{"ä", `holds the character 'ä'`},
		{"-j", `begins with "-", which tools read as an option`},
		{"A-NAME-OF-MORE-BYTES-THAN-FIT", "is 29 bytes long; at most 28 are possible"},
	} {
		if got := dsl.NameProblem(tt.name); got != tt.want {
			t.Errorf("NameProblem(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := dsl.RulesetNameProblem("Site"); !strings.HasPrefix(got, "is not a ruleset name") {
		t.Errorf("RulesetNameProblem(Site) = %q", got)
	}
	if got := dsl.LocalNameProblem("#1"); !strings.HasPrefix(got, "is not a name") {
		t.Errorf("LocalNameProblem(#1) = %q", got)
	}
}

// FuzzFormat: what Format writes of a ruleset is read back to the same values.
func FuzzFormat(f *testing.F) {
	names, err := filepath.Glob("../golden/scenarios/*/ruleset.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(names, "testdata/complete.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		docs, l := dsl.Parse(diag.NewFile("fuzz.yaml", text))
		if l.HasErrors() {
			return
		}
		for _, d := range docs {
			checkFormat(t, "fuzz.yaml", d)
		}
	})
}

// FuzzFormatText: no text breaks out of its place, whatever it holds: as a
// comment, a rule text, a name in a mapping, a remark.
func FuzzFormatText(f *testing.F) {
	for _, s := range []string{
		"", "a", "it's", `"`, `\`, "#", " # x", "a: b", "- a", "! a", "${x}", "$${", "$", "{", "[", "a\nb", "a\u0085b", "a\u2028b", "\ufeff", "a\tb",
		"yes", "0x1F", "1e3", "007", "2001-01-01", "...", "---", "&a", "*a", "<<", "|", ">", "%", "@", "`", "a\x00b", "\xff", "~", " a", "a ", "'", "''",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rule := &dsl.Rule{Comments: []*dsl.Text{dsl.NewText(s)}, Action: &dsl.Action{Kind: dsl.NewWord("log"), Args: &dsl.Value{Kind: dsl.Mapping, Entries: []*dsl.Entry{
			{dsl.NewText("prefix"), &dsl.Value{Text: dsl.NewText(s)}},
		}}}}
		raw := &dsl.Rule{String: dsl.NewText(s)}
		list := &dsl.Rule{Comments: []*dsl.Text{dsl.NewText(s), dsl.NewText("b")}}
		doc := &dsl.Document{Name: dsl.NewText("a"), Version: dsl.NewText("1.0.0"), Tables: []*dsl.Table{{Name: dsl.NewWord("filter"), Chains: []*dsl.Chain{{
			Name: dsl.NewText("SITE"), Rules: []*dsl.Rule{rule, raw, list},
		}}}}}
		text := dsl.Format(doc, dsl.FormatOptions{Head: []string{s}, Remarks: map[any][]string{rule: {s}, doc: {s}}})
		if !utf8.ValidString(text) {
			t.Fatalf("what is written is no text: %q", text)
		}
		again, l := dsl.Parse(diag.NewFile("fuzz.yaml", text))
		if dsl.TextProblem(s) != "" || s == "" {
			if utf8.ValidString(s) && !l.HasErrors() {
				t.Errorf("TextProblem(%q) = %q, but it is read:\n%s", s, dsl.TextProblem(s), text)
			}
			return
		}
		if l.Len() > 0 || len(again) != 1 {
			t.Fatalf("what is written cannot be read: %v\n%s", l.Records(), text)
		}
		if diff := cmp.Diff(doc, again[0], sameValues); diff != "" {
			t.Fatalf("it says something else:\n%s\n%s", diff, text)
		}
	})
}
