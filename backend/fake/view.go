package fake

import (
	"slices"

	"hookline/compiler/ir"
)

// view is the part of a state that a scope asks for. Chains that it does not ask
// for are listed by name only. References are counted, as the kernel does.
func view(s *ir.State, scope ir.Scope, v ir.Variant) *ir.State {
	all := scope.All || len(scope.Tables) == 0 && len(scope.Sets)+len(scope.SetGlobs) == 0 && !scope.AllSets
	out := &ir.State{}
	for _, f := range s.Families {
		if len(scope.Families) == 0 || slices.Contains(scope.Families, f) {
			out.Families = append(out.Families, f)
		}
	}
	for _, t := range s.Tables {
		if !slices.Contains(out.Families, t.Family) {
			continue
		}
		want := scope.Tables[t.Key()]
		if want == nil {
			want = &ir.TableScope{}
		}
		if all || v == ir.IptablesLegacy {
			want = &ir.TableScope{All: true}
		}
		out.Tables = append(out.Tables, viewTable(t, want))
	}
	out.SetsRead = all || scope.AllSets
	for _, set := range s.Sets {
		owned := slices.ContainsFunc(scope.SetGlobs, func(g string) bool { return ir.MatchGlob(g, set.Name) })
		if out.SetsRead || owned || slices.Contains(scope.Sets, set.Name) {
			n := *set
			if n.Refs = setRefs(s, set.Name); !owned && len(scope.SetGlobs) > 0 {
				n.Counted, n.Elements, n.Header = n.Size(), nil, ""
			}
			out.Sets = append(out.Sets, &n)
		}
	}
	return out
}

func viewTable(t *ir.Table, want *ir.TableScope) *ir.Table {
	out := *t
	out.Partial = t.Partial || !want.All
	out.Chains = make([]*ir.Chain, len(t.Chains))
	refs := map[string]int{}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if to := r.JumpTarget(); to != "" {
				refs[to]++
			}
		}
	}
	asked := func(name string) bool {
		return slices.ContainsFunc(want.Globs, func(g string) bool { return ir.MatchGlob(g, name) })
	}
	for i, c := range t.Chains {
		n := *c
		n.Refs = refs[c.Name]
		read := want.All || slices.Contains(want.Chains, c.Name) || asked(c.Name) ||
			want.Refs && slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool {
				to := r.JumpTarget()
				return to != "" && (asked(to) || slices.Contains(want.RefsTo, to))
			})
		if !read {
			n.Read, n.Rules = false, nil
		}
		out.Chains[i] = &n
	}
	return &out
}
