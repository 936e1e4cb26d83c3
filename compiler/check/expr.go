package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Want is what the place of an expression needs.
type Want uint8

// What a place can need.
const (
	// WantAny is any value: the scalar keeps the expression's type.
	WantAny Want = iota
	// WantBool is when, that and where.
	WantBool
	// WantText is a string, number or truth that stands inside a larger scalar.
	WantText
	// WantEach is a list or map: forEach.
	WantEach
)

// Expr is a checked expression. It may be evaluated concurrently, but not on the
// same Host.
type Expr struct {
	env  *Env
	src  Source
	want Want
	ast  *cel.Ast
	typ  Type
	uses map[string]bool
	cost uint64 // of every node once
	prog func() (cel.Program, error)
}

// Compile checks an expression without a host. The expression is nil if the list
// has errors.
func (e *Env) Compile(src Source, want Want) (*Expr, *diag.List) {
	list := &diag.List{}
	x := e.compile(src, want, list)
	list.Sort()
	for _, d := range list.All() {
		d.Message, d.Help = printable(d.Message), printable(d.Help)
	}
	return x, list
}

func (e *Env) compile(src Source, want Want, list *diag.List) *Expr {
	if len(src.Text) > maxSource {
		list.Errorf(diag.CELCost, src.Span, "the expression is longer than %d bytes", maxSource)
		return nil
	}
	parsed, iss := e.cel.Parse(src.Text)
	if iss.Err() != nil {
		e.reportSyntax(src, iss.Errors(), list)
		return nil
	}
	checked, iss := e.cel.Check(parsed)
	if iss.Err() != nil {
		e.reportTypes(src, parsed, iss.Errors(), list)
		return nil
	}
	x := &Expr{env: e, src: src, want: want, ast: checked, typ: typeFromCEL(checked.OutputType()), uses: map[string]bool{}}
	x.checkLiterals(list)
	x.checkResult(list)
	if list.HasErrors() {
		return nil
	}
	x.cost = uint64(newCost(checked.NativeRep().Expr()).once)
	x.prog = sync.OnceValues(func() (cel.Program, error) { return e.program(checked) })
	return x
}

func (e *Env) program(a *cel.Ast, opts ...cel.ProgramOption) (cel.Program, error) {
	return e.cel.Program(a, append(opts,
		cel.CustomDecoratorV2(newCost(a.NativeRep().Expr()).guard),
		cel.InterruptCheckFrequency(1000))...)
}

// checkResult compares the expression's type with what its place needs.
func (x *Expr) checkResult(list *diag.List) {
	got := x.ast.OutputType()
	word := typeWord(cel.FormatCELType(got))
	several := got.Kind() == cel.ListKind || got.Kind() == cel.MapKind
	switch {
	case got.Kind() == cel.DynKind:
	case x.want == WantBool && got.Kind() != cel.BoolKind:
		list.Errorf(diag.CELType, x.whole(), "the expression gives %s, a bool is needed", withArticle(word))
	case x.want == WantEach && !several:
		list.Errorf(diag.CELType, x.whole(), "the expression gives %s, a list or map is needed", withArticle(word))
	case x.want == WantText && several:
		list.Errorf(diag.WrongType, x.whole(), "a %s cannot stand inside a text", word).
			WithHelp("let the expression be the whole value, or take one item")
	case got.Kind() == cel.StructKind, got.Kind() == cel.TypeKind, got.Kind() == cel.NullTypeKind:
		list.Errorf(diag.CELType, x.whole(), "the expression gives %s, which is %s", withArticle(word), errNotAValue)
	}
}

// Type is the type of the result, as far as it is known without a host.
func (x *Expr) Type() Type { return x.typ }

// Uses tells whether the expression names a variable: "facts", "live", "family"
// or one of forEach.
func (x *Expr) Uses(name string) bool { return x.uses[name] }

// Source is the expression's text.
func (x *Expr) Source() Source { return x.src }

// Result is what an evaluation gave.
type Result struct {
	// Value is a string, bool, int64, []any or map[string]any; nil if it is unknown.
	Value any
	// Unknown lists the chains that must be read to know the value, UnknownSets the
	// sets. A key without a chain is a whole table.
	Unknown     []ir.ChainKey
	UnknownSets []string
	// Asked lists everything that was asked for and not read, whether the value
	// depends on it or not.
	Asked     []ir.ChainKey
	AskedSets []string
	// Named lists whose rules the expression asked for with ordered and has.
	Named []Named
}

