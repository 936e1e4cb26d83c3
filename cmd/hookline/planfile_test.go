package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hookline/dsl"
)

// A stored plan shows whole shared chains: it can be larger than any ruleset.
func TestPlanFileMayBeLarge(t *testing.T) {
	filler := strings.Repeat(" ", dsl.ReadLimit)
	for _, c := range []struct {
		name, text string
		refused    bool
	}{
		{"stored plan", "{\n  \"kind\": \"" + planFileKind + "\"," + filler + "}", false},
		{"ruleset", "apiVersion: hookline/v1\n" + filler, true},
		{"other JSON", "{\"kind\": \"Ruleset\"," + filler + "}", true},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := (&app{}).readFile(path)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v, want refused %v", c.name, err, c.refused)
		}
		if err == nil && len(f.Text()) != len(c.text) {
			t.Errorf("%s: %d bytes of %d were read", c.name, len(f.Text()), len(c.text))
		}
	}
}
