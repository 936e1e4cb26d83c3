package check

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// Limits of what is shown of a false constraint.
const (
	maxShown      = 12
	maxShownValue = 400
	maxShownExpr  = 200
)

// explain evaluates a false expression again, keeping every value, and picks
// those that made it false:
//
//   - of a && b the false sides, of a || b both, of !a what made a true;
//   - of a comparison both sides, of f.all(x, p) the turn that was false;
//   - of has, ordered, position and count the jumps of the chain and the places
//     of what was asked for.
func (x *Expr) explain(ctx context.Context, act Activation) []Shown {
	e := &explanation{expr: x, seen: map[string]bool{}, turns: map[int64]*turn{}}
	root := x.ast.NativeRep().Expr()
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(n ast.Expr) {
		if n.Kind() == ast.ComprehensionKind {
			if condition, isAll := allTurn(n.AsComprehension()); isAll {
				e.turns[condition.ID()] = &turn{variable: n.AsComprehension().IterVar()}
			}
		}
	}))
	prog, err := x.env.program(x.ast, cel.CustomDecoratorV2(e.watch), cel.EvalOptions(cel.OptTrackState))
	if err != nil {
		return nil
	}
	_, details, err := prog.ContextEval(ctx, x.env.bind(act, &session{limit: x.env.cost}))
	if err != nil || details == nil || details.State() == nil {
		return nil
	}
	e.state = details.State()
	e.because(root, false)
	return e.shown
}

type explanation struct {
	expr  *Expr
	state interpreter.EvalState
	// turns of all(), by the id of the condition.
	turns map[int64]*turn
	seen  map[string]bool
	shown []Shown
}

// turn is the condition of x.all(v, condition): it keeps the v for which the
// condition was false, which CEL's own record of values does not.
type turn struct {
	interpreter.InterpretableV2
	variable string
	item     ref.Val
}

// watch puts a turn around the condition of each all().
func (e *explanation) watch(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	t := e.turns[i.ID()]
	if t == nil || t.InterpretableV2 != nil {
		return i, nil
	}
	t.InterpretableV2 = i
	return t, nil
}

// Exec implements interpreter.InterpretableV2.
func (t *turn) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := t.InterpretableV2.Exec(frame)
	if v == types.False {
		if item, found := frame.ResolveName(t.variable); found {
			t.item, _ = item.(ref.Val)
		}
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (t *turn) Eval(vars interpreter.Activation) ref.Val { return t.Exec(interpreter.AsFrame(vars)) }

// because shows why a node has the value want.
func (e *explanation) because(n ast.Expr, want bool) {
	switch n.Kind() {
	case ast.CallKind:
		e.call(n, n.AsCall(), want)
	case ast.ComprehensionKind:
		e.loop(n, n.AsComprehension())
	case ast.SelectKind, ast.IdentKind:
		e.show(n)
	case ast.UnspecifiedExprKind, ast.ListKind, ast.LiteralKind, ast.MapKind, ast.StructKind:
	}
}

func (e *explanation) call(n ast.Expr, call ast.CallExpr, want bool) {
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		// One side alone decides a false && and a true ||; the others do so together.
		for _, a := range args {
			if v, known := e.value(a); known && v == types.Bool(want) {
				e.because(a, want)
			}
		}
	case operators.LogicalNot:
		e.because(args[0], !want)
	case operators.NotStrictlyFalse:
		e.because(args[0], want)
	case operators.Conditional:
		e.operand(args[0])
		for _, a := range args[1:] {
			if v, known := e.value(a); known && v == types.Bool(want) {
				e.because(a, want)
			}
		}
	default:
		if call.IsMemberFunction() {
			if e.method(call) {
				return
			}
			e.operand(call.Target())
		}
		for _, a := range args {
			e.operand(a)
		}
		if _, isOperator := operatorWords[call.FunctionName()]; !isOperator {
			e.show(n)
		}
	}
}

// operand shows a part that an operator or function works on.
func (e *explanation) operand(n ast.Expr) {
	switch n.Kind() {
	case ast.LiteralKind:
	case ast.ListKind:
		for _, item := range n.AsList().Elements() {
			e.operand(item)
		}
	case ast.CallKind:
		call := n.AsCall()
		if _, isOperator := operatorWords[call.FunctionName()]; isOperator && call.FunctionName() != operators.Index {
			for _, a := range call.Args() {
				e.operand(a)
			}
			return
		}
		if call.IsMemberFunction() && e.method(call) && call.FunctionName() != "position" && call.FunctionName() != "count" {
			return
		}
		e.show(n)
		if call.FunctionName() == "size" {
			for _, a := range call.Args() {
				e.operand(a)
			}
			if call.IsMemberFunction() {
				e.operand(call.Target())
			}
		}
	case ast.ComprehensionKind:
		e.show(n)
		e.operand(n.AsComprehension().IterRange())
	default:
		e.show(n)
	}
}

