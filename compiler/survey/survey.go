package survey

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
)

// unknown is the program of what nobody claims.
const unknown = "unknown"

// New surveys a snapshot, with a catalogue and a recognizer that was made of it.
func New(snap *ir.Snapshot, cat *participant.Catalogue, rec *recognize.Recognizer) *Report {
	s := &surveyor{
		snap: snap, cat: cat, rec: rec,
		report: &Report{
			FormatVersion: FormatVersion, Snapshot: snap.Source, Redacted: snap.Redacted, Backend: snap.Variant, Why: snap.Why,
			Findings: []Finding{}, Variants: []Variant{}, Participants: []Participant{}, Chains: []Chain{}, Notes: snap.Warnings,
		},
	}
	s.report.Hostname, _ = snap.Facts["hostname"].(string)
	s.report.Kernel, _ = snap.Facts["kernel"].(string)
	s.sides = append(s.sides, s.side(snap.Variant, snap.State))
	if snap.Others != nil {
		s.sides = append(s.sides, s.side(snap.Variant.Other(), snap.Others))
	} else {
		s.unknown("the tables of %s were not looked at", snap.Variant.Other())
	}
	for _, look := range []func(){
		s.participants, s.variants, s.natives, s.unreadables, s.order, s.hooks, s.tools, s.firewalld, s.settings, s.rulesets,
	} {
		look()
	}
	slices.SortStableFunc(s.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Severity.rank(), b.Severity.rank()) })
	return s.report
}

func (s Severity) rank() int { return slices.Index([]Severity{Hurts, Warning, Note}, s) }

type surveyor struct {
	snap   *ir.Snapshot
	cat    *participant.Catalogue
	rec    *recognize.Recognizer
	report *Report
	sides  []*side
	// programCopies and copies are rules that stand more than once, a line each.
	programCopies, copies []string
}

// side is one variant with whose its rules are.
type side struct {
	variant ir.Variant
	state   *ir.State
	table   *recognize.Table
	// ours are the chains of rulesets, with the ruleset's name.
	ours map[ir.ChainKey]string
}

// family tells whether a family of the side was read.
func (d *side) family(f ir.Family) bool { return slices.Contains(d.state.Families, f) }

func (s *surveyor) find(f Finding) { s.report.Findings = append(s.report.Findings, f) }

func (s *surveyor) unknown(format string, args ...any) {
	s.report.Unknown = append(s.report.Unknown, fmt.Sprintf(format, args...))
}

func (s *surveyor) side(v ir.Variant, state *ir.State) *side {
	d := &side{variant: v, state: state, table: s.rec.State(state), ours: map[ir.ChainKey]string{}}
	for _, t := range state.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				if name, target := s.anchor(t.Family, r); target != "" {
					d.claim(t, target, name)
				}
			}
		}
	}
	for _, f := range ir.Families {
		if !d.family(f) {
			s.unknown("what stands in the %s tables of %s is not known", f, v)
		}
	}
	return d
}

// anchor is the ruleset that a jump belongs to, and the chain that it leads to.
func (s *surveyor) anchor(f ir.Family, r *ir.Rule) (ruleset, target string) {
	if r.Native != nil || r.JumpTarget() == "" {
		return "", ""
	}
	// A comment without a name is nobody's.
	if name := ir.AnchorOf(s.rec.Fields(f, r).Comments); name != "" {
		return name, r.JumpTarget()
	}
	return "", ""
}

// claim gives a chain, and the chains that it leads to and that are no known
// program's, to a ruleset.
func (d *side) claim(t *ir.Table, chain, ruleset string) {
	k := ir.ChainKey{Family: t.Family, Table: t.Name, Chain: chain}
	c := t.Chain(chain)
	if c == nil || d.ours[k] != "" || d.table.ChainOwner(chain) != "" || ir.IsBuiltin(t.Name, chain) {
		return
	}
	d.ours[k] = ir.AnchorComment + ruleset
	for _, r := range c.Rules {
		if to := r.JumpTarget(); to != "" && r.Native == nil {
			d.claim(t, to, ruleset)
		}
	}
}

// programs says whose each rule of a chain is, in order.
func (s *surveyor) programs(d *side, k ir.ChainKey, c *ir.Chain) []recognize.Attribution {
	all := slices.Clone(d.table.Rules(k))
	for i := range all {
		switch name, target := s.anchor(k.Family, c.Rules[i]); {
		case target != "":
			all[i] = recognize.Attribution{Participant: ir.AnchorComment + name}
		case d.ours[k] != "":
			all[i] = recognize.Attribution{Participant: d.ours[k]}
		default:
			all[i].Participant = s.program(all[i].Participant)
		}
	}
	return all
}

// program is a participant as the report calls it. One that shares all that it has
// here with another one is that one: KUBE-FIREWALL does not show that there is a
// kubelet.
func (s *surveyor) program(name string) string {
	if name == "" || name == unknown {
		return unknown
	}
	if e := s.cat.Entry(name); e != nil && !s.present(name) {
		for _, x := range e.Shared {
			if s.present(x.With) {
				return x.With
			}
		}
	}
	return name
}

// chainProgram is whose a chain is by its name, or unknown.
func (s *surveyor) chainProgram(d *side, k ir.ChainKey) string {
	return cmp.Or(d.ours[k], s.program(d.table.ChainOwner(k.Chain)))
}

// each calls f with every chain of a side.
func (d *side) each(f func(k ir.ChainKey, t *ir.Table, c *ir.Chain)) {
	for _, t := range d.state.Tables {
		for _, c := range t.Chains {
			f(ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}, t, c)
		}
	}
}

// sorted is the keys of a map in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
