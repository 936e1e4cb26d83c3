package place

import (
	"cmp"
	"slices"
)

// candidate is a copy that may stay where it is, as far as its own bounds go.
type candidate struct{ node, at int }

// stay decides which jumps stay where they stand: the largest set in which no
// two contradict the order of their nodes.
//
// Two candidates exclude each other if one node is the other or must precede it
// and its copy stands behind. That relation is itself an order, so the largest
// set is a maximum antichain, which matching finds (Dilworth). Where several sets
// are largest, adopted jumps stay first, then those written first, then the copy
// that stands first.
func (s *solver) stay() {
	var all []candidate
	for n, x := range s.nodes {
		alone := s.unordered(n)
		for _, i := range x.may {
			if x.low.rule < i && i < x.high.rule {
				all = append(all, candidate{n, i})
				if alone {
					break
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		x, y := s.nodes[a.node].anchor, s.nodes[b.node].anchor
		return cmp.Or(
			-compareBool(s.in.Anchors[x].Adopt, s.in.Anchors[y].Adopt), cmp.Compare(x, y), cmp.Compare(a.at, b.at))
	})
	for _, c := range s.antichain(all) {
		s.nodes[c.node].at = c.at
	}
	for _, own := range s.byAnch {
		s.keepSuffix(own)
	}
}

// unordered tells that no other node must stand before or behind this one, so
// that its first candidate is as good as any.
func (s *solver) unordered(n int) bool {
	for m := range s.nodes {
		if s.precede[n][m] || s.precede[m][n] {
			return false
		}
	}
	return true
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// keepSuffix takes back what deleting by value cannot do: of equal copies that
// are nodes of their own, one can stay only if all later ones stay.
func (s *solver) keepSuffix(own []int) {
	for i := len(own) - 2; i >= 0; i-- {
		x := s.nodes[own[i]]
		for _, m := range own[i+1:] {
			if y := s.nodes[m]; y.at < 0 && s.sameText(x.anchor, x.copies[0], y.copies[0]) {
				x.at = -1
			}
		}
	}
}

// excludes tells that a must precede b (or is another copy of it) and stands
// behind it. It is transitive.
func (s *solver) excludes(a, b candidate) bool {
	return (a.node == b.node || s.precede[a.node][b.node]) && a.at > b.at
}

// antichain chooses the largest set of candidates of which no two exclude each
// other, preferring those that come first.
func (s *solver) antichain(all []candidate) []candidate {
	var chosen, pool []candidate
	for _, c := range all {
		alone := !slices.ContainsFunc(all, func(d candidate) bool { return s.excludes(c, d) || s.excludes(d, c) })
		if alone {
			chosen = append(chosen, c)
		} else {
			pool = append(pool, c)
		}
	}
	for want := s.width(pool); want > 0; {
		for i, c := range pool {
			rest := slices.DeleteFunc(slices.Clone(pool[i+1:]), func(d candidate) bool {
				return s.excludes(c, d) || s.excludes(d, c)
			})
			if s.width(rest) == want-1 {
				chosen, pool, want = append(chosen, c), rest, want-1
				break
			}
		}
	}
	return chosen
}

// width is the size of the largest antichain: the number of candidates less the
// size of a maximum matching of those that exclude each other.
func (s *solver) width(pool []candidate) int {
	partner := make([]int, len(pool)) // of the right side
	for i := range partner {
		partner[i] = -1
	}
	matched := 0
	for i := range pool {
		if s.augment(pool, i, partner, make([]bool, len(pool))) {
			matched++
		}
	}
	return len(pool) - matched
}

func (s *solver) augment(pool []candidate, i int, partner []int, seen []bool) bool {
	for j := range pool {
		if seen[j] || !s.excludes(pool[i], pool[j]) {
			continue
		}
		seen[j] = true
		if partner[j] < 0 || s.augment(pool, partner[j], partner, seen) {
			partner[j] = i
			return true
		}
	}
	return false
}
