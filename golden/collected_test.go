package golden_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
)

// goes compares what a prediction loses of chains that are not owned, rule by
// rule, with what the plan says is removed there: nothing goes unsaid, and each
// rule of somebody else goes for a reason.
func (s *scenario) goes(t *testing.T, plan *compiler.Plan) {
	t.Helper()
	lost, said := map[ir.ChainKey][]string{}, map[ir.ChainKey][]string{}
	for _, table := range plan.Live.Tables {
		planned := plan.Planned.Table(table.Family, table.Name)
		for _, c := range table.Chains {
			k := ir.ChainKey{Family: table.Family, Table: table.Name, Chain: c.Name}
			if slices.Contains(plan.Owned, k) || planned == nil {
				continue
			}
			left := map[string]int{}
			now := planned.Chain(c.Name)
			if now == nil {
				lost[k] = append(lost[k], "chain "+c.Name)
				now = &ir.Chain{}
			}
			for _, r := range now.Rules {
				left[r.Text]++
			}
			for _, r := range c.Rules {
				if left[r.Text]--; left[r.Text] < 0 {
					lost[k] = append(lost[k], r.Text)
				}
			}
		}
	}
	for _, c := range plan.Changes {
		switch {
		case c.Kind != compiler.Removed || slices.Contains(plan.Owned, c.Key):
		case c.Before == c.Key.Chain && c.Address == c.Key.Chain:
			said[c.Key] = append(said[c.Key], "chain "+c.Before)
		default:
			said[c.Key] = append(said[c.Key], c.Before)
			if c.Reason == "" && !strings.Contains(c.Before, "hookline:") && !s.placed(plan, c) {
				t.Errorf("%s: %q goes, and nothing says why", c.Key, c.Before)
			}
		}
	}
	for _, list := range []map[ir.ChainKey][]string{lost, said} {
		for k := range list {
			slices.Sort(list[k])
		}
	}
	if d := cmp.Diff(lost, said); d != "" {
		t.Errorf("what goes (-predicted +said):\n%s", d)
	}
}

// placed tells whether a removed rule is a jump to a chain of ours, or a copy of
// an adopted one that stays.
func (s *scenario) placed(plan *compiler.Plan, c compiler.Change) bool {
	if slices.ContainsFunc(plan.Owned, func(k ir.ChainKey) bool { return k.Chain == c.Address }) {
		return true
	}
	for _, v := range plan.Views {
		for _, l := range v.Lines {
			if v.Key == c.Key && l.Adopted && l.Text == c.Before {
				return true
			}
		}
	}
	return false
}
