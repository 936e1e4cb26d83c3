package compiler

import (
	"fmt"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
)

// Restore is the transaction that takes a host back to what stood of ours before
// an apply: owned chains with their old rules, our jumps and adopted jumps at
// their old places among the foreign rules that are still there, and so what was
// collected, with counters that begin again. All other foreign rules stay as they
// are now; our sets hold what they held. Tables that cannot be taken back, such as
// those in which something cannot be deleted by its text, are left out, each with
// its error.
func (p *Plan) Restore(before, now *ir.Snapshot) (ir.Transaction, map[ir.TableKey]error) {
	return p.restore(before, now, false)
}

// RestoreOwn is Restore without adopted jumps, which stay as they stand: for a host
// on which another program keeps changing them.
func (p *Plan) RestoreOwn(before, now *ir.Snapshot) (ir.Transaction, map[ir.TableKey]error) {
	return p.restore(before, now, true)
}

func (p *Plan) restore(before, now *ir.Snapshot, own bool) (ir.Transaction, map[ir.TableKey]error) {
	if now.Variant == ir.NFT {
		return p.restoreNFT(before.State, now.State)
	}
	var tx ir.Transaction
	failed := map[ir.TableKey]error{}
	tx.SetsBefore, tx.SetsAfter = p.restoreSets(before.State, now.State)
	for _, f := range now.State.Families {
		for _, name := range ir.TableNames {
			k := ir.TableKey{Family: f, Name: name}
			r := restorer{plan: p, own: own, key: k, before: before.State.Table(f, name), now: now.State.Table(f, name)}
			if err := r.run(); err != nil {
				failed[k] = err
				continue
			}
			ops, drops := r.ops, r.drops
			if now.Variant == ir.IptablesLegacy {
				ops, drops = slices.Concat(ops, drops), nil
			}
			for _, o := range [][]ir.Op{ops, drops} {
				if len(o) > 0 {
					tx.Blocks = append(tx.Blocks, ir.Block{Family: f, Table: name, Ops: o, NoFlush: true})
				}
			}
		}
	}
	if len(failed) > 0 {
		tx.SetsAfter = nil // rules that stay may use them
	}
	return tx, failed
}

type restorer struct {
	plan *Plan
	// own leaves adopted jumps alone.
	own         bool
	key         ir.TableKey
	before, now *ir.Table
	ops, drops  []ir.Op
}

func (r *restorer) run() error {
	var fill []ir.Op
	if r.before != nil {
		for _, c := range r.before.Chains {
			if !c.Read || !r.ours(c.Name) {
				continue
			}
			// A native rule that another program had put into our chain has no text to be
			// put back by; who did so does it again (FIELD M-35).
			c := withoutNative(c)
			if sameTexts(c, withoutNative(r.now.Chain(c.Name))) {
				continue
			}
			r.ops = append(r.ops, ir.Op{Kind: ir.OpEnsure, Chain: c.Name})
			for _, rule := range c.Rules {
				fill = append(fill, ir.Op{Kind: ir.OpAppend, Chain: c.Name, Rule: rule})
			}
		}
	}
	if r.now == nil {
		r.ops = append(r.ops, fill...)
		return nil
	}
	fill = append(fill, r.emptied()...)
	r.ops = append(r.ops, fill...)
	if err := r.readable(); err != nil {
		return err
	}
	for _, c := range r.now.Chains {
		k := ir.ChainKey{Family: r.key.Family, Table: r.key.Name, Chain: c.Name}
		if !c.Read || r.ours(c.Name) || !r.plan.shared(k) && len(r.plan.collected[k]) == 0 {
			continue
		}
		if err := r.shared(c); err != nil {
			return err
		}
	}
	for _, c := range r.now.Chains {
		if r.ours(c.Name) && r.before.Chain(c.Name) == nil {
			r.ops = append(r.ops, ir.Op{Kind: ir.OpFlush, Chain: c.Name})
			r.drops = append(r.drops, ir.Op{Kind: ir.OpDrop, Chain: c.Name})
		}
	}
	return nil
}

