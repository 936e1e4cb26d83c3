package compiler

import (
	"slices"

	"hookline/compiler/check"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// Program is a compiled ruleset: what is to stand on a host, for every host.
type Program struct {
	Name, Version, Description string
	Span                       diag.Span
	// Families that the ruleset is for, IPv4 first.
	Families []ir.Family
	// Backend as the ruleset says: auto, iptables-nft, iptables-legacy or nft.
	Backend string
	// Counters tells that rules of the nft backend count; those of iptables do anyway.
	Counters bool
	// Narrowed are the families that the ruleset is for besides, and that this run leaves
	// out.
	Narrowed []ir.Family
	// Intrusions says what to do with the rules that other programs put into our table
	// of nftables.
	Intrusions Intrusions
	// Owns are the globs of the names that are ours; declared chains always match.
	Owns Owns
	// Catalogue is the built-in one, extended by Participants, the ruleset's own.
	Catalogue    *participant.Catalogue
	Participants []participant.Entry
	// Sets are the declared sets, as written, IPv4 first.
	Sets []*DeclaredSet
	// Chains are the owned chains, by family and table in the order of ir.TableNames,
	// then as written; helper chains stand behind the chain that needs them.
	Chains []*Chain
	// Anchors are our jumps, Adopts the jumps of others that we place, in the order
	// of writing.
	Anchors []*Anchor
	Adopts  []*Anchor
	// Collects choose rules of others for removal, in the order of writing.
	Collects []*Collect
	// Constraints in the order of writing.
	Constraints []*Constraint
	// Notes are rules left out, in the order of writing: an empty list, an address
	// of the other family.
	Notes []*diag.Diagnostic
	// LeftOut are those of them that match nothing at all, in the order of writing.
	LeftOut []LeftOut
	// Params as resolved, for the plan; sorted by name.
	Params []ParamValue

	act check.Activation
	// setGlobs are the globs of sets that the ruleset itself names.
	setGlobs []string
	// byKey and names index Chains, owned Owns.Chains.
	byKey map[ir.ChainKey]*Chain
	names map[string]bool
	owned *ir.Globs
}

// Intrusions is what a ruleset says of the rules that other programs put into its
// table of nftables. The set is closed.
type Intrusions string

// What can be done with them: left with a warning, removed, or nothing is applied
// as long as one stands.
const (
	TolerateIntrusions Intrusions = "tolerate"
	RemoveIntrusions   Intrusions = "remove"
	FailOnIntrusions   Intrusions = "fail"
)

// LeftOut is a rule that matches nothing, such as one with an empty list.
type LeftOut struct {
	Key          ir.ChainKey
	Rule, Reason string
}

// addChain declares a chain. Of two with the same key the first one counts.
func (p *Program) addChain(c *Chain) {
	p.Chains = append(p.Chains, c)
	if p.byKey == nil {
		p.byKey, p.names = map[ir.ChainKey]*Chain{}, map[string]bool{}
	}
	if p.byKey[c.Key] == nil {
		p.byKey[c.Key] = c
	}
	p.names[c.Key.Chain] = true
}

// OwnsChain tells whether a chain name is the ruleset's.
func (p *Program) OwnsChain(name string) bool { return p.owned.Match(name) || p.names[name] }

// Owns says which names are the ruleset's.
type Owns struct {
	// Chains and Sets are anchored globs.
	Chains, Sets []string
	// Replaces names participants whose names may be owned.
	Replaces []string
}

// Chain tells whether a chain name is ours.
func (o Owns) Chain(name string) bool {
	return slices.ContainsFunc(o.Chains, func(g string) bool { return ir.MatchGlob(g, name) })
}

// Chain is one owned chain of one family.
type Chain struct {
	Key   ir.ChainKey
	Span  diag.Span
	Rules []ChainRule
}

// ChainRule is one rule of an owned chain.
type ChainRule struct {
	Rule *ir.Rule
	// Label addresses the rule in its chain: its name, or #N.
	Label string
	// FromText tells that the rule is written for the iptables backends alone.
	FromText bool
	// Raw is the text of a rule that was written for nft, else nil. Rule then is empty.
	Raw []nftables.RawPart
	// Comments are those of a rule with Raw; other rules hold theirs.
	Comments []string
	// SkipIfMissing names foreign sets without which the rule is left out; every
	// other set that the rule names must stand.
	SkipIfMissing []string
}

// Anchor is one jump in a shared chain: ours, or one that is adopted.
type Anchor struct {
	// Key is the chain that the jump stands in.
	Key ir.ChainKey
	// Name is the anchor's, Ruleset its ruleset's.
	Name, Ruleset string
	Span          diag.Span
	// Rule is the jump as we write it; for an adopted jump without match only its
	// target matters.
	Rule *ir.Rule
	// SkipIfMissing names foreign sets without which our jump is left out.
	SkipIfMissing []string
	// FromText tells that the condition was written as iptables text.
	FromText bool
	// Target is the chain that is jumped to.
	Target string
	// AnyMatch tells that an adopted jump is recognised by its target alone.
	AnyMatch bool
	Adopt    bool
	Collapse bool
	// IfMissing of an adopt: what to do when no jump stands.
	IfMissing place.Missing
	// Tolerated tells that the ruleset says `ifMissing: ignore` in so many words.
	Tolerated     bool
	Force         bool
	At            place.End
	After, Before []Ref
}

// sameJump tells whether two entries ask for the same jump: comments and places do
// not make it another one.
func (a *Anchor) sameJump(b *Anchor) bool {
	return a.Key == b.Key && a.Target == b.Target && (a.AnyMatch || b.AnyMatch ||
		xtables.KeyNoComment(a.Rule.Spec, a.Key.Family) == xtables.KeyNoComment(b.Rule.Spec, b.Key.Family))
}

// placed are the anchors and the adopted jumps, each as written.
func (p *Program) placed() []*Anchor { return slices.Concat(p.Anchors, p.Adopts) }

// Ref is one entry of after or before.
type Ref struct {
	// Label is the reference as written, for messages.
	Label string
	Span  diag.Span
	// Exactly one of the three is set.
	Participant string
	Chain       string
	Glob        *participant.RuleGlob

	Tail      bool
	IfMissing place.Missing
	// Tolerated tells that the ruleset says `ignore` in so many words: that it is
	// missing is no news.
	Tolerated bool
}

// Constraint is one compiled constraint.
type Constraint struct {
	Span  diag.Span
	Check check.Constraint
}

// ParamValue is a param and its value as CEL shows it.
type ParamValue struct{ Name, Value string }

// Chain finds a declared chain; nil if the program has none of that key.
func (p *Program) Chain(k ir.ChainKey) *Chain { return p.byKey[k] }
