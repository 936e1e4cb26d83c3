package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// fence is the text of the n-th code block of a kind.
func fence(t *testing.T, text, info string, n int) string {
	t.Helper()
	for range n + 1 {
		_, rest, found := strings.Cut(text, "\n```"+info+"\n")
		if !found {
			t.Fatalf("there is no %q block number %d", info, n)
		}
		text = rest
	}
	block, _, _ := strings.Cut(text, "```")
	return block
}

// TestReadme runs the README's quick start: its ruleset against its node prints
// its plan.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(site, []byte(fence(t, string(readme), "yaml", 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "with `-o markdown`:\n")
	want := fence(t, rest, "", 0)
	t.Chdir("../..")
	var out, errs bytes.Buffer
	args := []string{"plan", site, "--snapshot", "golden/nodes/rke2-duplicates-nft"}
	if code := run(context.Background(), args, strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("the README's plan exits with %d:\n%s", code, errs.String())
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("the README's plan is another (-README +printed):\n%s", diff)
	}
}

// TestCommandsPage: docs/commands.md has every command and flag, and no other.
func TestCommandsPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	root := (&app{}).root()
	root.InitDefaultCompletionCmd()
	known := map[string]bool{"--help": true}
	flags := func(set *pflag.FlagSet) {
		set.VisitAll(func(f *pflag.Flag) {
			known["--"+f.Name] = true
			if f.Name != "help" && f.Name != "version" && !strings.Contains(page, "`--"+f.Name) && !strings.Contains(page, ", `--"+f.Name) {
				t.Errorf("docs/commands.md does not tell of --%s", f.Name)
			}
		})
	}
	flags(root.PersistentFlags())
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			continue
		}
		if !strings.Contains(page, "| `"+c.Name()) {
			t.Errorf("docs/commands.md does not tell of %s", c.Name())
		}
		if c.Name() != "completion" {
			flags(c.LocalNonPersistentFlags())
		}
	}
	for _, word := range strings.FieldsFunc(page, func(r rune) bool { return strings.ContainsRune(" `|,;.()\n\\", r) }) {
		name, _, _ := strings.Cut(word, "=")
		if strings.HasPrefix(name, "--") && strings.Trim(name, "-") != "" && !known[name] && name != "--noflush" {
			t.Errorf("docs/commands.md tells of %s, which no command has", name)
		}
	}
}
