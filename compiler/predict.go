package compiler

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/place"
	"hookline/compiler/recognize"
	"hookline/dsl/diag"
)

// predict applies the transaction to the snapshot. What it cannot do there, the
// kernel would refuse, so a failure is a diagnostic at the YAML line that asks
// for it.
func (pl *planner) predict() {
	if pl.diags().HasErrors() || pl.plan.Transaction.Empty() {
		return
	}
	limits := ir.Quirks{MaxJumps: ir.VariantQuirks(pl.snap.Variant).MaxJumps}
	planned, err := pl.snap.State.ApplyWith(pl.plan.Transaction, limits)
	if err != nil {
		pl.refused(err)
		return
	}
	pl.plan.Planned = planned
	pl.plan.attributionPlanned = recognize.New(pl.cat, Fields).State(planned)
	for _, t := range pl.tables {
		for _, h := range t.hooks {
			if t.empties(h.key.Chain) && len(h.output.Order) == 0 && planned.Table(t.key.Family, t.key.Name).Chain(h.key.Chain) == nil {
				continue
			}
			pl.checkOrder(h)
		}
	}
	if pl.chosenAgain(); pl.diags().HasErrors() {
		pl.plan.Planned, pl.plan.attributionPlanned = pl.snap.State, pl.rec
	}
	if keys := pl.plan.LeavesForeign(); len(keys) > 0 {
		panic(fmt.Sprintf("compiler: the transaction changes the rules of others in %v", keys))
	}
}

func (pl *planner) refused(err error) {
	at, code := diag.Span{}, diag.ToolRefused
	var set *ir.SetError
	if errors.As(err, &set) {
		at, code = set.Op.Origin, diag.ForeignReference
		if owner, _ := pl.setOwner(set.Op.Name); at.IsZero() && owner != nil {
			at = owner.Span
		}
	}
	if e, ok := asApplyError(err); ok {
		blocks := pl.plan.Transaction.Blocks
		if e.Block < len(blocks) && e.Op >= 0 && e.Op < len(blocks[e.Block].Ops) {
			at = blocks[e.Block].Ops[e.Op].Origin
		}
		switch e.Reason {
		case ir.ReasonLoop:
			code = diag.ChainLoop
		case ir.ReasonBadTarget:
			code = diag.UnknownChain
		case ir.ReasonChainInUse:
			// What refers to it is no rule that iptables could show: a verdict map.
			code = diag.ForeignReference
		default:
		}
	}
	pl.diags().Errorf(code, at, "the kernel would refuse this: %v", err)
}

// checkOrder makes sure that deleting by value and inserting by index gives the
// order that was solved. That it does not is a mistake of ours, and must not
// reach a host.
func (pl *planner) checkOrder(h *hookPlan) {
	c, err := pl.plan.Planned.Lookup(h.key)
	if err != nil || c == nil || len(c.Rules) != len(h.output.Order) {
		panic(fmt.Sprintf("compiler: the transaction does not give the solved chain %s", h.key))
	}
	for i, p := range h.output.Order {
		var want string
		if p.Kind == place.Keep || h.sources[p.Anchor].Adopt {
			want = h.live.Rules[p.Live].Text
		} else {
			want = h.sources[p.Anchor].Rule.Text
		}
		if c.Rules[i].Text != want {
			panic(fmt.Sprintf("compiler: the transaction puts %q at %d of %s, not %q", c.Rules[i].Text, i+1, h.key, want))
		}
	}
}

