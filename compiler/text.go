package compiler

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl/diag"
)

// TextOptions say how a plan is printed.
type TextOptions struct {
	Color bool
	// All shows the shared chains that do not change too.
	All bool
}

// colors of the marks, as ANSI sequences.
var colors = map[ChangeKind]string{Added: "\x1b[32m", Removed: "\x1b[31m", Changed: "\x1b[33m", Moved: "\x1b[36m"}

const (
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	reset = "\x1b[0m"
)

// WriteText prints a plan for a terminal. Diagnostics are not part of it.
func (p *Plan) WriteText(w io.Writer, opt TextOptions) error {
	t := &textWriter{plan: p, opt: opt}
	t.header()
	for _, v := range p.Views {
		if v.Changed || opt.All {
			t.view(v)
		}
	}
	t.hooks()
	t.chains()
	t.intrusions()
	t.sets()
	t.counts()
	t.commits()
	t.leftOut()
	t.missing()
	t.constraints()
	t.summary()
	_, err := io.WriteString(w, t.b.String())
	return err
}

type textWriter struct {
	b    strings.Builder
	plan *Plan
	opt  TextOptions
}

func (t *textWriter) printf(format string, args ...any) { fmt.Fprintf(&t.b, format, args...) }

func (t *textWriter) paint(code, s string) string {
	if !t.opt.Color || code == "" {
		return s
	}
	return code + s + reset
}

func (t *textWriter) header() {
	var names []string
	for _, r := range t.plan.Rulesets {
		s := r.Name + " " + r.Version
		if r.Applied != "" && r.Applied != r.Version {
			s += " (applied: " + r.Applied + ")"
		}
		names = append(names, s)
	}
	on := string(t.plan.Variant)
	if t.plan.Source != "" {
		on += ", recorded in " + t.plan.Source
	}
	t.printf("%s on %s\n", t.paint(bold, strings.Join(names, ", ")), on)
	for _, n := range t.plan.Notes {
		t.printf("note: %s\n", n)
	}
}

// view prints a shared chain whole: mark, position, participant, rule.
func (t *textWriter) view(v ChainView) {
	t.printf("\n%s (%s)\n", t.paint(bold, v.Key.String()), v.what())
	width := 0
	for _, l := range v.Lines {
		width = max(width, len(l.who()))
	}
	for i, l := range v.Lines {
		pos := "   "
		if l.Position > 0 {
			pos = fmt.Sprintf("%3d", l.Position)
		}
		line := fmt.Sprintf("  %s %s  %-*s  %s", l.Kind.Mark(), pos, width, l.who(), diag.Visible(l.Text))
		code := colors[l.Kind]
		if l.Kind == Unchanged && !l.Ours {
			code = faint
		}
		t.printf("%s\n", t.paint(code, strings.TrimRight(line, " ")))
		if why := v.reasonBehind(i); why != "" {
			t.printf("        %s\n", t.paint(faint, why))
		}
	}
	if len(v.Lines) == 0 {
		t.printf("    (no rules)\n")
	}
}

func (l ViewLine) who() string {
	switch {
	case l.Ours:
		return "ours"
	case l.Adopted && l.Participant != "":
		return l.Participant + ", adopted"
	case l.Adopted:
		return "adopted"
	case l.Collected && l.Participant != "":
		return l.Participant + ", collected"
	case l.Collected:
		return "collected"
	case l.Participant == "":
		return "unknown"
	}
	return l.Participant
}

// chains prints the changes in chains that are not shown whole.
func (t *textWriter) chains() {
	var last ir.ChainKey
	for _, c := range t.plan.Changes {
		if t.plan.shown(c.Key) {
			continue
		}
		if c.Key != last {
			t.printf("\n%s (%s)\n", t.paint(bold, diag.Visible(c.Key.String())), t.plan.whatIs(c.Key))
			last = c.Key
		}
		t.printf("%s\n", t.paint(colors[c.Kind], "  "+c.line()))
	}
}

// whatIs says what a chain is that is not shown whole.
func (p *Plan) whatIs(k ir.ChainKey) string {
	if p.strange(k) {
		return "drift in our table"
	}
	return "owned chain"
}

// strange tells whether a chain in a table of nftables that is ours is one that
// somebody else made.
func (p *Plan) strange(k ir.ChainKey) bool {
	named := func(s *ir.State) *ir.OwnChain {
		for _, t := range s.Own {
			if ownChainKey(keyOf(t), k.Chain) == k {
				return t.Chain(k.Chain)
			}
		}
		return nil
	}
	if p.Variant != ir.NFT || p.Planned != p.Live && named(p.Planned) != nil {
		return false
	}
	c := named(p.Live)
	return c != nil && !nftables.Makes(c.Name, c.Base)
}

