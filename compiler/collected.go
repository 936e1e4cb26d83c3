package compiler

import (
	"fmt"
	"slices"

	"hookline/compiler/check"
	"hookline/compiler/ir"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// chosenRule says why a rule of others goes.
type chosenRule struct {
	by *Collect
	// emptied is the chain that the rule jumps to, if it goes because nothing is left
	// in that chain; else "".
	emptied string
}

func (c chosenRule) reason() string {
	switch {
	case c.emptied == "":
		return c.by.reason()
	case c.by.Reason == "":
		return "nothing is left in " + c.emptied
	}
	return "nothing is left in " + c.emptied + ": " + c.by.Reason
}

// emptiedChain is a chain of others that goes.
type emptiedChain struct {
	name string
	by   *Collect
}

// collects are the collections of a table, by program and as written.
func (pl *planner) collects(k ir.TableKey) []*Collect {
	if pl.opt.Remove {
		return nil
	}
	var out []*Collect
	for _, p := range pl.programs {
		for _, c := range p.Collects {
			if c.Key.TableKey() == k {
				out = append(out, c)
			}
		}
	}
	return out
}

// choose finds the rules of others in a table that go: those that an expression
// chooses, then chain by chain the jumps to those in which nothing is left. Of two
// collections that choose the same rule the first one written says why.
func (pl *planner) choose(t *tablePlan) {
	t.chosen = map[string]map[int]chosenRule{}
	var host *check.Host
	for _, c := range t.collects {
		live := pl.collectFrom(c)
		if live == nil {
			continue
		}
		if host == nil {
			host = pl.host(pl.snap.State, pl.rec)
		}
		at, failed := c.choose(host, live)
		if failed != nil {
			pl.diags().Add(failed)
			continue
		}
		mustBeAlike(c.Key, live, at)
		for _, i := range at {
			t.chooseRule(live.Name, i, chosenRule{by: c})
		}
	}
	for pl.chooseJumps(t) {
	}
}

func (t *tablePlan) chooseRule(chain string, i int, why chosenRule) {
	if t.chosen[chain] == nil {
		t.chosen[chain] = map[int]chosenRule{}
	}
	if _, before := t.chosen[chain][i]; !before {
		t.chosen[chain][i] = why
	}
}

// collectFrom is the chain that a collection looks in; nil if it is not there or
// cannot be read.
func (pl *planner) collectFrom(c *Collect) *ir.Chain {
	live, err := pl.snap.State.Lookup(c.Key)
	if err == nil {
		return live
	}
	if x := pl.snap.State.Table(c.Key.Family, c.Key.Table).Chain(c.Key.Chain); x != nil && x.Unreadable != "" {
		pl.diags().Errorf(diag.UnreadableTable, c.Span, "chain %s of table %s of %s cannot be read: %s",
			c.Key.Chain, c.Key.Table, c.Key.Family, x.Unreadable)
	} else {
		pl.diags().Errorf(diag.NotInSnapshot, c.Span, "%v", err)
	}
	return nil
}

// collectedElsewhere warns that a chain in which rules are collected stands in the
// other variant's tables too: its program may write there, and what is stale there
// stays.
func (pl *planner) collectedElsewhere(k ir.ChainKey, other ir.Variant) {
	for _, c := range pl.collects(k.TableKey()) {
		if c.Key == k {
			pl.diags().Warnf(diag.MixedBackends, c.Span, "chain %s stands in %s, where nothing is collected: the plan is for %s", k, other, pl.snap.Variant).
				WithHelp("whoever fills it writes there; plan for that one too: --backend %s", other)
			return
		}
	}
}

// mustBeAlike makes sure that of rules with equal texts all are chosen or none: a
// delete by text takes the first of them. What expressions can ask of a rule
// follows from its text and its chain, so that anything else is a mistake of ours.
func mustBeAlike(k ir.ChainKey, c *ir.Chain, at []int) {
	chosen := map[string]bool{}
	for _, i := range at {
		chosen[c.Rules[i].Text] = c.Rules[i].Native == nil
	}
	for i, r := range c.Rules {
		if _, is := slices.BinarySearch(at, i); !is && r.Native == nil && chosen[r.Text] {
			panic(fmt.Sprintf("compiler: of equal rules %q in %s only some are chosen", r.Text, k))
		}
	}
}

// chooseJumps finds a chain in which nothing is left and which is to go then, and
// chooses every jump to it, wherever in the table it stands. It is true if there
// was one: its jumps may have been all that was left in another.
func (pl *planner) chooseJumps(t *tablePlan) bool {
	for _, c := range t.collects {
		live := t.live.Chain(c.Key.Chain)
		gone := slices.ContainsFunc(t.emptied, func(e emptiedChain) bool { return e.name == c.Key.Chain })
		if !c.DropEmpty || gone || live == nil || !live.Read || len(t.chosen[live.Name]) < len(live.Rules) {
			continue
		}
		t.emptied = append(t.emptied, emptiedChain{live.Name, c})
		for _, from := range t.live.Chains {
			if !ir.IsBuiltin(t.key.Name, from.Name) && pl.owned(from.Name) {
				continue // no rule that is declared jumps there, and what stands is written anew
			}
			for i, r := range from.Rules {
				if ruleTarget(r) == live.Name {
					t.chooseRule(from.Name, i, chosenRule{by: c, emptied: live.Name})
				}
			}
		}
		return true
	}
	return false
}

func (t *tablePlan) empties(chain string) bool {
	return slices.ContainsFunc(t.emptied, func(e emptiedChain) bool { return e.name == chain })
}

// markChosen marks the chosen rules of a chain for removal. Rules of ours and
// jumps that a ruleset places are none that could be chosen.
func (pl *planner) markChosen(t *tablePlan, h *hookPlan) {
	for i, r := range h.live.Rules {
		why, chosen := t.chosen[h.key.Chain][i]
		if !chosen {
			continue
		}
		name := rulesetOf(xtables.DecodeRule(r, h.key.Family))
		switch {
		case pl.shared(h.key) && pl.ourJump(h.key.Family, r), name != "" && pl.isOurs(name):
			pl.diags().Errorf(diag.AdoptOwned, why.by.Where.Source().Span, "the expression chooses a jump of ours in %s", h.key).
				Note(r.Origin, "%s", r.Text).WithHelp("leave out what is ours: !rule.owned")
		case name != "":
			pl.diags().Errorf(diag.OtherRuleset, why.by.Where.Source().Span,
				"the expression chooses a jump in %s that belongs to ruleset %q", h.key, name).Note(r.Origin, "%s", r.Text)
		case isStanding(h, i):
			pl.diags().Errorf(diag.AdoptOwned, why.by.Span, "the jump to %s in %s is to go, but its place is managed by adopt", ruleTarget(r), h.key).
				Note(r.Origin, "%s", r.Text).WithHelp("keep one of the two entries")
		default:
			h.input.Rules[i].Remove = true
			h.chosen = append(h.chosen, i)
		}
	}
	pl.checkDeletable(t, h)
}

// goes tells whether a rule of the chain is one of others that goes.
func (h *hookPlan) goes(i int) bool {
	_, yes := slices.BinarySearch(h.chosen, i)
	return yes
}

// maxShownRules bounds the rules that are named for one collection.
const maxShownRules = 10

// checkDeletable reports the chosen rules of a chain that cannot be deleted by
// their text, once for each collection.
func (pl *planner) checkDeletable(t *tablePlan, h *hookPlan) {
	why, byWhom := map[*Collect]string{}, map[*Collect][]int{}
	var order []*Collect
	for _, i := range h.chosen {
		r, c := h.live.Rules[i], t.chosen[h.key.Chain][i].by
		switch {
		case h.live.HasNative():
			why[c] = "the chain holds native nft rules, and a delete by text could hit one of them"
		case !xtables.RoundTrips(r.Text, h.key.Family):
			why[c] = "the text does not decode and print back the same"
		case confused(h.live, r.Text, h.key.Family, h.goes) != nil:
			why[c] = confusable
		default:
			continue
		}
		if byWhom[c] == nil {
			order = append(order, c)
		}
		byWhom[c] = append(byWhom[c], i)
	}
	for _, c := range order {
		d := pl.diags().Errorf(diag.UndeletableRule, c.Span, "%s of %s cannot be collected: %s", count(len(byWhom[c]), "rule"), h.key, why[c]).
			WithHelp("delete them by hand, or have the program that wrote them do it")
		for n, i := range byWhom[c] {
			if n == maxShownRules {
				d.Note(diag.Span{}, "and %d more", len(byWhom[c])-n)
				break
			}
			d.Note(h.live.Rules[i].Origin, "%s", shownRule(h.live.Rules[i]))
		}
	}
}

// noteCollected fills what the plan knows of the rules and chains of others that
// go: what LeavesForeign and Restore take out of account.
func (pl *planner) noteCollected(t *tablePlan) {
	p := pl.plan
	for chain, rules := range t.chosen {
		k := ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: chain}
		if p.collected[k] == nil {
			p.collected[k] = map[string]bool{}
		}
		for i := range rules {
			if r := t.live.Chain(chain).Rules[i]; r.Native == nil {
				p.collected[k][r.Text] = true
			}
		}
	}
	for _, e := range t.emptied {
		p.emptied[ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: e.name}] = true
	}
}

