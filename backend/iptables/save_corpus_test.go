package iptables

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// TestCorpusSnapshots reads every recorded save and writes it back byte
// for byte.
func TestCorpusSnapshots(t *testing.T) {
	dir := filepath.Join(shared(t), "snapshots")
	texts, rules := 0, 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name := strings.TrimSuffix(e.Name(), ".gz")
		if !strings.HasSuffix(name, "tables-nft-save.txt") && !strings.HasSuffix(name, "tables-legacy-save.txt") && !strings.HasSuffix(name, ".save") {
			return nil
		}
		f := ir.IPv4
		if strings.HasPrefix(name, "ip6") || strings.HasSuffix(name, ".v6.save") {
			f = ir.IPv6
		}
		texts++
		rules += roundTrip(t, path, f, readText(t, path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d texts with %d rules came back byte for byte", texts, rules)
	if texts < 150 {
		t.Errorf("only %d recorded saves were found", texts)
	}
}

// roundTrip reads a save text, expects no finding, and compares what is written
// with what was read. It returns the number of rules.
func roundTrip(t testing.TB, name string, f ir.Family, text string) int {
	t.Helper()
	save, found := ParseSaveText(diag.NewFile(name, text), f, ParseOptions{})
	if err := found.Err(); err != nil {
		t.Errorf("%s: %v", name, err)
		return 0
	}
	if got := save.Write(f); got != text {
		t.Errorf("%s: not written as it was read (-read +written):\n%s", name, cmp.Diff(strings.Split(text, "\n"), strings.Split(got, "\n")))
	}
	n := 0
	for _, table := range save.State.Tables {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				n++
				if !strings.HasSuffix(r.Origin.Text(), r.Text) {
					t.Errorf("%s: rule %q has the origin %q", name, r.Text, r.Origin.Text())
				}
			}
		}
	}
	return n
}

func familyOf(name string) ir.Family {
	if name == "ip6" {
		return ir.IPv6
	}
	return ir.IPv4
}

// TestCorpusSaves does the same with the texts of the corpora, and with
// those published dumps that have the shape of a save.
func TestCorpusSaves(t *testing.T) {
	texts, rules := 0, 0
	one := func(name string, f ir.Family, text string) {
		if text != "" {
			texts++
			rules += roundTrip(t, name, f, text)
		}
	}
	published, canonical := 0, 0
	corpus(t, "iptables-dumps", func(r struct {
		Name, Family, Text string
		SavedNFT           string `json:"saved_nft"`
		SavedLegacy        string `json:"saved_legacy"`
	},
	) {
		one(r.Name+" nft", familyOf(r.Family), r.SavedNFT)
		one(r.Name+" legacy", familyOf(r.Family), r.SavedLegacy)
		published++
		if isSave(r.Text) {
			canonical++
			one(r.Name, familyOf(r.Family), r.Text)
		}
	})
	corpus(t, "restore-on-dumps", func(r struct{ A, B, Family, Before, After string }) {
		one(r.A+" before "+r.B, familyOf(r.Family), r.Before)
		one(r.A+" after "+r.B, familyOf(r.Family), r.After)
	})
	corpus(t, "iptables-transactions", func(r struct {
		Test          string
		Before, After map[string]string
	},
	) {
		for f, text := range r.Before {
			one(r.Test+" before", familyOf(f), text)
		}
		for f, text := range r.After {
			one(r.Test+" after", familyOf(f), text)
		}
	})
	t.Logf("%d texts with %d rules came back byte for byte; %d of %d published dumps have the shape of a save", texts, rules, canonical, published)
	if texts < 1500 {
		t.Errorf("only %d texts were found", texts)
	}
}

// isSave tells whether a published text has the shape of a save: after the chains
// of a table its rules, chain by chain in the chains' order, and nothing else.
func isSave(text string) bool {
	var chains []string
	at, inTable := 0, false
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		if !ended {
			return false
		}
		if strings.HasPrefix(line, "[") {
			_, line, _ = strings.Cut(line, "] ")
		}
		switch {
		case strings.HasPrefix(line, "*"):
			chains, at, inTable = nil, 0, true
		case line == "COMMIT":
			inTable = false
		case strings.HasPrefix(line, "#"), line == "":
			if inTable {
				return false
			}
		case strings.HasPrefix(line, ":"):
			f := strings.Split(line[1:], " ")
			if len(f) != 3 {
				return false
			}
			chains = append(chains, f[0])
		case strings.HasPrefix(line, "-A "):
			name, _, _ := strings.Cut(line[len("-A "):], " ")
			for at < len(chains) && chains[at] != name {
				at++
			}
			if at == len(chains) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
