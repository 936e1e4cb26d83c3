package dsl

import "hookline/dsl/diag"

// Document is one `kind: Ruleset` document. Every value knows its span. Absent
// values are nil pointers or empty slices; nothing is defaulted here.
type Document struct {
	File *diag.File
	Span diag.Span
	// Name, Version and Description of metadata.
	Name, Version, Description *Text
	Families                   []*Text // spec.families
	Backend                    *Text
	// Counters is true or false; nil means true.
	Counters *Text
	// Intrusions is tolerate, remove or fail; nil means tolerate.
	Intrusions   *Text
	Params       []*Param
	Owns         *Owns
	Participants []*Participant
	Sets         []*Set
	Tables       []*Table
	Constraints  []*Constraint
}

// Text is a scalar. Value is its text with YAML's quoting and folding undone.
// Parts cut it into literals and `${ CEL }` where the place allows expressions;
// a Text without expressions has one literal part (none if it is empty).
type Text struct {
	Value string
	Span  diag.Span // the scalar as written, quotes included
	Parts []Part
	// Quoted tells that the scalar was not plain.
	Quoted bool
}

// Part is a literal (with `$${` undone) or an expression.
type Part struct {
	Literal string
	Expr    *Expr
}

// Expr is CEL source. Source is what CEL compiles. If Exact, Source is byte for
// byte the text of Span, so that an offset in Source is an offset in the file;
// else (escapes inside a quoted scalar) Span is the whole scalar.
type Expr struct {
	Source string
	Span   diag.Span
	Exact  bool
}

// IsExpr tells that the scalar is one expression and nothing else, so that it
// keeps its type.
func (t *Text) IsExpr() bool { return len(t.Parts) == 1 && t.Parts[0].Expr != nil }

// HasExpr tells that the scalar holds an expression.
func (t *Text) HasExpr() bool {
	for _, p := range t.Parts {
		if p.Expr != nil {
			return true
		}
	}
	return false
}

// Literal is the scalar's text if it holds no expression: the literal parts
// joined, i.e. Value with `$${` undone.
func (t *Text) Literal() string {
	s := ""
	for _, p := range t.Parts {
		s += p.Literal
	}
	return s
}

// ValueKind is the shape of a Value.
type ValueKind uint8

// The shapes of a Value.
const (
	Scalar ValueKind = iota
	Sequence
	Mapping
)

// Value is any YAML value in a place whose type depends on the language: a
// param's default, a match key's argument, an action's argument.
type Value struct {
	Kind    ValueKind
	Span    diag.Span
	Text    *Text    // Scalar
	Items   []*Value // Sequence
	Entries []*Entry // Mapping, in written order
}

// Entry is one `key: value`. Keys hold no expressions.
type Entry struct {
	Key   *Text
	Value *Value
}

// Entry finds an entry of a mapping by key; nil if there is none.
func (v *Value) Entry(key string) *Value {
	for _, e := range v.Entries {
		if e.Key.Value == key {
			return e.Value
		}
	}
	return nil
}

// Param is one entry of spec.params.
type Param struct {
	Name        *Text
	Type        *Text // as written: list(string), map(list(port)), ...
	Default     *Value
	Enum        []*Value
	Description *Text
	Span        diag.Span
}

// Owns is spec.owns.
type Owns struct {
	Span     diag.Span
	Chains   []*Text
	Sets     []*Text
	Replaces []*Text
	// HasChains and HasSets tell an empty list from an absent key.
	HasChains, HasSets bool
}

// Participant is one entry of spec.participants: an extension of the catalogue.
type Participant struct {
	Name      *Text
	Span      diag.Span
	Chains    []*Text
	Comments  []*Text
	Sets      []*Text
	NFTTables []*Text
	Rules     []*RuleGlob
}

// RuleGlob is {comment, text, target, in, out, set}: all given keys hold, values
// are globs; nil keys are not asked about.
type RuleGlob struct {
	Span                                diag.Span
	Comment, Text, Target, In, Out, Set *Text
}

// Set is one entry of spec.sets.
type Set struct {
	Name     *Text
	Span     diag.Span
	Families []*Text
	Type     *Text
	// Elements are scalars, or mappings of element, comment and timeout.
	Elements []*Value
	File     *Text
	Timeout  *Text
}

// Table is one entry of spec.tables.
type Table struct {
	Name    *Text
	Span    diag.Span
	Chains  []*Chain
	Anchors []*Anchor
	Adopts  []*Anchor // of which Comments is nil
	Collect []*Collect
}

// Chain is one owned chain.
type Chain struct {
	Name     *Text
	Span     diag.Span
	Families []*Text
	When     *Expr
	Rules    []*Rule
}

// Rule is one entry of a chain's rules: either a rule string (String set, all
// else nil) or structured.
type Rule struct {
	Span     diag.Span
	String   *Text
	Name     *Text
	When     *Expr
	ForEach  *ForEach
	Families []*Text
	Match    *Match
	Action   *Action
	Comments []*Text
	Iptables *Text
	NFT      *Text
}

// ForEach is {NAME: CEL list or map}.
type ForEach struct {
	Span diag.Span
	Var  *Text
	// In is the whole value: an expression scalar, bare CEL text or a YAML list or
	// mapping. A bare scalar's CEL is in InExpr.
	In     *Value
	InExpr *Expr
}

// Match is a structured match. The keys were checked to be known.
type Match struct {
	Span diag.Span
	Keys []*Entry // in written order, without `not`
	Not  []*Entry
}

// Action is a structured action: `accept` (Args nil) or `KIND: ARGS`.
type Action struct {
	Span diag.Span
	Kind *Text
	Args *Value
}

// Anchor is one entry of anchors or adopt.
type Anchor struct {
	Span          diag.Span
	Name          *Text // optional; default: the jump's chain
	Hook          *Text
	Jump          *Text
	Goto          bool // the key was goto, not jump
	Families      []*Text
	When          *Expr
	Match         *Match
	Iptables      *Text // in place of Match
	After, Before []*Ref
	At            *Text
	// IfMissing for all references, and by name.
	IfMissing       *Text
	IfMissingByName []*Entry // Value is a scalar
	Duplicates      *Text
	Comments        []*Text
	Force           *Text // true or false
}

// Ref is one entry of after or before: a bare name, {chain: N},
// {participant: N} or a rule glob.
type Ref struct {
	Span        diag.Span
	Name        *Text
	Chain       *Text
	Participant *Text
	Glob        *RuleGlob
	IfMissing   *Text
}

// Collect is one entry of collect.
type Collect struct {
	Span      diag.Span
	Chain     *Text
	Families  []*Text
	When      *Expr
	Where     *Expr
	Reason    *Text
	DropEmpty *Text // true or false
}

// Constraint is one entry of spec.constraints.
type Constraint struct {
	Span     diag.Span
	Name     *Text
	That     *Expr
	Message  *Text
	Severity *Text
	When     *Expr
	Families []*Text
}
