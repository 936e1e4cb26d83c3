package compiler

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/recognize"
	"hookline/dsl/diag"
)

// runNFT plans for the nft backend: tables of our own, of which the ruleset says
// every rule, and priorities for places.
func (pl *planner) runNFT() {
	pl.introduce()
	if !pl.wholeRulesets() || !pl.mergeCatalogues() || !pl.checkOverlap() {
		return
	}
	pl.own()
	pl.rec = recognize.New(pl.cat, Fields).State(pl.snap.State)
	pl.plan.attributionLive, pl.plan.attributionPlanned = pl.rec, pl.rec
	pl.checkOtherVariant()
	pl.ownTables()
	pl.predictOwn()
	pl.markLint()
	pl.constraints()
	pl.timelines(pl.snap.State, pl.plan.Planned)
	pl.digestOwn()
	if pl.diags().HasErrors() {
		pl.plan.Transaction = ir.Transaction{}
	}
	pl.diags().Sort()
}

// wholeRulesets refuses to work on one family of a ruleset for both: one table
// holds them, and to narrow it would take the other family's rules away.
func (pl *planner) wholeRulesets() bool {
	ok := true
	for _, p := range pl.programs {
		if len(p.Narrowed) > 0 {
			pl.diags().Errorf(diag.UnsupportedBackend, p.Span, "ruleset %s is for both families, which one table of nftables holds: it cannot be planned for %s alone", p.Name, pl.opt.Families[0]).
				WithHelp("leave out --family, or say `families` in the ruleset")
			ok = false
		}
	}
	return ok
}

// own finds the tables of ours that stand.
func (pl *planner) own() {
	for _, p := range pl.programs {
		for _, f := range p.Families {
			if !slices.Contains(pl.families, f) {
				pl.families = append(pl.families, f)
			}
		}
	}
	slices.Sort(pl.families)
	for _, t := range pl.snap.State.Own {
		if pl.rulesetOfTable(t.Name) == nil {
			continue
		}
		for _, c := range t.Chains {
			pl.plan.Owned = append(pl.plan.Owned, ownChainKey(keyOf(t), c.Name))
		}
	}
}

// rulesetOfTable is the program whose table is called so; nil if it is none's.
func (pl *planner) rulesetOfTable(name string) *Program { return programOfTable(pl.programs, name) }

func programOfTable(programs []*Program, name string) *Program {
	for _, p := range programs {
		if nftables.TableName(p.Name) == name {
			return p
		}
	}
	return nil
}

// ownChainKey names a chain of a table of ours as changes do.
func ownChainKey(k ownKey, chain string) ir.ChainKey {
	f := ir.BothFamilies
	if list := k.kind.Families(); len(list) == 1 {
		f = list[0]
	}
	return ir.ChainKey{Family: f, Table: k.name, Chain: chain}
}

// ownTables compares what is wanted with what stands, and makes the transaction of
// it.
func (pl *planner) ownTables() {
	var wanted []*ir.OwnTable
	if !pl.opt.Remove {
		tables, list := nftTables(pl.programs, nil)
		pl.diags().Append(list)
		if pl.diags().HasErrors() {
			return
		}
		places := pl.placeBases(tables)
		if pl.diags().HasErrors() {
			return
		}
		pl.keepStanding(tables, places)
		tables, _ = nftTables(pl.programs, places) // what there was to say was said
		for _, t := range tables {
			if len(t.Chains) > 0 || len(t.Sets) > 0 {
				pl.respell(t)
				wanted = append(wanted, t)
			}
		}
	}
	var gone []ir.NFTOp
	for _, t := range pl.snap.State.Own {
		same := func(w *ir.OwnTable) bool { return keyOf(w) == keyOf(t) }
		if pl.rulesetOfTable(t.Name) == nil || slices.ContainsFunc(wanted, same) {
			continue
		}
		gone = append(gone, ir.NFTOp{Kind: t.Kind, Table: t.Name, Do: ir.NFTDeleteTable})
		pl.tableGoes(t)
	}
	tx := &pl.plan.Transaction
	tx.NFT = gone
	for _, want := range wanted {
		tx.NFT = append(tx.NFT, pl.ownTable(pl.snap.State.OwnTable(want.Kind, want.Name), want)...)
	}
}

