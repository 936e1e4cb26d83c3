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
		n := Distance(strings.ToLower(word), strings.ToLower(c))
		if n < distance || (n == distance && best != "" && c < best) {
			best, distance = c, n
		}
	}
	return best
}

// longest is longer than any name; it bounds the work for a hostile word.
const longest = 64

// Distance is the number of letters to change, add, leave out or swap with their
// neighbour to get from one word to the other (optimal string alignment). A word
// of more than 64 bytes is as far from any other as it is long.
func Distance(from, to string) int {
	if len(from) > longest || len(to) > longest {
		return max(len(from), len(to))
	}
	a, b := []rune(from), []rune(to)
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