// Named is a chain or a participant that an expression named in a chain.
type Named struct {
	Key ir.ChainKey
	// Name as written: of a chain that is jumped to, of a participant, or NAME/tail.
	Name string
	// Stands tells that a rule in the chain is meant by it.
	Stands bool
	// Must tells that it was asked whether it stands (has), not where (ordered).
	Must bool
}

// Known tells that the result has a value.
func (r Result) Known() bool { return len(r.Unknown) == 0 && len(r.UnknownSets) == 0 }

// Budget is one cost limit for several evaluations of an expression, such as one
// for each rule of a chain. The zero Budget is whole.
type Budget struct{ spent uint64 }

// Eval runs the expression. A diagnostic says that it failed, and where.
func (x *Expr) Eval(ctx context.Context, act Activation) (Result, *diag.Diagnostic) {
	return x.EvalWithin(ctx, act, &Budget{})
}

// EvalWithin is Eval with what a budget has left.
func (x *Expr) EvalWithin(ctx context.Context, act Activation, b *Budget) (Result, *diag.Diagnostic) {
	prog, err := x.prog()
	if err != nil {
		return Result{}, x.failure(err)
	}
	s := &session{limit: x.env.cost, cost: b.spent + x.cost}
	v, _, err := prog.ContextEval(ctx, x.env.bind(act, s))
	b.spent = s.cost
	if err == nil && s.limit > 0 && s.cost > s.limit {
		return Result{}, x.tooDear()
	}
	r := Result{Asked: s.chains, AskedSets: s.sets, Named: s.named}
	if err != nil {
		return r, x.failure(err)
	}
	if u, unknown := v.(*types.Unknown); unknown {
		r.Unknown, r.UnknownSets = s.resolve(u)
		return r, nil
	}
	if weight(v, maxWeight) >= maxWeight {
		return r, x.errorf(diag.CELCost, x.whole(), "the result of the expression is too large")
	}
	if r.Value, err = toGo(v); err != nil {
		return r, x.errorf(diag.CELEval, x.whole(), "the result is %s", err)
	}
	return r, x.fits(r.Value)
}

// fits checks what could not be checked without values: dynamic results.
func (x *Expr) fits(v any) *diag.Diagnostic {
	switch x.want {
	case WantBool:
		if _, ok := v.(bool); !ok {
			return x.errorf(diag.CELEval, x.whole(), "the expression gives %s, a bool is needed", valueWord(v))
		}
	case WantEach:
		if _, ok := Each(v); !ok {
			return x.errorf(diag.CELEval, x.whole(), "the expression gives %s, a list or map is needed", valueWord(v))
		}
	case WantText:
		if _, err := Text(v); err != nil {
			return x.errorf(diag.WrongType, x.whole(), "%s", err)
		}
	case WantAny:
	}
	return nil
}

func valueWord(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a bool"
	case int64:
		return "an int"
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return fmt.Sprintf("a %T", v)
}

// resolve lists what an unknown depends on.
func (s *session) resolve(u *types.Unknown) (chains []ir.ChainKey, sets []string) {
	for _, id := range u.IDs() {
		if id < 1 || id > int64(len(s.asked)) {
			continue
		}
		switch w := s.asked[id-1].(type) {
		case ir.ChainKey:
			chains = append(chains, w)
		case string:
			sets = append(sets, w)
		}
	}
	return chains, sets
}

// bind makes the variables of one evaluation.
func (e *Env) bind(act Activation, s *session) map[string]any {
	vars := make(map[string]any, len(e.vars)+1)
	vars[meterName] = s
	params := act.Params
	if params == nil {
		params = &Params{}
	}
	vars["params"] = e.params.object(params)
	if e.opt.Facts {
		vars["facts"] = factsClass.object(act.Facts)
	}
	if e.opt.Live {
		if act.Live != nil {
			vars["live"] = hostClass.object(hostView{act.Live, s})
		}
		if act.Planned != nil {
			vars["planned"] = hostClass.object(hostView{act.Planned, s})
		}
		if act.Family != 0 {
			vars["family"] = types.String(act.Family.String())
		}
	}
	if e.opt.Rule && act.Rule != nil {
		vars["rule"] = ruleClass.object(act.Rule)
	}
	for _, v := range e.opt.Vars {
		item, given := act.Vars[v.Name]
		switch c := e.entries[v.Name]; {
		case !given:
		case c != nil:
			vars[v.Name] = c.object(item)
		default:
			vars[v.Name] = toCEL(item.Value)
		}
	}
	return vars
}

