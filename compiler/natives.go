package compiler

import (
	"fmt"

	"hookline/compiler/ir"
	"hookline/compiler/recognize"
	"hookline/dsl/diag"
)

// nativeMark begins the text of a native rule where rules are listed.
const nativeMark = "native nft rule: "

// maxNativeNotes is how many native rules a finding lists: a chain can hold
// thousands.
const maxNativeNotes = 10

// nativeRules reports that native nft rules stand in a chain that the rulesets
// need. A jump that is in bounds may stay beside them, and the places of rules
// that iptables can read still show that; nothing is put in, moved or deleted.
func (pl *planner) nativeRules(h *hookPlan) {
	var d *diag.Diagnostic
	if h.output.Changed() {
		d = pl.diags().Errorf(diag.NativeRules, h.anchors[0].Span,
			"%s holds native nft rules, which iptables misreads: nothing can be placed in it", h.key)
	} else {
		d = pl.diags().Warnf(diag.NativeRules, h.anchors[0].Span,
			"%s holds native nft rules, which iptables misreads; what is ours stands within its bounds and is left alone", h.key)
	}
	pl.noteNatives(d, pl.rec.NativesIn(h.key))
}

// noteNatives lists native rules, the part that iptables cannot read in brackets.
func (pl *planner) noteNatives(d *diag.Diagnostic, rules []recognize.NativeRule) {
	for i, n := range rules {
		if i == maxNativeNotes {
			d.Note(diag.Span{}, "and %d more native rules", len(rules)-i)
			return
		}
		who := "nobody known wrote it"
		if n.Author.Participant != "" {
			who = "probably by " + n.Author.Participant
		}
		comment := ""
		if n.Comment != "" {
			comment = fmt.Sprintf(", comment %q", n.Comment)
		}
		d.Note(pl.nativeOrigin(n), "%s rule %d, handle %d: %s%s; %s", n.Key.Chain, n.Index+1, n.Handle, n, comment, who)
	}
}

// nativeOrigin is the line of a recorded snapshot in which iptables misread the
// rule; nowhere if it did not print it.
func (pl *planner) nativeOrigin(n recognize.NativeRule) diag.Span {
	c := pl.snap.State.Table(n.Key.Family, n.Key.Table).Chain(n.Key.Chain)
	if n.Index < len(c.Rules) {
		return c.Rules[n.Index].Origin
	}
	return diag.Span{}
}

// tableNatives are the native rules that are known to stand in one table.
func (pl *planner) tableNatives(k ir.TableKey) []recognize.NativeRule {
	var out []recognize.NativeRule
	for _, c := range pl.snap.State.Table(k.Family, k.Name).Chains {
		out = append(out, pl.rec.NativesIn(ir.ChainKey{Family: k.Family, Table: k.Name, Chain: c.Name})...)
	}
	return out
}

// unreadableHelp says what to look at if a table cannot be read.
func unreadableHelp(k ir.TableKey) string {
	return fmt.Sprintf("a program wrote native nft rules into it; see them with `nft -a list table %s %s`", nftFamily(k.Family), k.Name)
}
