package compiler

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
	pl.plan.sent = map[string]string{}
	for key, printed := range pl.opt.Respelled {
		if sent, ok := strings.CutPrefix(key, RespellKey(ir.BothFamilies, "")); ok {
			pl.plan.sent[printed] = sent
		}
	}
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
func (pl *planner) rulesetOfTable(name string) *Program {
	for _, p := range pl.programs {
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
		pl.keepStanding(places)
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

// keepStanding takes from the anchors that are held those that stand, family by
// family: they are left where they are. A jump for both families is one rule, or
// two, so that every way in which it can stand is looked for.
func (pl *planner) keepStanding(places map[baseKey]basePlace) {
	for key, place := range places {
		held := slices.SortedFunc(maps.Keys(place.Held), func(a, b *Anchor) int {
			return cmp.Or(cmp.Compare(a.Span.Start, b.Span.Start), cmp.Compare(a.Key.Family, b.Key.Family))
		})
		var stand []*Anchor
		for _, a := range held {
			both := []*Anchor{a}
			for _, b := range held {
				if b != a && b.Span == a.Span && b.Name == a.Name {
					both = append(both, b)
				}
			}
			if pl.standsAs(key, []*Anchor{a}) || len(both) > 1 && pl.standsAs(key, both) {
				stand = append(stand, a)
			}
		}
		for _, a := range stand {
			delete(place.Held, a)
		}
	}
}

// standsAs tells whether the rules that some held anchors would have are in the base
// chain that stands.
func (pl *planner) standsAs(key baseKey, anchors []*Anchor) bool {
	p := pl.programs[slices.IndexFunc(pl.programs, func(p *Program) bool { return p.Name == key.ruleset })]
	only := *p
	only.Anchors = anchors
	tables, list := nftTables([]*Program{&only}, nil)
	chain := nftables.ChainName(key.table, key.hook)
	live := pl.snap.State.OwnTable(tables[0].Kind, tables[0].Name).Chain(chain)
	want := tables[0].Chain(chain)
	if list.HasErrors() || live == nil || want == nil {
		return false
	}
	for _, w := range want.Rules {
		if !slices.ContainsFunc(live.Rules, func(r ir.OwnRule) bool { return r.Tag == "" && r.String() == w.String() }) {
			return false
		}
	}
	return true
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
	if len(t.Chains)+len(t.Sets) == 0 {
		pl.change(Change{Key: ownChainKey(keyOf(t), ""), Kind: Removed, Address: t.Name, Before: "table " + t.Key()})
	}
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
	var ops []ir.NFTOp
	if why := cannotMend(live); why != "" {
		pl.diags().Warnf(diag.CounterRestarts, p.Span, "the table %s is made anew: %s", live.Key(), why)
		ops = append(ops, ir.NFTOp{Kind: live.Kind, Table: live.Name, Do: ir.NFTDeleteTable, Origin: p.Span})
		pl.tableGoes(live)
		live = nil
	}
	intruders := pl.intrusions(p, live, want)
	kept, sets := pl.ownSets(live, want, intruders)
	d := &ownDiff{live: live, want: want, key: keyOf(want), rewrite: sets.Rewrites, needed: intruders.chains}
	d.stays = func(r *ir.OwnRule) bool { return intruders.stay[r.Handle] }
	d.run()
	if live == nil {
		ops = append(ops, ir.NFTOp{Kind: want.Kind, Table: want.Name, Do: ir.NFTAddTable, Origin: p.Span})
	}
	pl.plan.SetChanges = append(pl.plan.SetChanges, ownSetChanges(kept, want)...)
	for _, e := range d.edits {
		pl.changesOf(d, e)
	}
	steps := d.ops(sets)
	if len(ops) > 1 {
		// A table that goes and comes does so at once, its sets with it, however large.
		for i := range steps {
			steps[i].Netlink = false
		}
	}
	return append(ops, steps...)
}

// ownSets compares the sets of a table, without those that rules of others ask which
// stay, and without those that nft made for meters of ours: packets fill them.
func (pl *planner) ownSets(live, want *ir.OwnTable, intruders *intruders) (*ir.OwnTable, *nftables.SetDiff) {
	if live == nil {
		return nil, nftables.DiffSets(nil, want)
	}
	meters := map[string]bool{}
	for _, c := range want.Chains {
		for _, r := range c.Rules {
			for _, name := range r.Meters() {
				meters[name] = true
			}
		}
	}
	kept := *live
	kept.Sets = slices.DeleteFunc(slices.Clone(live.Sets), func(s *ir.OwnSet) bool {
		return (intruders.sets[s.Name] || meters[s.Name]) && want.Set(s.Name) == nil
	})
	return &kept, nftables.DiffSets(&kept, want)
}

// cannotMend says why a table that stands cannot be brought to what is wanted step
// by step; empty if it can.
func cannotMend(live *ir.OwnTable) string {
	if live == nil {
		return ""
	}
	if live.Flags != "" {
		return "somebody has marked it as " + live.Flags
	}
	for _, c := range live.Chains {
		if !nftables.IsName(c.Name) {
			return fmt.Sprintf("somebody has made a chain %q in it, a name that nft cannot write", c.Name)
		}
	}
	for _, s := range live.Sets {
		if !nftables.IsName(s.Name) {
			return fmt.Sprintf("somebody has made a set %q in it, a name that nft cannot write", s.Name)
		}
	}
	return ""
}

// ops are all steps in the order in which they are sent: rules go ahead of what they
// refer to, and come behind it; a map goes ahead of the chains that it jumps to.
func (d *ownDiff) ops(sets *nftables.SetDiff) []ir.NFTOp {
	return slices.Concat(sets.Before, d.empty, d.gone, sets.After, d.drop, sets.Between, d.chains, d.come)
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
		fmt.Fprintf(d, "table %s %s\n", t.Key(), t.Flags)
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
