package schemas_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every shipped ruleset names its schema, by a path that leads there, so that
// editors complete and check it; those that are meant to be right fit it.
func TestShippedRulesets(t *testing.T) {
	schema := compile(t, "ruleset")
	for _, pattern := range []string{"../rulesets/*/*.yaml", "../golden/scenarios/*/ruleset.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			// A scenario of a shipped ruleset links to it.
			file, err := filepath.EvalSymlinks(file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			rel, ok := strings.CutPrefix(first, "# yaml-language-server: $schema=")
			if !ok {
				t.Errorf("%s: the first line does not name the schema", file)
				continue
			}
			if got := filepath.Join(filepath.Dir(file), rel); got != filepath.FromSlash("v1/ruleset.schema.json") && got != filepath.FromSlash("../schemas/v1/ruleset.schema.json") {
				t.Errorf("%s: the schema's path leads to %s", file, got)
			}
			if strings.HasPrefix(pattern, "../rulesets") {
				if err := schema.Validate(instance(t, string(text))); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
}
