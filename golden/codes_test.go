package golden_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"hookline/dsl/diag"
)

// elsewhere lists the codes that no scenario shows, each with the test, or the
// recorded text, that does: most of them need a host that misbehaves.
var elsewhere = map[diag.Code]string{
	diag.YAMLSyntax:       "dsl/testdata/mistakes/syntax-quote.txt",
	diag.FileTooLarge:     "dsl/parse_test.go",
	diag.AliasExpansion:   "dsl/testdata/mistakes/alias-bomb.txt",
	diag.UnknownKey:       "dsl/testdata/mistakes/unknown-keys.txt",
	diag.DuplicateKey:     "dsl/testdata/mistakes/duplicate-keys.txt",
	diag.MergeKey:         "dsl/testdata/mistakes/merge-key.txt",
	diag.YAMLTag:          "dsl/testdata/mistakes/tags.txt",
	diag.CommentInText:    "dsl/testdata/mistakes/comment-in-rule.txt",
	diag.AmbiguousNumber:  "dsl/testdata/mistakes/numbers.txt",
	diag.APIVersion:       "dsl/testdata/mistakes/document-api-version.txt",
	diag.WrongType:        "dsl/testdata/mistakes/document-list.txt",
	diag.InvalidName:      "dsl/testdata/mistakes/names.txt",
	diag.ControlCharacter: "dsl/testdata/mistakes/control-escaped.txt",
	diag.DuplicateName:    "dsl/testdata/mistakes/duplicate-names.txt",
	diag.TemplateHere:     "dsl/testdata/mistakes/templates.txt",
	diag.CELSyntax:        "dsl/testdata/mistakes/templates.txt",
	diag.CELCost:          "compiler/check/compile_test.go",
	diag.ExpandsTwice:     "compiler/lower/property_test.go",
	diag.NoPriority:       "compiler/bases_test.go",
	diag.NativeRules:      "golden/field/text_test.go",
	diag.NotImportable:    "cmd/hookline/testdata/script/import.txtar",
	diag.SnapshotText:     "backend/iptables/save_test.go",
	diag.ToolRefused:      "golden/field/refuse_test.go",
	diag.Respelled:        "internal/converge/record_test.go",
	diag.GuardDropped:     "internal/converge/converge_test.go",
	diag.StateLost:        "internal/converge/record_test.go",
	diag.VerifyMismatch:   "internal/converge/converge_test.go",
	diag.HostMoved:        "internal/converge/converge_test.go",
	diag.RaceLost:         "golden/field/race_test.go",
	diag.TakeBackFailed:   "internal/converge/converge_test.go",
}

// TestEveryCodeIsShown makes sure that every code of a finding is shown by a
// scenario or by a test, and that what elsewhere says is so.
func TestEveryCodeIsShown(t *testing.T) {
	shown := map[string]bool{}
	files, err := filepath.Glob("scenarios/*/want/*/diagnostics.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("the scenarios' diagnostics: %v, %v", files, err)
	}
	last := regexp.MustCompile(`(?m): (?:error|warning|info): .* \[([a-z-]+)\]$|^(?:error|warning|info): .* \[([a-z-]+)\]$`)
	for _, file := range files {
		for _, m := range last.FindAllStringSubmatch(read(t, file), -1) {
			shown[m[1]+m[2]] = true
		}
	}
	constants := codeConstants(t)
	for _, c := range diag.Codes {
		where, listed := elsewhere[c.Code]
		switch {
		case shown[string(c.Code)] && listed:
			t.Errorf("%s is shown by a scenario: take it off the list", c.Code)
		case shown[string(c.Code)]:
		case !listed:
			t.Errorf("nothing shows %s: it needs a scenario, or a test that is listed here", c.Code)
		default:
			text := read(t, filepath.Join("..", filepath.FromSlash(where)))
			if !strings.Contains(text, "diag."+constants[c.Code]) && !strings.Contains(text, strconv.Quote(string(c.Code))) &&
				!strings.Contains(text, "["+string(c.Code)+"]") {
				t.Errorf("%s does not speak of %s", where, c.Code)
			}
		}
	}
	for code := range elsewhere {
		if constants[code] == "" {
			t.Errorf("the list has %s, which is no code", code)
		}
	}
}

// codeConstants are the names of the codes' constants.
func codeConstants(t *testing.T) map[diag.Code]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "dsl", "diag", "codes.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := map[diag.Code]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if value, err := strconv.Unquote(lit.Value); err == nil {
				out[diag.Code(value)] = spec.Names[0].Name
			}
		}
		return true
	})
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
