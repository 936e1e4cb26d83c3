package timeline

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/place"
	"hookline/dsl/diag"
)

// where is the hook of a wanted chain in a sentence, with the families of an
// anchor.
func (w *Wanted) where(f ir.Family) string {
	if f == 0 {
		return w.Base.Hook
	}
	return f.String() + " " + w.Base.Hook
}

// says describes a base chain in a note.
func (c *Chain) says() string {
	s := fmt.Sprintf("%s, type %s, priority %d", c.Title(), c.Type, c.Priority)
	if c.Program == Iptables {
		if users := c.userNames(); users != "" {
			s += ", with rules of " + c.perhaps() + users
		}
	} else if c.Program != "" {
		s += ", of " + c.Program
	}
	return s
}

// userNames lists who has rules in a chain of iptables.
func (c *Chain) userNames() string {
	var out []string
	for _, u := range c.Users {
		if u == "" {
			u = "nobody known"
		}
		out = append(out, u)
	}
	return strings.Join(out, ", ")
}

func (p *problem) reportHeld() {
	for i, w := range p.wanted {
		for k := range w.Anchors {
			if !p.nodes[i].held[k] {
				continue
			}
			a := &w.Anchors[k]
			var labels []string
			var first *Ref
			for _, r := range a.refs() {
				if r.IfMissing == place.Hold && p.resolve(i, a, r).missing() {
					if first == nil {
						first = r
					}
					labels = append(labels, r.Label)
				}
			}
			p.diags.Warnf(diag.Held, first.Span, "%s is kept out, or left where it stands, until %s has a base chain or a rule at %s",
				a.Name, strings.Join(labels, " and "), w.where(a.Family))
		}
	}
}

// reportMissing says that a reference stands for nothing: an error if the ruleset
// asks for one, and a warning if nobody could look.
func (p *problem) reportMissing(i int, a *Anchor, r *Ref) {
	w := p.wanted[i]
	if r.IfMissing == place.Fail {
		p.diags.Errorf(diag.MissingReference, r.Span, "nothing of %s stands at %s: %s cannot be placed, and ifMissing is fail",
			r.Label, w.where(a.Family), a.Name)
		return
	}
	for _, c := range p.at(w, a.Family) {
		if c.Program == Iptables && c.Table == w.IPTable && c.Name == w.Hook && c.Unread != "" && !c.Legacy {
			p.diags.Warnf(diag.NotInSnapshot, r.Span, "whether %s has rules in %s is not known (%s): %s is placed as if it had none",
				r.Label, c.Title(), c.Unread, a.Name)
		}
	}
}

// reportBeyond says that a chain which a reference stands for is past the end of
// where ours can stand, on the side on which ours would have to be beyond it.
func (p *problem) reportBeyond(i int, a *Anchor, r *Ref, c *Chain, after bool) {
	w, win := p.wanted[i], p.nodes[i].win
	side, at, why := "before", win.lowAt, win.lowWhy
	if after {
		side, at, why = "after", win.highAt, win.highWhy
	}
	d := p.diags.Errorf(diag.NoPriority, r.Span, "%s cannot stand %s %s at %s: %s is at priority %d, and ours can stand from %d to %d",
		a.Name, side, r.Label, w.where(a.Family), c.Title(), c.Priority, win.low, win.high).
		WithHelp("%s", wayOut(c))
	d.Note(at, "%s", p.why(i, why))
	d.Note(diag.Span{}, "%s is %s", r.Label, c.says())
}

// reportWritten says that two jumps of one base chain are written in the other
// order than their references ask for.
func (p *problem) reportWritten(w *Wanted, a, other *Anchor, r *Ref, after bool) {
	first, second := a, other
	if after {
		first, second = other, a
	}
	p.diags.Errorf(diag.CrossingBounds, r.Span, "%s is to stand ahead of %s in one base chain, where jumps stand in the order of the ruleset", first.Name, second.Name).
		WithHelp("write the anchor %s above %s", first.Name, second.Name).
		Note(second.Span, "%s is written here", second.Name)
}

func (p *problem) reportCircle(waits []int) {
	var d *diag.Diagnostic
	for _, e := range p.edges {
		if waits[e.to] == 0 || waits[e.from] == 0 || e.ref == nil {
			continue
		}
		text := fmt.Sprintf("the base chain of %s is to stand ahead of that of %s", p.name(e.from), p.name(e.to))
		if d == nil {
			d = p.diags.Errorf(diag.PlacementCycle, e.ref.Span, "base chains at %s are ordered in a circle: %s", p.wanted[e.to].Base.Hook, text).
				WithHelp("remove one of these references")
			continue
		}
		d.Note(e.ref.Span, "%s", text)
	}
}

