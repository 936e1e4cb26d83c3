package compiler

import (
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// checkLoops reports chains that jump to each other in a circle, which the kernel
// refuses. Foreign chains take no part: ours do not jump to them.
func (c *compilation) checkLoops() {
	l := loops{c: c, done: map[ir.ChainKey]bool{}}
	for _, ch := range c.prog.Chains {
		l.visit(ch)
	}
}

// loops walks along the jumps, depth first.
type loops struct {
	c    *compilation
	done map[ir.ChainKey]bool
	// path are the chains from the walk's start to where it is, and by the jumps of
	// the rules in between.
	path []*Chain
	by   []*ir.Rule
}

func (l *loops) visit(ch *Chain) {
	for i, on := range l.path {
		if on == ch {
			l.report(i)
			return
		}
	}
	if l.done[ch.Key] {
		return
	}
	l.path = append(l.path, ch)
	for _, r := range ch.Rules {
		key := ch.Key
		key.Chain = r.Rule.JumpTarget()
		if to := l.c.prog.Chain(key); to != nil {
			l.by = append(l.by, r.Rule)
			l.visit(to)
			l.by = l.by[:len(l.by)-1]
		}
	}
	l.path = l.path[:len(l.path)-1]
	l.done[ch.Key] = true
}

// report tells of the circle that begins at a place of the path, at its first
// jump, with a note for each other one.
func (l *loops) report(from int) {
	var names []string
	for _, ch := range l.path[from:] {
		names = append(names, ch.Key.Chain)
	}
	names = append(names, names[0])
	d := l.c.diags.Errorf(diag.ChainLoop, l.by[from].Origin, "chains of table %s jump in a circle, which the kernel refuses: %s",
		l.path[from].Key.Table, strings.Join(names, " to "))
	for i, r := range l.by[from+1:] {
		d.Note(r.Origin, "%s jumps to %s", names[i+1], names[i+2])
	}
}