// emptied makes the chains of others again that went because nothing was left in
// them, unless somebody else has made them meanwhile, and returns what fills them.
func (r *restorer) emptied() []ir.Op {
	var fill []ir.Op
	if r.before == nil {
		return nil
	}
	for _, c := range r.before.Chains {
		k := ir.ChainKey{Family: r.key.Family, Table: r.key.Name, Chain: c.Name}
		if !r.plan.emptied[k] || r.now.Chain(c.Name) != nil {
			continue
		}
		r.ops = append(r.ops, ir.Op{Kind: ir.OpNew, Chain: c.Name})
		for _, rule := range c.Rules {
			fill = append(fill, ir.Op{Kind: ir.OpAppend, Chain: c.Name, Rule: &ir.Rule{Text: rule.Text}})
		}
	}
	return fill
}

// readable makes sure that what the plan may have written can be read: what is
// not seen cannot be taken back.
func (r *restorer) readable() error {
	if !r.plan.Writes(r.key) {
		return nil
	}
	if r.now.Unreadable != "" {
		return fmt.Errorf("%s cannot be read any more: %s", r.key, r.now.Unreadable)
	}
	for _, b := range r.plan.Transaction.Blocks {
		for _, o := range b.Ops {
			c := r.now.Chain(o.Chain)
			if b.Family == r.key.Family && b.Table == r.key.Name && c != nil && c.Unreadable != "" {
				return fmt.Errorf("%s %s cannot be read any more: %s", r.key, c.Name, c.Unreadable)
			}
		}
	}
	return nil
}

func (r *restorer) ours(chain string) bool {
	return !ir.IsBuiltin(r.key.Name, chain) && r.plan.owns(chain)
}

func withoutNative(c *ir.Chain) *ir.Chain {
	if c == nil || !c.HasNative() {
		return c
	}
	out := *c
	out.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(x *ir.Rule) bool { return x.Native != nil })
	return &out
}

func sameTexts(a, b *ir.Chain) bool {
	return b != nil && slices.EqualFunc(a.Rules, b.Rules, func(x, y *ir.Rule) bool { return x.Text == y.Text })
}

func (r *restorer) managed(chain string, rule *ir.Rule) bool {
	k := ir.ChainKey{Family: r.key.Family, Table: r.key.Name, Chain: chain}
	if r.own && r.plan.adopted[k.String()+" "+ruleTarget(rule)] && !r.plan.collected[k][rule.Text] {
		return false
	}
	return r.plan.managed(k, rule)
}

// shared puts the managed jumps of a shared chain back.
func (r *restorer) shared(now *ir.Chain) error {
	old := r.before.Chain(now.Name)
	if old == nil {
		old = &ir.Chain{Name: now.Name, Read: true}
	}
	if !old.Read || sameTexts(old, now) {
		return nil
	}
	// order is the chain as it is to be: the foreign rules of now, and behind each
	// the managed jumps that stood behind it.
	var foreign []string
	for _, rule := range now.Rules {
		if !r.managed(now.Name, rule) {
			foreign = append(foreign, rule.Text)
		}
	}
	type put struct {
		slot int // number of foreign rules ahead of it
		rule *ir.Rule
	}
	var puts []put
	at := 0
	for _, rule := range old.Rules {
		if r.managed(now.Name, rule) {
			puts = append(puts, put{at, rule})
			continue
		}
		if i := slices.Index(foreign[at:], rule.Text); i >= 0 {
			at += i + 1
		}
	}
	var standing []put
	slot := 0
	for _, rule := range now.Rules {
		if r.managed(now.Name, rule) {
			standing = append(standing, put{slot, rule})
		} else {
			slot++
		}
	}
	if slices.EqualFunc(puts, standing, func(a, b put) bool { return a.slot == b.slot && a.rule.Text == b.rule.Text }) {
		return nil
	}
	for _, rule := range now.Rules {
		if !r.managed(now.Name, rule) {
			continue
		}
		goes := func(i int) bool { return r.managed(now.Name, now.Rules[i]) }
		if !xtables.RoundTrips(rule.Text, r.key.Family) || now.HasNative() || confused(now, rule.Text, r.key.Family, goes) != nil {
			return fmt.Errorf("%s %s: the jump %q cannot be deleted by its text", r.key, now.Name, rule.Text)
		}
		r.ops = append(r.ops, ir.Op{Kind: ir.OpDelete, Chain: now.Name, Rule: &ir.Rule{Text: rule.Text}})
	}
	for n, p := range puts {
		r.ops = append(r.ops, ir.Op{Kind: ir.OpInsert, Chain: now.Name, Index: p.slot + n + 1, Rule: &ir.Rule{Text: p.rule.Text}})
	}
	return nil
}
