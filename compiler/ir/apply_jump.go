package ir

import "iter"

// ref takes note of a rule that the draft puts into a chain.
func (d *draft) ref(from string, r *Rule) {
	to := d.jumpTarget(r)
	if to == "" {
		return
	}
	d.jumps = append(d.jumps, edge{from, to})
	d.count(to, 1)
}

// unref takes note of a rule that leaves the table.
func (d *draft) unref(r *Rule) {
	if to := d.jumpTarget(r); to != "" {
		d.count(to, -1)
	}
}

// jumpTarget is the chain of this table that the rule refers to, or "".
func (d *draft) jumpTarget(r *Rule) string {
	if to := r.JumpTarget(); to != "" && d.chain(to) != nil {
		return to
	}
	return ""
}

func (d *draft) count(to string, n int) {
	if d.refs != nil {
		d.refs[to] += n
	}
	if c := d.chain(to); c.Refs >= 0 {
		changed := d.changed
		d.write(to).Refs += n
		d.changed = changed
	}
}

// references is the number of rules that refer to a chain.
func (d *draft) references(name string) (int, *ApplyError) {
	if d.refs == nil {
		d.refs = map[string]int{}
		for _, c := range d.chains {
			if c == nil {
				continue
			}
			for _, r := range c.Rules {
				if to := r.JumpTarget(); to != "" {
					d.refs[to]++
				}
			}
		}
	}
	if n := d.refs[name]; n > 0 {
		return n, nil
	}
	if d.fresh[name] {
		return 0, nil
	}
	if n := d.chain(name).Refs; n >= 0 {
		return n, nil
	}
	for _, c := range d.chains {
		if c != nil && !c.Read {
			return 0, refuse(name, ReasonNotRead, "whether chain %s refers to the chain was not read", c.Name)
		}
	}
	return 0, nil
}

// checkRule checks what a rule refers to.
func (d *draft) checkRule(o *Op) *ApplyError {
	r := o.Rule
	if to := r.JumpTarget(); to != "" {
		switch {
		case IsBuiltin(d.table.Name, to):
			return refuse(o.Chain, ReasonBadTarget, "a rule cannot jump to the built-in chain %s", to)
		case d.chain(to) == nil && !r.isExtension():
			return refuse(o.Chain, ReasonBadTarget, "the rule jumps to chain %s, which is not there", to)
		}
	}
	if !d.state.SetsRead {
		return nil
	}
	var bad *ApplyError
	r.setNames(func(name string) {
		set := d.state.Set(name)
		switch {
		case bad != nil:
		case set == nil:
			bad = refuse(o.Chain, ReasonNoSet, "the rule needs set %s, which is not there", name)
		case set.Family != 0 && set.Family != d.table.Family:
			bad = refuse(o.Chain, ReasonNoSet, "the rule needs set %s, which is of the other family", name)
		}
	})
	return bad
}

// checkJumps finds circles that the block closed or opened a way to, and walks
// that are too long. The kernel looks only at what a packet can reach from a
// built-in chain.
func (d *draft) checkJumps() *ApplyError {
	if len(d.jumps) == 0 {
		return nil
	}
	w := walker{draft: d, depth: map[string]int{}}
	for _, e := range d.jumps {
		if d.chain(e.from) == nil {
			continue // dropped again
		}
		if loop, bad := w.walk(e.from); bad && d.reachable(e.from) {
			return refuse(loop, ReasonLoop, "a packet could come back to the chain for ever")
		}
	}
	if d.quirks.MaxJumps == 0 {
		return nil
	}
	for _, name := range BuiltinChains(d.table.Name) {
		if n, _ := w.walk(name); n != "" {
			continue // a circle that no jump of this block leads to
		}
		if w.depth[name]-1 > d.quirks.MaxJumps {
			return refuse(name, ReasonTooDeep, "a packet could make %d jumps on end, and the kernel takes %d", w.depth[name]-1, d.quirks.MaxJumps)
		}
	}
	return nil
}

// walker finds the longest way from a chain, and circles.
type walker struct {
	draft *draft
	// depth of a chain: the number of chains on the longest way from it; -1 while
	// the walk is inside it.
	depth map[string]int
}

// walk goes everywhere a packet can go from a chain. If a circle can be reached
// it returns one of the circle's chains.
func (w *walker) walk(name string) (loop string, bad bool) {
	switch n := w.depth[name]; {
	case n > 0:
		return "", false
	case n < 0:
		return name, true
	}
	w.depth[name] = -1
	deepest := 0
	for to := range w.draft.next(name) {
		if loop, bad := w.walk(to); bad {
			return loop, true
		}
		deepest = max(deepest, w.depth[to])
	}
	w.depth[name] = deepest + 1
	return "", false
}

// reachable tells whether a packet can come to a chain from a built-in chain.
func (d *draft) reachable(name string) bool {
	seen := map[string]bool{}
	todo := append([]string(nil), BuiltinChains(d.table.Name)...)
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if at == name {
			return true
		}
		if seen[at] || d.chain(at) == nil {
			continue
		}
		seen[at] = true
		for to := range d.next(at) {
			if !seen[to] {
				todo = append(todo, to)
			}
		}
	}
	return false
}

// next lists the chains to which a packet can go from a chain, as far as the
// kernel looks; the same one not twice in a row.
func (d *draft) next(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		last := ""
		for _, r := range d.chain(name).Rules {
			to := r.JumpTarget()
			if to == "" {
				if d.quirks.WalkEndsAtVerdict && isVerdict(r.Text) {
					return
				}
				continue
			}
			if to == last || d.chain(to) == nil {
				continue
			}
			last = to
			if !yield(to) {
				return
			}
		}
	}
}

// isVerdict tells whether a rule is nothing but a verdict.
func isVerdict(text string) bool {
	switch text {
	case "-j ACCEPT", "-j DROP", "-j RETURN", "-j QUEUE":
		return true
	}
	return false
}
