package compiler

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// SetChange is what happens to one set.
type SetChange struct {
	Family ir.Family // 0 for a type without one
	Name   string
	Type   string
	// Kind is Added, Removed or Changed.
	Kind ChangeKind
	// Add and Remove count elements, Total is how many the set then has. FirstAdd and
	// FirstRemove are the first of them.
	Add, Remove, Total    int
	FirstAdd, FirstRemove []string
	// How says in a few words how it is done.
	How    string
	Source diag.Span
}

// firstElements is how many elements of a difference a plan shows.
const firstElements = 5

// wantedSets are the declared sets of the families that are planned.
func (pl *planner) wantedSets() []*DeclaredSet {
	if pl.opt.Remove {
		return nil
	}
	var out []*DeclaredSet
	for _, p := range pl.programs {
		for _, s := range p.Sets {
			if slices.Contains(pl.families, s.Family) && s.Image != nil {
				out = append(out, s)
			}
		}
	}
	return out
}

// declaredSet is the declared set of a kernel name, or nil.
func (pl *planner) declaredSet(name string) *DeclaredSet {
	if pl.opt.Remove {
		return nil
	}
	for _, p := range pl.programs {
		if s := p.named(name); s != nil && s.Image != nil {
			return s
		}
	}
	return nil
}

// setOwner is the program whose set this is; nil for a foreign one. recorded tells
// that more speaks for it than the declared name.
func (pl *planner) setOwner(name string) (owner *Program, recorded bool) {
	for _, p := range pl.programs {
		for _, r := range pl.opt.Recorded {
			if r.Name == p.Name && slices.Contains(r.Sets, name) {
				return p, true
			}
		}
		if slices.ContainsFunc(p.setGlobs, func(g string) bool { return ir.MatchGlob(g, name) }) {
			return p, true
		}
	}
	for _, p := range pl.programs {
		if p.OwnsSet(name) || ir.MatchGlob(TemporarySets(p.Name), name) && pl.hasSets(p) {
			return p, false
		}
	}
	return nil, false
}

// hasSets tells whether a program has sets, or had some: one that has none fills none.
func (pl *planner) hasSets(p *Program) bool {
	return len(p.Owns.Sets) > 0 || slices.ContainsFunc(pl.opt.Recorded, func(r Recorded) bool { return r.Name == p.Name && len(r.Sets) > 0 })
}

// isTemporary tells whether a set of ours is one that some apply was filling.
func isTemporary(name string) bool { return strings.HasPrefix(name, setPrefix) }

// sets compares the declared sets with those that stand. A set is filled under
// another name and then takes its place, before any rule that needs it is written;
// what is declared no more goes behind the rules that used it.
func (pl *planner) sets() {
	wants := pl.wantedSets()
	known := pl.snap.State.SetsRead || len(pl.snap.Scope.SetGlobs) > 0
	if len(wants) > 0 && !known && !pl.opt.emptyHost {
		pl.diags().Warnf(diag.NotInSnapshot, wants[0].Span, "%s does not say which sets stand: they are planned as if none did", pl.source())
	}
	pl.staleSets(wants)
	for _, s := range wants {
		pl.wantSet(s)
	}
}

// wantSet plans one declared set.
func (pl *planner) wantSet(s *DeclaredSet) {
	live := pl.snap.State.Set(s.Name)
	if live != nil && !s.Image.SameType(live) {
		if !pl.otherType(s, live) {
			return
		}
		live = nil
	}
	if live != nil && !pl.mayTake(s, live) {
		return
	}
	d := s.Image.Compare(live)
	if live != nil && d.Empty() {
		return
	}
	c := SetChange{
		Name: s.Name, Type: s.Image.Type, Kind: Changed, Add: len(d.Add), Remove: len(d.Remove), Total: len(s.Image.Elements),
		FirstAdd: first(d.Add), FirstRemove: first(d.Remove), How: "filled beside it and swapped in", Source: s.Span,
	}
	op := ir.SetOp{Name: s.Name, Family: s.Image.SetFamily(), Origin: s.Span}
	c.Family = op.Family
	tx := &pl.plan.Transaction
	if d.InPlace() && live != nil {
		op.Kind, op.Elements, c.How = ir.SetAdd, d.Add, "one element, in place"
		if len(d.Remove) == 1 {
			op.Kind, op.Elements = ir.SetDelete, d.Remove
		}
		tx.SetsBefore = append(tx.SetsBefore, op)
		pl.plan.SetChanges = append(pl.plan.SetChanges, c)
		return
	}
	op.Kind, op.Type, op.Header, op.Elements = ir.SetWrite, s.Image.Type, s.Image.Header(), d.All()
	owner, _ := pl.setOwner(s.Name)
	op.Temp, op.Swap = temporarySet(owner.Name, s.Name), live != nil
	switch {
	case live == nil:
		c.Kind, c.How = Added, "filled, then named"
	case d.Unread:
		pl.diags().Warnf(diag.NotInSnapshot, s.Span, "%s does not hold the elements of set %s: it is planned to be written anew", pl.source(), s.Name)
	case d.Rewrite != "":
		c.How += ": " + d.Rewrite
	}
	tx.SetsBefore = append(tx.SetsBefore, op)
	pl.plan.SetChanges = append(pl.plan.SetChanges, c)
}

