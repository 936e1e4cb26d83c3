package ir

import (
	"fmt"
	"slices"
	"strings"
)

// CompareOptions say what counts as a difference.
type CompareOptions struct {
	// Counters of rules and policies are compared too.
	Counters bool
	// Scope limits the comparison to its chains; nil compares all of them.
	Scope *Scope
	// SameRule tells whether two rules of different text are the same; nil: never.
	SameRule func(f Family, a, b *Rule) bool
}

// DifferenceKind is what a Difference is about. The set is closed.
type DifferenceKind string

// The kinds of difference.
const (
	ChainMissing    DifferenceKind = "chain-missing"    // predicted, and not there
	ChainUnexpected DifferenceKind = "chain-unexpected" // there, and not predicted
	PolicyDiffers   DifferenceKind = "policy"           // of a built-in chain
	RuleMissing     DifferenceKind = "rule-missing"     // predicted, and not there
	RuleUnexpected  DifferenceKind = "rule-unexpected"  // there, and not predicted
	RuleDiffers     DifferenceKind = "rule-differs"     // another rule at its place
	CountersDiffer  DifferenceKind = "counters"         // of the rule at Index, or of the policy if Index is -1
	TableUnreadable DifferenceKind = "table-unreadable" // one side could not be read any more
	ChainUnreadable DifferenceKind = "chain-unreadable" // one side could not be read any more
)

// Difference is one thing in which an actual state is not the predicted one.
type Difference struct {
	Key ChainKey
	// Index is the rule's place (from 0) in the predicted chain, in the actual chain
	// for a rule that was not predicted, or -1 if no rule is meant.
	Index     int
	Kind      DifferenceKind
	Want, Got string
}

func (d Difference) String() string {
	where := d.Key.String()
	if d.Index >= 0 {
		where += fmt.Sprintf(" rule %d", d.Index+1)
	}
	switch {
	case d.Want == "" && d.Got == "":
		return fmt.Sprintf("%s: %s", where, d.Kind)
	case d.Got == "":
		return fmt.Sprintf("%s: %s: want %q", where, d.Kind, d.Want)
	case d.Want == "":
		return fmt.Sprintf("%s: %s: got %q", where, d.Kind, d.Got)
	}
	return fmt.Sprintf("%s: %s: want %q, got %q", where, d.Kind, d.Want, d.Got)
}

// Compare lists in what the actual state is not the predicted one, in the order
// of the predicted tables and chains. An absent table is one of empty built-in
// chains with policy ACCEPT (FIELD M-58), the order of tables and of user chains
// means nothing, and rules are compared only where both sides have read them.
// Families that one side has not read are left out.
func Compare(predicted, actual *State, opt CompareOptions) []Difference {
	var out []Difference
	for _, f := range predicted.Families {
		if !slices.Contains(actual.Families, f) {
			continue
		}
		for _, name := range tableNames(f, predicted, actual) {
			c := comparison{opt: opt, table: TableKey{f, name}}
			c.tables(predicted.Table(f, name), actual.Table(f, name))
			out = append(out, c.out...)
		}
	}
	return out
}

// tableNames lists the tables of a family that either state has.
func tableNames(f Family, states ...*State) []string {
	var out []string
	for _, s := range states {
		for _, t := range s.Tables {
			if t.Family == f && !slices.Contains(out, t.Name) {
				out = append(out, t.Name)
			}
		}
	}
	return out
}

type comparison struct {
	opt   CompareOptions
	table TableKey
	out   []Difference
}

func (c *comparison) differ(chain string, at int, kind DifferenceKind, want, got string) {
	c.out = append(c.out, Difference{ChainKey{c.table.Family, c.table.Name, chain}, at, kind, want, got})
}

func (c *comparison) tables(want, got *Table) {
	want, got = present(c.table, want), present(c.table, got)
	if want.Unreadable != "" || got.Unreadable != "" {
		if want.Unreadable != got.Unreadable {
			c.differ("", -1, TableUnreadable, want.Unreadable, got.Unreadable)
		}
		return
	}
	theirs := make(map[string]*Chain, len(got.Chains))
	for _, x := range got.Chains {
		theirs[x.Name] = x
	}
	for _, x := range want.Chains {
		other := theirs[x.Name]
		delete(theirs, x.Name)
		if c.inScope(x.Name) {
			c.chains(x, other)
		}
	}
	for _, x := range got.Chains {
		if theirs[x.Name] != nil && c.inScope(x.Name) {
			c.chains(nil, x)
		}
	}
}

func (c *comparison) inScope(chain string) bool {
	return c.opt.Scope == nil || c.opt.Scope.Has(ChainKey{c.table.Family, c.table.Name, chain})
}

