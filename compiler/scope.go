package compiler

import (
	"slices"

	"hookline/compiler/ir"
)

// Scope is what must be read of a host to plan the programs: the shared chains
// that anchors and collections name, and in every table of both families what is ours and who
// refers to it. What constraints ask for comes later (Plan.Asked).
func Scope(programs []*Program, opt PlanOptions) ir.Scope {
	s := ir.Scope{Families: opt.Families, Sets: SetNames(programs), SetGlobs: SetGlobs(programs, opt.Recorded)}
	families := opt.Families
	if len(families) == 0 {
		families = ir.Families
	}
	globs := ownedGlobs(programs, opt.Recorded)
	for _, f := range families {
		for _, t := range ir.TableNames {
			s.WantGlob(ir.TableKey{Family: f, Name: t}, globs...)
			// A stale jump can stand in any shared chain, but only a chain that stands can
			// be jumped to; the reader finds who refers to it.
		}
	}
	for _, p := range programs {
		for _, a := range p.placed() {
			if slices.Contains(families, a.Key.Family) {
				s.Want(a.Key)
			}
		}
		for _, c := range p.Collects {
			switch {
			case !slices.Contains(families, c.Key.Family):
			case c.DropEmpty:
				s.WantRefs(c.Key)
			default:
				s.Want(c.Key)
			}
		}
	}
	return s
}

// SetGlobs are the globs of the sets that the programs own, and of those that are
// left over from filling them.
func SetGlobs(programs []*Program, recorded []Recorded) []string {
	var out []string
	for _, p := range programs {
		own := slices.Clone(p.Owns.Sets)
		for _, r := range recorded {
			if r.Name == p.Name {
				own = append(own, r.Sets...)
			}
		}
		if len(own) > 0 {
			out = append(append(out, own...), TemporarySets(p.Name))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ownedGlobs are the globs of what the programs own, declared names included.
func ownedGlobs(programs []*Program, recorded []Recorded) []string {
	var out []string
	for _, p := range programs {
		out = append(out, p.Owns.Chains...)
		out = append(out, p.DeclaredNames()...)
		for _, r := range recorded {
			if r.Name == p.Name {
				out = append(out, r.Declared...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
