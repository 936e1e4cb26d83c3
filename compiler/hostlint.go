package compiler

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/dsl/diag"
)

// hostLint warns of what is right by itself and does not work on this host.
func (pl *planner) hostLint() {
	if pl.opt.Remove || pl.opt.emptyHost {
		return
	}
	pl.markLint()
	pl.idleChains()
}

// markLint warns of marks of the rulesets that keep another program from
// recognising its own.
func (pl *planner) markLint() {
	if pl.opt.Remove || pl.opt.emptyHost {
		return
	}
	for _, m := range pl.cat.WholeMarks() {
		for _, table := range m.WholeIn {
			if slices.Contains(pl.snap.NFTTables(), table) {
				pl.hiddenMark(m, table)
			}
		}
	}
}

// hiddenMark warns of rules that set bits beside a mark which its program compares
// as a whole: it no longer recognises its own (FIELD F-7).
func (pl *planner) hiddenMark(m participant.MarkOwner, table string) {
	for _, p := range pl.programs {
		for _, ch := range p.Chains {
			if !slices.Contains(nftTableFamilies(table), ch.Key.Family) || !slices.Contains(pl.families, ch.Key.Family) || ch.Key.Table == lateTable {
				continue
			}
			for _, r := range ch.Rules {
				bits := setBits(r.Rule.Spec) &^ uint32(m.Mask)
				if bits == 0 {
					continue
				}
				pl.diags().Warnf(diag.MarkCollision, r.Rule.Origin, "the bits 0x%x hide the mark %v of %s: its table %s compares the whole mark",
					bits, m.Value, m.Participant, table).
					Note(diag.Span{}, "with any other bit set, %s %s", m.Participant, m.Hidden).
					WithHelp("keep what is wanted in the connection's mark (connmark), or clear the bits again ahead of nat POSTROUTING")
			}
		}
	}
}

// lateTable is the table whose chains run behind every nat chain (at priority 150
// in nf_tables).
const lateTable = "security"

// nftTableFamilies are the families whose packets pass through a table of nftables.
func nftTableFamilies(table string) []ir.Family {
	family, _, _ := strings.Cut(table, " ")
	switch family {
	case "ip":
		return []ir.Family{ir.IPv4}
	case "ip6":
		return []ir.Family{ir.IPv6}
	}
	return ir.Families
}

// setBits are the bits of the packet mark that a rule may set.
func setBits(s *ir.Spec) uint32 {
	if s == nil {
		return 0
	}
	switch t := s.Target.(type) {
	case *ir.SetMark:
		return t.Value
	case *ir.TProxy:
		return t.Value
	case *ir.SetConnmark:
		if t.Op == "restore" {
			return t.CTMask
		}
	default:
	}
	return 0
}

// idleChains warns of declared chains that a program gives to its users and that
// nobody asks in a family: their rules do nothing.
func (pl *planner) idleChains() {
	for _, p := range pl.programs {
		for _, ch := range p.Chains {
			who, isGiven := pl.cat.UserChain(ch.Key.Chain)
			if !isGiven || len(ch.Rules) == 0 || !slices.Contains(pl.families, ch.Key.Family) || pl.jumpedTo(ch.Key) {
				continue
			}
			d := pl.diags().Warnf(diag.IdleChain, ch.Span, "nothing jumps to %s: its rules do nothing until %s makes its jump", ch.Key, who)
			e := pl.cat.Entry(who)
			for _, t := range e.NFTTables {
				if slices.Contains(nftTableFamilies(t), ch.Key.Family) && slices.Contains(pl.snap.NFTTables(), t) {
					d.Note(diag.Span{}, "%s stands in nftables as %s, where it asks no chain of iptables", who, t)
				}
			}
			for _, b := range e.Behaviours {
				if b.Kind.Repairs() && !b.NotByDefault && slices.Contains(b.Tables, ch.Key.Table) {
					d.Note(diag.Span{}, "%s", b.Return(who, nil))
				}
			}
		}
	}
}

// jumpedTo tells whether a rule that was read, or that the plan puts in, jumps to
// a chain. Whoever refers to an owned chain was asked for (Scope).
func (pl *planner) jumpedTo(k ir.ChainKey) bool {
	for _, p := range pl.programs {
		// Where the plan has errors, nothing is predicted.
		if slices.ContainsFunc(p.Anchors, func(a *Anchor) bool { return a.Key.TableKey() == k.TableKey() && a.Target == k.Chain }) {
			return true
		}
	}
	t := pl.plan.Planned.Table(k.Family, k.Table)
	if t == nil {
		return false
	}
	for _, c := range t.Chains {
		if slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool { return ruleTarget(r) == k.Chain }) {
			return true
		}
	}
	return false
}
