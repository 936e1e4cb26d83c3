package place

import (
	"fmt"
	"slices"
)

// item is a rule of the chain that is being made: a live rule that nobody moves
// (node -1), or a node.
type item struct{ live, node int }

// output makes the resulting chain: what stays, in the order in which it stands,
// and everything else put into its interval.
func (s *solver) output() Output {
	chain := s.standing()
	placed := make([]bool, len(s.nodes))
	for n, x := range s.nodes {
		placed[n] = x.at >= 0
	}
	for {
		n := s.next(placed)
		if n < 0 {
			break
		}
		chain = slices.Insert(chain, s.slot(chain, n), item{-1, n})
		placed[n] = true
	}
	return s.describe(chain)
}

// standing is the chain of what stays.
func (s *solver) standing() []item {
	stays := map[int]int{} // live rule to node
	for n, x := range s.nodes {
		if x.at >= 0 {
			stays[x.at] = n
		}
	}
	left := map[int]bool{}
	for a := range s.in.Anchors {
		if s.status[a] == held || s.status[a] == failed {
			for _, i := range s.survivors(a) {
				left[i] = true
			}
		}
	}
	var chain []item
	for i, l := range s.in.Rules {
		n, stay := stays[i]
		switch {
		case stay:
			chain = append(chain, item{i, n})
		case l.Remove:
		case s.copyOf[i] < 0 || left[i]:
			chain = append(chain, item{i, -1})
		}
	}
	return chain
}

// next is the node to put in next: the first in written order whose place is
// known because every anchor that it stands beside is placed; else the first that
// nothing unplaced precedes. -1 if all are placed.
func (s *solver) next(placed []bool) int {
	for n := range s.nodes {
		if placed[n] {
			continue
		}
		low := s.towardsLow(n)
		ready := true
		for _, m := range s.beside(n, low) {
			ready = ready && placed[m]
		}
		if ready {
			return n
		}
	}
	for n := range s.nodes {
		free := !placed[n]
		for m := range s.nodes {
			free = free && (placed[m] || !s.precede[m][n])
		}
		if free {
			return n
		}
	}
	return -1
}

// beside lists the nodes that a node's own references name on one side, and the
// copies of its own anchor on that side.
func (s *solver) beside(n int, low bool) []int {
	var out []int
	own := s.byAnch[s.nodes[n].anchor]
	for m, x := range s.nodes {
		for _, e := range x.edges {
			switch {
			case low && e.to == n && (e.after || slices.Contains(own, m)):
				out = append(out, m)
			case !low && m == n && (e.ref != nil && !e.after || slices.Contains(own, e.to)):
				out = append(out, e.to)
			}
		}
	}
	return out
}

// towardsLow tells at which end of its interval a node is put in.
func (s *solver) towardsLow(n int) bool {
	x := &s.in.Anchors[s.nodes[n].anchor]
	switch x.At {
	case AtFirst:
		return true
	case AtLast:
		return false
	case AtDefault:
	}
	for i := range x.After {
		if rules, anchors, _ := s.resolve(s.nodes[n].anchor, &x.After[i]); len(rules)+len(anchors) > 0 {
			return true
		}
	}
	return false
}

// slot is the index in the chain at which a node is put in. Anchors that share a
// slot stand in written order as far as their references allow.
func (s *solver) slot(chain []item, n int) int {
	x := s.nodes[n]
	low, high := 0, len(chain)
	for i, it := range chain {
		if it.node < 0 && it.live <= x.low.rule || it.node >= 0 && s.precede[it.node][n] {
			low = i + 1
		}
		if it.node < 0 && it.live >= x.high.rule || it.node >= 0 && s.precede[n][it.node] {
			high = min(high, i)
		}
	}
	if low > high {
		panic(fmt.Sprintf("place: no slot for anchor %q between %d and %d", s.in.Anchors[x.anchor].Name, low, high))
	}
	if s.towardsLow(n) {
		for low < high && chain[low].node >= 0 && s.nodes[chain[low].node].anchor < x.anchor {
			low++
		}
		return low
	}
	for low < high && chain[high-1].node >= 0 && s.nodes[chain[high-1].node].anchor > x.anchor {
		high--
	}
	return high
}

// describe says what the made chain means, and reports duplicates.
func (s *solver) describe(chain []item) Output {
	var out Output
	kept := make([]bool, len(s.in.Rules))
	moved := make([]bool, len(s.in.Anchors))
	for _, it := range chain {
		switch {
		case it.node < 0:
			kept[it.live] = true
			out.Order = append(out.Order, Placed{it.live, s.copyOf[it.live], Keep})
		case it.live >= 0:
			kept[it.live] = true
			out.Order = append(out.Order, Placed{it.live, s.nodes[it.node].anchor, Keep})
		default:
			p := Placed{-1, s.nodes[it.node].anchor, Add}
			if c := s.nodes[it.node].copies; len(c) > 0 {
				p.Live, p.Kind = c[len(c)-1], Move
				moved[p.Anchor] = true
			}
			out.Order = append(out.Order, p)
		}
	}
	for i, k := range kept {
		if !k {
			out.Removed = append(out.Removed, i)
		}
	}
	for a, st := range s.status {
		switch st {
		case held:
			out.Held = append(out.Held, a)
		case failed:
			out.Failed = append(out.Failed, a)
		case idle:
			out.Idle = append(out.Idle, a)
		case active:
		}
		s.reportDuplicates(a)
		if moved[a] && s.in.Anchors[a].Adopt {
			out.Restarts = append(out.Restarts, a)
		}
	}
	return out
}
