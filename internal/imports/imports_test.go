package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "hookline"

// rule is what packages may import of this module. A pattern is a package, or a
// package and everything below it if it ends in "/...".
type rule struct {
	packages string
	may      []string
}

// rules: the first that fits a package decides, so that a folder inside another
// stands ahead of it.
var rules = []rule{
	{"cmd/hookline", []string{"..."}},
	{"dsl/diag", nil},
	{"dsl/dsltest", []string{"dsl", "dsl/diag"}},
	{"dsl", []string{"dsl/diag"}},
	{"compiler/ir", []string{"dsl/diag"}},
	{"compiler/xtables", []string{"compiler/ir", "dsl/diag"}},
	{"compiler/participant/gendocs", []string{"compiler/participant"}},
	{"compiler/participant", []string{"compiler/ir", "dsl/diag"}},
	{"compiler/recognize", []string{"compiler/ir", "compiler/xtables", "compiler/participant", "dsl/diag"}},
	{"compiler/markdown", []string{"dsl/diag"}},
	{"compiler/survey", []string{"compiler/timeline", "compiler/markdown", "compiler/ir", "compiler/xtables", "compiler/recognize", "compiler/participant", "dsl/diag"}},
	{"compiler/place", []string{"compiler/ir", "compiler/xtables", "compiler/recognize", "compiler/participant", "dsl/diag"}},
	{"compiler/timeline", []string{"compiler/ir", "compiler/nftables", "compiler/place", "compiler/recognize", "compiler/participant", "dsl/diag"}},
	{"compiler/check", []string{"compiler/ir", "compiler/xtables", "compiler/recognize", "compiler/participant", "dsl", "dsl/diag"}},
	{"compiler/ipsets", []string{"compiler/ir"}},
	{"compiler/lower", []string{"compiler/ir", "compiler/xtables", "compiler/participant", "dsl/diag"}},
	{"compiler/nftables", []string{"compiler/ir", "compiler/xtables", "dsl/diag"}},
	{"compiler/raise", []string{"dsl", "dsl/diag", "compiler", "compiler/ir", "compiler/xtables", "compiler/participant", "compiler/recognize", "compiler/place", "compiler/lower"}},
	{"compiler", []string{"dsl", "dsl/diag", "compiler/..."}},
	{"backend/nfttext", nil},
	{"backend/nfnetlink", []string{"backend/nfttext", "compiler/ir", "compiler/xtables"}},
	{"backend/redact", nil},
	{"backend/nft", []string{"backend", "backend/iptables", "backend/nfnetlink", "backend/run", "compiler/ir", "compiler/nftables", "dsl/diag", "internal/netns"}},
	{"backend/machine", []string{"backend", "compiler/ir"}},
	{"backend/recorded", []string{"backend", "backend/iptables", "backend/nfttext", "backend/redact", "compiler/ir", "compiler/xtables", "dsl/diag"}},
	{"backend/nft", []string{"backend/...", "compiler/ir", "compiler/nftables", "compiler/xtables", "dsl/diag", "internal/netns"}},
	{"backend/...", []string{"backend/...", "compiler/ir", "compiler/xtables", "dsl/diag", "internal/netns"}},
	{"schemas/gen", []string{"dsl", "dsl/diag", "schemas/..."}},
	{"schemas/...", []string{"dsl", "dsl/diag"}},
	{"rulesets/...", nil},
	{"golden/...", []string{"..."}},
	{"internal/converge", []string{"compiler/...", "backend/...", "dsl/diag"}},
	{"internal/netns", []string{"backend", "backend/run"}},
	{"internal/imports", nil},
	{"docs/...", []string{"..."}},
	{"integrations", nil},
}

// limit is a package outside, with everything below it, and who may import it.
type limit struct {
	path string
	only []string
	why  string
}

// outside says who alone may import a package that is not of this module, tests
// apart.
var outside = []limit{
	{"os/exec", []string{"backend/...", "internal/netns"}, "only backends run programs"},
	{"gopkg.in/yaml.v3", []string{"dsl/..."}, "only dsl reads YAML"},
	{"go.yaml.in/yaml", nil, "only dsl reads YAML, with gopkg.in/yaml.v3"},
	{"github.com/google/cel-go", []string{"compiler/check"}, "only compiler/check knows CEL"},
	{"github.com/spf13", []string{"cmd/hookline"}, "flags end in cmd"},
	{"github.com/mdlayher/netlink", []string{"backend/...", "golden/injector"}, "only backends ask the kernel, and who plays another program"},
	{"github.com/coreos/go-iptables", []string{"backend/..."}, "it probes versions and plays the other program in tests"},
	{"log", nil, "nothing logs: findings are diagnostics, failures are errors"},
	{"math/rand", nil, "the same input gives the same bytes"},
}

// banned are package names that say nothing about what is inside.
var banned = []string{"util", "utils", "common", "helper", "helpers", "manager", "base", "misc", "shared"}

// pkg is what `go list -json` says.
type pkg struct {
	ImportPath, Name, Dir string
	GoFiles, CgoFiles     []string
	Imports, Deps         []string
	TestImports           []string
	XTestImports          []string
}