func (x *Expr) tooDear() *diag.Diagnostic {
	return x.errorf(diag.CELCost, x.whole(), "the expression takes too long, or makes values that are too large")
}

func (x *Expr) whole() diag.Span { return x.src.at(0, len(x.src.Text)) }

func (x *Expr) errorf(code diag.Code, at diag.Span, format string, args ...any) *diag.Diagnostic {
	return &diag.Diagnostic{Severity: diag.Error, Code: code, Span: at, Message: printable(fmt.Sprintf(format, args...))}
}

// Causes of failure that have a code of their own.
var errNoFacts = errors.New("the expression uses facts, and there are none")

// noFactError is a fact that is not among those that there are.
type noFactError struct{ name string }

func (e *noFactError) Error() string { return fmt.Sprintf("the facts hold no %q", clip(e.name)) }

// unreadError is a chain or table that exists and cannot be read.
type unreadError struct{ what, reason string }

func (e *unreadError) Error() string { return e.what + " cannot be read: " + e.reason }

// failure turns an error of an evaluation into a finding.
func (x *Expr) failure(err error) *diag.Diagnostic {
	at := x.whole()
	var failed *types.Err
	if errors.As(err, &failed) && failed.NodeID() > 0 {
		if r, found := x.ast.NativeRep().SourceInfo().GetOffsetRange(failed.NodeID()); found {
			at = x.src.token(x.src.runeOffset(int(r.Start)))
		}
	}
	var cancelled interpreter.EvalCancelledError
	var unread *unreadError
	var missing *noFactError
	switch {
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded:
		return x.tooDear()
	case errors.As(err, &cancelled), errors.Is(err, interpreter.InterruptError{}):
		return x.errorf(diag.CELCost, x.whole(), "the evaluation was interrupted")
	case errors.Is(err, errNoFacts):
		return x.errorf(diag.FactsNeeded, at, "%s", errNoFacts)
	case errors.As(err, &missing):
		return x.errorf(diag.FactsNeeded, at, "%s", missing)
	case errors.As(err, &unread):
		return x.errorf(diag.Unknowable, at, "%s", unread)
	}
	return x.errorf(diag.CELEval, at, "%s", evalMessage(err))
}

// evalMessage says in our words what CEL says when an evaluation fails.
func evalMessage(err error) string {
	msg := err.Error()
	for _, r := range []struct{ prefix, ours string }{
		{"no such key: ", "the map has no key "},
		{"index out of bounds: ", "the list has no item at "},
		{"no such attribute(s): ", "nothing is known here about "},
		{"no such overload", "an operation does not work on the types that its values have"},
		{"division by zero", "division by zero"},
		{"modulus by zero", "remainder of a division by zero"},
		{"integer overflow", "a number does not fit into 64 bits"},
		{"unsigned integer overflow", "a number does not fit into 64 bits"},
		{"return error for overflow", "a number does not fit into 64 bits"},
	} {
		if rest, found := strings.CutPrefix(msg, r.prefix); found {
			if strings.HasSuffix(r.prefix, ": ") {
				return r.ours + clip(rest)
			}
			return r.ours
		}
	}
	if m, ok := holes(msg, "type conversion error from '", "' to '", "'"); ok {
		return withArticle(typeWord(m[0])) + " cannot become " + withArticle(typeWord(m[1]))
	}
	if strings.Contains(msg, "error parsing regexp") {
		return "the pattern is no regular expression"
	}
	if strings.Contains(msg, "no such overload") {
		return "an operation does not work on the types that its values have"
	}
	return clipLong(msg)
}

// clipLong keeps a message to a line of a terminal or two.
func clipLong(s string) string {
	r := []rune(s)
	if len(r) <= 300 {
		return s
	}
	return string(r[:299]) + "…"
}
