package survey

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// standing is what stands of one ruleset.
type standing struct {
	jumps int
	// tables of nftables that are its own.
	tables []string
	// variants in which something of it stands, in the order of looking; of each there
	// are places.
	variants []ir.Variant
	places   []string
}

func (x *standing) in(v ir.Variant, place string) {
	if !slices.Contains(x.variants, v) {
		x.variants = append(x.variants, v)
	}
	x.places = append(x.places, place)
}

// variant is the one that something of the ruleset stands in; empty if that is
// several.
func (x *standing) variant() ir.Variant {
	if len(x.variants) == 1 {
		return x.variants[0]
	}
	return ""
}

// standing finds what stands of rulesets, by name.
func (s *surveyor) standing() map[string]*standing {
	out := map[string]*standing{}
	of := func(name string) *standing {
		if out[name] == nil {
			out[name] = &standing{}
		}
		return out[name]
	}
	for _, d := range s.sides {
		d.each(func(k ir.ChainKey, _ *ir.Table, c *ir.Chain) {
			for i, r := range c.Rules {
				if name, target := s.anchor(k.Family, r); target != "" {
					of(name).jumps++
					of(name).in(d.variant, fmt.Sprintf("%s %s, position %d: jump to %s", d.variant, k, i+1, target))
				}
			}
		})
	}
	for _, key := range s.snap.NFTTables() {
		if name := ownedTable(key); name != "" {
			of(name).tables = append(of(name).tables, key)
			of(name).in(ir.NFT, fmt.Sprintf("%s: table %s", ir.NFT, key))
		}
	}
	return out
}

// ownedTable is the ruleset whose own a table of nftables is, or "".
func ownedTable(key string) string {
	kind, table, _ := strings.Cut(key, " ")
	name, ok := strings.CutPrefix(table, ir.OwnTablePrefix)
	if !ok || !slices.Contains([]ir.TableKind{ir.Inet, ir.IP, ir.IP6}, ir.TableKind(kind)) {
		return ""
	}
	return name
}

// rulesets joins what is recorded of rulesets with what stands of them.
func (s *surveyor) rulesets() {
	stand := s.standing()
	looked := s.snap.Host != nil && s.snap.Host.Rulesets != nil
	if !looked {
		s.unknown("the record of rulesets was not looked at")
	}
	recorded := map[string]bool{}
	if looked {
		s.report.Rulesets = []Ruleset{}
		for _, r := range s.snap.Host.Rulesets {
			recorded[r.Name] = true
			x := Ruleset{Name: r.Name, Version: r.Version, Status: r.Status, Variant: r.Variant}
			if there := stand[r.Name]; there != nil {
				x.Jumps, x.Tables = there.jumps, there.tables
			}
			s.report.Rulesets = append(s.report.Rulesets, x)
			if r.Status != "applied" {
				s.find(Finding{
					Severity: Warning, Code: Unfinished,
					Message: fmt.Sprintf("an apply of %s %s did not come to its end; each table is as it was before or as it was to be", r.Name, r.Version),
					Help:    "apply again",
				})
			}
		}
	}
	for _, name := range sorted(stand) {
		there := stand[name]
		s.twice(name, there)
		if recorded[name] {
			continue
		}
		r := Ruleset{Name: name, Variant: there.variant(), Jumps: there.jumps, Tables: there.tables}
		if looked {
			r.Status = "unrecorded"
			s.find(Finding{
				Severity: Warning, Code: Unrecorded, Details: there.places,
				Message: fmt.Sprintf("%s of ruleset %s stand that the state directory does not know", there.what(), name),
				Effects: []string{"which chains it owned is not known: `remove` needs its file"},
				Help:    "apply it again to have it recorded, or remove it with its file; check --state-dir",
			})
		}
		s.report.Rulesets = append(s.report.Rulesets, r)
	}
}

// what says what stands, in the plural.
func (x *standing) what() string {
	switch {
	case x.jumps == 0:
		return "tables"
	case len(x.tables) == 0:
		return "jumps"
	}
	return "jumps and tables"
}

// twice finds what stands of a ruleset in several backends.
func (s *surveyor) twice(name string, there *standing) {
	if len(there.variants) < 2 {
		return
	}
	var words []string
	for _, v := range there.variants {
		words = append(words, string(v))
	}
	s.find(Finding{
		Severity: Hurts, Code: TwoBackends, Details: there.places,
		Message: fmt.Sprintf("objects of ruleset %s stand in %s", name, strings.Join(words, " and ")),
		Effects: []string{"packets meet the rules of each, and only those of one are kept up to date: what the others drop or rewrite is nobody's"},
		Help:    "take it away where it is not wanted: hookline remove --backend KIND, with its file",
	})
}
