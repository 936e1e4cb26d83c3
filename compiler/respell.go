package compiler

import (
	"maps"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// Spelling is a rule text of ours and what a tool prints for it.
type Spelling struct {
	Family        ir.Family
	Sent, Printed string
	Span          diag.Span
}

// Respelled finds rules of the program that stand at their own places with other
// words in a part that we cannot decode: the chain has as many rules as declared,
// and every other one means the same.
func (p *Program) Respelled(s *ir.State) []Spelling {
	var out []Spelling
	for _, c := range p.Chains {
		live, err := s.Lookup(c.Key)
		if err != nil || live == nil || len(live.Rules) != len(c.Rules) {
			continue
		}
		var found []Spelling
		for i, r := range c.Rules {
			stands := live.Rules[i]
			if stands.Native != nil {
				found = nil
				break
			}
			if xtables.Equal(r.Rule, stands, c.Key.Family) {
				continue
			}
			if !xtables.OnlyRawDiffers(r.Rule.Spec, xtables.DecodeRule(stands, c.Key.Family), c.Key.Family) {
				found = nil
				break
			}
			found = append(found, Spelling{c.Key.Family, r.Rule.Text, stands.Text, r.Rule.Origin})
		}
		out = append(out, found...)
	}
	return out
}

// Respellings lists those of a table of known spellings that the program's rules
// use.
func (p *Program) Respellings(known map[string]string) []Spelling {
	var out []Spelling
	for _, c := range p.Chains {
		for _, r := range c.Rules {
			if printed, ok := known[RespellKey(c.Key.Family, r.Rule.Text)]; ok {
				out = append(out, Spelling{c.Key.Family, r.Rule.Text, printed, r.Rule.Origin})
			}
		}
	}
	return out
}

// DeclaredNames are the names of the declared chains, sorted.
func (p *Program) DeclaredNames() []string { return slices.Sorted(maps.Keys(p.names)) }

// Writes tells whether the plan changes a table.
func (p *Plan) Writes(k ir.TableKey) bool {
	if slices.ContainsFunc(p.Transaction.NFT, func(o ir.NFTOp) bool { return OwnTableKey(o) == k }) {
		return true
	}
	return slices.ContainsFunc(p.Transaction.Blocks, func(b ir.Block) bool {
		return b.Family == k.Family && b.Table == k.Name && len(b.Ops) > 0
	})
}

// exit3 are the codes of findings about a host that does not allow what a ruleset
// asks for; every other error is the input's or the machine's fault (CONTRACT 6).
var exit3 = map[diag.Code]bool{
	diag.MissingReference: true, diag.CrossingBounds: true, diag.ConstraintNot: true, diag.ForeignReference: true,
	diag.UndeletableRule: true, diag.NativeRules: true, diag.UnresolvedSet: true, diag.OtherRuleset: true,
	diag.SetMismatch: true, diag.NoPriority: true, diag.Intrusion: true,
}

// MayPass tells whether a finding may go away by itself, because another program
// repairs or creates what is missing.
func MayPass(c diag.Code) bool {
	return c == diag.MissingReference || c == diag.CrossingBounds || c == diag.ConstraintNot || c == diag.UnresolvedSet
}

// ExitCode is the exit code that findings ask for: 0 without errors, 3 if a
// placement or a constraint does not hold, 1 for anything else.
func ExitCode(l *diag.List) int {
	code := 0
	for _, d := range l.All() {
		switch {
		case d.Severity != diag.Error:
		case exit3[d.Code]:
			if code == 0 {
				code = 3
			}
		default:
			code = 1
		}
	}
	return code
}
