package ir

import (
	"fmt"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// NFTOpKind is the kind of a step on a table of ours. The set is closed.
type NFTOpKind uint8

// The kinds of step, each with its command for nft(8).
const (
	NFTAddTable       NFTOpKind = iota + 1 // add table
	NFTDeleteTable                         // delete table, with all that is in it
	NFTAddSet                              // add set, without elements
	NFTDeleteSet                           // delete set
	NFTAddElements                         // add element
	NFTDeleteElements                      // delete element
	NFTAddChain                            // create chain: it must not be there
	NFTFlushChain                          // flush chain
	NFTDeleteChain                         // delete chain, which is empty
	NFTAddRule                             // add rule: at the end of its chain
	NFTInsertRule                          // insert rule, directly ahead of the one with Handle
	NFTDeleteRule                          // delete rule, the one with Handle
)

// NFTOp is one step on a table of ours.
type NFTOp struct {
	Kind TableKind
	// Table that the step is for, and Do what it does.
	Table string
	Do    NFTOpKind
	// Chain of the steps on chains and rules; Base of NFTAddChain, nil for a regular one.
	Chain string
	Base  *BaseChain
	// Rule of NFTAddRule and NFTInsertRule; of NFTDeleteRule the one that goes.
	Rule   *OwnRule
	Handle uint64
	// Set of the steps on sets: its Elements do not matter. Elements are those that come
	// or go, in the order of NamedSet.Elements.
	Set      *OwnSet
	Elements []Element
	// Netlink tells that a step on a set is done ahead of all others, in a transaction of
	// its own, and without nft: a set of its table is large, and nft would read it.
	Netlink bool
	// Origin is the YAML value that asks for the step; zero if it follows from the host's
	// state.
	Origin diag.Span
}

// NFTError is a step that the kernel would refuse.
type NFTError struct {
	// Index of the step in the transaction.
	Index   int
	Op      NFTOp
	Reason  Reason
	Message string
}

func (e *NFTError) Error() string {
	return fmt.Sprintf("%s %s %s: %s", e.Op.Kind, e.Op.Table, e.Op.Chain, e.Message)
}

// applyOwn does the steps of one transaction on the tables of ours: all of them or
// none.
func (s *State) applyOwn(ops []NFTOp) *NFTError {
	if len(ops) == 0 {
		return nil
	}
	d := &ownDraft{state: s, tables: slices.Clone(s.Own), own: map[*OwnTable]bool{}}
	for i := range ops {
		if e := d.op(&ops[i]); e != nil {
			e.Index, e.Op = i, ops[i]
			return e
		}
	}
	if e := d.jumps(ops); e != nil {
		return e
	}
	// The bases first: they look at which tables were ours.
	s.NFTTables = d.bases()
	s.Own = d.tables
	return nil
}

// ownDraft is the tables of ours while a transaction works on them. Tables and
// chains are copied when they are first written to.
type ownDraft struct {
	state  *State
	tables []*OwnTable
	own    map[*OwnTable]bool
}

func refuseOwn(reason Reason, format string, args ...any) *NFTError {
	return &NFTError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// table finds the table of a step and makes it the draft's own; nil if there is
// none.
func (d *ownDraft) table(o *NFTOp) *OwnTable {
	i := slices.IndexFunc(d.tables, func(t *OwnTable) bool { return t.Kind == o.Kind && t.Name == o.Table })
	if i < 0 {
		return nil
	}
	t := d.tables[i]
	if !d.own[t] {
		c := *t
		c.Chains, c.Sets = slices.Clone(t.Chains), slices.Clone(t.Sets)
		t = &c
		d.tables[i], d.own[t] = t, true
	}
	return t
}

func (d *ownDraft) op(o *NFTOp) *NFTError {
	t := d.table(o)
	switch {
	case o.Do == NFTAddTable:
		if t == nil {
			t = &OwnTable{Kind: o.Kind, Name: o.Table}
			d.tables, d.own[t] = append(d.tables, t), true
		}
		return nil
	case t == nil:
		return refuseOwn(ReasonNoTable, "there is no such table")
	case o.Do == NFTDeleteTable:
		d.tables = slices.DeleteFunc(d.tables, func(x *OwnTable) bool { return x == t })
		return nil
	case o.Do == NFTAddSet, o.Do == NFTDeleteSet, o.Do == NFTAddElements, o.Do == NFTDeleteElements:
		return t.setOp(o)
	case o.Do == NFTAddChain:
		if t.Chain(o.Chain) != nil {
			return refuseOwn(ReasonChainExists, "the chain stands already")
		}
		t.Chains = append(t.Chains, &OwnChain{Name: o.Chain, Base: o.Base})
		return nil
	}
	return t.chainOp(o)
}

// chainOp does a step on a chain that has to stand.
func (t *OwnTable) chainOp(o *NFTOp) *NFTError {
	i := slices.IndexFunc(t.Chains, func(c *OwnChain) bool { return c.Name == o.Chain })
	if i < 0 {
		return refuseOwn(ReasonNoChain, "there is no such chain")
	}
	c := *t.Chains[i]
	at := slices.IndexFunc(c.Rules, func(r OwnRule) bool { return r.Handle == o.Handle && o.Handle != 0 })
	switch o.Do {
	case NFTFlushChain:
		c.Rules = nil
	case NFTDeleteChain:
		if len(c.Rules) > 0 {
			return refuseOwn(ReasonChainNotEmpty, "the chain holds rules")
		}
		for _, x := range t.Chains {
			for _, r := range x.Rules {
				if slices.Contains(r.Jumps(), o.Chain) {
					return refuseOwn(ReasonChainInUse, "%s jumps to the chain", x.Name)
				}
			}
		}
		t.Chains = slices.Delete(t.Chains, i, i+1)
		return nil
	case NFTAddRule:
		c.Rules = append(slices.Clone(c.Rules), *o.Rule)
	case NFTInsertRule, NFTDeleteRule:
		if at < 0 {
			return refuseOwn(ReasonNoRule, "there is no rule with handle %d", o.Handle)
		}
		if o.Do == NFTInsertRule {
			c.Rules = slices.Insert(slices.Clone(c.Rules), at, *o.Rule)
		} else {
			c.Rules = slices.Delete(slices.Clone(c.Rules), at, at+1)
		}
	default:
		return refuseOwn(ReasonBadOp, "a step of kind %d is none on a chain", o.Do)
	}
	t.Chains[i] = &c
	return nil
}

func (t *OwnTable) setOp(o *NFTOp) *NFTError {
	i := slices.IndexFunc(t.Sets, func(s *OwnSet) bool { return s.Name == o.Set.Name })
	if o.Do == NFTAddSet {
		if i >= 0 {
			return refuseOwn(ReasonBadOp, "the set %s stands already", o.Set.Name)
		}
		s := *o.Set
		s.Elements, s.Counted = nil, -1
		t.Sets = append(t.Sets, &s)
		return nil
	}
	if i < 0 {
		return refuseOwn(ReasonNoSet, "there is no set %s", o.Set.Name)
	}
	s := *t.Sets[i]
	switch o.Do {
	case NFTDeleteSet:
		t.Sets = slices.Delete(t.Sets, i, i+1)
		return nil
	case NFTAddElements:
		merged, twice := withElements(s.Elements, o.Elements)
		if twice != nil {
			return refuseOwn(ReasonBadOp, "an element of the set %s is in it already", s.Name)
		}
		s.Elements = merged
	case NFTDeleteElements:
		left, missing := withoutElements(s.Elements, o.Elements)
		if missing != nil {
			return refuseOwn(ReasonBadOp, "an element of the set %s is not in it", s.Name)
		}
		s.Elements = left
	default:
		return refuseOwn(ReasonBadOp, "a step of kind %d is none on a set", o.Do)
	}
	t.Sets[i] = &s
	return nil
}

// withElements merges two sorted lists that have no element in common; twice is one
// that they have.
func withElements(a, b []Element) (out []Element, twice *Element) {
	out = make([]Element, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].Compare(b[0]); {
		case c == 0:
			return nil, &b[0]
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		default:
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...), nil
}

// withoutElements takes a sorted list out of another one; missing is an element that
// is not in it.
func withoutElements(a, b []Element) (out []Element, missing *Element) {
	out = make([]Element, 0, max(0, len(a)-len(b)))
	for len(b) > 0 {
		if len(a) == 0 {
			return nil, &b[0]
		}
		switch c := a[0].Compare(b[0]); {
		case c == 0:
			a, b = a[1:], b[1:]
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		default:
			return nil, &b[0]
		}
	}
	return append(out, a...), nil
}

// jumps makes sure that what the rules refer to is there once all is done. Circles
// are the kernel's to find: a rule's text is not decoded here.
func (d *ownDraft) jumps(ops []NFTOp) *NFTError {
	for i := range ops {
		o := &ops[i]
		t := d.table(o)
		if t == nil || o.Rule == nil || o.Do == NFTDeleteRule {
			continue
		}
		for _, to := range o.Rule.Jumps() {
			if t.Chain(to) == nil {
				e := refuseOwn(ReasonBadTarget, "there is no chain %s to jump to", to)
				e.Index, e.Op = i, *o
				return e
			}
		}
	}
	for _, t := range d.tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				for _, to := range r.Jumps() {
					if t.Chain(to) == nil {
						e := refuseOwn(ReasonChainInUse, "%s jumps to the chain %s, which goes", c.Name, to)
						e.Op = NFTOp{Kind: t.Kind, Table: t.Name, Chain: to}
						return e
					}
				}
			}
		}
	}
	return nil
}