// keepStanding takes from the anchors that are held those that stand: they are left
// where they are.
func (pl *planner) keepStanding(tables []*ir.OwnTable, places map[baseKey]basePlace) {
	for key, place := range places {
		for a := range place.Held {
			name, chain := nftables.TableName(key.ruleset), nftables.ChainName(key.table, key.hook)
			at := slices.IndexFunc(tables, func(t *ir.OwnTable) bool { return t.Name == name })
			live := pl.snap.State.OwnTable(tables[at].Kind, name).Chain(chain)
			stands := live != nil
			for _, r := range tables[at].Chain(chain).Rules {
				if r.Label == a.Name && r.Origin == a.Rule.Origin {
					stands = stands && slices.ContainsFunc(live.Rules, func(x ir.OwnRule) bool { return x.String() == r.String() })
				}
			}
			if stands {
				delete(place.Held, a)
			}
		}
	}
}

// respell says what rules of ours are known to be printed as.
func (pl *planner) respell(t *ir.OwnTable) {
	for _, c := range t.Chains {
		for i, r := range c.Rules {
			c.Rules[i].Printed = pl.opt.Respelled[RespellKey(ir.BothFamilies, r.Text)]
		}
	}
}

// tableGoes shows a table that goes as a whole.
func (pl *planner) tableGoes(t *ir.OwnTable) {
	for _, c := range t.Chains {
		k := ownChainKey(keyOf(t), c.Name)
		for i, r := range c.Rules {
			pl.change(Change{Key: k, Kind: Removed, Address: "#" + strconv.Itoa(i+1), Before: r.String()})
		}
		pl.change(Change{Key: k, Kind: Removed, Address: c.Name, Before: c.Name})
	}
	pl.plan.SetChanges = append(pl.plan.SetChanges, ownSetChanges(t, nil)...)
}

// ownTable are the steps that make one table, and what they change for people.
func (pl *planner) ownTable(live, want *ir.OwnTable) []ir.NFTOp {
	p := pl.rulesetOfTable(want.Name)
	sets := nftables.DiffSets(live, want)
	d := &ownDiff{live: live, want: want, key: keyOf(want), rewrite: sets.Rewrites}
	intruders := pl.intrusions(p, live, want)
	d.stays = func(r *ir.OwnRule) bool { return intruders[r.Handle] }
	d.run()
	var ops []ir.NFTOp
	if live == nil {
		ops = append(ops, ir.NFTOp{Kind: want.Kind, Table: want.Name, Do: ir.NFTAddTable, Origin: p.Span})
	}
	pl.plan.SetChanges = append(pl.plan.SetChanges, ownSetChanges(live, want)...)
	for _, e := range d.edits {
		pl.changesOf(d, e)
	}
	return append(ops, d.ops(sets)...)
}

// ops are all steps in the order in which they are sent: what rules refer to comes
// ahead of them, and goes behind them.
func (d *ownDiff) ops(sets *nftables.SetDiff) []ir.NFTOp {
	return slices.Concat(sets.Before, d.chains, d.empty, d.gone, sets.Between, d.come, d.drop, sets.After)
}

