package check

import (
	"regexp"

	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// guard replaces the parts of a program whose cost depends on their values, and
// map literals, by versions of ours.
func (c cost) guard(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	guarded := guardNode(i)
	if n := c.turn[i.ID()]; n > 0 {
		if _, done := i.(*meteredStep); !done {
			return &meteredStep{guarded, n}, nil
		}
	}
	return guarded, nil
}

func guardNode(i interpreter.InterpretableV2) interpreter.InterpretableV2 {
	switch n := i.(type) {
	case *meteredAttribute, *guarded, *sortedLiteral:
		return i
	case interpreter.InterpretableAttribute:
		return &meteredAttribute{n}
	case interpreter.InterpretableConstructor:
		if n.Type() == types.MapType {
			return &sortedLiteral{n}
		}
	case interpreter.InterpretableCall:
		return guardCall(n)
	}
	return i
}

func guardCall(call interpreter.InterpretableCall) interpreter.InterpretableV2 {
	if len(call.Args()) != 2 {
		return call
	}
	guard := func(b binding) *guarded { return &guarded{call, call.Args()[0], call.Args()[1], b} }
	switch call.Function() {
	case operators.Equals:
		return guard(guardedEqual)
	case operators.NotEquals:
		return guard(guardedUnequal)
	case operators.In:
		return guard(guardedIn)
	case operators.Add:
		return guard(guardedAdd)
	case overloads.Matches:
		if p, isLiteral := call.Args()[1].(interpreter.InterpretableConst); isLiteral {
			pattern, _ := p.Value().(types.String)
			// A literal that is no pattern was refused when the expression was checked.
			if re, err := regexp.Compile(string(pattern)); err == nil {
				return guard(literalMatches(re))
			}
		}
		return guard(guardedMatches)
	}
	return call
}

// guarded is a strict call of two arguments with a binding of ours.
type guarded struct {
	interpreter.InterpretableCall
	a, b    interpreter.InterpretableV2
	binding binding
}

// binding is what a guarded call does. It finds the session in the frame if the
// values need to be paid for.
type binding func(frame *interpreter.ExecutionFrame, a, b ref.Val) ref.Val

// Exec implements interpreter.InterpretableV2.
func (g *guarded) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	a := g.a.Exec(frame)
	if types.IsError(a) {
		return a
	}
	b := g.b.Exec(frame)
	if types.IsError(b) {
		return b
	}
	unk, _ := types.MaybeMergeUnknowns(a, nil)
	if unk, _ = types.MaybeMergeUnknowns(b, unk); unk != nil {
		return unk
	}
	return types.LabelErrNode(g.ID(), g.binding(frame, a, b))
}

// Eval implements interpreter.Interpretable.
func (g *guarded) Eval(vars interpreter.Activation) ref.Val {
	return g.Exec(interpreter.AsFrame(vars))
}

func guardedEqual(frame *interpreter.ExecutionFrame, a, b ref.Val) ref.Val {
	if !isPlain(a) || !isPlain(b) {
		s := sessionOf(frame)
		s.weigh(a)
		s.weigh(b)
	}
	return types.Equal(a, b)
}

func guardedUnequal(frame *interpreter.ExecutionFrame, a, b ref.Val) ref.Val {
	return types.Bool(guardedEqual(frame, a, b) != types.True)
}

// isPlain tells values that take no time to compare. Texts were paid for when
// they were read or made.
func isPlain(v ref.Val) bool {
	switch v.(type) {
	case types.String, types.Int, types.Bool, types.Uint, types.Double, types.Null:
		return true
	}
	return false
}

func guardedIn(frame *interpreter.ExecutionFrame, x, in ref.Val) ref.Val {
	c, ok := in.(traits.Container)
	if !ok {
		return types.MaybeNoSuchOverloadErr(in)
	}
	if _, isMap := in.(traits.Mapper); !isMap {
		sessionOf(frame).weigh(in)
	}
	return c.Contains(x)
}

// guardedAdd bounds the texts that an expression makes. Joining lists copies
// nothing, so that it costs as much as the shorter of them: the step of map() and
// filter() joins one item to what there is.
func guardedAdd(frame *interpreter.ExecutionFrame, a, b ref.Val) ref.Val {
	adder, ok := a.(traits.Adder)
	if !ok {
		return types.MaybeNoSuchOverloadErr(a)
	}
	switch a := a.(type) {
	case types.String:
		if b, ok := b.(types.String); ok {
			sessionOf(frame).join(len(a) + len(b))
		}
	case types.Bytes:
		if b, ok := b.(types.Bytes); ok {
			sessionOf(frame).join(len(a) + len(b))
		}
	case traits.Lister:
		if b, ok := b.(traits.Lister); ok {
			sessionOf(frame).charge(min(size(a), size(b)))
		}
	}
	return adder.Add(b)
}

func (s *session) join(n int) {
	if n > maxText {
		cancel()
	}
	s.charge(n / 16)
}

// size counts the items of a list or map.
func size(v traits.Sizer) int {
	n, _ := v.Size().(types.Int)
	return int(n)
}

// literalMatches is matches() with a literal pattern, compiled once.
func literalMatches(re *regexp.Regexp) binding {
	return func(frame *interpreter.ExecutionFrame, text, _ ref.Val) ref.Val {
		t, ok := text.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(text)
		}
		sessionOf(frame).charge(matchCost(len(t), len(re.String())))
		return types.Bool(re.MatchString(string(t)))
	}
}

func guardedMatches(frame *interpreter.ExecutionFrame, text, pattern ref.Val) ref.Val {
	t, ok := text.(types.String)
	p, ok2 := pattern.(types.String)
	if !ok || !ok2 {
		return types.MaybeNoSuchOverloadErr(text)
	}
	if len(p) > maxPattern {
		cancel()
	}
	sessionOf(frame).charge(100 + 10*len(p) + matchCost(len(t), len(p))) // it is compiled every time
	return t.Match(p)
}

// matchCost bounds the work of a match: every character of the text against every
// place in the pattern.
func matchCost(text, pattern int) int { return text * pattern / 16 }
