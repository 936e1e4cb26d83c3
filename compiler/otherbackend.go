package compiler

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/recognize"
	"hookline/dsl/diag"
)

// checkOtherVariant refuses to plan while objects of the rulesets stand in another
// backend's tables: they would go on working there unseen. To take away what is
// ours here is never wrong: then it is a warning.
func (pl *planner) checkOtherVariant() {
	if pl.snap.Variant == ir.NFT {
		pl.ownedIn(pl.snap.State, ir.IptablesNFT)
		pl.ownedIn(pl.snap.Others, ir.IptablesLegacy)
		return
	}
	pl.ownTablesStand()
	other := pl.snap.Variant.Other()
	pl.ownedIn(pl.snap.Others, other)
	if pl.snap.Others == nil {
		return
	}
	if there := holdings(pl.snap.Others); !there.empty() {
		pl.mixedBackends(other, there)
	}
}

// ownedIn reports the chains of a state of a variant that is not planned for which
// are ours. The state may be nil, and need not hold more than names.
func (pl *planner) ownedIn(s *ir.State, v ir.Variant) {
	if s == nil {
		return
	}
	for _, t := range s.Tables {
		for _, c := range t.Chains {
			if ir.IsBuiltin(t.Name, c.Name) {
				continue
			}
			if pl.snap.Variant != ir.NFT {
				pl.collectedElsewhere(ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}, v)
			}
			if p := pl.ownerOf(c.Name); p != nil {
				pl.standsElsewhere(v, p.Span, "chain %s of table %s of %s is ours and stands in %s, but the plan is for %s",
					c.Name, t.Name, t.Family, v, pl.snap.Variant)
			}
		}
	}
}

// ownTablesStand reports the tables of nftables that are those of rulesets which
// are planned for iptables.
func (pl *planner) ownTablesStand() {
	standing := pl.snap.NFTTables()
	for _, p := range pl.programs {
		for _, kind := range []ir.TableKind{ir.IP, ir.IP6, ir.Inet} {
			key := (&ir.OwnTable{Kind: kind, Name: nftables.TableName(p.Name)}).Key()
			if slices.Contains(standing, key) {
				pl.standsElsewhere(ir.NFT, p.Span, "the table %s of nftables is that of ruleset %s and stands, but the plan is for %s", key, p.Name, pl.snap.Variant)
			}
		}
	}
}

// standsElsewhere reports an object of ours in the tables of another backend.
func (pl *planner) standsElsewhere(where ir.Variant, at diag.Span, format string, args ...any) {
	report := pl.diags().Errorf
	if pl.opt.Remove {
		report = pl.diags().Warnf
	}
	report(diag.OtherBackend, at, format, args...).WithHelp("remove it there first: hookline remove PATH... --backend %s", where)
}

// holding is how much a state holds beyond empty built-in chains. What is known
// of it by name only counts as chains.
type holding struct {
	chains, rules int
	// unread tells that there are rules which were not read.
	unread bool
}

func holdings(s *ir.State) holding {
	var h holding
	for _, t := range s.Tables {
		for _, c := range t.Chains {
			if !ir.IsBuiltin(t.Name, c.Name) {
				h.chains++
			}
			h.rules += len(c.Rules)
			h.unread = h.unread || !c.Read
		}
	}
	return h
}

func (h holding) empty() bool { return h.chains == 0 && h.rules == 0 && !h.unread }

func (h holding) String() string {
	s := count(h.chains, "chain")
	switch {
	case !h.unread:
		s += " and " + count(h.rules, "rule")
	case h.rules > 0:
		s += " and at least " + count(h.rules, "rule")
	}
	return s
}

// mixedBackends warns of what stands in the other variant's tables, and says who
// wrote it. Programs that write without chains of their own leave rules in
// built-in chains only (flannel before 0.20).
func (pl *planner) mixedBackends(other ir.Variant, there holding) {
	d := pl.diags().Warnf(diag.MixedBackends, diag.Span{}, "%s tables with %s stand beside the %s ones, with %s, that the plan is for: packets go through both",
		other, there, pl.snap.Variant, holdings(pl.snap.State))
	named := 0
	for _, f := range recognize.New(pl.cat, Fields).State(pl.snap.Others).Participants(nil) {
		var what []string
		if f.Chains > 0 {
			what = append(what, count(f.Chains, "chain"))
		}
		if f.Rules > 0 {
			what = append(what, count(f.Rules, "rule"))
		}
		if len(what) > 0 {
			d.Note(diag.Span{}, "of these, %s: %s", f.Name, strings.Join(what, ", "))
		}
		named += f.Rules
	}
	if rest := there.rules - named; named > 0 && rest > 0 {
		d.Note(diag.Span{}, "of these, unknown: %s", count(rest, "rule"))
	}
	d.WithHelp("nothing is planned there; %s shows it, and what nobody uses any more is best deleted", saveTool(other))
}

// saveTool is the tool that prints a variant's tables.
func saveTool(v ir.Variant) string { return string(v) + "-save" }

// elsewhere tells that objects of the rulesets were found in another backend's
// tables.
func (p *Plan) elsewhere() bool {
	return slices.ContainsFunc(p.Diags.All(), func(d *diag.Diagnostic) bool { return d.Code == diag.OtherBackend })
}
