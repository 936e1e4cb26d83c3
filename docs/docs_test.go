package docs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/survey"
	"hookline/dsl"
	"hookline/dsl/diag"
)

var update = flag.Bool("update", false, "write errors.md anew")

// pages are the documents with examples and links.
func pages(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, glob := range []string{"*.md", "decisions/*.md", "../*.md", "../rulesets/*/README.md", "../golden/nodes/*/README.md"} {
		found, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	if !slices.Contains(out, "../README.md") || !slices.Contains(out, "language.md") {
		t.Fatalf("the documents are not where this test looks: %v", out)
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// block is a fenced piece of a document.
type block struct {
	info, text string
	line       int
}

func blocks(text string) []block {
	var out []block
	var open *block
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{info: strings.TrimSpace(info), line: i + 1}
		case fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return out
}

const head = "apiVersion: hookline/v1\nkind: Ruleset\nmetadata: {name: example, version: 1.0.0}\nspec:\n"

// ruleset is the whole ruleset that an example stands for; empty if it is none.
func (b block) ruleset() (text, wantCode string) {
	kind, code, _ := strings.Cut(strings.TrimPrefix(b.info, "yaml"), " wrong ")
	switch strings.TrimSpace(kind) {
	case "":
		if code == "" && b.info == "yaml" {
			return b.text, ""
		}
		return head + "  tables:\n    filter:\n      chains:\n        SITE:\n          rules:\n" + indent(b.text, 12), code
	case "spec":
		return head + indent(b.text, 2), ""
	case "rules":
		return head + "  tables:\n    filter:\n      chains:\n        SITE:\n          rules:\n" + indent(b.text, 12), ""
	}
	return "", ""
}

func indent(text string, n int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString(strings.Repeat(" ", n))
		}
		b.WriteString(line)
	}
	return b.String()
}

// findings is what the program says of a ruleset that no host is asked about.
func findings(name, text string) *diag.List {
	list := &diag.List{}
	docs, l := dsl.Parse(diag.NewFile(name, text))
	list.Append(l)
	var programs []*compiler.Program
	for _, d := range docs {
		p, l := compiler.Compile(d, compiler.CompileOptions{WithoutFacts: true})
		list.Append(l)
		programs = append(programs, p)
	}
	if !list.HasErrors() {
		list.Append(compiler.EmptyHost(programs, ir.IptablesNFT).Diags)
	}
	return list
}

func TestExamples(t *testing.T) {
	n := 0
	for _, page := range pages(t) {
		for _, b := range blocks(read(t, page)) {
			if b.info != "yaml" && !strings.HasPrefix(b.info, "yaml ") || b.info == "yaml values" {
				continue
			}
			n++
			name := fmt.Sprintf("%s:%d", page, b.line)
			text, want := b.ruleset()
			if text == "" {
				t.Errorf("%s: a block of unknown kind %q", name, b.info)
				continue
			}
			list := findings(name, text)
			switch {
			case want != "" && !list.Has(diag.Code(want)):
				t.Errorf("%s: the example lacks the finding %s: %v", name, want, list.Err())
			case want == "" && list.HasErrors():
				var out strings.Builder
				if err := diag.WriteText(&out, list, diag.TextOptions{Excerpts: true}); err != nil {
					t.Fatal(err)
				}
				t.Errorf("%s: the example is not valid:\n%s", name, out.String())
			}
		}
	}
	if n < 12 {
		t.Errorf("only %d examples were found", n)
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)

func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, anchor := m[1], strings.TrimPrefix(m[2], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[0])
				continue
			}
			if anchor != "" && strings.HasSuffix(path, ".md") && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s links to %s, and there is no such heading", page, m[0])
			}
		}
	}
}

// anchors are the names by which GitHub links to headings.
func anchors(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			s := strings.ToLower(strings.TrimSpace(title))
			out = append(out, strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(s, ""), " ", "-"))
		}
	}
	return out
}

const errorsHead = `<!-- Generated by go generate ./docs from dsl/diag; do not edit. -->

# Errors

Every finding ends with its code in brackets. A code keeps its meaning.

An error stops the run before anything is written, but for those that an apply meets on its way (4, 5, 6). Findings
about what the host does not allow end with exit code 3, all others with 1. Notes show the other places that take part.

| code | means | exit code |
|---|---|---|
`

// whileApplying are the exit codes of what only an apply can find.
var whileApplying = map[diag.Code]string{
	diag.ToolRefused: "1, or 5 if something was committed", diag.HostMoved: "4", diag.RaceLost: "4",
	diag.VerifyMismatch: "5", diag.TakeBackFailed: "6",
}

func TestErrorsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(errorsHead)
	for _, c := range diag.Codes {
		l := &diag.List{}
		l.Errorf(c.Code, diag.Span{}, "x")
		code := strconv.Itoa(compiler.ExitCode(l))
		if later, ok := whileApplying[c.Code]; ok {
			code = later
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Code, c.Meaning, code)
	}
	if *update {
		if err := os.WriteFile("errors.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, "errors.md"), b.String()); diff != "" {
		t.Errorf("errors.md is not what dsl/diag says; run go generate ./docs (-file +code):\n%s", diff)
	}
}

// TestArchitecture compares the table of packages with the tree.
func TestArchitecture(t *testing.T) {
	text := read(t, "architecture.md")
	docs, err := filepath.Glob("../*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../*/*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(docs, more...) {
		pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(f), "../"))
		if !strings.Contains(text, "| `"+pkg+"` |") {
			t.Errorf("architecture.md does not say what %s is for", pkg)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|").FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join("..", m[1], "doc.go")); err != nil {
			t.Errorf("architecture.md tells of %s, which is no package", m[1])
		}
	}
}

// TestTheTwoCommands: the README names them, and the Makefile has them.
func TestTheTwoCommands(t *testing.T) {
	readme, makefile := read(t, "../README.md"), read(t, "../Makefile")
	for _, c := range []string{"demo", "test"} {
		if !strings.Contains(readme, "make "+c) || !strings.Contains(makefile, "\n"+c+": ") {
			t.Errorf("make %s is not both in README.md and in the Makefile", c)
		}
	}
}

// TestDoctorPage: the page lists every code of a finding with its meaning, and no
// other.
func TestDoctorPage(t *testing.T) {
	page, err := os.ReadFile("commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "| finding | means |\n|---|---|\n")
	table, _, _ := strings.Cut(section, "\n\n")
	var want strings.Builder
	for _, c := range survey.Codes {
		fmt.Fprintf(&want, "| `%s` | %s |\n", c.Code, c.Meaning)
	}
	if d := cmp.Diff(want.String(), table+"\n"); d != "" {
		t.Errorf("the table of findings in commands.md (-want +got):\n%s", d)
	}
}
