package field

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// counts are how many test IDs each series has: H of a Harvester node, R of RKE2,
// N of k3s with NetBird, F of flannel, V of kube-vip, T of everything that the
// tool writes.
var counts = map[string]int{"H": 14, "R": 9, "N": 11, "F": 7, "V": 9, "T": 20}

// TestNamesSayTheID makes sure that every test of this package says which ID it
// tests; docs/field-tests.md is made of these names.
func TestNamesSayTheID(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("test files: %v, %v", files, err)
	}
	name := regexp.MustCompile(`^Test([HRNFVT])([0-9]+)[A-Z]`)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") || fn.Name.Name == "TestMain" || fn.Name.Name == "TestNamesSayTheID" {
				continue
			}
			m := name.FindStringSubmatch(fn.Name.Name)
			if m == nil {
				t.Errorf("%s: %s does not say which ID it tests", file, fn.Name.Name)
				continue
			}
			if n, err := strconv.Atoi(m[2]); err != nil || n < 1 || n > counts[m[1]] {
				t.Errorf("%s: there is no ID %s%s", fn.Name.Name, m[1], m[2])
			}
		}
	}
}
