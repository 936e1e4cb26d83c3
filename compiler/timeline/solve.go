package timeline

import (
	"cmp"
	"slices"

	"hookline/compiler/ir"
)

// own orders the wanted chains of a hook as iptables orders its tables.
func (p *problem) own() {
	for i, a := range p.wanted {
		for j, b := range p.wanted {
			if a.Base.Hook == b.Base.Hook && meet(a, b) && a.IPTable != "nat" && b.IPTable != "nat" &&
				slices.Index(classes, a.IPTable) < slices.Index(classes, b.IPTable) {
				p.edges = append(p.edges, edge{from: i, to: j})
			}
		}
	}
}

// meet tells whether one packet can enter both chains.
func meet(a, b *Wanted) bool {
	return slices.ContainsFunc(a.Table.Kind.Families(), func(f ir.Family) bool { return slices.Contains(b.Table.Kind.Families(), f) })
}

// topological orders the wanted chains; false if their references go in a circle,
// which is reported.
func (p *problem) topological() ([]int, bool) {
	waits := make([]int, len(p.nodes))
	for _, e := range p.edges {
		waits[e.to]++
	}
	var order []int
	for n, k := range waits {
		if k == 0 {
			order = append(order, n)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, e := range p.edges {
			if e.from == order[i] {
				if waits[e.to]--; waits[e.to] == 0 {
					order = append(order, e.to)
				}
			}
		}
	}
	if len(order) < len(p.nodes) {
		p.reportCircle(waits)
	}
	return order, len(order) == len(p.nodes)
}

// reaches tells which wanted chains stand behind which.
func (p *problem) reaches(order []int) [][]bool {
	out := make([][]bool, len(p.nodes))
	for _, n := range slices.Backward(order) {
		out[n] = make([]bool, len(p.nodes))
		for _, e := range p.edges {
			if e.from != n {
				continue
			}
			out[n][e.to] = true
			for m, yes := range out[e.to] {
				out[n][m] = out[n][m] || yes
			}
		}
	}
	return out
}

// solve keeps what can stay, and places the rest. Where what stays leaves no place
// for the rest, all of them are placed anew.
func (p *problem) solve(order []int) {
	for _, keep := range [][]bool{p.stay(order), make([]bool, len(p.nodes))} {
		if p.try(order, keep) {
			for i := range p.nodes {
				p.reportShared(i)
			}
			return
		}
	}
	p.reportNoRoom(order)
}

// stay chooses the standing chains that can stay where they are, in the order of
// the wanted ones.
func (p *problem) stay(order []int) []bool {
	lows, highs := p.propagate(order, make([]bool, len(p.nodes)))
	after := p.reaches(order)
	out := make([]bool, len(p.nodes))
	for i, n := range p.nodes {
		if n.stands == nil {
			continue
		}
		s := n.stands.Priority
		fits := s > lows[i].at && s < highs[i].at
		for j, kept := range out {
			if kept && (after[j][i] && p.nodes[j].stands.Priority >= s || after[i][j] && p.nodes[j].stands.Priority <= s) {
				fits = false
			}
		}
		out[i] = fits
	}
	return out
}

// propagate hands bounds on along the order of ours.
func (p *problem) propagate(order []int, fixed []bool) (lows, highs []bound) {
	for _, n := range p.nodes {
		lows, highs = append(lows, n.low), append(highs, n.high)
	}
	first := func(i int) int {
		if fixed[i] {
			return p.nodes[i].stands.Priority
		}
		return p.free(i, lows[i].at, 1, fixed)
	}
	last := func(i int) int {
		if fixed[i] {
			return p.nodes[i].stands.Priority
		}
		return p.free(i, highs[i].at, -1, fixed)
	}
	for _, n := range order {
		for _, e := range p.edges {
			if v := first(n); e.from == n && v > lows[e.to].at {
				lows[e.to] = lows[n]
				lows[e.to].at = v
			}
		}
	}
	for _, n := range slices.Backward(order) {
		for _, e := range p.edges {
			if v := last(n); e.to == n && v < highs[e.from].at {
				highs[e.from] = highs[n]
				highs[e.from].at = v
			}
		}
	}
	return lows, highs
}

// free is the first priority beyond another that no chain has which the wanted
// one's packets enter.
func (p *problem) free(i, beyond, step int, fixed []bool) int {
	v := beyond + step
	for p.taken(i, v, fixed) {
		v += step
	}
	return v
}

func (p *problem) taken(i, priority int, fixed []bool) bool {
	w := p.wanted[i]
	for _, c := range p.chains {
		if c.Hook == w.Base.Hook && c.Priority == priority && slices.ContainsFunc(w.Table.Kind.Families(), c.sees) {
			return true
		}
	}
	for j, o := range p.wanted {
		n := p.nodes[j]
		if j == i || o.Base.Hook != w.Base.Hook || !meet(o, w) {
			continue
		}
		if fixed[j] && n.stands.Priority == priority || n.placed && n.priority == priority {
			return true
		}
	}
	return false
}

// try places everything around what stays, and tells whether it could.
func (p *problem) try(order []int, fixed []bool) bool {
	for i, n := range p.nodes {
		n.placed, n.failed = fixed[i], false
		if fixed[i] {
			n.priority = n.stands.Priority
		}
	}
	lows, highs := p.propagate(order, fixed)
	for {
		i := p.next(highs)
		if i < 0 {
			return true
		}
		n := p.nodes[i]
		low, high := lows[i].at, highs[i].at
		for _, e := range p.edges { // what is ahead has its place by now
			if e.to == i {
				low = max(low, p.nodes[e.from].priority)
			}
		}
		first, last := p.free(i, low, 1, fixed), p.free(i, high, -1, fixed)
		if first >= high || last <= low {
			n.failed = true
			return false
		}
		n.priority, n.placed = p.choose(i, first, last, fixed), true
	}
}

// choose picks one of the free priorities from first to last.
func (p *problem) choose(i, first, last int, fixed []bool) int {
	n := p.nodes[i]
	switch {
	case n.behind:
		return first
	case n.ahead:
		return last
	}
	want := min(max(usual(p.wanted[i].IPTable, p.wanted[i].Hook), first), last)
	if v := p.free(i, want-1, 1, fixed); v <= last {
		return v
	}
	return p.free(i, want, -1, fixed)
}

// next is the chain to place next: of those behind which none is missing the one
// with the least room above, and of these the first; -1 if all are placed.
func (p *problem) next(highs []bound) int {
	var ready []int
	for i, n := range p.nodes {
		if !n.placed && !slices.ContainsFunc(p.edges, func(e edge) bool { return e.to == i && !p.nodes[e.from].placed }) {
			ready = append(ready, i)
		}
	}
	if len(ready) == 0 {
		return -1
	}
	return slices.MinFunc(ready, func(a, b int) int { return cmp.Or(cmp.Compare(highs[a].at, highs[b].at), cmp.Compare(a, b)) })
}
