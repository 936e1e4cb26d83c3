package ir

import (
	"slices"
	"strings"
)

// Globs tells whether a name matches any of many globs. Names, and beginnings with
// a star behind them, which is what nearly all globs are, cost a map lookup
// however many there are: a ruleset can own ten thousand chains. The nil Globs
// match nothing.
type Globs struct {
	names map[string]bool
	heads map[string]bool // the text before the star
	sizes []int           // of the heads, each once
	rest  []string
}

// NewGlobs makes a matcher of globs as in MatchGlob.
func NewGlobs(list []string) *Globs {
	g := &Globs{names: map[string]bool{}, heads: map[string]bool{}}
	sizes := map[int]bool{}
	for _, s := range list {
		switch star := strings.IndexByte(s, '*'); {
		case star < 0:
			g.names[s] = true
		case star == len(s)-1:
			g.heads[s[:star]] = true
			sizes[star] = true
		default:
			g.rest = append(g.rest, s)
		}
	}
	for n := range sizes {
		g.sizes = append(g.sizes, n)
	}
	slices.Sort(g.sizes)
	return g
}

// Match tells whether one of the globs matches the name.
func (g *Globs) Match(name string) bool {
	if g == nil {
		return false
	}
	if g.names[name] {
		return true
	}
	for _, n := range g.sizes {
		if n > len(name) {
			break
		}
		if g.heads[name[:n]] {
			return true
		}
	}
	return slices.ContainsFunc(g.rest, func(s string) bool { return MatchGlob(s, name) })
}
