package place

import "slices"

// build makes the nodes of the anchors that are to be placed, their order among
// each other and their bounds.
func (s *solver) build() {
	s.nodes, s.byAnch = nil, make([][]int, len(s.in.Anchors))
	for a := range s.in.Anchors {
		if s.status[a] == active {
			s.addNodes(a)
		}
	}
	for n, x := range s.nodes {
		x.low, x.high = bound{rule: -1}, bound{rule: len(s.in.Rules)}
		s.refs(x.anchor, func(r *Ref, after bool) { s.bind(n, r, after) })
	}
	s.inherit()
}

func (s *solver) addNodes(a int) {
	x := &s.in.Anchors[a]
	add := func(n *node) {
		s.byAnch[a] = append(s.byAnch[a], len(s.nodes))
		s.nodes = append(s.nodes, n)
	}
	if s.collapses(a) || len(x.Standing) < 2 {
		n := &node{anchor: a, copies: x.Standing, at: -1}
		for _, i := range x.Standing {
			if s.mayStay(a, i) {
				n.may = append(n.may, i)
			}
		}
		add(n)
		return
	}
	for _, i := range x.Standing {
		add(&node{anchor: a, copies: []int{i}, at: -1, may: []int{i}})
	}
	own := s.byAnch[a]
	for k := 1; k < len(own); k++ {
		s.nodes[own[k-1]].edges = append(s.nodes[own[k-1]].edges, edge{to: own[k]})
	}
}

// bind turns one reference of a node into bounds and edges.
func (s *solver) bind(n int, r *Ref, after bool) {
	x := s.nodes[n]
	rules, anchors, _ := s.resolve(x.anchor, r)
	if len(rules) > 0 {
		if last := rules[len(rules)-1]; after && last > x.low.rule {
			x.low = bound{last, r, n}
		}
		if first := rules[0]; !after && first < x.high.rule {
			x.high = bound{first, r, n}
		}
	}
	for _, b := range anchors {
		for _, m := range s.byAnch[b] {
			if after {
				s.nodes[m].edges = append(s.nodes[m].edges, edge{to: n, ref: r, after: true})
			} else {
				x.edges = append(x.edges, edge{to: m, ref: r})
			}
		}
	}
}

// inherit closes the order and hands bounds on along it: what precedes a node
// pushes it down, what follows pushes it up.
func (s *solver) inherit() {
	order := s.topological()
	for _, n := range order {
		for _, e := range s.nodes[n].edges {
			if to := s.nodes[e.to]; s.nodes[n].low.rule > to.low.rule {
				to.low = s.nodes[n].low
			}
		}
	}
	s.precede = make([][]bool, len(s.nodes))
	for _, n := range slices.Backward(order) {
		reach := make([]bool, len(s.nodes))
		for _, e := range s.nodes[n].edges {
			if to := s.nodes[e.to]; to.high.rule < s.nodes[n].high.rule {
				s.nodes[n].high = to.high
			}
			reach[e.to] = true
			for m, yes := range s.precede[e.to] {
				reach[m] = reach[m] || yes
			}
		}
		s.precede[n] = reach
	}
}

// topological orders the nodes; there are no cycles left.
func (s *solver) topological() []int {
	waits := make([]int, len(s.nodes))
	for _, x := range s.nodes {
		for _, e := range x.edges {
			waits[e.to]++
		}
	}
	var order []int
	for n := range s.nodes {
		if waits[n] == 0 {
			order = append(order, n)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, e := range s.nodes[order[i]].edges {
			if waits[e.to]--; waits[e.to] == 0 {
				order = append(order, e.to)
			}
		}
	}
	if len(order) != len(s.nodes) {
		panic("place: a cycle of anchors was not found")
	}
	return order
}

// dropCycles reports anchors that refer to each other in a circle.
func (s *solver) dropCycles() {
	for {
		circle := s.cycle()
		if circle == nil {
			return
		}
		s.reportCycle(circle)
		for _, l := range circle {
			s.status[l.from] = failed
		}
	}
}

// link is an edge between anchors.
type link struct {
	from, to int
	ref      *Ref
	after    bool // the ref is the `after` of to; else the `before` of from
}

// cycle finds one circle among the anchors, starting from the one written first.
func (s *solver) cycle() []link {
	out := make([][]link, len(s.in.Anchors))
	for a := range s.in.Anchors {
		if s.status[a] != active {
			continue
		}
		s.refs(a, func(r *Ref, after bool) {
			_, anchors, _ := s.resolve(a, r)
			for _, b := range anchors {
				if after {
					out[b] = append(out[b], link{b, a, r, true})
				} else {
					out[a] = append(out[a], link{a, b, r, false})
				}
			}
		})
	}
	for start := range out {
		if path := shortest(out, start, start); path != nil {
			return path
		}
	}
	return nil
}

// shortest is the shortest path between two anchors, at least one link long.
func shortest(out [][]link, from, to int) []link {
	came := make([]*link, len(out))
	queue := []int{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for i := range out[at] {
			l := &out[at][i]
			if came[l.to] != nil {
				continue
			}
			came[l.to] = l
			if l.to == to {
				path := []link{*l}
				for path[0].from != from {
					path = slices.Insert(path, 0, *came[path[0].from])
				}
				return path
			}
			queue = append(queue, l.to)
		}
	}
	return nil
}

// dropCrossing reports nodes whose bounds leave no slot, and tells whether there
// were any. Bounds that several anchors inherit from the same two references are
// reported once.
func (s *solver) dropCrossing() bool {
	type cause struct{ low, high *Ref }
	seen := map[cause]bool{}
	found := false
	for n, x := range s.nodes {
		if x.low.rule < x.high.rule {
			continue
		}
		found = true
		s.status[x.anchor] = failed
		if c := (cause{x.low.ref, x.high.ref}); !seen[c] {
			seen[c] = true
			s.reportCrossing(n)
		}
	}
	return found
}