func first(list []string) []string { return slices.Clone(list[:min(len(list), firstElements)]) }

// otherType deals with a set that stands and cannot be swapped with the declared
// one: it is replaced if it is ours and nothing refers to it, else refused.
func (pl *planner) otherType(s *DeclaredSet, live *ir.Set) bool {
	what := live.Type
	if live.Family != 0 {
		what += " of " + live.Family.String()
	}
	_, ours := pl.setOwner(s.Name)
	refs := pl.setRefs(s.Name)
	switch {
	case !ours:
		pl.diags().Errorf(diag.SetMismatch, s.Span, "a set %s stands that hookline did not make: it is a %s, and the declared one a %s", s.Name, what, s.Image.Type).
			WithHelp("declare the set under another name, or destroy that one if nobody needs it")
		return false
	case len(refs) > 0 || live.Refs > 0:
		d := pl.diags().Errorf(diag.SetMismatch, s.Span, "set %s stands as a %s and is to be a %s: a set in use cannot change its type", s.Name, what, s.Image.Type).
			WithHelp("declare it under another name: the old one goes with the rules that use it")
		for _, r := range refs[:min(len(refs), firstElements)] {
			d.Note(r.rule.Origin, "%s: %s", r.key, r.rule.Text)
		}
		return false
	}
	pl.plan.Transaction.SetsBefore = append(pl.plan.Transaction.SetsBefore, ir.SetOp{Kind: ir.SetDestroy, Name: s.Name, Family: live.Family, Origin: s.Span})
	pl.plan.SetChanges = append(pl.plan.SetChanges, SetChange{
		Family: live.Family, Name: s.Name, Type: live.Type, Kind: Removed, Remove: live.Size(), How: "destroyed: its type changes", Source: s.Span,
	})
	return true
}

// setRef is a rule that names a set.
type setRef struct {
	key  ir.ChainKey
	at   int
	rule *ir.Rule
	ours bool
}

// setRefs are the rules that were read and name a set, each as often as it does.
func (pl *planner) setRefs(name string) []setRef {
	var out []setRef
	for _, t := range pl.snap.State.Tables {
		for _, c := range t.Chains {
			k := ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}
			for i, r := range c.Rules {
				if !strings.Contains(r.Text, name) {
					continue
				}
				ours := !ir.IsBuiltin(t.Name, c.Name) && pl.owned(c.Name) || pl.shared(k) && pl.ourJump(k.Family, r)
				for _, n := range Fields(t.Family, r).Sets {
					if n == name {
						out = append(out, setRef{k, i, r, ours})
					}
				}
			}
		}
	}
	return out
}

// staleSets are the owned sets that stand and are declared no more, and those that
// an interrupted apply left over.
func (pl *planner) staleSets(wants []*DeclaredSet) {
	tx := &pl.plan.Transaction
	for _, live := range pl.snap.State.Sets {
		owner, _ := pl.setOwner(live.Name)
		if owner == nil || slices.ContainsFunc(wants, func(s *DeclaredSet) bool { return s.Name == live.Name }) {
			continue
		}
		if !isTemporary(live.Name) && !pl.setInFamilies(live) {
			continue
		}
		op := ir.SetOp{Kind: ir.SetDestroy, Name: live.Name, Family: live.Family}
		c := SetChange{Family: live.Family, Name: live.Name, Type: live.Type, Kind: Removed, Remove: live.Size(), How: "destroyed behind the rules"}
		switch {
		case isTemporary(live.Name):
			c.How = "destroyed: an apply that did not come to its end left it over"
			tx.SetsBefore = append(tx.SetsBefore, op)
		case !pl.mayDestroy(live, owner):
			continue
		default:
			tx.SetsAfter = append(tx.SetsAfter, op)
		}
		pl.plan.SetChanges = append(pl.plan.SetChanges, c)
	}
}

// setInFamilies tells whether a stale set is of a family that is planned. Of a type
// without a family its name tells.
func (pl *planner) setInFamilies(s *ir.Set) bool {
	f := s.Family
	for _, g := range ir.Families {
		if f == 0 && strings.HasSuffix(s.Name, kernelName("", g)) {
			f = g
		}
	}
	if f == 0 {
		return len(pl.families) == len(ir.Families)
	}
	return slices.Contains(pl.families, f)
}

// mayTake tells whether a set that stands under a declared name may be filled by us.
// If only the name speaks for that, and rules of others use it, it is theirs.
func (pl *planner) mayTake(s *DeclaredSet, live *ir.Set) bool {
	if _, recorded := pl.setOwner(s.Name); recorded {
		return true
	}
	others, read, free := pl.otherUsers(live)
	if free {
		return true
	}
	d := pl.diags().Errorf(diag.SetMismatch, s.Span, "a set %s stands that others use, and nothing says that hookline made it", s.Name)
	pl.noteUsers(d, live, others, read)
	d.WithHelp("declare the set under another name; if it is to be the ruleset's all the same, list it in owns.sets")
	return false
}