// sets prints what happens to sets.
func (t *textWriter) sets() {
	if len(t.plan.SetChanges) == 0 {
		return
	}
	t.printf("\n%s\n", t.paint(bold, "sets"))
	for _, c := range t.plan.SetChanges {
		for i, line := range c.lines() {
			code := colors[c.Kind]
			if i > 0 {
				code = colors[Added]
				if strings.HasPrefix(strings.TrimSpace(line), Removed.Mark()) {
					code = colors[Removed]
				}
			}
			t.printf("%s\n", t.paint(code, "  "+line))
		}
	}
}

// line is a change in one line, two for a changed rule.
func (c Change) line() string {
	text := diag.Visible(c.After)
	switch {
	case c.Kind == Removed:
		text = diag.Visible(c.Before)
	case c.Kind == Changed:
		text = diag.Visible(c.Before) + "\n    " + text
	}
	if c.isChain() {
		text = "chain " + text
	}
	return c.Kind.Mark() + " " + text
}

// isChain tells that a chain comes or goes, not a rule.
func (c Change) isChain() bool {
	is := func(s string) bool { return s == c.Key.Chain || strings.HasPrefix(s, c.Key.Chain+" (") }
	return c.Address == c.Key.Chain && (is(c.Before) || is(c.After))
}

func (p *Plan) shown(k ir.ChainKey) bool {
	return slices.ContainsFunc(p.Views, func(v ChainView) bool { return v.Key == k && v.Changed })
}

// TableCount is how many changes of each kind a table gets.
type TableCount struct {
	Key                            ir.TableKey
	Added, Removed, Changed, Moved int
}

// Counts are the changes by table, in the plan's order.
func (p *Plan) Counts() []TableCount {
	var out []TableCount
	for _, c := range p.Changes {
		i := slices.IndexFunc(out, func(n TableCount) bool { return n.Key == c.Key.TableKey() })
		if i < 0 {
			out, i = append(out, TableCount{Key: c.Key.TableKey()}), len(out)
		}
		switch c.Kind {
		case Added:
			out[i].Added++
		case Removed:
			out[i].Removed++
		case Changed:
			out[i].Changed++
		case Moved:
			out[i].Moved++
		case Unchanged:
		}
	}
	return out
}

func (t *textWriter) counts() {
	counts := t.plan.Counts()
	if len(counts) == 0 {
		return
	}
	width := 14
	for _, c := range counts {
		width = max(width, len(c.Key.String()))
	}
	t.printf("\n%-*s %6s %6s %6s %6s\n", width, "table", "add", "change", "move", "remove")
	for _, c := range counts {
		t.printf("%-*s %6d %6d %6d %6d\n", width, c.Key, c.Added, c.Changed, c.Moved, c.Removed)
	}
}

// Commit is what a backend commits at once.
type Commit struct {
	Family ir.Family
	Table  string
	Ops    int
	Guards int
	// SetsOnly tells of a commit for nftables that it changes elements of large sets, ahead
	// of the one for everything else.
	SetsOnly bool
}

// Commits are the transaction's commits, in order.
func (p *Plan) Commits() []Commit {
	if len(p.Transaction.NFT) > 0 {
		return p.ownCommits()
	}
	var out []Commit
	for _, b := range p.Transaction.Blocks {
		c := Commit{Family: b.Family, Table: b.Table}
		for _, o := range b.Ops {
			if o.Kind == ir.OpRequire {
				c.Guards++
			} else {
				c.Ops++
			}
		}
		out = append(out, c)
	}
	return out
}

