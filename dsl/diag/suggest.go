package diag

import (
	"strings"
	"unicode/utf8"
)

// DidYouMean picks the candidate that a person most likely meant by word, or ""
// if none is near. Near is a third of the word's length in edits (insertions,
// deletions, replacements, swaps of neighbours); letter case costs nothing. Among
// equally near ones the first in the alphabet wins.
func DidYouMean(word string, candidates []string) string {
	const longest = 64 // no name is longer; bounds the work for a hostile word
	if word == "" || len(word) > longest {
		return ""
	}
	limit := max(1, utf8.RuneCountInString(word)/3)
	if utf8.RuneCountInString(word) < 3 {
		limit = 0
	}
	best, distance := "", limit+1
	for _, c := range candidates {
		if c == word || c == "" || len(c) > longest {
			continue
		}
		n := edits([]rune(strings.ToLower(word)), []rune(strings.ToLower(c)))
		if n < distance || (n == distance && best != "" && c < best) {
			best, distance = c, n
		}
	}
	return best
}

// edits is the optimal string alignment distance.
func edits(a, b []rune) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
