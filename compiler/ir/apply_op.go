package ir

import (
	"errors"
	"strings"
)

// op does one step of a block, or says why it is refused.
func (d *draft) op(o *Op) *ApplyError {
	switch o.Kind {
	case OpEnsure:
		return d.ensure(o.Chain)
	case OpNew:
		return d.create(o.Chain)
	case OpPolicy:
		return d.policy(o)
	case OpAppend, OpInsert, OpReplace:
		return d.putRule(o)
	case OpRequire, OpDelete:
		return d.byValue(o)
	case OpDeleteIndex:
		return d.deleteIndex(o)
	case OpFlush:
		if d.chain(o.Chain) == nil {
			return noChain(o.Chain)
		}
		d.changed = true
		delete(d.ghosts, o.Chain)
		d.empty(o.Chain)
		return nil
	case OpFlushAll:
		d.changed = true
		clear(d.ghosts)
		for _, c := range d.chains {
			if c != nil {
				d.empty(c.Name)
			}
		}
		return nil
	case OpDrop:
		return d.drop(o.Chain)
	case OpDropAll:
		return d.dropAll()
	case OpZero:
		return d.zero(o)
	case OpRename:
		return d.startRename(o.Chain, o.NewName)
	default:
		return refuse(o.Chain, ReasonBadOp, "no op of kind %d is known", o.Kind)
	}
}

func noChain(name string) *ApplyError {
	return refuse(name, ReasonNoChain, "there is no chain %s", name)
}

// ensure is `:CHAIN - [0:0]`.
func (d *draft) ensure(name string) *ApplyError {
	switch c := d.chain(name); {
	case IsBuiltin(d.table.Name, name):
		return nil // leaves a built-in chain alone (FIELD M-12)
	case c != nil && d.quirks.RedeclareFails && !d.block.NoFlush:
		return refuse(name, ReasonChainExists, "the chain is declared twice")
	case c != nil:
		if d.quirks.FlushedStay {
			if d.ghosts == nil {
				d.ghosts = map[string][]*Rule{}
			}
			d.ghosts[name] = append(d.ghosts[name], c.Rules...)
		}
		d.changed = true
		d.empty(name)
		return nil
	}
	return d.create(name)
}

// create is -N CHAIN.
func (d *draft) create(name string) *ApplyError {
	if d.chain(name) != nil {
		return refuse(name, ReasonChainExists, "the chain exists already")
	}
	if err := CheckChainName(name); err != nil {
		return refuse(name, ReasonBadName, "%v", err)
	}
	d.add(&Chain{Name: name, Read: true, Refs: 0})
	d.changed = true
	if d.fresh == nil {
		d.fresh = map[string]bool{}
	}
	d.fresh[name] = true
	return nil
}

// policy is `:BUILTIN POLICY [n:m]` or -P.
func (d *draft) policy(o *Op) *ApplyError {
	if !IsBuiltin(d.table.Name, o.Chain) {
		if d.quirks.UserPolicy {
			return d.ensure(o.Chain)
		}
		return refuse(o.Chain, ReasonNotBuiltin, "only a built-in chain has a policy")
	}
	switch o.Policy {
	case "":
		if d.quirks.DashSetsCounters {
			d.policyCounters(o)
		}
		return nil
	case "ACCEPT", "DROP":
	default:
		return refuse(o.Chain, ReasonBadPolicy, "%s is no policy", o.Policy)
	}
	if d.policies == nil {
		d.policies = map[string]Chain{}
	}
	c := d.write(o.Chain)
	if _, again := d.policies[o.Chain]; !again {
		d.policies[o.Chain] = *c
	}
	c.Policy = o.Policy
	d.policyCounters(o)
	return nil
}

func (d *draft) policyCounters(o *Op) {
	c := d.write(o.Chain)
	c.Packets, c.Bytes = 0, 0
	if d.block.Counters {
		c.Packets, c.Bytes = o.Packets, o.Bytes
	}
}

// readable is the op's chain, whose rules have to be known.
func (d *draft) readable(name string) (*Chain, *ApplyError) {
	c := d.chain(name)
	switch {
	case c == nil:
		return nil, noChain(name)
	case c.Unreadable != "":
		return nil, refuse(name, ReasonNotRead, "the chain's rules cannot be had: %s", c.Unreadable)
	case !c.Read:
		return nil, refuse(name, ReasonNotRead, "the chain was not read")
	}
	return c, nil
}