// changesOf says what happens to a chain in changes of a plan.
func (pl *planner) changesOf(d *ownDiff, e chainEdit) {
	k := ownChainKey(d.key, e.name)
	standing := func(i int) (string, string) { return "#" + strconv.Itoa(i+1), e.before.Rules[i].String() }
	if e.after == nil {
		for i := range e.before.Rules {
			address, text := standing(i)
			pl.change(Change{Key: k, Kind: Removed, Address: address, Before: text})
		}
		pl.change(Change{Key: k, Kind: Removed, Address: e.name, Before: e.name})
		return
	}
	switch {
	case e.before == nil:
		pl.change(Change{Key: k, Kind: Added, Address: e.name, After: e.name + baseText(e.after.Base), Source: chainOrigin(e.after)})
	case e.remade:
		pl.change(Change{Key: k, Kind: Changed, Address: e.name, Before: e.name + baseText(e.before.Base), After: e.name + baseText(e.after.Base), Source: chainOrigin(e.after)})
	}
	for _, x := range e.rules {
		c := Change{Key: k, Kind: x.kind}
		if x.old >= 0 {
			c.Address, c.Before = standing(x.old)
		}
		if x.new >= 0 {
			r := e.after.Rules[x.new]
			c.Address, c.After, c.Source = cmp.Or(r.Label, "#"+strconv.Itoa(x.new+1)), r.String(), r.Origin
		}
		if x.kind != Unchanged {
			pl.change(c)
		}
	}
}

// chainOrigin is where a chain comes from: its first rule.
func chainOrigin(c *ir.OwnChain) diag.Span {
	if len(c.Rules) == 0 {
		return diag.Span{}
	}
	return c.Rules[0].Origin
}

// baseText says how a chain hooks in.
func baseText(b *ir.BaseChain) string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf(" (%s %s, priority %d, policy %s)", b.Type, b.Hook, b.Priority, cmp.Or(b.Policy, "accept"))
}

// predictOwn applies the transaction to the tables that were read.
func (pl *planner) predictOwn() {
	if pl.diags().HasErrors() || pl.plan.Transaction.Empty() {
		return
	}
	planned, err := pl.snap.State.Apply(pl.plan.Transaction)
	if err == nil {
		pl.plan.Planned = planned
		return
	}
	at := diag.Span{}
	var refused *ir.NFTError
	if errors.As(err, &refused) {
		at = refused.Op.Origin
	}
	pl.diags().Errorf(diag.ToolRefused, at, "the kernel would refuse this: %v", err)
}

// withUnknown is a state in which our chains are listed and were not read: to a
// constraint on iptables' chains they must not look absent.
func (pl *planner) withUnknown(s *ir.State) *ir.State {
	out := s.Clone()
	for _, p := range pl.programs {
		for _, c := range p.Chains {
			t := out.Table(c.Key.Family, c.Key.Table)
			if t == nil {
				t = &ir.Table{Family: c.Key.Family, Name: c.Key.Table, Partial: true}
				out.Tables = append(out.Tables, t)
			}
			if t.Chain(c.Key.Chain) == nil {
				t.Chains = append(t.Chains, &ir.Chain{Name: c.Key.Chain})
			}
		}
	}
	return out
}

// digestOwn identifies what the plan rests on: our tables as they stand, rule by
// rule in order, and whose base chains stand at which priority of our hooks.
func (pl *planner) digestOwn() {
	d := sha256.New()
	hooks := map[string]bool{}
	note := func(t *ir.OwnTable) {
		for _, c := range t.Chains {
			if c.Base != nil {
				hooks[c.Base.Hook] = true
			}
		}
	}
	for _, t := range pl.snap.State.Own {
		if pl.rulesetOfTable(t.Name) == nil {
			continue
		}
		note(t)
		fmt.Fprintf(d, "table %s\n", t.Key())
		for _, s := range t.Sets {
			digestOwnSet(d, s)
		}
		for _, c := range slices.SortedFunc(slices.Values(t.Chains), func(a, b *ir.OwnChain) int { return cmp.Compare(a.Name, b.Name) }) {
			fmt.Fprintf(d, "chain %s%s\n", c.Name, baseText(c.Base))
			for _, r := range c.Rules {
				fmt.Fprintf(d, "%q %q\n", r.String(), r.Tag)
			}
		}
	}
	for _, t := range pl.plan.Planned.Own {
		note(t)
	}
	for _, t := range pl.snap.State.NFTTables {
		if pl.rulesetOfTable(t.Name) != nil {
			continue
		}
		for _, c := range t.Chains {
			if hooks[c.Hook] {
				fmt.Fprintf(d, "%s %s %s %s %d %s\n", t.Key(), c.Name, c.Type, c.Hook, c.Priority, c.Policy)
			}
		}
	}
	pl.plan.BaseDigest = "sha256:" + hex.EncodeToString(d.Sum(nil))
}