// name is a wanted chain in a sentence.
func (p *problem) name(i int) string {
	w := p.wanted[i]
	return w.Ruleset + " " + w.IPTable + " " + w.Hook
}

// reportShared says that a chain of ours that stands has the priority of another
// one.
func (p *problem) reportShared(i int) {
	w, n := p.wanted[i], p.nodes[i]
	if n.stands == nil || n.priority != n.stands.Priority {
		return
	}
	var with []*Chain
	for _, c := range p.chains {
		if c.Hook == w.Base.Hook && c.Priority == n.priority && slices.ContainsFunc(w.Table.Kind.Families(), c.sees) {
			with = append(with, c)
		}
	}
	if len(with) == 0 {
		return
	}
	d := p.diags.Warnf(diag.SharedPriority, w.span(), "%s %s stands at priority %d of %s, where another chain stands too: which of them runs first depends on which was made last",
		n.stands.key(), w.Chain.Name, n.priority, w.Base.Hook).
		WithHelp("%s: the chain then gets a priority of its own", nameIt(with[0]))
	for _, c := range with {
		d.Note(diag.Span{}, "%s", c.says())
	}
}

// nameIt says how after or before can name whose a chain is.
func nameIt(c *Chain) string {
	known := func(name string) bool { return name != "" }
	ruleset, ofRuleset := strings.CutPrefix(c.Program, OfRuleset)
	switch {
	case ofRuleset:
		return fmt.Sprintf("plan it together with ruleset %s, and name a chain of that one under after or before", ruleset)
	case c.Program == "":
		return fmt.Sprintf("say under participants whose table it is (nftTables: [%q]), and name that participant under after or before", c.key())
	case c.Program != Iptables:
		return fmt.Sprintf("name %s under after or before", c.Program)
	case slices.ContainsFunc(c.Users, known):
		return fmt.Sprintf("name %s under after or before", c.Users[slices.IndexFunc(c.Users, known)])
	}
	return "say under participants whose the rules in it are (chains, comments or rules), and name that participant under after or before"
}

// span is where the ruleset asks for the chain.
func (w *Wanted) span() diag.Span {
	if len(w.Anchors) == 0 {
		return diag.Span{}
	}
	return w.Anchors[0].Span
}

// reportNoRoom says for each wanted chain on which bounds it fails; one cause is
// said once. If no chain fails by itself, they take each other's place.
func (p *problem) reportNoRoom(order []int) {
	none := make([]bool, len(p.nodes))
	var failed []int
	for i, n := range p.nodes {
		if n.failed {
			failed = append(failed, i)
		}
		n.placed = false
	}
	lows, highs := p.propagate(order, none)
	type cause struct{ low, high *Ref }
	seen := map[cause]bool{}
	found := false
	for i := range p.nodes {
		if p.free(i, lows[i].at, 1, none) < highs[i].at {
			continue
		}
		found = true
		if c := (cause{lows[i].ref, highs[i].ref}); !seen[c] {
			seen[c] = c.low != nil || c.high != nil
			p.noRoom(i, lows[i], highs[i])
		}
	}
	for _, i := range failed {
		if !found {
			p.noRoom(i, lows[i], highs[i])
		}
	}
}

func (p *problem) noRoom(i int, low, high bound) {
	w := p.wanted[i]
	switch {
	case low.ref == nil && high.ref == nil:
		p.noWindow(i)
	case low.ref == nil:
		win := p.nodes[low.node].win
		d := p.diags.Errorf(diag.NoPriority, high.ref.Span, "%s cannot stand before %s at %s: %s, which is at priority %d, leaves no room",
			high.anchor.Name, high.ref.Label, w.where(high.anchor.Family), high.chain.Title(), high.chain.Priority).
			WithHelp("%s", wayOut(high.chain))
		d.Note(win.lowAt, "%s", p.why(low.node, win.lowWhy))
		p.noteOwn(d, i, low, high)
	case high.ref == nil:
		win := p.nodes[high.node].win
		d := p.diags.Errorf(diag.NoPriority, low.ref.Span, "%s cannot stand after %s at %s: %s, which is at priority %d, leaves no room",
			low.anchor.Name, low.ref.Label, w.where(low.anchor.Family), low.chain.Title(), low.chain.Priority).
			WithHelp("%s", wayOut(low.chain))
		d.Note(win.highAt, "%s", p.why(high.node, win.highWhy))
		p.noteOwn(d, i, low, high)
	default:
		p.crossing(i, low, high)
	}
}

