package ir

import "slices"

// putRule is -A, -I or -R.
func (d *draft) putRule(o *Op) *ApplyError {
	c, err := d.readable(o.Chain)
	if err != nil {
		return err
	}
	if o.Rule == nil {
		return refuse(o.Chain, ReasonBadOp, "the op has no rule")
	}
	if err := d.checkRule(o); err != nil {
		return err
	}
	at := len(c.Rules)
	if o.Kind != OpAppend {
		if at, err = d.place(o, c); err != nil {
			return err
		}
	}
	r := o.Rule
	switch {
	case !d.block.Counters && !o.Counted, d.quirks.LosesRuleCounters6 && d.table.Family == IPv6:
		r = zeroed(r)
	case r.Packets != 0 || r.Bytes != 0:
		if d.given == nil {
			d.given = map[*Rule]bool{}
		}
		d.given[r] = true
	}
	c = d.writeRules(o.Chain)
	if o.Kind == OpReplace {
		d.unref(c.Rules[at])
		c.Rules[at] = r
	} else {
		c.Rules = slices.Insert(c.Rules, at, r)
	}
	d.ref(o.Chain, r)
	return nil
}

// byValue is -C or -D by value. Both find the first equal rule; native rules are
// not equal to any text.
func (d *draft) byValue(o *Op) *ApplyError {
	c, err := d.readable(o.Chain)
	if err != nil {
		return err
	}
	if o.Rule == nil {
		return refuse(o.Chain, ReasonBadOp, "the op has no rule")
	}
	equal := func(r *Rule) bool { return r.Native == nil && r.Text == o.Rule.Text }
	if slices.ContainsFunc(d.ghosts[o.Chain], equal) {
		if o.Kind == OpDelete {
			return ghost(o.Chain)
		}
		return nil
	}
	at := slices.IndexFunc(c.Rules, equal)
	if at < 0 {
		return refuse(o.Chain, ReasonNoRule, "the chain has no rule %q", o.Rule.Text)
	}
	if o.Kind == OpDelete {
		d.delete(o.Chain, at)
	}
	return nil
}

func (d *draft) deleteIndex(o *Op) *ApplyError {
	c, err := d.readable(o.Chain)
	if err != nil {
		return err
	}
	at, err := d.place(o, c)
	if err == nil {
		d.delete(o.Chain, at)
	}
	return err
}

// place is where in its chain an op with an index works.
func (d *draft) place(o *Op, c *Chain) (int, *ApplyError) {
	ghosts := len(d.ghosts[o.Chain])
	last := ghosts + len(c.Rules)
	if o.Kind == OpInsert {
		last++
	}
	at := o.Index - 1 - ghosts
	switch {
	case o.Index < 1 || o.Index > last:
		return 0, refuse(o.Chain, ReasonIndexTooBig, "there is no place %d: the chain has %d rules", o.Index, len(c.Rules))
	case at < 0 && o.Kind == OpInsert:
		return 0, nil
	case at < 0:
		return 0, ghost(o.Chain)
	}
	return at, nil
}

// ghost refuses an op that meets a rule which is gone (Quirks.FlushedStay).
func ghost(chain string) *ApplyError {
	return refuse(chain, ReasonToolFails, "the tool finds a rule that the block has flushed")
}

func (d *draft) delete(name string, at int) {
	c := d.writeRules(name)
	d.unref(c.Rules[at])
	c.Rules = slices.Delete(c.Rules, at, at+1)
}

// zero is -Z, -Z CHAIN or -Z CHAIN INDEX.
func (d *draft) zero(o *Op) *ApplyError {
	if o.Chain == "" {
		for _, c := range d.chains {
			if c == nil {
				continue
			}
			if err := d.zeroChain(c.Name); err != nil {
				return err
			}
		}
		return nil
	}
	c := d.chain(o.Chain)
	if c == nil {
		return noChain(o.Chain)
	}
	if o.Index == 0 {
		return d.zeroChain(o.Chain)
	}
	if _, err := d.readable(o.Chain); err != nil {
		return err
	}
	at, err := d.place(o, c)
	if err != nil {
		return err
	}
	return d.zeroRule(d.writeRules(o.Chain), at)
}

// zeroRule clears the counters of one rule of a chain that may be written to.
func (d *draft) zeroRule(c *Chain, at int) *ApplyError {
	switch r := c.Rules[at]; {
	case d.given[r] && d.quirks.ZeroRefusesGiven:
		return refuse(c.Name, ReasonToolFails, "the tool cannot clear the counters of a rule that the block puts in")
	case d.given[r] && d.quirks.ZeroKeepsGiven:
	default:
		c.Rules[at] = zeroed(r)
	}
	return nil
}

func (d *draft) zeroChain(name string) *ApplyError {
	c := d.writeRules(name)
	before, set := d.policies[name]
	if !set || !d.quirks.ZeroKeepsGiven {
		c.Packets, c.Bytes = 0, 0
	}
	if set && d.quirks.ZeroLosesPolicies {
		c.Policy = before.Policy
	}
	for _, r := range d.ghosts[name] {
		if r.Packets != 0 || r.Bytes != 0 {
			return ghost(name)
		}
	}
	for i := range c.Rules {
		if err := d.zeroRule(c, i); err != nil {
			return err
		}
	}
	return nil
}

func zeroed(r *Rule) *Rule {
	if r.Packets == 0 && r.Bytes == 0 {
		return r
	}
	n := *r
	n.Packets, n.Bytes = 0, 0
	return &n
}