// mayDestroy tells whether nobody else uses a stale set.
func (pl *planner) mayDestroy(s *ir.Set, owner *Program) bool {
	others, read, free := pl.otherUsers(s)
	if free {
		return true
	}
	d := pl.diags().Errorf(diag.ForeignReference, owner.Span, "set %s is no longer declared, but others still use it", s.Name)
	pl.noteUsers(d, s, others, read)
	d.WithHelp("declare the set again, or have the owner of these rules remove them")
	return false
}

// otherUsers are the rules of others that use a set, of all that were read. If the
// kernel counts more references than these, everything has to be read, to say who
// it is. free tells that there are none, or that it is planned again with what was
// asked for.
func (pl *planner) otherUsers(s *ir.Set) (others []setRef, read int, free bool) {
	refs := pl.setRefs(s.Name)
	for _, r := range refs {
		if !r.ours {
			others = append(others, r)
		}
	}
	free = len(others) == 0 && (s.Refs <= len(refs) || pl.askTables(s.Family))
	return others, len(refs), free
}

// noteUsers says who uses a set.
func (pl *planner) noteUsers(d *diag.Diagnostic, s *ir.Set, others []setRef, read int) {
	for _, r := range others[:min(len(others), firstElements)] {
		who := pl.rec.Rule(r.key, r.at).Participant
		if who != "" {
			who = " (" + who + ")"
		}
		d.Note(r.rule.Origin, "-A %s %s%s", r.key.Chain, r.rule.Text, who)
	}
	if len(others) == 0 {
		d.Note(diag.Span{}, "the kernel counts %s, and the rules that were read hold %d: a set of sets, the tables of the other variant or traffic control may use it",
			count(s.Refs, "reference"), read)
	}
}

// askTables asks for every table of a family that was read in part.
func (pl *planner) askTables(f ir.Family) bool {
	asked := false
	for _, t := range pl.snap.State.Tables {
		if t.Partial && t.Unreadable == "" && (f == 0 || t.Family == f) {
			pl.plan.Asked = append(pl.plan.Asked, ir.ChainKey{Family: t.Family, Table: t.Name})
			asked = true
		}
	}
	return asked
}

// digestSets puts the sets that a plan rests on into its digest.
func (pl *planner) digestSets(d hash.Hash) {
	seen := map[string]bool{}
	add := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		s := pl.snap.State.Set(name)
		if s == nil {
			fmt.Fprintf(d, "set %s absent\n", name)
			return
		}
		fmt.Fprintf(d, "set %s %s %d %d %x\n", name, s.Type, s.Family, s.Size(), elementsDigest(s.Elements))
	}
	for _, s := range pl.wantedSets() {
		add(s.Name)
	}
	for _, c := range pl.plan.SetChanges {
		add(c.Name)
	}
}

// elementsDigest identifies elements whatever their order, as the sum of their own
// digests; the kernel lists them in another order after each swap. The time that
// they have left does not count.
func elementsDigest(list []string) [32]byte {
	var sum [32]byte
	for _, e := range list {
		key, _, _ := strings.Cut(e, " timeout ")
		one := sha256.Sum256([]byte(key))
		carry := 0
		for i := range sum {
			carry += int(sum[i]) + int(one[i])
			sum[i], carry = byte(carry), carry>>8
		}
	}
	return sum
}

// lines are the change and the first elements that come and go.
func (c SetChange) lines() []string {
	out := []string{c.line()}
	some := func(mark string, list []string, n int) {
		for _, e := range list {
			out = append(out, "    "+mark+" "+diag.Visible(e))
		}
		if more := n - len(list); more > 0 && len(list) > 0 {
			out = append(out, fmt.Sprintf("    %s and %d more", mark, more))
		}
	}
	some(Removed.Mark(), c.FirstRemove, c.Remove)
	some(Added.Mark(), c.FirstAdd, c.Add)
	return out
}

// setSummary is what the last line of a plan says of sets.
func (p *Plan) setSummary() string {
	if len(p.SetChanges) == 0 {
		return ""
	}
	return "; " + count(len(p.SetChanges), "set")
}

// setCommits says when the sets are written, or "".
func (p *Plan) setCommits() string {
	var out []string
	if n := len(p.Transaction.SetsBefore); n > 0 {
		out = append(out, count(n, "step")+" on sets before the rules")
	}
	if n := len(p.Transaction.SetsAfter); n > 0 {
		out = append(out, count(n, "step")+" on sets behind the rules")
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, ", ") + ": each atomic for its set"
}

// line is the change in one line.
func (c SetChange) line() string {
	s := fmt.Sprintf("%s %s (%s): ", c.Kind.Mark(), diag.Visible(c.Name), c.Type)
	switch c.Kind {
	case Added:
		s += count(c.Total, "element")
	case Removed:
		s += count(c.Remove, "element")
	default:
		s += fmt.Sprintf("%d to add, %d to remove, then %s", c.Add, c.Remove, count(c.Total, "element"))
	}
	return s + "; " + c.How
}
