package timeline

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/place"
	"hookline/dsl/diag"
)

// Ref is an entry of after or before of an anchor. Exactly one of Participant and
// Chain is set.
type Ref struct {
	// Label is the reference as written, for messages.
	Label       string
	Span        diag.Span
	Participant string
	// Tail tells that what is meant are the participant's rules of last resort. They are
	// in its base chains like the others: it has no place of its own.
	Tail      bool
	Chain     string
	IfMissing place.Missing
}

// Anchor is one jump in a base chain of ours, for one family.
type Anchor struct {
	Name string
	Span diag.Span
	// Family whose packets take it, and Target the chain that it leads to, as the ruleset
	// calls it.
	Family        ir.Family
	Target        string
	After, Before []Ref
}

// Wanted is a base chain of ours that is to stand.
type Wanted struct {
	Ruleset string
	Table   *ir.OwnTable
	// Chain is the base chain, with the priority that it has on a host where nobody else
	// has a place.
	Chain *ir.OwnChain
	// IPTable and Hook are the table and built-in chain of iptables for which it stands.
	IPTable, Hook string
	// Anchors are its jumps in the order in which they stand.
	Anchors []Anchor
	// Base is the chain's own.
	Base ir.BaseChain
}

// Placed is where a wanted chain stands.
type Placed struct {
	// Priority is valid if OK; else the findings say why there is none.
	Priority int
	OK       bool
	// Held are the anchors, by index, that are kept out until a reference appears.
	Held map[int]bool
}

// Place gives each wanted base chain its priority. Findings have errors if one of
// them has none.
func Place(h *Host, wanted []*Wanted) ([]Placed, *diag.List) {
	p := &problem{host: h, wanted: wanted, diags: &diag.List{}}
	for _, c := range h.Chains() {
		if c.Ours {
			p.standing = append(p.standing, c)
		} else {
			p.chains = append(p.chains, c)
		}
	}
	for i, w := range wanted {
		p.nodes = append(p.nodes, p.node(i, w))
	}
	p.references()
	p.own()
	order, ok := p.topological()
	if ok {
		p.solve(order)
	}
	out := make([]Placed, len(wanted))
	for i, n := range p.nodes {
		out[i] = Placed{Priority: n.priority, OK: n.placed && !n.broken, Held: n.held}
	}
	p.diags.OncePerPlace()
	return out, p.diags
}

// problem is the placement of all wanted chains.
type problem struct {
	host   *Host
	wanted []*Wanted
	// chains are those of others, standing those of ours on the host.
	chains, standing []*Chain
	nodes            []*node
	edges            []edge
	diags            *diag.List
}

// bound is one end of where a chain can stand: its priority is beyond at.
type bound struct {
	at int
	// chain and ref are what asks for it, anchor whose reference that is, in the wanted
	// chain node; without a ref it is the end of the chain's window.
	chain  *Chain
	ref    *Ref
	anchor *Anchor
	node   int
}

// node is one wanted chain.
type node struct {
	win         window
	low, high   bound
	held        map[int]bool
	behind      bool // a reference says where: directly behind what it is after,
	ahead       bool // or directly ahead of what it is before
	stands      *Chain
	placed      bool
	priority    int
	failed      bool
	broken      bool // an anchor cannot stand, whatever the priority
	tracksAhead tracking
}

// edge is an order between two wanted chains; without ref it is that of tables.
type edge struct {
	from, to int
	ref      *Ref
}

func (p *problem) node(i int, w *Wanted) *node {
	n := &node{held: map[int]bool{}}
	n.win, n.tracksAhead = w.window()
	n.low, n.high = bound{at: n.win.low - 1, node: i}, bound{at: n.win.high + 1, node: i}
	for _, c := range p.standing {
		if c.Family == string(w.Table.Kind) && c.Table == w.Table.Name && c.Name == w.Chain.Name && c.Hook == w.Base.Hook {
			n.stands = c
		}
	}
	return n
}

// at are the chains of others among which a wanted chain has its place.
func (p *problem) at(w *Wanted, f ir.Family) []*Chain {
	var out []*Chain
	for _, c := range p.chains {
		if c.Hook == w.Base.Hook && c.sees(f) && (c.Type == "nat") == (w.Base.Type == "nat") {
			out = append(out, c)
		}
	}
	return out
}

// meaning is what a reference stands for: chains of others, of which near says that
// they are of the same class, wanted chains, and jumps of the same wanted chain.
type meaning struct {
	chains []*Chain
	near   bool
	own    []int
	same   []int
	// beyond are chains of others past the ends of the wanted one's window, where no
	// chain is nearer: ours is ahead of them or behind them, wherever it stands.
	beyond []*Chain
}

