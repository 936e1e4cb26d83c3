package recognize

import (
	"hookline/compiler/ir"
	"hookline/compiler/participant"
)

// Fields is what recognition asks of a rule. All of it is as iptables-save
// prints it, unquoted; empty means that the rule has no such part.
type Fields struct {
	// Target is the target's name, or the chain that the rule jumps or goes to.
	Target string
	// Goto tells -g from -j.
	Goto     bool
	Comments []string
	// In and Out are interface names; a negated one has "! " in front.
	In, Out string
	// Sets are the names of the sets in the rule's matches and target.
	Sets []string
	// Text is the rule behind `-A CHAIN `.
	Text string
}

// Decoder gets at the fields of a rule, native rules included. It is called
// once for each rule that is looked at, so it should not decode more than it
// returns.
type Decoder func(f ir.Family, r *ir.Rule) Fields

// FromSpec is the fields of a decoded rule.
func FromSpec(spec *ir.Spec, text string) Fields {
	f := Fields{Text: text, Comments: spec.Comments(), In: iface(spec.In), Out: iface(spec.Out)}
	f.Target, f.Goto = target(spec.Target)
	for _, m := range spec.Matches {
		if s, ok := m.(*ir.SetMatch); ok {
			f.Sets = append(f.Sets, s.Name)
		}
	}
	if raw, ok := spec.Target.(*ir.RawTarget); ok && raw.Name == "SET" {
		for i, a := range raw.Args[:max(0, len(raw.Args)-1)] {
			if a == "--add-set" || a == "--del-set" || a == "--map-set" {
				f.Sets = append(f.Sets, raw.Args[i+1])
			}
		}
	}
	return f
}

func iface(i *ir.Interface) string {
	switch {
	case i == nil:
		return ""
	case i.Not:
		return "! " + i.Name
	}
	return i.Name
}

// target is the name of a target as iptables writes it behind -j.
func target(t ir.Target) (name string, isGoto bool) {
	switch t := t.(type) {
	case nil:
		return "", false
	case *ir.Verdict:
		return t.Name, false
	case *ir.Jump:
		return t.Chain, t.Goto
	case *ir.Reject:
		return "REJECT", false
	case *ir.Log:
		return "LOG", false
	case *ir.NFLog:
		return "NFLOG", false
	case *ir.NAT:
		if t.Dest {
			return "DNAT", false
		}
		return "SNAT", false
	case *ir.Masquerade:
		return "MASQUERADE", false
	case *ir.Redirect:
		return "REDIRECT", false
	case *ir.SetMark:
		return "MARK", false
	case *ir.SetConnmark:
		return "CONNMARK", false
	case *ir.CT:
		return "CT", false
	case *ir.TCPMSS:
		return "TCPMSS", false
	case *ir.TProxy:
		return "TPROXY", false
	case *ir.SetDSCP:
		return "DSCP", false
	case *ir.RawTarget:
		return t.Name, false
	default:
		return "", false
	}
}

// Matches tells whether a rule with these fields has the glob's shape: every key
// that is set matches. Where the rule stands is not asked; see RuleGlob.Applies.
func Matches(g participant.RuleGlob, f Fields) bool {
	return holds(g.Target, f.Target) && holds(g.In, f.In) && holds(g.Out, f.Out) &&
		holdsAny(g.Comment, f.Comments) && holdsAny(g.Set, f.Sets) && holds(g.Text, f.Text)
}

func holds(glob, text string) bool { return glob == "" || ir.MatchGlob(glob, text) }

func holdsAny(glob string, texts []string) bool {
	if glob == "" {
		return true
	}
	for _, t := range texts {
		if ir.MatchGlob(glob, t) {
			return true
		}
	}
	return false
}
