package survey

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
)

// order says who stands where in each shared chain.
func (s *surveyor) order() {
	s.lostJumps()
	s.foreignJumps()
	for _, d := range s.sides {
		d.each(func(k ir.ChainKey, t *ir.Table, c *ir.Chain) {
			_, given := s.cat.UserChain(c.Name)
			if len(c.Rules) == 0 || !given && !ir.IsBuiltin(t.Name, c.Name) {
				return
			}
			s.chain(d, k, c)
		})
	}
	s.findDuplicates()
}

func (s *surveyor) chain(d *side, k ir.ChainKey, c *ir.Chain) {
	all := s.programs(d, k, c)
	view := Chain{Variant: d.variant, Family: k.Family.String(), Table: k.Table, Chain: k.Chain, Policy: c.Policy, Entries: []Entry{}}
	for i, a := range all {
		does := s.does(k.Family, c.Rules[i])
		if a.Participant == unknown && c.Rules[i].Native == nil {
			does = c.Rules[i].Text // nothing else tells what it is
		}
		if n := len(view.Entries); n > 0 && view.Entries[n-1].Program == a.Participant && view.Entries[n-1].Tail == a.Tail {
			e := &view.Entries[n-1]
			e.Last = i + 1
			e.Does = append(e.Does, does)
			continue
		}
		view.Entries = append(view.Entries, Entry{First: i + 1, Last: i + 1, Program: a.Participant, Tail: a.Tail, Does: []string{does}})
	}
	view.Moves = s.moves(k, all, c)
	s.report.Chains = append(s.report.Chains, view)
	s.duplicates(d, k, c, all)
	s.unreachable(d, k, c, all)
}

// does is where a rule leads to: its chain, or its target with the interfaces by
// which rules without a comment are told apart.
func (s *surveyor) does(f ir.Family, r *ir.Rule) string {
	fields := s.rec.Fields(f, r)
	var parts []string
	if r.Native != nil {
		parts = append(parts, "native")
	}
	if r.JumpTarget() == "" {
		for _, x := range []struct{ option, value string }{{"-i", fields.In}, {"-o", fields.Out}} {
			if x.value != "" {
				parts = append(parts, x.option+" "+x.value)
			}
		}
	}
	if fields.Target == "" {
		return strings.Join(append(parts, "only counts"), " ")
	}
	return strings.Join(append(parts, fields.Target), " ")
}

// moves are what the programs of a chain will do about their places, if they
// stand where they do not want to.
func (s *surveyor) moves(k ir.ChainKey, all []recognize.Attribution, c *ir.Chain) []string {
	type group struct {
		name string
		tail bool
	}
	var out []string
	seen := map[group]bool{}
	for _, a := range all {
		g := group{a.Participant, a.Tail}
		e := s.cat.Entry(a.Participant)
		if e == nil || seen[g] {
			continue
		}
		seen[g] = true
		var at []int
		for i, b := range all {
			if b.Participant == a.Participant && b.Tail == a.Tail && c.Rules[i].Native == nil {
				at = append(at, i+1)
			}
		}
		if len(at) > 0 {
			out = append(out, s.movesOf(k, e, a.Tail, at, len(all), c)...)
		}
	}
	return out
}

// movesOf is what one program will do about the rules at some positions. A place
// that any of its known settings asks for is where it wants to be.
func (s *surveyor) movesOf(k ir.ChainKey, e *participant.Entry, tail bool, at []int, total int, c *ir.Chain) []string {
	settled := func(b participant.Behaviour) bool {
		switch b.Kind {
		case participant.ReassertsTop:
			return at[len(at)-1] == len(at)
		case participant.ReassertsBottom:
			return at[0] == total-len(at)+1
		}
		return false
	}
	about := func(b participant.Behaviour) bool { return b.Tail == tail && b.In(k.Table, k.Chain) }
	if slices.ContainsFunc(e.Behaviours, func(b participant.Behaviour) bool { return about(b) && settled(b) }) {
		return nil
	}
	var out []string
	for _, b := range e.BehavioursIn(k.Table, k.Chain, tail) {
		switch b.Kind {
		case participant.ReassertsTop, participant.ReassertsBottom:
			out = append(out, fmt.Sprintf("%s, and stands at %s of %d", b.Sentence(e.Name), positions(at), total))
		case participant.Positions:
			if behind := s.behind(k, c, at[0], b.Before); behind != "" {
				out = append(out, fmt.Sprintf("%s, and stands at %s, behind %s", b.Sentence(e.Name), positions(at), behind))
			}
		}
	}
	return out
}

// behind is the first of some chains that a rule before a position jumps to.
func (s *surveyor) behind(k ir.ChainKey, c *ir.Chain, position int, chains []string) string {
	for i, r := range c.Rules {
		if i+1 < position && slices.Contains(chains, s.rec.Fields(k.Family, r).Target) {
			return fmt.Sprintf("%s at %d", s.rec.Fields(k.Family, r).Target, i+1)
		}
	}
	return ""
}

// positions are numbers as people write them: 1, 3-5.
func positions(at []int) string {
	var out []string
	for i := 0; i < len(at); {
		n := i
		for n+1 < len(at) && at[n+1] == at[n]+1 {
			n++
		}
		if n == i {
			out = append(out, fmt.Sprint(at[i]))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", at[i], at[n]))
		}
		i = n + 1
	}
	return strings.Join(out, ", ")
}

