package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/markdown"
	"hookline/dsl/diag"
)

// Intrusion is a rule that another program put into a table of ours.
type Intrusion struct {
	Ruleset string
	Key     ir.ChainKey
	Text    string
	// Tag is what its author wrote beside it, Author whose rule it is, if known.
	Tag, Author string
	// Removed tells that it goes.
	Removed bool
}

// intrusions finds the rules of others in a table and does with them what its
// ruleset says. It returns the handles of those that stay.
func (pl *planner) intrusions(p *Program, live, want *ir.OwnTable) map[uint64]bool {
	stay := map[uint64]bool{}
	if live == nil {
		return stay
	}
	for _, c := range live.Chains {
		in := want.Chain(c.Name)
		if in == nil {
			continue // the chain goes with all that is in it
		}
		for i := range c.Rules {
			r := &c.Rules[i]
			if x, ok := pl.intrusion(p, in, r); ok {
				x.Key = ownChainKey(keyOf(live), c.Name)
				// With a chain that is made again all goes that is in it.
				x.Removed = p.Intrusions == RemoveIntrusions && !pl.opt.TolerateIntrusions || !sameHook(c.Base, in.Base)
				stay[r.Handle] = !x.Removed
				pl.plan.Intrusions = append(pl.plan.Intrusions, x)
				pl.tellIntrusion(p, x)
			}
		}
	}
	return stay
}

// intrusion tells whether a rule of our table is somebody else's: it bears what
// nft and hookline never write beside a rule, or a comment by which the catalogue
// knows its author.
func (pl *planner) intrusion(p *Program, want *ir.OwnChain, r *ir.OwnRule) (Intrusion, bool) {
	x := Intrusion{Ruleset: p.Name, Text: r.String(), Tag: cmp.Or(r.Tag, r.Comment)}
	hit, known := pl.cat.Comment(x.Tag)
	if known {
		x.Author = hit.Entry.Name
	}
	if r.Tag != "" {
		return x, true
	}
	wanted := slices.ContainsFunc(want.Rules, func(w ir.OwnRule) bool { return w.Comment == r.Comment })
	return x, known && r.Comment != "" && !wanted
}

func (pl *planner) tellIntrusion(p *Program, x Intrusion) {
	who := cmp.Or(x.Author, "another program")
	switch {
	case pl.opt.Remove:
	case p.Intrusions == FailOnIntrusions:
		pl.diags().Errorf(diag.Intrusion, p.Span, "%s has put a rule into %s, which is ours: %q (%s)", who, x.Key, x.Text, x.Tag).
			WithHelp("say `intrusions: remove` or `tolerate`, or keep that program from it")
	case x.Removed:
		pl.diags().Warnf(diag.Intrusion, p.Span, "%s has put a rule into %s, which is ours, and it is removed: %q (%s)", who, x.Key, x.Text, x.Tag)
	default:
		pl.diags().Warnf(diag.Intrusion, p.Span, "%s has put a rule into %s, which is ours, and it stays there: %q (%s)", who, x.Key, x.Text, x.Tag).
			WithHelp("what it accepts, our rules behind it never see; `intrusions: remove` takes such rules away")
	}
}

// line is an intrusion for people.
func (x Intrusion) line() string {
	mark := Unchanged.Mark()
	if x.Removed {
		mark = Removed.Mark()
	}
	return fmt.Sprintf("%s %s: %s (%s, by %s)", mark, x.Key, diag.Visible(x.Text), diag.Visible(x.Tag), cmp.Or(x.Author, "unknown"))
}

func (t *textWriter) intrusions() {
	if len(t.plan.Intrusions) == 0 {
		return
	}
	t.printf("\n%s\n", t.paint(bold, "rules of others in tables of ours"))
	for _, x := range t.plan.Intrusions {
		code := faint
		if x.Removed {
			code = colors[Removed]
		}
		t.printf("%s\n", t.paint(code, "  "+x.line()))
	}
}

// markdownIntrusions writes the rules of others in tables of ours.
func (p *Plan) markdownIntrusions(b *strings.Builder) {
	if len(p.Intrusions) == 0 {
		return
	}
	b.WriteString("\n<details open><summary>rules of others in tables of ours</summary>\n\n")
	var lines []string
	for _, x := range p.Intrusions {
		lines = append(lines, x.line())
	}
	markdown.Fence(b, "diff", lines)
	b.WriteString("\n</details>\n")
}

// ownCommits are the commits of a transaction on tables of ours: one for all of
// them.
func (p *Plan) ownCommits() []Commit {
	c := Commit{Family: ir.BothFamilies, Ops: len(p.Transaction.NFT)}
	var names []string
	for _, o := range p.Transaction.NFT {
		if !slices.Contains(names, o.Table) {
			names = append(names, o.Table)
		}
	}
	c.Table = strings.Join(names, ", ")
	return []Commit{c}
}

// atomic says over what each commit is all or nothing.
func (p *Plan) atomic() string {
	if p.Variant == ir.NFT {
		return "everything"
	}
	return "one table"
}