func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,Imports,Deps,TestImports,XTestImports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list names %d packages only: is this the module %s?", len(all), module)
	}
	return all
}

// fits tells whether a pattern covers a path.
func fits(pattern, p string) bool {
	if pattern == "..." {
		return true
	}
	top, below := strings.CutSuffix(pattern, "/...")
	return p == top || below && strings.HasPrefix(p, top+"/")
}

// outsider is the line of outside that covers an import; nil if there is none.
func outsider(imp string) *limit {
	for i := range outside {
		if o := &outside[i]; imp == o.path || strings.HasPrefix(imp, o.path+"/") {
			return o
		}
	}
	return nil
}

// problems are the sentences about a package that breaks a rule.
func problems(p pkg) []string {
	var out []string
	i := slices.IndexFunc(rules, func(r rule) bool { return fits(r.packages, p.path()) })
	if i < 0 {
		out = append(out, p.path()+" is in no line of the table: say what it may import")
	}
	for _, imp := range p.Imports {
		if ours, ok := strings.CutPrefix(imp, module+"/"); ok && i >= 0 {
			if !slices.ContainsFunc(rules[i].may, func(m string) bool { return fits(m, ours) }) {
				out = append(out, p.path()+" may not import "+ours)
			}
		}
		if o := outsider(imp); o != nil && !slices.ContainsFunc(o.only, func(m string) bool { return fits(m, p.path()) }) {
			out = append(out, p.path()+" may not import "+imp+": "+o.why)
		}
	}
	if slices.Contains(banned, path.Base(p.path())) || slices.Contains(banned, p.Name) {
		out = append(out, p.path()+" has a name that says nothing about what is inside")
	}
	return out
}

func TestImports(t *testing.T) {
	for _, p := range list(t) {
		for _, s := range problems(p) {
			t.Error(s)
		}
		if len(p.GoFiles)+len(p.CgoFiles) == 0 {
			continue // tests only
		}
		if _, err := os.Stat(filepath.Join(p.Dir, "doc.go")); err != nil {
			t.Errorf("%s has no doc.go", p.path())
		}
		if strings.HasPrefix(p.path(), "dsl/diag") {
			for _, dep := range p.Deps {
				if strings.Contains(strings.SplitN(dep, "/", 2)[0], ".") {
					t.Errorf("%s is a leaf of the standard library, but needs %s", p.path(), dep)
				}
			}
		}
	}
}

// TestProblems shows the checker what it must find.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name string
		pkg  pkg
		want []string
	}{
		{"allowed", pkg{ImportPath: "hookline/compiler/ir", Name: "ir", Imports: []string{"slices", "hookline/dsl/diag"}}, nil},
		{"upwards", pkg{ImportPath: "hookline/compiler/ir", Name: "ir", Imports: []string{"hookline/compiler"}}, []string{"compiler/ir may not import compiler"}},
		{"a backend sees no dsl", pkg{ImportPath: "hookline/backend/nft", Name: "nft", Imports: []string{"hookline/dsl"}}, []string{"backend/nft may not import dsl"}},
		{"exec", pkg{ImportPath: "hookline/compiler", Name: "compiler", Imports: []string{"os/exec"}}, []string{"compiler may not import os/exec: only backends run programs"}},
		{"below a package outside", pkg{ImportPath: "hookline/compiler", Name: "compiler", Imports: []string{"github.com/google/cel-go/cel"}}, []string{"compiler may not import github.com/google/cel-go/cel: only compiler/check knows CEL"}},
		{"log/slog", pkg{ImportPath: "hookline/dsl", Name: "dsl", Imports: []string{"log/slog"}}, []string{"dsl may not import log/slog: nothing logs: findings are diagnostics, failures are errors"}},
		{"name", pkg{ImportPath: "hookline/backend/util", Name: "util"}, []string{"backend/util has a name that says nothing about what is inside"}},
		{"unknown", pkg{ImportPath: "hookline/elsewhere", Name: "elsewhere"}, []string{"elsewhere is in no line of the table: say what it may import"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, problems(c.pkg)); diff != "" {
				t.Errorf("problems(%s) mismatch (-want +got):\n%s", c.pkg.ImportPath, diff)
			}
		})
	}
}

// depsFile lists the modules that the program links.
const depsFile = "../../cmd/hookline/deps.txt"

const depsHead = `# The modules that the program links (go list -deps). A new one is a decision: docs/decisions.
# Written by go generate ./internal/imports.
`

var update = flag.Bool("update", false, "write cmd/hookline/deps.txt anew")

// TestDeps compares the modules that the program links with the list that was
// agreed on.
func TestDeps(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/cmd/hookline")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	got := depsHead + strings.Join(slices.Compact(modules), "\n") + "\n"
	if *update {
		if err := os.WriteFile(depsFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(depsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the program links other modules than cmd/hookline/deps.txt says (-deps.txt +linked); a new one is a decision:\n%s", diff)
	}
}