func (t *textWriter) commits() {
	commits := t.plan.Commits()
	if how := t.plan.setCommits(); how != "" {
		t.printf("\n%s\n", how)
	}
	if len(commits) == 0 {
		return
	}
	var parts []string
	for _, c := range commits {
		part := fmt.Sprintf("%s %s (%d)", c.Family, c.Table, c.Ops)
		if c.SetsOnly {
			part = "elements of large sets of " + part
		}
		parts = append(parts, part)
	}
	atomic := "atomic"
	if len(commits) > 1 {
		atomic = "each atomic, all together not"
	}
	t.printf("\n%s, %s: %s\n", count(len(commits), "commit"), atomic, strings.Join(parts, ", "))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// leftOut lists the rules that match nothing: an empty list is not "any", and who
// reads a plan must not look for the rule.
func (t *textWriter) leftOut() {
	if len(t.plan.LeftOut) == 0 {
		return
	}
	t.printf("\nleft out, because they match nothing\n")
	for _, s := range t.plan.leftOut() {
		t.printf("  %s\n", diag.Visible(s))
	}
}

// leftOut says a rule that is left out in both families once.
func (p *Plan) leftOut() []string {
	var out []string
	for i, o := range p.LeftOut {
		twin := func(x LeftOut) bool {
			return x.Key.Table == o.Key.Table && x.Key.Chain == o.Key.Chain && x.Rule == o.Rule && x.Reason == o.Reason
		}
		if slices.ContainsFunc(p.LeftOut[:i], twin) {
			continue
		}
		families := o.Key.Family.String()
		if at := slices.IndexFunc(p.LeftOut[i+1:], twin); at >= 0 {
			families += ", " + p.LeftOut[i+1+at].Key.Family.String()
		}
		out = append(out, fmt.Sprintf("%s %s %s: rule %s: %s", families, o.Key.Table, o.Key.Chain, o.Rule, o.Reason))
	}
	return out
}

// missing lists what only other programs can put back. What nothing speaks for
// having been lost is not worth a line here.
func (t *textWriter) missing() {
	if len(t.plan.Missing) == 0 {
		return
	}
	t.printf("\nmissing, and put back only by the program that writes it\n")
	for i, m := range t.plan.Missing {
		head := m.Key.Family.String()
		if !m.Lost {
			// On a bare host the two families say the same.
			twin := func(o MissingRule) bool {
				return o.Key.Table == m.Key.Table && o.Key.Chain == m.Key.Chain && o.Name == m.Name && slices.Equal(o.Returns, m.Returns)
			}
			if slices.ContainsFunc(t.plan.Missing[:i], twin) {
				continue
			}
			if at := slices.IndexFunc(t.plan.Missing[i+1:], twin); at >= 0 {
				head += ", " + t.plan.Missing[i+1+at].Key.Family.String()
			}
		}
		code, why := colors[Changed], " (if "+m.Participant+" runs here)"
		if m.Lost {
			code, why = colors[Removed], " (lost: "+m.Because+")"
		}
		t.printf("  %s%s\n", t.paint(code, diag.Visible(head+" "+m.where())), diag.Visible(why))
		for _, s := range m.Returns {
			t.printf("    %s\n", diag.Visible(s))
		}
	}
}

func (t *textWriter) constraints() {
	if len(t.plan.Constraints) == 0 {
		return
	}
	t.printf("\nconstraints, on %s\n", t.plan.judged())
	for _, c := range t.plan.Constraints {
		word, code := "holds", colors[Added]
		switch {
		case c.Skipped:
			word, code = "does not apply", faint
		case c.Error != "":
			word, code = "cannot be told: "+c.Error, colors[Removed]
		case !c.Holds && c.Warning:
			word, code = "does not hold (warning)", colors[Changed]
		case !c.Holds:
			word, code = "does not hold", colors[Removed]
		}
		t.printf("  %s  %s\n", c.Name, t.paint(code, diag.Visible(word)))
		if !c.Holds && !c.Skipped {
			if c.Message != "" {
				t.printf("    %s\n", diag.Visible(c.Message))
			}
			for _, s := range c.Shown {
				t.printf("    %s = %s\n", diag.Visible(showExpr(s)), diag.Visible(s.Value))
			}
		}
	}
}

func (t *textWriter) summary() {
	var add, change, move, remove int
	for _, c := range t.plan.Counts() {
		add, change, move, remove = add+c.Added, change+c.Changed, move+c.Moved, remove+c.Removed
	}
	switch {
	case t.plan.Diags.HasErrors():
		t.printf("\nnothing is applied: the plan has errors\n")
	case t.plan.Empty() && t.plan.Lost():
		t.printf("\nnothing to do: what is missing is not ours to put back\n")
	case t.plan.Empty() && t.plan.removal && t.plan.elsewhere():
		t.printf("\nnothing to do on %s: what stands of the rulesets stands in another backend's tables, and goes on working there\n", t.plan.Variant)
	case t.plan.Empty() && t.plan.removal:
		t.printf("\nnothing to do: nothing of the rulesets stands\n")
	case t.plan.Empty():
		t.printf("\nnothing to do: the host is as declared\n")
	default:
		t.printf("\nplan: %d to add, %d to change, %d to move, %d to remove%s\n", add, change, move, remove, t.plan.setSummary())
	}
}