// duplicates collects the rules of a chain that stand more than once.
func (s *surveyor) duplicates(d *side, k ir.ChainKey, c *ir.Chain, all []recognize.Attribution) {
	at := map[string][]int{}
	var texts []string
	for i, r := range c.Rules {
		if r.Native != nil {
			continue
		}
		if at[r.Text] == nil {
			texts = append(texts, r.Text)
		}
		at[r.Text] = append(at[r.Text], i+1)
	}
	for _, text := range texts {
		if len(at[text]) < 2 {
			continue
		}
		who := all[at[text][0]-1].Participant
		line := fmt.Sprintf("%s of %s, positions %s, of %s: %s", k, d.variant, positions(at[text]), who, text)
		if s.cat.Entry(who) == nil {
			s.copies = append(s.copies, line)
		} else {
			s.programCopies = append(s.programCopies, line)
		}
	}
}

func (s *surveyor) findDuplicates() {
	if n := len(s.programCopies); n > 0 {
		s.find(Finding{
			Severity: Hurts, Code: Duplicates, Details: s.programCopies,
			Message: plural(n, "rule of a program stands more than once", "rules of programs stand more than once"),
			Effects: []string{"a program that puts in a second copy does not recognise its first: copies grow in number, and one that then deletes by number hits rules of others"},
			Help:    "another version of the program may recognise its own; a ruleset that adopts such a jump with `duplicates: collapse` keeps one copy",
		})
	}
	if n := len(s.copies); n > 0 {
		s.find(Finding{
			Severity: Warning, Code: Duplicates, Details: s.copies, Help: "delete all copies but one",
			Message: plural(n, "rule of no known program stands more than once", "rules of no known program stand more than once"),
		})
	}
}

// unreachable finds rules behind one that ends the chain for every packet.
func (s *surveyor) unreachable(d *side, k ir.ChainKey, c *ir.Chain, all []recognize.Attribution) {
	for i, r := range c.Rules {
		if i == len(c.Rules)-1 || r.Native != nil || !endsAll(xtables.DecodeRule(r, k.Family)) {
			continue
		}
		f := Finding{
			Severity: Warning, Code: Unreachable,
			Message: fmt.Sprintf("rule %d of %s of %s, of %s, ends the chain for every packet; no packet meets the %d behind it", i+1, k, d.variant, all[i].Participant, len(c.Rules)-i-1),
			Details: []string{fmt.Sprintf("%d %s: %s", i+1, all[i].Participant, r.Text)},
			Help:    "move what ends the chain behind them, e.g. into a chain of its own that a ruleset places",
		}
		for j := i + 1; j < len(c.Rules); j++ {
			f.Details = append(f.Details, fmt.Sprintf("%d %s: %s", j+1, all[j].Participant, s.does(k.Family, c.Rules[j])))
		}
		s.find(f)
		return
	}
}

// endsAll tells whether a rule without a condition ends its chain.
func endsAll(spec *ir.Spec) bool {
	if spec.Source != nil || spec.Destination != nil || spec.In != nil || spec.Out != nil || spec.Protocol != nil || spec.Fragment != 0 {
		return false
	}
	for _, m := range spec.Matches {
		if _, comment := m.(*ir.Comment); !comment {
			return false
		}
	}
	switch t := spec.Target.(type) {
	case *ir.Verdict:
		return slices.Contains([]string{"ACCEPT", "DROP", "RETURN"}, t.Name)
	case *ir.Reject:
		return true
	}
	return false
}

// foreignJumps finds jumps from chains of nobody known into chains of a program.
func (s *surveyor) foreignJumps() {
	f := Finding{
		Severity: Hurts, Code: ForeignJump,
		Effects: []string{"a program cannot delete its chain while such a jump stands: every later restore of kube-proxy fails, and Felix deletes the rule"},
		Help:    "jump to chains of your own only, and let the program's own jumps lead to the program's",
	}
	for _, d := range s.sides {
		d.each(func(k ir.ChainKey, t *ir.Table, c *ir.Chain) {
			if ir.IsBuiltin(t.Name, c.Name) || d.table.ChainOwner(c.Name) != "" {
				return
			}
			for i, r := range c.Rules {
				to := r.JumpTarget()
				owner := d.table.ChainOwner(to)
				if _, given := s.cat.UserChain(to); to == "" || owner == "" || given || r.Native != nil || d.partOf(t, c.Name, to, owner) {
					continue
				}
				f.Details = append(f.Details, fmt.Sprintf("%s of %s, position %d, into a chain of %s: %s", k, d.variant, i+1, s.program(owner), r.Text))
			}
		})
	}
	if n := len(f.Details); n > 0 {
		f.Message = plural(n, "rule of no known program jumps into a program's chain", "rules of no known program jump into programs' chains")
		s.find(f)
	}
}

// partOf tells whether a chain that nobody claims belongs to a program: only that
// program's chains lead to it, or the chain that it leads to is named after it.
func (d *side) partOf(t *ir.Table, chain, to, program string) bool {
	if strings.HasPrefix(to, chain) {
		return true
	}
	found := false
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if r.JumpTarget() != chain {
				continue
			}
			if d.table.ChainOwner(c.Name) != program {
				return false
			}
			found = true
		}
	}
	return found
}