// views shows each shared chain in which something of the rulesets stands, and
// each chain from which rules of others go.
func (pl *planner) views() {
	for _, t := range pl.tables {
		for _, h := range t.hooks {
			v := ChainView{Key: h.key, Policy: h.live.Policy, Changed: h.output.Changed()}
			if !pl.shared(h.key) {
				v.Foreign, v.Owner = true, pl.cat.ChainOwner(h.key.Chain)
				v.Dropped = t.empties(h.key.Chain)
				v.Changed = v.Changed || v.Dropped
			}
			n := 0
			for _, p := range h.output.Steps(h.input) {
				l := ViewLine{}
				if p.Kind != place.Remove {
					n++
					l.Position = n
				}
				switch p.Kind {
				case place.Keep:
					l.Kind = Unchanged
				case place.Add:
					l.Kind = Added
				case place.Move:
					l.Kind = Moved
				case place.Remove:
					l.Kind = Removed
				}
				if p.Live >= 0 {
					r := h.live.Rules[p.Live]
					l.Text = r.Text
					if r.Native != nil {
						l.Text = nativeMark + r.Native.String()
					}
					l.Participant = h.input.Rules[p.Live].Participant
					l.Ours = !v.Foreign && pl.ourJump(h.key.Family, r)
					if p.Kind == place.Remove && h.goes(p.Live) {
						l.Collected, l.Reason = true, t.chosen[h.key.Chain][p.Live].reason()
					}
				}
				if p.Anchor >= 0 {
					a := h.sources[p.Anchor]
					l.Adopted, l.Ours = a.Adopt, !a.Adopt
					if !a.Adopt && p.Kind != place.Keep && p.Kind != place.Remove {
						l.Text = a.Rule.Text
					}
				}
				v.Lines = append(v.Lines, l)
			}
			pl.plan.Views = append(pl.plan.Views, v)
		}
	}
}

// digest identifies what the plan rests on: the owned chains, and the shared
// chains that it writes into, rule by rule in order, without counters.
func (pl *planner) digest() {
	d := sha256.New()
	for _, t := range pl.tables {
		for _, c := range t.wants {
			digestChain(d, c.Key, t.standing[c.Key.Chain])
		}
		for _, c := range slices.Concat(t.stale, t.given) {
			digestChain(d, ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: c.Name}, c)
		}
		for _, h := range t.hooks {
			if h.output.Changed() {
				digestChain(d, h.key, h.live)
			}
		}
		for _, e := range t.emptied {
			digestChain(d, ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: e.name}, t.live.Chain(e.name))
		}
	}
	pl.digestSets(d)
	pl.plan.BaseDigest = "sha256:" + hex.EncodeToString(d.Sum(nil))
}

func digestChain(d hash.Hash, k ir.ChainKey, c *ir.Chain) {
	if c == nil {
		fmt.Fprintf(d, "%s absent\n", k)
		return
	}
	fmt.Fprintf(d, "%s %d\n", k, len(c.Rules))
	for _, r := range c.Rules {
		if r.Native != nil {
			fmt.Fprintf(d, "native %d %q\n", r.Native.Handle, r.Native.Expr)
			continue
		}
		fmt.Fprintf(d, "%q\n", r.Text)
	}
}

// LeavesForeign compares what a plan predicts for the rules of others with what
// stood: nothing may be lost, changed or re-ordered but adopted jumps and what is
// collected, and of that all must be gone. It returns the chains in which that is
// not so.
func (p *Plan) LeavesForeign() []ir.ChainKey {
	var out []ir.ChainKey
	for _, t := range p.Live.Tables {
		planned := p.Planned.Table(t.Family, t.Name)
		if planned == t || planned == nil {
			continue
		}
		after := map[string]*ir.Chain{}
		for _, c := range planned.Chains {
			after[c.Name] = c
		}
		for _, c := range t.Chains {
			k := ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}
			// What a transaction does not touch is the same chain.
			if after[c.Name] == c || !ir.IsBuiltin(t.Name, c.Name) && p.owns(c.Name) {
				continue
			}
			now := after[c.Name]
			if now == nil && p.emptied[k] {
				now = &ir.Chain{Name: c.Name}
			}
			left := now != nil && slices.ContainsFunc(now.Rules, func(r *ir.Rule) bool { return r.Native == nil && p.collected[k][r.Text] })
			if now == nil || left || !slices.Equal(p.foreign(k, c), p.foreign(k, now)) {
				out = append(out, k)
			}
		}
	}
	return out
}

// foreign lists the rules of a chain that no ruleset decides about.
func (p *Plan) foreign(k ir.ChainKey, c *ir.Chain) []*ir.Rule {
	var out []*ir.Rule
	for _, r := range c.Rules {
		if !p.managed(k, r) {
			out = append(out, r)
		}
	}
	return out
}

// managed tells whether a rule is one whose place a ruleset decides: in a shared
// chain our jump, or an adopted one; anywhere a rule of others that is collected.
func (p *Plan) managed(k ir.ChainKey, r *ir.Rule) bool {
	if r.Native == nil && p.collected[k][r.Text] {
		return true
	}
	return p.shared(k) && (p.ourJump(k.Family, r) || p.adopted[k.String()+" "+ruleTarget(r)])
}