// restoreNFT are the steps that take our tables back to what stood before an apply.
// Rules that others put into them stay as they are now.
func (p *Plan) restoreNFT(before, now *ir.State) ir.Transaction {
	var tx ir.Transaction
	ours := func(t *ir.OwnTable) bool { return p.ownsTable(t.Name) }
	for _, t := range now.Own {
		if ours(t) && before.OwnTable(t.Kind, t.Name) == nil {
			tx.NFT = append(tx.NFT, ir.NFTOp{Kind: t.Kind, Table: t.Name, Do: ir.NFTDeleteTable})
		}
	}
	for _, t := range before.Own {
		if !ours(t) {
			continue
		}
		live, want := now.OwnTable(t.Kind, t.Name), withoutIntruders(t)
		sets := nftables.DiffSets(live, want)
		d := &ownDiff{live: live, want: want, key: keyOf(t), rewrite: sets.Rewrites, stays: func(r *ir.OwnRule) bool { return r.Tag != "" }}
		d.run()
		if live == nil {
			tx.NFT = append(tx.NFT, ir.NFTOp{Kind: t.Kind, Table: t.Name, Do: ir.NFTAddTable})
		}
		tx.NFT = append(tx.NFT, d.ops(sets)...)
	}
	return tx
}

// withoutIntruders is a table without the rules that others put into it: who did so
// does it again.
func withoutIntruders(t *ir.OwnTable) *ir.OwnTable {
	out := *t
	out.Chains = nil
	for _, c := range t.Chains {
		n := *c
		n.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r ir.OwnRule) bool { return r.Tag != "" })
		out.Chains = append(out.Chains, &n)
	}
	return &out
}

// OwnRespellings lists those of a table of known spellings that the rules of the
// program's table use.
func (p *Program) OwnRespellings(known map[string]string) []Spelling {
	var out []Spelling
	tables, _ := NFTables([]*Program{p})
	for _, t := range tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				if printed, ok := known[RespellKey(ir.BothFamilies, r.Text)]; ok {
					out = append(out, Spelling{ir.BothFamilies, r.Text, printed, r.Origin})
				}
			}
		}
	}
	return out
}

// RespelledNFT finds rules of ours that stand at their own places with another text
// than they were sent with. It is for a host on which nobody else wrote since.
func (p *Plan) RespelledNFT(now *ir.State) []Spelling {
	var out []Spelling
	for _, o := range p.Transaction.NFT {
		if o.Do != ir.NFTAddRule && o.Do != ir.NFTInsertRule {
			continue
		}
		want, live := p.Planned.OwnTable(o.Kind, o.Table).Chain(o.Chain), now.OwnTable(o.Kind, o.Table).Chain(o.Chain)
		if want == nil || live == nil || len(want.Rules) != len(live.Rules) {
			continue
		}
		at := slices.IndexFunc(want.Rules, func(r ir.OwnRule) bool { return r.Text == o.Rule.Text && r.Comment == o.Rule.Comment && r.Handle == 0 })
		if at < 0 {
			continue
		}
		if r := live.Rules[at]; r.Text != o.Rule.Text && r.Comment == o.Rule.Comment && r.Tag == "" {
			out = append(out, Spelling{ir.BothFamilies, o.Rule.Text, r.Text, o.Rule.Origin})
		}
	}
	return out
}

// OwnTables are the names of the tables of nftables that are the programs'.
func OwnTables(programs []*Program) []string {
	var out []string
	for _, p := range programs {
		out = append(out, nftables.TableName(p.Name))
	}
	return out
}

// OwnTableKey names the table that a step is for.
func OwnTableKey(o ir.NFTOp) ir.TableKey { return ownChainKey(ownKey{o.Kind, o.Table}, "").TableKey() }
