package participant

import (
	"cmp"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// Hit is a glob of an entry that matched.
type Hit struct {
	Entry *Entry
	Glob  string
	// Literal is the length of the glob's literal text: of two hits, the longer one
	// decides.
	Literal int
}

// literal is the length of a glob's text without its stars.
func literal(glob string) int { return len(glob) - strings.Count(glob, "*") }

// globs finds the longest of many globs that matches a text. Names and prefixes,
// which is what nearly all globs are, cost a map lookup for each length that
// occurs, however many there are.
type globs struct {
	exact    map[string]Hit
	prefixes map[string]Hit // key: the text before the star
	lengths  []int          // of the prefixes, longest first
	others   []Hit          // longest literal first
}

func (g *globs) add(e *Entry, list []string) {
	if g.exact == nil {
		g.exact, g.prefixes = map[string]Hit{}, map[string]Hit{}
	}
	for _, s := range list {
		h := Hit{Entry: e, Glob: s, Literal: literal(s)}
		switch star := strings.IndexByte(s, '*'); {
		case star < 0:
			g.exact[s] = h
		case star == len(s)-1:
			g.prefixes[s[:star]] = h
			if !slices.Contains(g.lengths, star) {
				g.lengths = append(g.lengths, star)
			}
		default:
			g.others = append(g.others, h)
		}
	}
}

// sort is called once, when all globs are in.
func (g *globs) sort() {
	slices.SortFunc(g.lengths, func(a, b int) int { return b - a })
	slices.SortStableFunc(g.others, func(a, b Hit) int { return cmp.Compare(b.Literal, a.Literal) })
}

func (g *globs) find(text string) (Hit, bool) {
	if h, ok := g.exact[text]; ok {
		return h, true
	}
	best, found := Hit{}, false
	for _, n := range g.lengths {
		if n > len(text) {
			continue
		}
		if h, ok := g.prefixes[text[:n]]; ok {
			best, found = h, true
			break
		}
	}
	for _, h := range g.others {
		if found && h.Literal <= best.Literal {
			break
		}
		if ir.MatchGlob(h.Glob, text) {
			return h, true
		}
	}
	return best, found
}

// Meet tells whether there is a text that both globs match.
func Meet(a, b string) bool {
	// row[j] tells whether a[i:] and b[j:] meet; computed from the ends.
	row := make([]bool, len(b)+1)
	next := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				row[j] = true
			case i < len(a) && a[i] == '*':
				row[j] = next[j] || j < len(b) && row[j+1]
			case j < len(b) && b[j] == '*':
				row[j] = row[j+1] || i < len(a) && next[j]
			default:
				row[j] = i < len(a) && j < len(b) && a[i] == b[j] && next[j+1]
			}
		}
		row, next = next, row
	}
	return next[0]
}
