package compiler

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/place"
	"hookline/compiler/timeline"
	"hookline/dsl/diag"
)

// baseKey names a base chain of ours: its ruleset, and the table and built-in chain
// of iptables for which it stands.
type baseKey struct{ ruleset, table, hook string }

// basePlace is where a base chain of ours stands.
type basePlace struct {
	Priority int
	// Held are the anchors that are kept out, or left where they stand, until what they
	// refer to appears.
	Held map[*Anchor]bool
}

// NFTScope is what must be read of a host to plan the programs for nft: their
// tables, and of iptables the built-in chains at the hooks in use, because who has
// rules there has a place that bounds can name. What constraints ask for comes
// later (Plan.Asked).
func NFTScope(programs []*Program, opt PlanOptions) ir.Scope {
	s := ir.Scope{Families: opt.Families, OwnSets: map[string][]*ir.OwnSet{}}
	for _, p := range programs {
		if name := nftables.TableName(p.Name); !slices.Contains(s.Own, name) {
			s.Own = append(s.Own, name)
		}
		for _, d := range p.Sets {
			s.OwnSets[nftables.TableName(p.Name)] = append(s.OwnSets[nftables.TableName(p.Name)], ownSet(d.NamedSet))
		}
		for _, a := range p.Anchors {
			if !ir.IsBuiltin(a.Key.Table, a.Key.Chain) {
				continue
			}
			for _, f := range nftables.KindOf(p.Families).Families() {
				for _, t := range ir.TableNames {
					if ir.IsBuiltin(t, a.Key.Chain) {
						s.Want(ir.ChainKey{Family: f, Table: t, Chain: a.Key.Chain})
					}
				}
			}
		}
	}
	return s
}

// baseHost is what is known of the base chains of a state.
func (pl *planner) baseHost(s *ir.State) *timeline.Host {
	return &timeline.Host{
		Tables: s.NFTTables, Catalogue: pl.cat, State: pl.snap.State, Attribution: pl.rec, Legacy: pl.snap.Others, Ours: pl.ourTable,
	}
}

// ourTable tells whether a table of nftables is that of a program.
func (pl *planner) ourTable(family, table string) bool {
	if !slices.Contains([]ir.TableKind{ir.Inet, ir.IP, ir.IP6}, ir.TableKind(family)) {
		return false
	}
	name, ok := nftables.RulesetOf(table)
	return ok && pl.isOurs(name)
}

// placeBases finds the priorities of the wanted tables' base chains, one table for
// each program. A chain without a place is not in the result; an error says why.
func (pl *planner) placeBases(tables []*nftables.Table) map[baseKey]basePlace {
	pl.boundsOnOtherRulesets()
	var wanted []*timeline.Wanted
	var sources [][]*Anchor
	for i, p := range pl.programs {
		if pl.opt.Remove {
			break
		}
		for _, table := range ir.TableNames {
			for _, hook := range ir.BuiltinChains(table) {
				c := tables[i].Chain(nftables.ChainName(table, hook))
				if c == nil || c.Base == nil {
					continue
				}
				w := &timeline.Wanted{Ruleset: p.Name, Table: tables[i], Chain: c, IPTable: table, Hook: hook, Base: *c.Base}
				var from []*Anchor
				for _, a := range p.Anchors {
					if a.Key.Table == table && a.Key.Chain == hook {
						w.Anchors = append(w.Anchors, pl.baseAnchor(a))
						from = append(from, a)
					}
				}
				wanted, sources = append(wanted, w), append(sources, from)
			}
		}
	}
	places, list := timeline.Place(pl.baseHost(pl.snap.State), wanted)
	pl.diags().Append(list)
	out := map[baseKey]basePlace{}
	for i, w := range wanted {
		if !places[i].OK {
			continue
		}
		at := basePlace{Priority: places[i].Priority, Held: map[*Anchor]bool{}}
		for k := range places[i].Held {
			at.Held[sources[i][k]] = true
		}
		out[baseKey{w.Ruleset, w.IPTable, w.Hook}] = at
	}
	return out
}

