package lower

import (
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// How much of what not says goes into one rule. iptables-nft holds at most 128
// expressions in a rule; beyond a handful a chain of returns is easier to read,
// too.
const (
	maxRefusedInline = 16
	maxRefusedTotal  = 32
)

// conditions are all conditions of a rule for one family: every part of fixed
// holds, of each choice in any some alternative holds, and of none no alternative.
// The limits come last.
type conditions struct {
	fixed     *ir.Spec
	any       []choice
	none      []choice
	limits    []ir.Match
	notLimit  ir.Match
	protocols []uint8
	// absent tells that the rule matches nothing in this family.
	absent *absence
}

// conditions puts the rule's keys together for one family.
func (l *lowering) conditions(f ir.Family) conditions {
	c := conditions{fixed: &ir.Spec{}}
	is, not, protocols, gone := l.layer4.choices(f)
	c.protocols = protocols
	for _, k := range l.keys {
		x := k.of(f)
		if k.not {
			not = append(not, x)
		} else {
			is = append(is, x)
		}
	}
	// Exclusion by family is told first: it is what a rule with addresses of both
	// families is about.
	for _, x := range is {
		if x.absent != nil && (gone == nil || x.absent.family && !gone.family) {
			gone = x.absent
		}
	}
	if gone != nil {
		c.absent = gone
		return c
	}
	for _, x := range is {
		switch {
		case x.always:
		case len(x.alts) == 1:
			c.fixed = joined(c.fixed, x.alts[0].holds)
		default:
			c.any = append(c.any, x)
		}
	}
	inline := 0
	for _, x := range not {
		if x.absent != nil {
			continue // an empty list or set under not always holds
		}
		fails := refusals(x)
		if fails == nil || len(fails) > maxRefusedInline || inline+len(fails) > maxRefusedTotal {
			c.none = append(c.none, x)
			continue
		}
		inline += len(fails)
		c.fixed = joined(append([]*ir.Spec{c.fixed}, fails...)...)
	}
	for _, r := range l.limits {
		c.limits = append(c.limits, r.of(f))
	}
	if l.notRate != nil {
		c.notLimit = l.notRate.of(f)
	}
	return c
}

// refusals are the rule parts for which none of a choice holds; nil if there are
// none such.
func refusals(x choice) []*ir.Spec {
	var out []*ir.Spec
	for _, a := range x.alts {
		if a.fails == nil {
			return nil
		}
		out = append(out, a.fails)
	}
	return out
}

// place is where a finding about the whole rule is reported.
func (l *lowering) place() diag.Span {
	if l.rule.Action != nil {
		return l.rule.Action.Span
	}
	return l.rule.Span
}
