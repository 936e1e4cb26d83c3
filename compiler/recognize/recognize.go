package recognize

import (
	"slices"
	"sync"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
)

// Recognizer attributes rules by a catalogue. It may be used from several
// goroutines if its decoder may.
type Recognizer struct {
	cat    *participant.Catalogue
	decode Decoder
}

// New makes a recognizer of a catalogue and a way to get at a rule's fields.
func New(cat *participant.Catalogue, decode Decoder) *Recognizer {
	return &Recognizer{cat: cat, decode: decode}
}

// Attribution says whose a rule is.
type Attribution struct {
	// Participant is the owner's name, or "" if nobody claims the rule.
	Participant string
	// Tail tells that the rule is one of those at the end of a shared chain that the
	// bare name of the participant does not mean.
	Tail bool
	// By is what decided: Kind is "chain" (the rule's target), "comment", "set",
	// "rule" or "in" (the chain that the rule stands in), Glob the catalogue's text.
	By Evidence
}

// Evidence is the glob that decided an attribution.
type Evidence struct{ Kind, Glob string }

// State is the table of a state. Nothing is computed before it is asked for.
func (r *Recognizer) State(s *ir.State) *Table {
	return &Table{rec: r, state: s, chains: map[ir.ChainKey][]Attribution{}, targets: map[string]hit{}}
}

// Rule attributes one rule by itself: a rule in a chain by that name, which need
// not be in any State.
func (r *Recognizer) Rule(k ir.ChainKey, rule *ir.Rule) Attribution {
	owner, given := r.chain(k.Chain)
	alone := func(string) bool { return false }
	return r.attribute(k, r.decode(k.Family, rule), neighbourhood{owner, given, r.cat.Chain, alone})
}

// neighbourhood is what an attribution asks of the chain that a rule stands in.
type neighbourhood struct {
	owner  participant.Hit
	given  bool // the chain is for its owner's users
	chain  func(name string) (participant.Hit, bool)
	beside func(glob string) bool // tells whether a rule jumps to such a chain
}

// Fields are the fields of a rule, by the recognizer's decoder.
func (r *Recognizer) Fields(f ir.Family, rule *ir.Rule) Fields { return r.decode(f, rule) }

// Fields are the fields of a rule of the state.
func (t *Table) Fields(f ir.Family, rule *ir.Rule) Fields { return t.rec.decode(f, rule) }

// chain finds whose a chain is, and whether it is for that program's users.
func (r *Recognizer) chain(name string) (participant.Hit, bool) {
	h, ok := r.cat.Chain(name)
	if !ok {
		return participant.Hit{}, false
	}
	_, given := r.cat.UserChain(name)
	return h, given
}

func (r *Recognizer) attribute(k ir.ChainKey, f Fields, in neighbourhood) Attribution {
	var best participant.Hit
	var kind string
	better := func(h participant.Hit, ok bool, by string) {
		if ok && h.Literal > best.Literal {
			best, kind = h, by
		}
	}
	if f.Target != "" {
		h, ok := in.chain(f.Target)
		better(h, ok, "chain")
	}
	for _, c := range f.Comments {
		h, ok := r.cat.Comment(c)
		better(h, ok, "comment")
	}
	for _, s := range f.Sets {
		h, ok := r.cat.Set(s)
		better(h, ok, "set")
	}
	ownChain := in.owner.Entry != nil && !in.given
	tail := false
	if !ownChain {
		for _, g := range r.cat.Rules() {
			if g.Size < best.Literal || g.Size == best.Literal && !g.Tail {
				continue
			}
			if g.Applies(k.Table, k.Chain) && Matches(g.RuleGlob, f) && (g.Beside == "" || in.beside(g.Beside)) {
				best, kind = participant.Hit{Entry: g.Entry, Glob: g.String(), Literal: g.Size}, "rule"
			}
		}
		tail = best.Entry != nil && isTail(best.Entry, k, f)
	}
	switch {
	case best.Entry != nil:
		return Attribution{best.Entry.Name, tail, Evidence{kind, best.Glob}}
	case ownChain:
		return Attribution{in.owner.Entry.Name, false, Evidence{"in", in.owner.Glob}}
	}
	return Attribution{}
}

func isTail(e *participant.Entry, k ir.ChainKey, f Fields) bool {
	return slices.ContainsFunc(e.Tail, func(g participant.RuleGlob) bool {
		return g.Applies(k.Table, k.Chain) && Matches(g, f)
	})
}

// Table says who owns the rules and chains of one State. It fills as it is
// asked, and may be used from several goroutines.
type Table struct {
	rec     *Recognizer
	state   *ir.State
	mu      sync.Mutex
	chains  map[ir.ChainKey][]Attribution
	targets map[string]hit // by target: hosts jump to few chains from many rules
}

type hit struct {
	participant.Hit
	ok bool
}

// Rule attributes the rule at a position (counted from 0) of a chain. A position
// or chain that is not there belongs to nobody.
func (t *Table) Rule(k ir.ChainKey, i int) Attribution {
	all := t.Rules(k)
	if i < 0 || i >= len(all) {
		return Attribution{}
	}
	return all[i]
}

// Rules attributes every rule of a chain, in order. The slice is the table's own.
func (t *Table) Rules(k ir.ChainKey) []Attribution {
	t.mu.Lock()
	all, ok := t.chains[k]
	t.mu.Unlock()
	if ok {
		return all
	}
	c := t.state.Table(k.Family, k.Table).Chain(k.Chain)
	if c == nil {
		return nil
	}
	return t.attribute(k, c)
}

// attribute is Rules of a chain that is at hand.
func (t *Table) attribute(k ir.ChainKey, c *ir.Chain) []Attribution {
	t.mu.Lock()
	defer t.mu.Unlock()
	if all, ok := t.chains[k]; ok {
		return all
	}
	in := neighbourhood{chain: t.chainOf}
	in.owner, in.given = t.rec.chain(k.Chain)
	all := make([]Attribution, len(c.Rules))
	if in.owner.Entry != nil && !in.given {
		// Nobody asks what stands beside a rule in a program's own chain, and most of a
		// host's rules stand in one: their fields are not kept.
		for i, r := range c.Rules {
			all[i] = t.rec.attribute(k, t.rec.decode(k.Family, r), in)
		}
	} else {
		fields := make([]Fields, len(c.Rules))
		for i, r := range c.Rules {
			fields[i] = t.rec.decode(k.Family, r)
		}
		in.beside = func(glob string) bool {
			return slices.ContainsFunc(fields, func(f Fields) bool { return f.Target != "" && ir.MatchGlob(glob, f.Target) })
		}
		for i := range fields {
			all[i] = t.rec.attribute(k, fields[i], in)
		}
	}
	t.chains[k] = all
	return all
}

func (t *Table) chainOf(name string) (participant.Hit, bool) {
	h, seen := t.targets[name]
	if !seen {
		h.Hit, h.ok = t.rec.cat.Chain(name)
		t.targets[name] = h
	}
	return h.Hit, h.ok
}

// ChainOwner is the participant whose chain it is by its name, or "". A chain
// that a program gives to its users is that program's.
func (t *Table) ChainOwner(name string) string { return t.rec.cat.ChainOwner(name) }