// bases are the base chains of all tables with those of ours as the draft has them.
func (d *ownDraft) bases() []NFTTable {
	var out []NFTTable
	for _, t := range d.state.NFTTables {
		if d.state.OwnTable(TableKind(t.Family), t.Name) == nil {
			out = append(out, t)
		}
	}
	for _, t := range d.tables {
		out = append(out, t.Summary())
	}
	SortNFTTables(out)
	return out
}

// Summary is the table as it stands among all others.
func (t *OwnTable) Summary() NFTTable {
	out := NFTTable{Family: string(t.Kind), Name: t.Name, Dormant: slices.Contains(strings.Split(t.Flags, ","), "dormant")}
	for _, c := range t.Chains {
		out.Rules += len(c.Rules)
		b := c.Base
		if b == nil {
			out.Others++
			continue
		}
		n := NFTBaseChain{Name: c.Name, Type: b.Type, Hook: b.Hook, Priority: b.Priority, Policy: b.Policy, Rules: len(c.Rules)}
		if n.Policy == "" {
			n.Policy = "accept"
		}
		for _, r := range c.Rules {
			if r.Tag != "" && !slices.Contains(n.Tags, r.Tag) {
				n.Tags = append(n.Tags, r.Tag)
			}
		}
		slices.Sort(n.Tags)
		out.Chains = append(out.Chains, n)
	}
	return out
}
