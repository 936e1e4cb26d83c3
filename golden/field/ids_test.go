package field

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ids are the failures that this package tests against: H of a Harvester node, T
// of everything that the tool writes.
var ids = []string{
	"H1", "H2", "H3", "H4", "H5", "H8", "H9", "H12", "H13", "H14",
	"T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T13", "T16", "T17",
}

func TestEveryIDHasATest(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("test files: %v, %v", files, err)
	}
	name := regexp.MustCompile(`^Test([HT][0-9]+)[A-Z]`)
	tested := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			m := name.FindStringSubmatch(fn.Name.Name)
			switch {
			case m == nil && strings.HasPrefix(fn.Name.Name, "Test") && fn.Name.Name != "TestMain" && fn.Name.Name != "TestEveryIDHasATest":
				t.Errorf("%s: %s does not say which ID it tests", file, fn.Name.Name)
			case m == nil:
			case !slices.Contains(ids, m[1]):
				t.Errorf("%s: %s is no ID of the list", fn.Name.Name, m[1])
			default:
				tested[m[1]] = true
			}
		}
	}
	for _, id := range ids {
		if !tested[id] {
			t.Errorf("%s has no test", id)
		}
	}
}
