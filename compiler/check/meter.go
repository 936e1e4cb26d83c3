package check

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// CEL's own count of cost is not usable: the time that it takes grows with the
// square of the turns of a loop (it searches a stack that is never emptied), it
// takes comparisons and searches of large values for cheap, and it counts them
// when they are over. So we count ourselves: each node once, the nodes of a loop
// at every turn, and what an operation does to large values before it is done.

// defaultCostLimit is a few seconds of work. A pass over a chain of 100,000 rules
// with three conditions on each costs a fifth of it.
const defaultCostLimit = 20_000_000

// Limits of single values. Values share their parts, so a few nested map() make
// one that is endless to compare or to print.
const (
	// maxWeight is the largest value that is compared, searched or given as a result.
	maxWeight = 1_000_000
	// maxText is the longest string that an expression makes.
	maxText = 1 << 20
	// maxPattern is the longest pattern of matches() that is made by an expression.
	maxPattern = 1000
)

// meterName is the variable that holds the session of an evaluation. Expressions
// cannot spell it.
const meterName = "#session"

// charge adds to the cost of an evaluation, and ends it at the limit.
func (s *session) charge(n int) {
	s.cost += uint64(max(n, 0))
	if s.limit > 0 && s.cost > s.limit {
		cancel()
	}
}

// cancel ends an evaluation in the way that CEL itself does: an error value would
// be swallowed by the next || or all().
func cancel() {
	panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "cost limit"})
}

func sessionOf(frame *interpreter.ExecutionFrame) *session {
	v, _ := frame.ResolveName(meterName)
	s, ok := v.(*session)
	if !ok {
		return &session{} // constants are evaluated when a program is planned
	}
	return s
}

// cost is what the nodes of an expression cost once, and what each loop costs a
// turn, by the id of the loop's step.
type cost struct {
	once int
	turn map[int64]int
}

func newCost(root ast.Expr) cost {
	c := cost{turn: map[int64]int{}}
	c.once = c.count(root)
	return c
}

// count is the cost of a node without the turns of the loops in it.
func (c cost) count(n ast.Expr) int {
	sum := 1
	switch n.Kind() {
	case ast.CallKind:
		if n.AsCall().IsMemberFunction() {
			sum += c.count(n.AsCall().Target())
		}
		for _, a := range n.AsCall().Args() {
			sum += c.count(a)
		}
	case ast.SelectKind:
		sum += c.count(n.AsSelect().Operand())
	case ast.ListKind:
		for _, e := range n.AsList().Elements() {
			sum += c.count(e)
		}
	case ast.MapKind:
		for _, e := range n.AsMap().Entries() {
			sum += c.count(e.AsMapEntry().Key()) + c.count(e.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, f := range n.AsStruct().Fields() {
			sum += c.count(f.AsStructField().Value())
		}
	case ast.LiteralKind:
		sum += textCost(n.AsLiteral())
	case ast.ComprehensionKind:
		l := n.AsComprehension()
		c.turn[l.LoopStep().ID()] = c.count(l.LoopStep()) + c.count(l.LoopCondition())
		sum += c.count(l.IterRange()) + c.count(l.AccuInit()) + c.count(l.Result())
	case ast.IdentKind, ast.UnspecifiedExprKind:
	}
	return sum
}

// textCost is what a pass over a text costs.
func textCost(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v) / 64
	case types.Bytes:
		return len(v) / 64
	}
	return 0
}

// weight counts a value with everything inside, shared parts as often as they
// are reached, up to a limit. It takes no longer than the limit.
func weight(v ref.Val, limit int) int {
	n := 1 + textCost(v)
	switch v := v.(type) {
	case traits.Mapper:
		for it := v.Iterator(); n < limit && it.HasNext() == types.True; {
			k := it.Next()
			n += 1 + weight(v.Get(k), limit-n)
		}
	case traits.Lister:
		for it := v.Iterator(); n < limit && it.HasNext() == types.True; {
			n += weight(it.Next(), limit-n)
		}
	case object:
		if d, ok := v.data.(chainView); ok {
			n += len(d.rules())
		}
	}
	return n
}

// weigh charges for a pass over a value, and refuses those that are too heavy.
func (s *session) weigh(v ref.Val) int {
	n := weight(v, maxWeight)
	if n >= maxWeight {
		cancel()
	}
	s.charge(n)
	return n
}

// meteredStep is the step of a loop, charged for at every turn.
type meteredStep struct {
	interpreter.InterpretableV2
	cost int
}

// Exec implements interpreter.InterpretableV2.
func (m *meteredStep) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	sessionOf(frame).charge(m.cost)
	return m.InterpretableV2.Exec(frame)
}

// Eval implements interpreter.Interpretable.
func (m *meteredStep) Eval(vars interpreter.Activation) ref.Val {
	return m.Exec(interpreter.AsFrame(vars))
}

// meteredAttribute is a variable or a field of one, charged for if its value is a
// long text: what works on a text goes over all of it.
type meteredAttribute struct {
	interpreter.InterpretableAttribute
}

// Exec implements interpreter.InterpretableV2.
func (m *meteredAttribute) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := m.InterpretableAttribute.Exec(frame)
	if n := textCost(v); n > 0 {
		sessionOf(frame).charge(n)
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (m *meteredAttribute) Eval(vars interpreter.Activation) ref.Val {
	return m.Exec(interpreter.AsFrame(vars))
}
