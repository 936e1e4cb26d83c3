package compiler

import (
	"slices"

	"hookline/compiler/ir"
)

// ownDiff is what makes a table of ours on a host into the one that is wanted: the
// fewest steps, so that rules which stay keep their handles and counters, and who
// listens to the kernel's events hears of nothing else.
type ownDiff struct {
	live, want *ir.OwnTable // either may be nil
	// stays tells of a standing rule that it is left where it is, though nobody wants it.
	stays func(r *ir.OwnRule) bool
	// needed are the chains that rules which stay jump to.
	needed map[string]bool
	// rewrite tells that a rule has to be written again even if it stands as it should.
	rewrite func(r *ir.OwnRule) bool

	key ownKey
	// The steps, in the order in which they are sent.
	empty, gone, drop, chains, come []ir.NFTOp
	// edits are the differences chain by chain, for people.
	edits []chainEdit
}

// ownKey names a table of ours.
type ownKey struct {
	kind ir.TableKind
	name string
}

func keyOf(t *ir.OwnTable) ownKey { return ownKey{t.Kind, t.Name} }

// chainEdit is what happens to one chain.
type chainEdit struct {
	name string
	// before and after are the chain as it stands and as it is to be, nil if it does not.
	before, after *ir.OwnChain
	// remade tells that the base chain is made again, because it hooks in at another
	// place: all that it has counted begins again.
	remade bool
	rules  []edit // of standing by index in before, of wanted in after
}

func (d *ownDiff) op(do ir.NFTOpKind, chain string) ir.NFTOp {
	return ir.NFTOp{Kind: d.key.kind, Table: d.key.name, Do: do, Chain: chain}
}

// run compares chain by chain: those that are wanted in their order, then those
// that go.
func (d *ownDiff) run() {
	if d.want != nil {
		for _, c := range d.want.Chains {
			d.chain(d.live.Chain(c.Name), c)
		}
	}
	if d.live == nil {
		return
	}
	for _, c := range d.live.Chains {
		switch {
		case d.want.Chain(c.Name) != nil:
		case d.needed[c.Name]:
			d.shell(c)
		default:
			d.edits = append(d.edits, chainEdit{name: c.Name, before: c})
			d.goes(c)
		}
	}
}

// goes are the steps that take a chain away: its rules with all others that go, and
// the chain itself once nothing jumps to it.
func (d *ownDiff) goes(c *ir.OwnChain) {
	if len(c.Rules) > 0 {
		d.empty = append(d.empty, d.op(ir.NFTFlushChain, c.Name))
	}
	d.drop = append(d.drop, d.op(ir.NFTDeleteChain, c.Name))
}

// shell takes from a chain that nobody wants what is not needed by rules of others
// that stay.
func (d *ownDiff) shell(c *ir.OwnChain) {
	left := &ir.OwnChain{Name: c.Name, Base: c.Base}
	at, texts := d.standing(c)
	if len(at) == 0 {
		return
	}
	e := chainEdit{name: c.Name, before: c, after: left}
	for _, x := range diffLines(texts, nil) {
		x.old = at[x.old]
		e.rules = append(e.rules, x)
		r := c.Rules[x.old]
		o := d.op(ir.NFTDeleteRule, c.Name)
		o.Rule, o.Handle = &r, r.Handle
		d.gone = append(d.gone, o)
	}
	d.edits = append(d.edits, e)
}

// sameHook tells that a chain need not be made again.
func sameHook(a, b *ir.BaseChain) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func (d *ownDiff) chain(live, want *ir.OwnChain) {
	e := chainEdit{name: want.Name, before: live, after: want}
	kept := live
	if live != nil && !sameHook(live.Base, want.Base) {
		// The kernel does not move a chain: it goes and comes in one transaction.
		e.remade, kept = true, nil
		d.goes(live)
	}
	if kept == nil {
		add := d.op(ir.NFTAddChain, want.Name)
		add.Base = want.Base
		d.chains = append(d.chains, add)
		kept = &ir.OwnChain{}
	}
	standing, texts := d.standing(kept)
	wanted := printed(want, texts)
	edits := diffLines(texts, wanted)
	d.steps(kept, want, standing, edits)
	for _, x := range edits {
		if x.old >= 0 {
			x.old = standing[x.old]
		}
		e.rules = append(e.rules, x)
	}
	if e.remade && live != nil {
		// What stood is shown as staying where it does.
		s, texts := d.standing(live)
		e.rules = diffLines(texts, wanted)
		for i := range e.rules {
			if e.rules[i].old >= 0 {
				e.rules[i].old = s[e.rules[i].old]
			}
		}
	}
	d.edits = append(d.edits, e)
}

// standing are the indexes of a chain's rules that are ours to decide about, and
// their texts.
func (d *ownDiff) standing(live *ir.OwnChain) (at []int, texts []string) {
	for i := range live.Rules {
		r := &live.Rules[i]
		if d.stays != nil && d.stays(r) {
			continue
		}
		text := r.String()
		if r.Tag != "" || d.rewrite != nil && d.rewrite(r) {
			text = "\x00" // equal to no rule that is wanted
		}
		at, texts = append(at, i), append(texts, text)
	}
	return at, texts
}

// printed are the texts by which the rules of a wanted chain are known where they
// stand: as they are printed, or as they were sent where that is what stands.
func printed(want *ir.OwnChain, standing []string) []string {
	known := map[string]bool{}
	for _, s := range standing {
		known[s] = true
	}
	var out []string
	for _, r := range want.Rules {
		text := r.String()
		if r.Printed != "" && !known[text] {
			text = ir.OwnRule{Text: r.Printed, Comment: r.Comment}.String()
		}
		out = append(out, text)
	}
	return out
}

// steps are those that change the rules of a chain: a new rule goes directly ahead
// of the next one that stays, and to the end if there is none.
func (d *ownDiff) steps(kept, want *ir.OwnChain, standing []int, edits []edit) {
	var add []ir.NFTOp
	next := uint64(0) // handle of the next rule that stays
	for _, x := range slices.Backward(edits) {
		if x.kind == Unchanged {
			next = kept.Rules[standing[x.old]].Handle
			continue
		}
		if x.new >= 0 {
			r := want.Rules[x.new]
			o := d.op(ir.NFTAddRule, want.Name)
			if o.Rule, o.Origin = &r, r.Origin; next != 0 {
				o.Do, o.Handle = ir.NFTInsertRule, next
			}
			add = append(add, o)
		}
		if x.old >= 0 {
			r := kept.Rules[standing[x.old]]
			o := d.op(ir.NFTDeleteRule, want.Name)
			o.Rule, o.Handle = &r, r.Handle
			d.gone = append(d.gone, o)
		}
	}
	slices.Reverse(add)
	d.come = append(d.come, add...)
}
