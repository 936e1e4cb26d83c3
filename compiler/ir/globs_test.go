package ir

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestGlobs compares the index with one glob after the other, over every short
// name of two letters.
func TestGlobs(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	word := func(letters string, most int) string {
		b := make([]byte, rnd.IntN(most+1))
		for i := range b {
			b[i] = letters[rnd.IntN(len(letters))]
		}
		return string(b)
	}
	hits := 0
	for range 3000 {
		var list []string
		for range rnd.IntN(6) {
			list = append(list, word("ab*", 4))
		}
		g := NewGlobs(list)
		for range 20 {
			name := word("ab", 5)
			want := slices.ContainsFunc(list, func(s string) bool { return MatchGlob(s, name) })
			if want {
				hits++
			}
			if got := g.Match(name); got != want {
				t.Fatalf("NewGlobs(%q).Match(%q) = %v", list, name, got)
			}
		}
	}
	if hits < 1000 {
		t.Errorf("only %d names matched", hits)
	}
	if (*Globs)(nil).Match("") {
		t.Error("nil globs match something")
	}
}
