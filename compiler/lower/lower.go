package lower

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Kind is the shape of a Value.
type Kind uint8

// The shapes of a Value.
const (
	Scalar Kind = iota
	List
	Map
)

// Value is an evaluated YAML value with its place. A list in a list counts as
// its items, so that an expression that yields a list can stand among others.
type Value struct {
	Span   diag.Span
	Kind   Kind
	Text   string // Scalar
	Quoted bool   // Scalar: it was not plain
	Items  []*Value
	Keys   []Key
}

// Key is one `name: value` of a mapping. Span is the name's place.
type Key struct {
	Name  string
	Span  diag.Span
	Value *Value
}

// Action is what the rule does. Args is nil where only the kind was written.
type Action struct {
	Kind string
	Span diag.Span // the kind's place
	Args *Value
}

// Rule is a structured rule after evaluation of its expressions.
type Rule struct {
	Span       diag.Span
	Label      string // the rule's address, for messages
	Match, Not []Key  // in written order
	Action     *Action
	Comment    *Value // written to iptables, or a list of those; nil or empty: none
	Families   []ir.Family
}

// Context is what lowering asks about the world around the rule.
type Context struct {
	Table, Chain string
	// Helper names an owned helper chain: unique in the table, at most 28 bytes, and
	// derived from the chain and the rule's address only. It is asked for the same
	// purposes and numbers in both families where both need the same chains; seq
	// counts from 0 within a rule and family.
	Helper func(purpose string, seq int) string
	// SetName resolves {set: NAME} for a family: the set's name in the kernel and its
	// number of dimensions (0: not known). ok is false if there is no such set for
	// the family; empty tells that a declared set has no elements.
	SetName func(name string, f ir.Family) (kernel string, dims int, ok, empty bool)
	// SetType is the type of a declared set, nil for any other; it may be nil.
	SetType func(name string) ir.SetType
	// IsChain tells whether a jump may go to a chain.
	IsChain func(name string) bool
	// Chains and Sets are candidates for "did you mean"; both may be nil.
	Chains, Sets []string
}

// HelperChain is an owned chain that one rule needs.
type HelperChain struct {
	Name  string
	Specs []*ir.Spec
}

// Dropped tells that the rule says nothing for a family, and why.
type Dropped struct {
	Family ir.Family
	Reason string
	Span   diag.Span // the value that is the reason
	// Other tells that what the rule says is the other family's.
	Other bool
}

// Result is what a rule becomes. Families that were not asked for, or for which
// the rule says nothing, are absent from the maps.
type Result struct {
	Rules   map[ir.Family][]*ir.Spec // in order, for the rule's own chain
	Chains  map[ir.Family][]HelperChain
	Dropped []Dropped
}

// Lower turns a rule into iptables rules. If the list has errors, the result is
// empty.
func Lower(r Rule, ctx Context) (Result, *diag.List) {
	l := &lowering{rule: r, ctx: ctx, diags: &diag.List{}}
	l.readMatches()
	l.readComments()
	act := l.readAction()
	if l.diags.HasErrors() {
		return Result{}, l.diags
	}
	res := Result{Rules: map[ir.Family][]*ir.Spec{}, Chains: map[ir.Family][]HelperChain{}}
	var excluded []*absence
	for _, f := range ir.Families {
		c := l.conditions(f)
		if c.absent == nil {
			c.absent = act.absentIn(f)
		}
		if c.absent != nil && c.absent.family {
			excluded = append(excluded, c.absent)
		}
		if !slices.Contains(r.Families, f) {
			continue
		}
		if c.absent != nil {
			res.Dropped = append(res.Dropped, Dropped{f, c.absent.reason, c.absent.span, c.absent.family})
			continue
		}
		target := act.forFamily(f, &c)
		if l.diags.HasErrors() {
			continue
		}
		e := &expansion{lowering: l, family: f, conditions: c, target: target}
		e.expand()
		l.check(f, e)
		res.Rules[f] = e.rules
		for _, c := range e.chains {
			res.Chains[f] = append(res.Chains[f], *c)
		}
	}
	if len(excluded) == len(ir.Families) {
		a, b := excluded[0], excluded[1]
		l.diags.Errorf(diag.FamilyMismatch, b.span, "%s, but %s: %s can match nothing", b.reason, a.reason, l.label()).
			Note(a.span, "%s", a.reason)
	}
	if l.diags.HasErrors() {
		return Result{}, l.diags
	}
	return res, l.diags
}

// label names the rule in sentences.
func (l *lowering) label() string {
	if l.rule.Label == "" {
		return "the rule"
	}
	return "rule " + l.rule.Label
}

// lowering is the work on one rule.
type lowering struct {
	rule  Rule
	ctx   Context
	diags *diag.List

	layer4  layer4
	keys    []keyChoices
	limits  []rateMatch // limits and the like, asked last, in written order
	notRate *rateMatch  // not: {limit: ...}
	// comments are the rule's own, in written order.
	comments []ir.Match
	// refusals are the findings of check so far.
	refusals []string
}

// keyChoices is one key of match (or, if Not, of not) that layer4 does not read.
type keyChoices struct {
	not bool
	of  func(f ir.Family) choice
}

// absence says why a rule has no meaning in a family. family tells that the
// reason is the other family, not emptiness.
type absence struct {
	reason string
	span   diag.Span
	family bool
}
