package lower

import (
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// How many values of one key, and of all, what not says puts into one rule; the
// rest becomes a chain of returns. iptables-nft holds at most 128 expressions in
// a rule. At least one value of each key stays in the rule if it can: xt_connmark
// and xt_mac match neither a value nor its negation on a packet that has none, so
// that returns alone would say something else.
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
		// An empty list or set under not always holds.
		for i, a := range x.alts {
			if a.fails == nil || i >= maxRefusedInline || inline >= maxRefusedTotal && i > 0 {
				c.none = append(c.none, choice{alts: x.alts[i:]})
				break
			}
			inline++
			c.fixed = joined(c.fixed, a.fails)
		}
	}
	for _, r := range l.limits {
		c.limits = append(c.limits, r.of(f))
	}
	if l.notRate != nil {
		c.notLimit = l.notRate.of(f)
	}
	return c
}

// place is where a finding about the whole rule is reported.
func (l *lowering) place() diag.Span {
	if l.rule.Action != nil {
		return l.rule.Action.Span
	}
	return l.rule.Span
}