// method shows what a chain's method looked at: the jumps, and the places of each
// thing that was asked for. It is false for other functions.
func (e *explanation) method(call ast.CallExpr) bool {
	v, known := e.value(call.Target())
	if !known {
		return false
	}
	o, isObject := v.(object)
	if !isObject || o.class != chainClass {
		return false
	}
	d, ok := o.data.(chainView)
	if !ok {
		return false
	}
	target := e.text(call.Target())
	if d.chain == nil {
		e.add(target+".exists", "false")
		return true
	}
	e.add(target+".jumps", format(stringsVal(d.jumps())))
	var asked []ref.Val
	for _, a := range call.Args() {
		if v, known := e.value(a); known {
			asked = append(asked, v)
		}
	}
	xs, bad := texts(asked)
	if bad != nil {
		return true
	}
	for _, x := range xs {
		var at []string
		for _, i := range d.places(x) {
			at = append(at, strconv.Itoa(i))
		}
		name := target + ".position(" + strconv.Quote(x) + ")"
		if len(at) == 0 {
			e.add(name, "-1")
			continue
		}
		e.add(name, strings.Join(at, ", "))
	}
	return true
}

// loop shows what a macro went over. all() ends at the first false turn, so the
// values inside are those of that turn.
func (e *explanation) loop(n ast.Expr, c ast.ComprehensionExpr) {
	if condition, isAll := allTurn(c); isAll {
		if v, known := e.value(condition); known && v == types.False {
			e.because(condition, false)
			if t := e.turns[condition.ID()]; t != nil && t.item != nil {
				e.add(c.IterVar(), format(t.item))
			}
			return
		}
	}
	e.operand(c.IterRange())
	e.show(n)
}

// allTurn is the condition of x.all(v, condition), whose step is accu && condition.
func allTurn(c ast.ComprehensionExpr) (ast.Expr, bool) {
	step := c.LoopStep()
	if step.Kind() != ast.CallKind || step.AsCall().FunctionName() != operators.LogicalAnd {
		return nil, false
	}
	args := step.AsCall().Args()
	if len(args) != 2 || args[0].Kind() != ast.IdentKind || args[0].AsIdent() != c.AccuVar() {
		return nil, false
	}
	return args[1], true
}

func (e *explanation) value(n ast.Expr) (ref.Val, bool) {
	if n.Kind() == ast.LiteralKind {
		return n.AsLiteral(), true
	}
	return e.state.Value(n.ID())
}

func (e *explanation) show(n ast.Expr) {
	v, known := e.value(n)
	if !known || types.IsUnknownOrError(v) {
		return
	}
	if o, isObject := v.(object); isObject && o.class != ruleClass {
		return // a host or chain says nothing by itself
	}
	e.add(e.text(n), format(v))
}

func (e *explanation) add(expr, value string) {
	key := expr + "\x00" + value
	if e.seen[key] || len(e.shown) == maxShown {
		return
	}
	e.seen[key] = true
	e.shown = append(e.shown, Shown{Expr: limit(expr, maxShownExpr), Value: limit(value, maxShownValue)})
}

// text is a node as CEL writes it.
func (e *explanation) text(n ast.Expr) string {
	s, err := cel.ExprToString(n, e.expr.ast.NativeRep().SourceInfo())
	if err != nil {
		return "?"
	}
	return s
}

// format writes a value as CEL would, shortened: a list of many items shows how
// many more there are.
func format(v ref.Val) string {
	var b strings.Builder
	formatTo(&b, v, 0)
	return b.String()
}

func formatTo(b *strings.Builder, v ref.Val, depth int) {
	if b.Len() > maxShownValue || depth > maxTypeDepth {
		b.WriteString("…")
		return
	}
	switch v := v.(type) {
	case types.String:
		b.WriteString(strconv.Quote(limit(string(v), maxShownValue)))
	case object:
		if r, ok := v.data.(*Rule); ok {
			b.WriteString(strconv.Quote(limit(r.rule.Text, maxShownValue)))
			return
		}
		b.WriteString(v.class.word())
	case traits.Mapper:
		formatMap(b, v, depth)
	case traits.Lister:
		formatList(b, v, depth)
	default:
		fmt.Fprint(b, v.Value())
	}
}

func formatList(b *strings.Builder, v traits.Lister, depth int) {
	b.WriteString("[")
	n, i := size(v), 0
	for it := v.Iterator(); it.HasNext() == types.True; i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > maxShownValue-20 {
			fmt.Fprintf(b, "… %d more", n-i)
			break
		}
		formatTo(b, it.Next(), depth+1)
	}
	b.WriteString("]")
}

func formatMap(b *strings.Builder, v traits.Mapper, depth int) {
	b.WriteString("{")
	n, i := size(v), 0
	for it := v.Iterator(); it.HasNext() == types.True; i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > maxShownValue-20 {
			fmt.Fprintf(b, "… %d more", n-i)
			break
		}
		k := it.Next()
		formatTo(b, k, depth+1)
		b.WriteString(": ")
		formatTo(b, v.Get(k), depth+1)
	}
	b.WriteString("}")
}

// limit cuts a text to about n bytes, between characters.
func limit(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