// writeEmptied drops the chains in which nothing is left, behind the removal of
// their rules and of the jumps to them.
func (pl *planner) writeEmptied(t *tablePlan) {
	for _, e := range t.emptied {
		k := ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: e.name}
		t.dropOps = append(t.dropOps, ir.Op{Kind: ir.OpDrop, Chain: e.name, Origin: e.by.Span})
		pl.change(Change{Key: k, Kind: Removed, Address: e.name, Before: e.name, Source: e.by.Span, Reason: e.by.reason()})
	}
}

// chosenAgain makes sure that the collections choose nothing of what is predicted:
// what they would choose there is a jump that the plan itself puts in, or a rule
// that is attributed to somebody else, or to nobody, without those that go.
func (pl *planner) chosenAgain() {
	var host *check.Host
	rec := pl.plan.attributionPlanned
	for _, t := range pl.tables {
		for _, c := range t.collects {
			planned, err := pl.plan.Planned.Lookup(c.Key)
			if err != nil || planned == nil {
				continue
			}
			if host == nil {
				host = pl.host(pl.plan.Planned, rec)
			}
			at, failed := c.choose(host, planned)
			if failed != nil {
				pl.diags().Add(failed)
				continue
			}
			for _, i := range at {
				r := planned.Rules[i]
				if !pl.plan.shared(c.Key) || !pl.ourJump(c.Key.Family, r) {
					pl.diags().Errorf(diag.AdoptOwned, c.Where.Source().Span, "what the expression chooses in %s depends on what it removes: this rule stays now and would be chosen next", c.Key).
						Note(r.Origin, "%s", shownRule(r)).WithHelp("choose rules by what they say; whose they are may follow from the rules beside them")
					continue
				}
				pl.diags().Errorf(diag.AdoptOwned, c.Where.Source().Span, "the expression chooses a jump that this plan puts into %s", c.Key).
					Note(r.Origin, "%s", r.Text).WithHelp("leave out what is ours: !rule.owned")
			}
		}
	}
}

