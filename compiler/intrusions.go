package compiler

import (
	"cmp"
	"fmt"
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

// intruders are the rules of others in a table that stay there, and what they need.
type intruders struct {
	stay         map[uint64]bool // by handle
	chains, sets map[string]bool
}

// intrusions finds the rules of others in a table and does with them what its
// ruleset says.
func (pl *planner) intrusions(p *Program, live, want *ir.OwnTable) *intruders {
	out := &intruders{map[uint64]bool{}, map[string]bool{}, map[string]bool{}}
	if live == nil {
		return out
	}
	for _, c := range live.Chains {
		in := want.Chain(c.Name)
		// With a chain that goes, or is made again, all goes that is in it.
		gone := in == nil && c.Base != nil || in != nil && !sameHook(c.Base, in.Base)
		for i := range c.Rules {
			r := &c.Rules[i]
			if r.Tag == "" {
				continue
			}
			x := Intrusion{Ruleset: p.Name, Key: ownChainKey(keyOf(live), c.Name), Text: r.String(), Tag: r.Tag}
			if hit, known := pl.cat.Comment(r.Tag); known {
				x.Author = hit.Entry.Name
			}
			x.Removed = gone || p.Intrusions == RemoveIntrusions && !pl.opt.TolerateIntrusions
			if x.Removed {
				pl.plan.Intrusions = append(pl.plan.Intrusions, x)
				pl.tellIntrusion(p, x)
				continue
			}
			out.stay[r.Handle] = true
			pl.plan.Intrusions = append(pl.plan.Intrusions, x)
		}
	}
	out.needs(live, want)
	pl.intrudersGo(p, out, live, want)
	return out
}

// needs follows the rules that stay to the chains and sets that they ask.
func (x *intruders) needs(live, want *ir.OwnTable) {
	for grown := true; grown; {
		grown = false
		for _, c := range live.Chains {
			if want.Chain(c.Name) == nil && !x.chains[c.Name] && c.Base == nil {
				continue // what stands in it goes, unless a rule that stays leads here
			}
			for _, r := range c.Rules {
				if !x.stay[r.Handle] {
					continue
				}
				for _, to := range r.Jumps() {
					grown = grown || !x.chains[to]
					x.chains[to] = true
				}
				for _, s := range r.Sets() {
					x.sets[s] = true
				}
			}
		}
	}
}

// intrudersGo takes from those that stay the rules in chains that go because nothing
// that stays leads to them, and reports all.
func (pl *planner) intrudersGo(p *Program, x *intruders, live, want *ir.OwnTable) {
	for i := range pl.plan.Intrusions {
		in := &pl.plan.Intrusions[i]
		if in.Ruleset != p.Name || in.Removed || in.Key.Table != live.Name {
			continue
		}
		if name := in.Key.Chain; want.Chain(name) == nil && !x.chains[name] {
			in.Removed = true
			for _, r := range live.Chain(name).Rules {
				delete(x.stay, r.Handle)
			}
		}
		pl.tellIntrusion(p, *in)
	}
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
