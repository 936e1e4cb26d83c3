package place

import (
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/dsl/diag"
)

// Missing says what to do when a reference stands for nothing.
type Missing uint8

// What `ifMissing` can say.
const (
	Ignore Missing = iota // the bound does not exist; nothing is reported here
	Fail                  // an error
	Hold                  // the anchor is left alone until the reference appears
)

// End is the end of its interval at which a jump is put in.
type End uint8

// What `at` can say. By default a jump goes directly behind its last `after`;
// without one directly ahead of its first `before`; without either to the end.
const (
	AtDefault End = iota
	AtFirst
	AtLast
)

// Ref is a resolved entry of `after` or `before`.
type Ref struct {
	// Label is the reference as written, for messages.
	Label string
	Span  diag.Span
	// Match tells which rules of Input.Rules it stands for, by index; nil for none. A
	// rule that is a copy of an anchor of the same input means that anchor.
	Match func(i int) bool
	// Own are anchors of the input that it refers to besides, by index: a reference
	// to an owned chain whose jump does not stand yet.
	Own       []int
	IfMissing Missing
	// Participant is whose rules it means: the name of a participant, or the owner of
	// the chain that is named; "" if that is not known without a host.
	Participant string
	// Tail tells that the participant's tail rules are meant.
	Tail bool
	// Chain is the chain's name if the reference names a chain, else "".
	Chain string
}

// Anchor is one jump that is to stand in the chain.
type Anchor struct {
	Name string
	Span diag.Span
	// Text is the jump as it would be put in, for messages.
	Text          string
	After, Before []Ref
	At            End
	// Standing are the indices in Input.Rules of the jump's copies, ascending.
	Standing []int
	// EqualText tells that the copies' texts are all equal even where the rules'
	// texts are not at hand.
	EqualText bool
	// Adopt: the jump is never created, and a moved one keeps its text.
	Adopt bool
	// Participant is whose jump an adopted one is, if known.
	Participant string
	// Collapse: of several copies one stays.
	Collapse bool
	// IfMissing says what to do when no jump stands that an Adopt could manage.
	IfMissing Missing
	// Force accepts a place that a participant will undo.
	Force bool
}

// Live is a rule as it stands.
type Live struct {
	Rule *ir.Rule
	// Remove: the rule goes away (stale, or collected) before bounds are taken.
	Remove bool
	// Participant and Tail as recognised.
	Participant string
	Tail        bool
}

// Input is one shared chain.
type Input struct {
	Key     ir.ChainKey
	Rules   []Live
	Anchors []Anchor // in written order
	// Catalogue says who re-asserts a place, for messages; may be nil.
	Catalogue *participant.Catalogue
}

// Kind says what becomes of a place in the chain.
type Kind uint8

// The kinds of a Placed.
const (
	Keep   Kind = iota // the live rule stays where it is
	Add                // a new jump
	Move               // a jump that stands elsewhere is put in here
	Remove             // the live rule goes away; only in Output.Steps
)

func (k Kind) String() string {
	switch k {
	case Keep:
		return "keep"
	case Add:
		return "add"
	case Move:
		return "move"
	case Remove:
		return "remove"
	}
	return "unknown"
}

// Placed is one rule of the resulting chain.
type Placed struct {
	// Live is the index in Input.Rules, or -1 for Add. For Move it is the copy whose
	// text an adopted jump keeps; that copy is in Output.Removed.
	Live int
	// Anchor is the index in Input.Anchors, or -1 for a rule of others.
	Anchor int
	Kind   Kind
}

// Output is the resulting chain.
type Output struct {
	// Order is the resulting chain, top first. Its kinds are Keep, Add and Move.
	Order []Placed
	// Removed are the indices of the live rules that go away, ascending: those the
	// caller marked, copies that were collapsed, and the old places of what moved.
	Removed []int
	// Held are the anchors that `hold` keeps as they are.
	Held []int
	// Failed are the anchors that could not be placed; errors say why. Their standing
	// jump stays where it is.
	Failed []int
	// Idle are adopted anchors of which no jump stands.
	Idle []int
	// Restarts are adopted anchors of which a jump had to be moved, so that its
	// counter starts again. No diagnostic says so.
	Restarts []int
}

// Changed tells whether anything is to be written.
func (o Output) Changed() bool {
	for _, p := range o.Order {
		if p.Kind != Keep {
			return true
		}
	}
	return len(o.Removed) > 0
}

// Steps is Order with the rules that go away between, at their old places: the
// chain as a plan shows it. The old place of a moved jump is a Remove.
func (o Output) Steps(in Input) []Placed {
	owner := map[int]int{}
	for a, x := range in.Anchors {
		for _, i := range x.Standing {
			owner[i] = a
		}
	}
	var out []Placed
	rest := o.Removed
	upTo := func(live int) {
		for len(rest) > 0 && rest[0] < live {
			a, ok := owner[rest[0]]
			if !ok {
				a = -1
			}
			out = append(out, Placed{Live: rest[0], Anchor: a, Kind: Remove})
			rest = rest[1:]
		}
	}
	for _, p := range o.Order {
		if p.Kind == Keep {
			upTo(p.Live)
		}
		out = append(out, p)
	}
	upTo(len(in.Rules))
	return out
}