func (m meaning) missing() bool { return len(m.chains)+len(m.own)+len(m.same)+len(m.beyond) == 0 }

func (p *problem) resolve(i int, a *Anchor, r *Ref) meaning {
	w := p.wanted[i]
	m := meaning{near: true}
	at := p.at(w, a.Family)
	owner := r.Participant
	if r.Chain != "" {
		owner = p.host.Catalogue.ChainOwner(r.Chain)
		for j, o := range p.wanted {
			for k := range o.Anchors {
				x := &o.Anchors[k]
				switch {
				case o.IPTable != w.IPTable || o.Hook != w.Hook || x.Family != a.Family || x.Target != r.Chain || x == a:
				case i == j:
					m.same = append(m.same, k)
				case !slices.Contains(m.own, j):
					m.own = append(m.own, j)
				}
			}
		}
	}
	for _, c := range at {
		if c.Program == Iptables && c.Table == w.IPTable && c.Name == w.Hook &&
			(r.Participant != "" && c.has(r.Participant) || r.Chain != "" && c.jumps[r.Chain]) {
			m.chains = append(m.chains, c)
		}
	}
	if owner == "" || r.Chain != "" && !m.missing() {
		return m
	}
	same, other, beyond := p.ofProgram(i, at, owner)
	m.near = len(m.chains)+len(same) > 0
	m.chains = append(m.chains, same...)
	if !m.near {
		m.chains, m.beyond = other, beyond
	}
	return m
}

// ofProgram are the base chains of a program's own tables: those of the same class,
// those of others among which ours can stand too, and those where it cannot.
func (p *problem) ofProgram(i int, at []*Chain, owner string) (same, other, beyond []*Chain) {
	w, win := p.wanted[i], p.nodes[i].win
	for _, c := range at {
		switch {
		case c.Program != owner:
		case class(c.Type, c.Priority) == w.IPTable:
			same = append(same, c)
		case c.Priority >= win.low && c.Priority <= win.high:
			other = append(other, c)
		default:
			beyond = append(beyond, c)
		}
	}
	return same, other, beyond
}

// references turns the anchors' references into bounds and edges.
func (p *problem) references() {
	for i, w := range p.wanted {
		for k := range w.Anchors {
			if p.hold(i, k) {
				p.nodes[i].held[k] = true
			}
		}
	}
	p.reportHeld()
	for i, w := range p.wanted {
		for k := range w.Anchors {
			if p.nodes[i].held[k] {
				continue
			}
			a := &w.Anchors[k]
			for j := range a.After {
				p.bind(i, k, &a.After[j], true)
			}
			for j := range a.Before {
				p.bind(i, k, &a.Before[j], false)
			}
		}
	}
}

// hold tells whether an anchor is kept out.
func (p *problem) hold(i, k int) bool {
	a := &p.wanted[i].Anchors[k]
	for _, r := range a.refs() {
		if r.IfMissing == place.Hold && p.resolve(i, a, r).missing() {
			return true
		}
	}
	return false
}

// refs are after and before.
func (a *Anchor) refs() []*Ref {
	var out []*Ref
	for j := range a.After {
		out = append(out, &a.After[j])
	}
	for j := range a.Before {
		out = append(out, &a.Before[j])
	}
	return out
}

func (p *problem) bind(i, k int, r *Ref, after bool) {
	w, n := p.wanted[i], p.nodes[i]
	a := &w.Anchors[k]
	m := p.resolve(i, a, r)
	if m.missing() {
		n.broken = n.broken || r.IfMissing == place.Fail
		p.reportMissing(i, a, r)
		return
	}
	for _, j := range m.same {
		if after != (j < k) {
			n.broken = true
			p.reportWritten(w, a, &w.Anchors[j], r, after)
		}
	}
	for _, c := range m.chains {
		b := bound{at: c.Priority, chain: c, ref: r, anchor: a, node: i}
		if after && (b.at > n.low.at || b.at == n.low.at && n.low.ref == nil) {
			n.low = b
		}
		if !after && (b.at < n.high.at || b.at == n.high.at && n.high.ref == nil) {
			n.high = b
		}
	}
	for _, c := range m.beyond {
		if after == (c.Priority > n.win.high) {
			n.broken = true
			p.reportBeyond(i, a, r, c, after)
		}
	}
	for _, j := range m.own {
		if after {
			p.edges = append(p.edges, edge{j, i, r})
		} else {
			p.edges = append(p.edges, edge{i, j, r})
		}
	}
	// Two chains that are placed together are near each other wherever they stand: only
	// a chain of others says where.
	if m.near && len(m.chains) > 0 {
		n.behind, n.ahead = n.behind || after, n.ahead || !after
	}
}