// boundsOnOtherRulesets warns of references to chains of rulesets that are not planned
// here: those stand in tables of their own, of which a plan reads the base chains only.
func (pl *planner) boundsOnOtherRulesets() {
	for _, p := range pl.programs {
		for _, a := range p.Anchors {
			for _, ref := range slices.Concat(a.After, a.Before) {
				for _, rec := range pl.opt.Recorded {
					if ref.Chain == "" || rec.Variant != ir.NFT || pl.isOurs(rec.Name) || !slices.Contains(rec.Declared, ref.Chain) {
						continue
					}
					pl.diags().Warnf(diag.MissingReference, ref.Span, "%s is a chain of ruleset %s, in a table of its own: it gives this place no bound", ref.Label, rec.Name).
						WithHelp("plan both rulesets together, or name the table as a participant: participants: {%s: {nftTables: [\"inet %s\"]}}", rec.Name, nftables.TableName(rec.Name))
				}
			}
		}
	}
}

// baseAnchor is an anchor with its bounds. References to single rules have no
// meaning here, and were refused.
func (pl *planner) baseAnchor(a *Anchor) timeline.Anchor {
	refs := func(list []Ref) []timeline.Ref {
		var out []timeline.Ref
		for _, r := range list {
			if r.Glob != nil {
				continue
			}
			t := timeline.Ref{Label: r.Label, Span: r.Span, Participant: r.Participant, Tail: r.Tail, Chain: r.Chain, IfMissing: r.IfMissing}
			if pl.opt.emptyHost {
				t.IfMissing = place.Ignore
			}
			out = append(out, t)
		}
		return out
	}
	return timeline.Anchor{Name: a.Name, Span: a.Span, Family: a.Key.Family, Target: a.Target, After: refs(a.After), Before: refs(a.Before)}
}

// timelines shows each hook at which the programs have, or will have, a base chain,
// and warns where what one accepts can be dropped later.
func (pl *planner) timelines(before, after *ir.State) {
	host := pl.baseHost(after)
	hooks := timeline.Compare(pl.baseHost(before), host)
	for i := range hooks {
		host.Remark(&hooks[i], func(c *timeline.Chain) timeline.Verdicts {
			t := after.OwnTable(ir.TableKind(c.Family), c.Table)
			own := t.Chain(c.Name)
			if own == nil {
				return timeline.Verdicts{}
			}
			return timeline.VerdictsOf(t, own)
		})
	}
	pl.plan.Timelines = hooks
	pl.acceptsNotFinal(hooks)
}

// acceptsNotFinal warns once for each base chain of ours, at its first anchor. The
// two families are told together.
func (pl *planner) acceptsNotFinal(hooks []timeline.Hook) {
	type place struct{ table, chain string }
	found := map[place]*diag.Diagnostic{}
	named := map[place]map[string]bool{}
	for _, h := range hooks {
		for _, r := range h.Remarks {
			if r.Kind != timeline.NotFinal {
				continue
			}
			k := place{r.Chain.Table, r.Chain.Name}
			d := found[k]
			if d == nil {
				d = pl.diags().Warnf(diag.AcceptNotFinal, pl.baseSpan(r.Chain), "what %s accepts at %s can still be dropped: an accept ends our base chain and not the hook",
					r.Chain.Name, h.Hook)
				d.WithHelp("allow it in the program that drops too")
				found[k], named[k] = d, map[string]bool{}
			}
			for _, o := range r.Others {
				line := o.Title() + " runs later"
				if !named[k][line] {
					named[k][line] = true
					d.Note(diag.Span{}, "%s, at priority %d: %s", line, o.Priority, pl.baseHost(pl.snap.State).CanDrop(o))
				}
			}
		}
	}
}

// baseSpan is the first anchor in a base chain of ours.
func (pl *planner) baseSpan(c *timeline.Chain) diag.Span {
	name, _ := nftables.RulesetOf(c.Table)
	for _, p := range pl.programs {
		if p.Name != name {
			continue
		}
		for _, a := range p.Anchors {
			if nftables.ChainName(a.Key.Table, a.Key.Chain) == c.Name {
				return a.Span
			}
		}
	}
	return diag.Span{}
}