// drop is -X CHAIN.
func (d *draft) drop(name string) *ApplyError {
	c := d.chain(name)
	if c == nil {
		return noChain(name)
	}
	if IsBuiltin(d.table.Name, name) {
		if d.vanishes(c) {
			c = d.write(name)
			c.Packets, c.Bytes = 0, 0
			return nil
		}
		return refuse(name, ReasonBuiltin, "a built-in chain cannot be deleted")
	}
	if _, err := d.readable(name); err != nil {
		return err
	}
	if len(c.Rules) > 0 {
		return refuse(name, ReasonChainNotEmpty, "the chain still holds %d rules", len(c.Rules))
	}
	n, err := d.references(name)
	if err != nil {
		return err
	}
	if n > 0 {
		return refuse(name, ReasonChainInUse, "%d rules still refer to the chain", n)
	}
	d.chains[d.index[name]] = nil
	delete(d.index, name)
	d.changed = true
	return nil
}

// vanishes tells whether -X takes a built-in chain away: it comes back as it is in
// an absent table.
func (d *draft) vanishes(c *Chain) bool {
	return d.quirks.BuiltinDrop && len(c.Rules) == 0 && c.Policy == "ACCEPT"
}

// dropAll is -X without a chain.
func (d *draft) dropAll() *ApplyError {
	for _, c := range d.chains {
		if c == nil || IsBuiltin(d.table.Name, c.Name) && !d.vanishes(c) {
			continue
		}
		if err := d.drop(c.Name); err != nil {
			return err
		}
	}
	return nil
}

// startRename is -E.
func (d *draft) startRename(from, to string) *ApplyError {
	if d.chain(from) == nil {
		return noChain(from)
	}
	if IsBuiltin(d.table.Name, from) {
		return refuse(from, ReasonBuiltin, "a built-in chain cannot be renamed")
	}
	if d.chain(to) != nil {
		return refuse(to, ReasonChainExists, "the chain exists already")
	}
	if err := CheckChainName(to); err != nil {
		return refuse(to, ReasonBadName, "%v", err)
	}
	if !d.quirks.RenameAtCommit {
		return d.rename(from, to)
	}
	if d.fresh[from] {
		return refuse(from, ReasonNoChain, "a chain cannot be renamed in the block that makes it")
	}
	d.renames = append(d.renames, [2]string{from, to})
	return nil
}

// rename gives a chain its new name, and the rules that refer to it.
func (d *draft) rename(from, to string) *ApplyError {
	if d.chain(from) == nil {
		return noChain(from)
	}
	d.write(from).Name = to
	d.index[to] = d.index[from]
	delete(d.index, from)
	d.sort = true
	if d.refs != nil {
		d.refs[to] = d.refs[from]
		delete(d.refs, from)
	}
	for i := range d.jumps {
		e := &d.jumps[i]
		e.from, e.to = renamed(e.from, from, to), renamed(e.to, from, to)
	}
	for _, c := range d.chains {
		if c == nil {
			continue
		}
		for i, r := range c.Rules {
			start, end, _ := findTarget(r.Text)
			if r.Native != nil || r.Text[start:end] != from {
				continue
			}
			n := *r
			n.Text, n.Spec = r.Text[:start]+to+r.Text[end:], nil
			d.writeRules(c.Name).Rules[i] = &n
		}
	}
	return nil
}

func renamed(name, from, to string) string {
	if name == from {
		return to
	}
	return name
}

// CheckChainName says why iptables takes no chain of that name, or nil.
func CheckChainName(name string) error {
	switch {
	case name == "":
		return errors.New("a chain needs a name")
	case len(name) > 28:
		return errors.New("a chain's name has at most 28 bytes")
	case name[0] == '-' || name[0] == '!':
		return errors.New("a chain's name cannot start with " + name[:1])
	case IsTargetName(name):
		return errors.New("a chain cannot be called like the target " + name)
	case strings.ContainsAny(name, " \t\n\v\f\r\x00"):
		return errors.New("a chain's name cannot hold spaces")
	}
	return nil
}
