package survey

import (
	"fmt"

	"hookline/compiler/ir"
)

// rulesets joins what is recorded of rulesets with what stands of them.
func (s *surveyor) rulesets() {
	jumps := map[string]int{}
	variants := map[string]ir.Variant{}
	places := map[string][]string{}
	for _, d := range s.sides {
		d.each(func(k ir.ChainKey, _ *ir.Table, c *ir.Chain) {
			for i, r := range c.Rules {
				if name, target := s.anchor(k.Family, r); target != "" {
					jumps[name]++
					variants[name] = d.variant
					places[name] = append(places[name], fmt.Sprintf("%s %s, position %d: jump to %s", d.variant, k, i+1, target))
				}
			}
		})
	}
	looked := s.snap.Host != nil && s.snap.Host.Rulesets != nil
	if !looked {
		s.unknown("the record of rulesets was not looked at")
	}
	recorded := map[string]bool{}
	if looked {
		s.report.Rulesets = []Ruleset{}
		for _, r := range s.snap.Host.Rulesets {
			recorded[r.Name] = true
			s.report.Rulesets = append(s.report.Rulesets, Ruleset{r.Name, r.Version, r.Status, r.Variant, jumps[r.Name]})
			if r.Status != "applied" {
				s.find(Finding{
					Severity: Warning, Code: Unfinished,
					Message: fmt.Sprintf("an apply of %s %s did not come to its end; each table is as it was before or as it was to be", r.Name, r.Version),
					Help:    "apply again",
				})
			}
		}
	}
	for _, name := range sorted(jumps) {
		if recorded[name] {
			continue
		}
		r := Ruleset{Name: name, Variant: variants[name], Jumps: jumps[name]}
		if looked {
			r.Status = "unrecorded"
			s.find(Finding{
				Severity: Warning, Code: Unrecorded, Details: places[name],
				Message: fmt.Sprintf("jumps of ruleset %s stand that the state directory does not know", name),
				Effects: []string{"which chains it owned is not known: `remove` needs its file"},
				Help:    "apply it again to have it recorded, or remove it with its file; check --state-dir",
			})
		}
		s.report.Rulesets = append(s.report.Rulesets, r)
	}
}
