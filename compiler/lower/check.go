package lower

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// check asks xtables whether the rules may stand in their table and chain, and
// reports each finding once: at the key of match or not that it is about, else at
// the action.
func (l *lowering) check(f ir.Family, e *expansion) {
	specs := slices.Clone(e.rules)
	for _, c := range e.chains {
		specs = append(specs, c.Specs...)
	}
	for _, s := range specs {
		for _, err := range xtables.Check(s, l.ctx.Table, l.ctx.Chain, f) {
			if slices.Contains(l.refusals, err.Message) {
				continue
			}
			l.refusals = append(l.refusals, err.Message)
			code := err.Code
			if code == "" {
				code = diag.BadTarget
			}
			l.diags.Errorf(code, l.keyOf(s, err.Message, f), "%s", err.Message).Help = err.Help
		}
	}
}

// keyOf is the place of the key whose part of a rule alone gives the finding.
func (l *lowering) keyOf(s *ir.Spec, message string, f ir.Family) diag.Span {
	parts := map[string][]*ir.Spec{"in": {{In: s.In}}, "out": {{Out: s.Out}}}
	for _, m := range s.Matches {
		if key := keyName(m); key != "" {
			parts[key] = append(parts[key], &ir.Spec{Protocol: s.Protocol, Matches: []ir.Match{m}})
		}
	}
	for _, k := range slices.Concat(l.rule.Match, l.rule.Not) {
		for _, part := range parts[k.Name] {
			for _, err := range xtables.Check(part, l.ctx.Table, l.ctx.Chain, f) {
				if err.Message == message {
					return k.Span
				}
			}
		}
	}
	return l.place()
}

// keyName is the key that a match comes from, as far as a match may stand in some
// chains only.
func keyName(m ir.Match) string {
	switch m.(type) {
	case *ir.MAC:
		return "mac"
	case *ir.Owner:
		return "owner"
	case *ir.Physdev:
		return "physdev"
	case *ir.AddrType:
		return "addrtype"
	case *ir.Conntrack:
		return "state"
	case *ir.Hashlimit:
		return "hashlimit"
	case *ir.Helper:
		return "helper"
	}
	return ""
}