// present is a table with all its built-in chains.
func present(k TableKey, t *Table) *Table {
	if t == nil {
		t = &Table{Family: k.Family, Name: k.Name}
	}
	for _, name := range BuiltinChains(k.Name) {
		if t.Chain(name) == nil {
			n := *t
			n.Chains = append(slices.Clip(t.Chains), &Chain{Name: name, Policy: "ACCEPT", Read: true})
			t = &n
		}
	}
	return t
}

func (c *comparison) chains(want, got *Chain) {
	switch {
	case got == nil:
		c.differ(want.Name, -1, ChainMissing, want.Name, "")
		return
	case want == nil:
		c.differ(got.Name, -1, ChainUnexpected, "", got.Name)
		return
	case want.Unreadable != "" || got.Unreadable != "":
		if want.Unreadable != got.Unreadable {
			c.differ(want.Name, -1, ChainUnreadable, want.Unreadable, got.Unreadable)
		}
		return
	case !want.Read || !got.Read:
		return
	}
	if want.Policy != got.Policy {
		c.differ(want.Name, -1, PolicyDiffers, want.Policy, got.Policy)
	}
	if c.opt.Counters && (want.Packets != got.Packets || want.Bytes != got.Bytes) {
		c.differ(want.Name, -1, CountersDiffer, counters(want.Packets, want.Bytes), counters(got.Packets, got.Bytes))
	}
	c.rules(want.Name, want.Rules, got.Rules)
}

func counters(packets, bytes uint64) string { return fmt.Sprintf("[%d:%d]", packets, bytes) }

// longestTable is the largest table of common subsequences that is worth making;
// what is larger is compared place by place.
const longestTable = 1 << 20

// rules compares two lists of rules. What they share at both ends is paired off,
// and what is left by the longest common subsequence.
func (c *comparison) rules(chain string, want, got []*Rule) {
	head := 0
	for head < len(want) && head < len(got) && c.same(want[head], got[head]) {
		c.pair(chain, head, want[head], got[head])
		head++
	}
	tail := 0
	for tail < len(want)-head && tail < len(got)-head && c.same(want[len(want)-1-tail], got[len(got)-1-tail]) {
		tail++
	}
	c.middle(chain, head, want[head:len(want)-tail], got[head:len(got)-tail])
	for i := tail; i > 0; i-- {
		c.pair(chain, len(want)-i, want[len(want)-i], got[len(got)-i])
	}
}

// middle compares what lies between the ends; both lists start at place head.
func (c *comparison) middle(chain string, head int, want, got []*Rule) {
	if len(want)*len(got) > longestTable {
		for i := range max(len(want), len(got)) {
			switch {
			case i >= len(want):
				c.differ(chain, head+i, RuleUnexpected, "", ruleText(got[i]))
			case i >= len(got):
				c.differ(chain, head+i, RuleMissing, ruleText(want[i]), "")
			case c.same(want[i], got[i]):
				c.pair(chain, head+i, want[i], got[i])
			default:
				c.differ(chain, head+i, RuleDiffers, ruleText(want[i]), ruleText(got[i]))
			}
		}
		return
	}
	// common[i][j] is the length of the longest common subsequence of want[i:] and
	// got[j:], in one slice.
	width := len(got) + 1
	common := make([]int32, (len(want)+1)*width)
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if c.same(want[i], got[j]) {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && c.same(want[i], got[j]):
			c.pair(chain, head+i, want[i], got[j])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[(i+1)*width+j] >= common[i*width+j+1]:
			c.differ(chain, head+i, RuleMissing, ruleText(want[i]), "")
			i++
		default:
			c.differ(chain, head+j, RuleUnexpected, "", ruleText(got[j]))
			j++
		}
	}
}

// pair compares the counters of two rules that are the same.
func (c *comparison) pair(chain string, at int, want, got *Rule) {
	if c.opt.Counters && (want.Packets != got.Packets || want.Bytes != got.Bytes) {
		c.differ(chain, at, CountersDiffer, counters(want.Packets, want.Bytes), counters(got.Packets, got.Bytes))
	}
}

func (c *comparison) same(a, b *Rule) bool {
	switch {
	case a == b:
		return true
	case a.Native != nil || b.Native != nil:
		return a.Native != nil && b.Native != nil && a.Native.Handle == b.Native.Handle
	case a.Text == b.Text:
		return true
	}
	return c.opt.SameRule != nil && c.opt.SameRule(c.table.Family, a, b)
}

// ruleText is a rule for people.
func ruleText(r *Rule) string {
	if r.Native != nil {
		return strings.TrimSpace("native nft rule: " + r.Native.String())
	}
	return r.Text
}