// leftCollected lists, for a removal, the rules that collect would remove and
// that stay.
func (pl *planner) leftCollected() {
	host := pl.host(pl.snap.State, recognize.New(pl.cat, Fields).State(pl.snap.State))
	for _, p := range pl.programs {
		for _, c := range p.Collects {
			live, err := pl.snap.State.Lookup(c.Key)
			if err != nil || live == nil || !slices.Contains(pl.families, c.Key.Family) {
				continue
			}
			at, failed := c.choose(host, live)
			if failed != nil {
				pl.plan.LeftAsIs = append(pl.plan.LeftAsIs, "the rules that collect chooses in "+c.Key.String()+" (it cannot be told which: "+failed.Message+")")
				continue
			}
			for _, i := range at {
				line := "the collected rule in " + c.Key.String() + ": " + shownRule(live.Rules[i])
				if !slices.Contains(pl.plan.LeftAsIs, line) {
					pl.plan.LeftAsIs = append(pl.plan.LeftAsIs, line)
				}
			}
		}
	}
}

// Collects tells whether the plan removes a rule of others by this text.
func (p *Plan) Collects(k ir.ChainKey, text string) bool { return p.collected[k][text] }

// Empties tells whether the plan deletes a chain of others once nothing is left in
// it. If a tool refuses that, somebody has filled the chain or jumps to it, after
// the jumps to it were removed.
func (p *Plan) Empties(k ir.ChainKey) bool { return p.emptied[k] }
