package lower

import (
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// effect is something that a packet carries and that an action can change while
// the packet stays in the chain. What cannot change there (addresses, ports,
// interfaces, ...) has no bit.
type effect uint8

const (
	packetMark effect = 1 << iota
	connMark
	packetLength
	hopLimit
	connHelper
	setElements
	anything = packetMark | connMark | packetLength | hopLimit | connHelper | setElements
)

// alternative is one value of a key, as parts of a rule: holds matches exactly
// if the value holds, fails exactly if not. fails is nil where no single rule
// beside others can say it.
type alternative struct {
	holds, fails *ir.Spec
}

// choice is a key for one family: under match any alternative has to hold, under
// not none.
type choice struct {
	alts []alternative
	// disjoint tells that at most one alternative holds for a packet.
	disjoint bool
	// depends is what the alternatives look at and an action could change.
	depends effect
	// always tells that some value holds for every packet of the family.
	always bool
	// absent says why there is no alternative.
	absent *absence
}

// nothing is the choice of a key that is an empty list.
func nothing(key string, at diag.Span) choice {
	return choice{absent: &absence{reason: key + " is an empty list", span: at}}
}

// matching is the part of a rule that is one match.
func matching(m ir.Match) *ir.Spec { return &ir.Spec{Matches: []ir.Match{m}} }

// safe tells that rules for the alternatives may stand one behind the other with
// the same action: a packet that one of them took cannot be taken by a later one.
func (c choice) safe(changes effect) bool { return c.disjoint && c.depends&changes == 0 }

// joined is the rule part for which all parts hold. No two parts may use the same
// one of -s, -d, -i, -o, -p; the choices are made so.
func joined(parts ...*ir.Spec) *ir.Spec {
	out := &ir.Spec{}
	for _, p := range parts {
		if p == nil {
			continue
		}
		out.Source = only(out.Source, p.Source)
		out.Destination = only(out.Destination, p.Destination)
		out.In = only(out.In, p.In)
		out.Out = only(out.Out, p.Out)
		out.Protocol = only(out.Protocol, p.Protocol)
		out.Matches = append(out.Matches, p.Matches...)
		if p.Target != nil {
			out.Target = p.Target
		}
	}
	return out
}

// only is the one of two that is set.
func only[T any](a, b *T) *T {
	switch {
	case b == nil:
		return a
	case a == nil:
		return b
	}
	panic("lower: two rule parts claim the same option")
}
