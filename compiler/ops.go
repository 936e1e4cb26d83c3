package compiler

import (
	"fmt"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/place"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// write turns what was found and placed into a transaction: per family one block
// per table, with the guards first. On the nft variant chains are deleted in a
// block of their own behind it, because iptables older than 1.8.9 cannot delete
// a chain in the transaction that takes its last reference away (FIELD M-18).
func (pl *planner) write() {
	for _, t := range pl.tables {
		pl.writeChains(t)
		for _, h := range t.hooks {
			pl.writeHook(t, h)
		}
		pl.writeStale(t)
		pl.writeEmptied(t)
		pl.guards(t)
	}
	for _, f := range pl.families {
		for _, t := range pl.tables {
			if t.key.Family != f {
				continue
			}
			ops, drops := t.ops, t.dropOps
			if pl.snap.Variant == ir.IptablesLegacy {
				ops, drops = slices.Concat(ops, drops), nil
			}
			pl.block(t.key, ops)
			pl.block(t.key, drops)
		}
	}
}

func (pl *planner) block(k ir.TableKey, ops []ir.Op) {
	if len(ops) > 0 {
		tx := &pl.plan.Transaction
		tx.Blocks = append(tx.Blocks, ir.Block{Family: k.Family, Table: k.Name, Ops: ops, NoFlush: true})
	}
}

// writeChains flushes and fills the declared chains whose rules differ in meaning
// from what stands.
func (pl *planner) writeChains(t *tablePlan) {
	var ensure, fill []ir.Op
	for _, c := range t.wants {
		rules := pl.chainRules(t, c)
		live := t.standing[c.Key.Chain]
		if live != nil && !live.Read && live.Unreadable == "" {
			pl.diags().Errorf(diag.NotInSnapshot, c.Span, "chain %s was not read", c.Key)
			continue
		}
		if pl.chainChanges(c, live, rules) {
			ensure = append(ensure, ir.Op{Kind: ir.OpEnsure, Chain: c.Key.Chain, Origin: c.Span})
			for _, r := range rules {
				fill = append(fill, ir.Op{Kind: ir.OpAppend, Chain: c.Key.Chain, Rule: r.Rule, Origin: r.Rule.Origin})
			}
		}
	}
	t.ops = slices.Concat(t.ops, ensure, fill)
}

// chainRules are the rules of a chain on this host: those whose foreign sets
// stand, or are unknown.
func (pl *planner) chainRules(t *tablePlan, c *Chain) []ChainRule {
	var out []ChainRule
	for _, r := range c.Rules {
		if pl.setsStand(t.key.Family, r.Rule, "rule "+r.Label+" of "+c.Key.Chain, r.SkipIfMissing) {
			out = append(out, r)
		}
	}
	return out
}

// anchorsHere are the anchors that can stand on this host: those of ours whose
// foreign sets stand, or are unknown. Adopted jumps are not made by us.
func (pl *planner) anchorsHere(anchors []*Anchor) []*Anchor {
	var out []*Anchor
	for _, a := range anchors {
		if a.Adopt || pl.setsStand(a.Key.Family, a.Rule, "the jump to "+a.Target+" in "+a.Key.Chain, a.SkipIfMissing) {
			out = append(out, a)
		}
	}
	return out
}

// setsStand tells whether a rule is to be written as far as its foreign sets go.
// One that is missing is an error, unless the rule can be left out for it.
func (pl *planner) setsStand(f ir.Family, r *ir.Rule, what string, skip []string) bool {
	for _, name := range skip {
		// All lines of a rule go with the set, whichever of them names it.
		if pl.setMissing(name) {
			pl.diags().Infof(diag.UnresolvedSet, r.Origin, "%s is left out: there is no set %s", what, name)
			return false
		}
	}
	missing := pl.missingSet(f, r)
	switch {
	case missing == "":
		pl.checkSetFamily(f, r, what)
	default:
		pl.diags().Errorf(diag.UnresolvedSet, r.Origin, "%s needs the set %s, which does not stand on the host", what, missing).
			WithHelp("%s", pl.missingHelp(f, missing))
	}
	return true
}

// missingHelp says what to do about a set that a rule names and that is not there.
func (pl *planner) missingHelp(f ir.Family, name string) string {
	for _, p := range pl.programs {
		if s := p.Set(name, f); s != nil {
			return fmt.Sprintf("in rule text the declared set %s is called as in the kernel: %s", name, s.Name)
		}
	}
	return fmt.Sprintf("create the set first, or leave this out without it: `{set: %s, ifMissing: skip}`", name)
}

// checkSetFamily refuses a set of the other family: the tool refuses the whole
// table for it (FIELD M-54).
func (pl *planner) checkSetFamily(f ir.Family, r *ir.Rule, what string) {
	for _, name := range Fields(f, r).Sets {
		s := pl.snap.State.Set(name)
		if d := pl.declaredSet(name); d != nil {
			s = &ir.Set{Family: d.Image.SetFamily()}
		}
		if s != nil && s.Family != 0 && s.Family != f {
			pl.diags().Errorf(diag.UnresolvedSet, r.Origin, "%s stands in %s, but the set %s is of %s", what, f, name, s.Family).
				WithHelp("narrow it with `families: [%s]`", s.Family)
		}
	}
}

// missingSet names the first set of a rule that is known not to stand.
func (pl *planner) missingSet(f ir.Family, r *ir.Rule) string {
	for _, name := range Fields(f, r).Sets {
		if pl.setMissing(name) {
			return name
		}
	}
	return ""
}

// setMissing tells that a set is known not to stand: all sets were read, or it
// was asked for by name.
func (pl *planner) setMissing(name string) bool {
	if pl.declaredSet(name) != nil {
		return false
	}
	known := pl.snap.State.SetsRead || slices.Contains(pl.snap.Scope.Sets, name)
	return known && pl.snap.State.Set(name) == nil
}

// SetNames lists the sets that the programs' rules refer to, in order.
func SetNames(programs []*Program) []string {
	var out []string
	add := func(f ir.Family, r *ir.Rule) {
		for _, n := range Fields(f, r).Sets {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	for _, p := range programs {
		for _, c := range p.Chains {
			for _, r := range c.Rules {
				add(c.Key.Family, r.Rule)
			}
		}
		for _, a := range p.Anchors {
			add(a.Key.Family, a.Rule)
		}
	}
	return out
}

// sameRule compares a rule of ours with one that stands, by meaning; a text that
// a tool is known to re-spell as the other counts as the same.
func (pl *planner) sameRule(f ir.Family, ours, stands *ir.Rule) bool {
	if stands.Native != nil {
		return false
	}
	return ours.Text == stands.Text || xtables.Equal(ours, stands, f) ||
		pl.opt.Respelled[RespellKey(f, ours.Text)] == stands.Text && stands.Text != ""
}

// chainChanges compares a declared chain with what stands and records a Change
// for each rule that differs.
func (pl *planner) chainChanges(c *Chain, live *ir.Chain, rules []ChainRule) bool {
	var stands []*ir.Rule
	if live != nil {
		stands = live.Rules
	}
	same := live != nil && len(stands) == len(rules) && live.Unreadable == ""
	for i := 0; same && i < len(rules); i++ {
		same = pl.sameRule(c.Key.Family, rules[i].Rule, stands[i])
	}
	if same {
		return false
	}
	if live == nil {
		pl.change(Change{Key: c.Key, Kind: Added, Address: c.Key.Chain, After: c.Key.Chain, Source: c.Span})
	}
	old := make([]string, len(stands))
	for i, r := range stands {
		old[i] = r.Text
		if r.Native != nil {
			old[i] = nativeMark + r.Native.String()
		}
	}
	for _, e := range diffLines(old, pl.spelledAs(c.Key.Family, rules, stands)) {
		ch := Change{Key: c.Key, Kind: e.kind}
		switch e.kind {
		case Added:
			ch.After, ch.Address, ch.Source = rules[e.new].Rule.Text, rules[e.new].Label, rules[e.new].Rule.Origin
		case Removed:
			ch.Before = old[e.old]
		case Changed:
			ch.Before, ch.After = old[e.old], rules[e.new].Rule.Text
			ch.Address, ch.Source = rules[e.new].Label, rules[e.new].Rule.Origin
		default:
			continue
		}
		pl.change(ch)
	}
	return true
}

// spelledAs are the texts of rules, each in the words of one that stands and means
// the same, if there is any.
func (pl *planner) spelledAs(f ir.Family, rules []ChainRule, stands []*ir.Rule) []string {
	texts, byKey := map[string]bool{}, map[string]string{}
	for _, s := range slices.Backward(stands) {
		if s.Native == nil {
			texts[s.Text] = true
			byKey[xtables.Key(xtables.DecodeRule(s, f), f)] = s.Text
		}
	}
	out := make([]string, len(rules))
	for i, r := range rules {
		text := r.Rule.Text
		printed := pl.opt.Respelled[RespellKey(f, text)]
		if s, equal := byKey[xtables.Key(xtables.DecodeRule(r.Rule, f), f)]; !texts[text] && equal {
			text = s
		} else if !texts[text] && printed != "" && texts[printed] {
			text = printed
		}
		out[i] = text
	}
	return out
}

func (pl *planner) change(c Change) { pl.plan.Changes = append(pl.plan.Changes, c) }

// writeHook deletes what goes away in a shared chain, by value, then inserts in
// the order of the result: when a jump is put in, all that stands above it is
// already there, so that its index is its place in the result.
func (pl *planner) writeHook(t *tablePlan, h *hookPlan) {
	if !h.output.Changed() {
		return
	}
	for _, i := range h.output.Removed {
		if why, ok := t.chosen[h.key.Chain][i]; ok && h.goes(i) {
			r := h.live.Rules[i]
			t.ops = append(t.ops, ir.Op{Kind: ir.OpDelete, Chain: h.key.Chain, Rule: &ir.Rule{Text: r.Text, Spec: r.Spec}, Origin: why.by.Span})
			pl.change(Change{Key: h.key, Kind: Removed, Address: ruleTarget(r), Before: r.Text, Source: why.by.Span, Reason: why.reason()})
			continue
		}
		text, ok := pl.deleteText(h, i)
		if !ok {
			continue
		}
		t.ops = append(t.ops, ir.Op{Kind: ir.OpDelete, Chain: h.key.Chain, Rule: &ir.Rule{Text: text, Spec: h.live.Rules[i].Spec}})
		if !slices.ContainsFunc(h.output.Order, func(p place.Placed) bool { return p.Kind == place.Move && p.Live == i }) {
			pl.change(Change{Key: h.key, Kind: Removed, Address: ruleTarget(h.live.Rules[i]), Before: h.live.Rules[i].Text})
		}
	}
	for n, p := range h.output.Order {
		if p.Kind == place.Keep {
			continue
		}
		a := h.sources[p.Anchor]
		rule := a.Rule
		if a.Adopt {
			// The kept copy keeps its text; it is what round-tripped above.
			rule = &ir.Rule{Text: h.live.Rules[p.Live].Text, Spec: h.live.Rules[p.Live].Spec}
		}
		t.ops = append(t.ops, ir.Op{Kind: ir.OpInsert, Chain: h.key.Chain, Rule: rule, Index: n + 1, Origin: a.Span})
		ch := Change{Key: h.key, Kind: Added, Address: a.Name, After: rule.Text, Source: a.Span}
		if p.Kind == place.Move {
			ch.Kind, ch.Before = Moved, h.live.Rules[p.Live].Text
		}
		pl.change(ch)
	}
}

// deleteText is the text by which a rule of a shared chain may be deleted: what
// we would generate now if it stands in those words, else what the tool printed
// if that decodes and prints back the same.
func (pl *planner) deleteText(h *hookPlan, i int) (string, bool) {
	r := h.live.Rules[i]
	at := diag.Span{}
	for j, a := range h.input.Anchors {
		if slices.Contains(a.Standing, i) {
			at = a.Span
			if h.sources[j].Rule != nil && h.sources[j].Rule.Text == r.Text {
				break
			}
		}
	}
	if h.live.HasNative() {
		pl.diags().Errorf(diag.UndeletableRule, at, "the jump to %s in %s has to go, but the chain holds native nft rules: a delete by text could hit one of them", ruleTarget(r), h.key).
			Note(r.Origin, "%s", r.Text)
		return "", false
	}
	if !xtables.RoundTrips(r.Text, h.key.Family) {
		pl.diags().Errorf(diag.UndeletableRule, at, "the jump to %s in %s has to go, but its text does not decode and print back the same", ruleTarget(r), h.key).
			Note(r.Origin, "%s", r.Text)
		return "", false
	}
	if other := confused(h.live, r.Text, h.key.Family, func(i int) bool { return slices.Contains(h.output.Removed, i) }); other != nil {
		pl.diags().Errorf(diag.UndeletableRule, at, "the jump to %s in %s has to go, but %s", ruleTarget(r), h.key, confusable).
			Note(r.Origin, "%s", r.Text).Note(other.Origin, "it could be this one: %s", other.Text)
		return "", false
	}
	return r.Text, true
}

// confusable says why a rule is not deleted that confused finds another one for.
const confusable = "the tool compares neither helpers nor labels of connections, and could delete another rule in its place"

// confused is a rule of a chain that a tool could delete in place of one with
// another text, and that does not go too; nil if there is none.
func confused(c *ir.Chain, text string, f ir.Family, goes func(i int) bool) *ir.Rule {
	key := xtables.DeleteKey(text, f)
	if key == text {
		return nil
	}
	for i, r := range c.Rules {
		if r.Native == nil && r.Text != text && !goes(i) && xtables.DeleteKey(r.Text, f) == key {
			return r
		}
	}
	return nil
}

// writeStale empties chains that are no longer declared and drops them, but for
// chains that a program gives to its users.
func (pl *planner) writeStale(t *tablePlan) {
	for _, c := range t.given {
		k := ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: c.Name}
		t.ops = append(t.ops, ir.Op{Kind: ir.OpFlush, Chain: c.Name})
		for _, r := range c.Rules {
			pl.change(Change{Key: k, Kind: Removed, Before: r.Text})
		}
	}
	for _, c := range t.stale {
		k := ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: c.Name}
		if refs := t.foreignRefs[c.Name]; len(refs) > 0 {
			d := pl.diags().Errorf(diag.ForeignReference, pl.ownerOf(c.Name).Span,
				"chain %s is no longer declared, but rules of others still refer to it", k)
			for _, r := range refs {
				who := pl.rec.Rule(ir.ChainKey{Family: k.Family, Table: k.Table, Chain: r.chain}, r.index).Participant
				if who != "" {
					who = " (" + who + ")"
				}
				d.Note(r.rule.Origin, "-A %s %s%s", r.chain, r.rule.Text, who)
			}
			d.WithHelp("declare the chain again, or have the owner of these rules remove them")
			continue
		}
		if len(c.Rules) > 0 || !c.Read {
			t.ops = append(t.ops, ir.Op{Kind: ir.OpFlush, Chain: c.Name})
		}
		t.dropOps = append(t.dropOps, ir.Op{Kind: ir.OpDrop, Chain: c.Name})
		pl.change(Change{Key: k, Kind: Removed, Address: c.Name, Before: c.Name})
		for _, r := range c.Rules {
			pl.change(Change{Key: k, Kind: Removed, Before: r.Text})
		}
	}
}

// guards puts the foreign rules on which new places rest in front of the block,
// as -C lines: if one of them is gone when the block is committed, the whole
// block is refused and nothing of it is applied (FIELD M-6). The nft variant
// only: on legacy the lock does it. A text that does not decode and print back
// the same would block for ever (M-49).
func (pl *planner) guards(t *tablePlan) {
	if pl.snap.Variant != ir.IptablesNFT || len(t.ops) == 0 {
		return
	}
	var guards []ir.Op
	for _, h := range t.hooks {
		for _, w := range pl.witnesses(h) {
			text := h.live.Rules[w.live].Text
			if !xtables.RoundTrips(text, h.key.Family) {
				continue
			}
			if pl.opt.DropGuards[GuardKey(h.key, text)] {
				pl.diags().Warnf(diag.GuardDropped, w.anchor.Span,
					"the place of the jump to %s is not guarded: iptables does not find %q in %s although it stands there", w.anchor.Target, text, h.key)
				continue
			}
			same := func(o ir.Op) bool { return o.Chain == h.key.Chain && o.Rule.Text == text }
			if !slices.ContainsFunc(guards, same) {
				guards = append(guards, ir.Op{Kind: ir.OpRequire, Chain: h.key.Chain, Rule: h.live.Rules[w.live], Origin: w.anchor.Span})
			}
		}
	}
	t.ops = slices.Concat(guards, t.ops)
}

// witness is a live foreign rule on which the place of an anchor rests.
type witness struct {
	live   int
	anchor *Anchor
}

// witnesses are, for each jump that is put in, the last of the rules that it must
// stand behind and the first of those that it must stand ahead of.
func (pl *planner) witnesses(h *hookPlan) []witness {
	var out []witness
	for _, p := range h.output.Order {
		if p.Kind == place.Keep {
			continue
		}
		a := h.input.Anchors[p.Anchor]
		last, first := -1, -1
		for i := range h.live.Rules {
			if slices.Contains(h.output.Removed, i) || isStanding(h, i) {
				continue
			}
			if matchesAny(a.After, i) {
				last = i
			}
			if first < 0 && matchesAny(a.Before, i) {
				first = i
			}
		}
		for _, i := range []int{last, first} {
			if i >= 0 {
				out = append(out, witness{i, h.sources[p.Anchor]})
			}
		}
	}
	return out
}

func isStanding(h *hookPlan, i int) bool {
	return slices.ContainsFunc(h.input.Anchors, func(a place.Anchor) bool { return slices.Contains(a.Standing, i) })
}

func matchesAny(refs []place.Ref, i int) bool {
	return slices.ContainsFunc(refs, func(r place.Ref) bool { return r.Match != nil && r.Match(i) })
}