// why says the end of a window, and whose it is.
func (p *problem) why(i int, why string) string {
	return p.name(i) + ": " + why
}

// noWindow says that a chain's own rules ask for what excludes each other.
func (p *problem) noWindow(i int) {
	n := p.nodes[i]
	t := n.tracksAhead
	at := t.prepareAt
	if at.IsZero() {
		at = p.wanted[i].span()
	}
	d := p.diags.Errorf(diag.NoPriority, at, "%s has no priority at which its rules mean what they say", p.name(i)).
		WithHelp("keep packets from tracking in one chain of raw, and ask for connections in a chain of another table")
	if t.prepares {
		d.Note(t.prepareAt, "%s", aheadConntrack)
	}
	if t.asks {
		d.Note(t.askAt, "%s", behindConntrack)
	}
}

// crossing shows both sides of bounds that leave no priority.
func (p *problem) crossing(i int, low, high bound) {
	w := p.wanted[i]
	head := fmt.Sprintf("%s cannot stand after %s and before %s at %s", low.anchor.Name, low.ref.Label, high.ref.Label, w.Base.Hook)
	var d *diag.Diagnostic
	switch {
	case low.chain == high.chain:
		d = p.diags.Errorf(diag.CrossingBounds, low.ref.Span, "%s: both stand in the one base chain %s", head, low.chain.Title())
		d.Note(diag.Span{}, "%s", low.chain.says())
	case low.chain.Priority > high.chain.Priority:
		d = p.diags.Errorf(diag.CrossingBounds, low.ref.Span, "%s: %s runs behind %s", head, low.ref.Label, high.ref.Label)
	case low.chain.Priority == high.chain.Priority:
		d = p.diags.Errorf(diag.CrossingBounds, low.ref.Span, "%s: both are at priority %d, and the one that was made last runs first", head, low.chain.Priority)
	default:
		d = p.diags.Errorf(diag.CrossingBounds, low.ref.Span, "%s: no priority between %d and %d is free", head, low.chain.Priority, high.chain.Priority)
	}
	if low.chain != high.chain {
		d.Note(diag.Span{}, "%s is %s", low.ref.Label, low.chain.says())
		d.Note(diag.Span{}, "%s is %s", high.ref.Label, high.chain.says())
	}
	d.Note(high.ref.Span, "%s is to stand before %s", high.anchor.Name, high.ref.Label)
	p.noteOwn(d, i, low, high)
	for _, r := range []*Ref{low.ref, high.ref} {
		if r.Tail {
			d.Note(r.Span, "on nft a tail has no place of its own: %s is all that %s has there", r.Label, r.Participant)
		}
	}
	switch {
	case low.ref.Tail || high.ref.Tail:
		d.WithHelp("use %s for this ruleset, where a tail is a rule of its own, or drop one of the bounds", ir.IptablesNFT)
	case low.chain == high.chain || low.chain.Program == Iptables && high.chain.Program == Iptables:
		d.WithHelp("%s", wayOut(low.chain))
	default:
		d.WithHelp("drop one of the bounds: the order of the base chains of other programs is theirs, on every backend")
	}
}

// noteOwn says that the order of our own chains is part of it.
func (p *problem) noteOwn(d *diag.Diagnostic, i int, low, high bound) {
	if low.node == high.node {
		return
	}
	d.Note(diag.Span{}, "of our own chains, %s runs ahead of %s", p.name(low.node), p.name(high.node))
	if low.node != i && high.node != i {
		d.Note(diag.Span{}, "and %s between them", p.name(i))
	}
}

// wayOut names the backend which can do what no priority can.
func wayOut(c *Chain) string {
	backend := string(ir.IptablesNFT)
	if c.Legacy {
		backend = string(ir.IptablesLegacy)
	}
	if c.Program == Iptables {
		return "use " + backend + " for this ruleset: there a jump stands between the rules of that chain"
	}
	return "drop the bound, or put the rules into a table of the ruleset that is run there"
}
