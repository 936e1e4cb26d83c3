package check

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"hookline/compiler/ir"
)

// Param is a name and a type: a param, or a variable of forEach.
type Param struct {
	Name string
	Type Type
}

// EnvOptions says which names expressions may use besides params.
type EnvOptions struct {
	// Facts of the host.
	Facts bool
	// Live adds live and planned, and family: the family that a constraint is
	// evaluated for.
	Live bool
	// Rule adds rule: the rule that collect asks about, without its index.
	Rule bool
	// Vars are the variables of forEach around the expression, each with its type
	// (Type.Each).
	Vars []Param
	// CostLimit of one evaluation; 0 is the default.
	CostLimit uint64
}

// Env is the set of names that an expression may use, with their types. It never
// changes; expressions may be compiled concurrently.
type Env struct {
	opt EnvOptions
	cel *cel.Env
	// vars are the names of the variables, sorted.
	vars    []string
	classes map[string]*class
	cost    uint64
	params  *class
	entries map[string]*class // of Entry variables, by name
}

// Sizes that a ruleset does not reach and a hostile one must not.
const (
	maxSource = 20_000 // characters of one expression
	maxNodes  = 20_000
	maxNested = 100 // levels of parentheses and operators
)

// base is the environment without variables: it is the same for everybody, and
// the dearest part of the start.
var base = sync.OnceValues(newBase)

func newBase() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.EagerlyValidateDeclarations(false),
		// There is no clock, and time zones are files of the host.
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{
			ExcludeFunctions: []*env.Function{{Name: overloads.TypeConvertTimestamp}},
		})),
		cel.EnableMacroCallTracking(),
		cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxNested),
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ExpressionNodeLimit(maxNodes),
	}
	for _, m := range methods {
		opts = append(opts, m.option())
	}
	e, err := cel.NewCustomEnv(opts...)
	if err != nil {
		return nil, err
	}
	prov := (&provider{base: e.CELTypeProvider()}).with(hostClass, chainClass, ruleClass, setClass, ifaceClass)
	return e.Extend(cel.CustomTypeProvider(prov))
}

// NewEnv makes an environment. An error is a broken invariant of the caller: two
// variables of one name.
func NewEnv(params []Param, opt EnvOptions) (*Env, error) {
	b, err := base()
	if err != nil {
		return nil, fmt.Errorf("make the expression environment: %w", err)
	}
	return extend(b, params, opt)
}

func extend(b *cel.Env, params []Param, opt EnvOptions) (*Env, error) {
	e := &Env{opt: opt, cost: opt.CostLimit, params: paramsClass(params), entries: map[string]*class{}}
	if e.cost == 0 {
		e.cost = defaultCostLimit
	}
	decls := map[string]*cel.Type{"params": e.params.typ}
	classes := []*class{e.params}
	if opt.Facts {
		decls["facts"] = factsClass.typ
		classes = append(classes, factsClass)
	}
	if opt.Live {
		decls["live"], decls["planned"], decls["family"] = hostClass.typ, hostClass.typ, cel.StringType
	}
	if opt.Rule {
		decls["rule"] = ruleClass.typ
	}
	for _, v := range opt.Vars {
		if decls[v.Name] != nil {
			return nil, fmt.Errorf("make the expression environment: the variable %s is declared twice", v.Name)
		}
		if v.Type.Kind == Entry {
			c := entryClass(v)
			classes = append(classes, c)
			e.entries[v.Name] = c
			decls[v.Name] = c.typ
			continue
		}
		decls[v.Name] = v.Type.CEL()
	}
	e.vars = slices.Sorted(maps.Keys(decls))
	prov, ok := b.CELTypeProvider().(*provider)
	if !ok {
		return nil, fmt.Errorf("make the expression environment: unexpected provider %T", b.CELTypeProvider())
	}
	prov = prov.with(classes...)
	e.classes = prov.classes
	opts := []cel.EnvOption{cel.CustomTypeProvider(prov)}
	for _, name := range e.vars {
		opts = append(opts, cel.Variable(name, decls[name]))
	}
	var err error
	if e.cel, err = b.Extend(opts...); err != nil {
		return nil, fmt.Errorf("make the expression environment: %w", err)
	}
	return e, nil
}

// paramsClass has a field of its own for each param, so that a misspelled one is
// found when the expression is checked.
func paramsClass(params []Param) *class {
	c := newClass("params")
	for _, p := range params {
		define(c, p.Name, p.Type.CEL(), func(p2 *Params) ref.Val {
			v, found := p2.vals[p.Name]
			if !found {
				return types.NewErr("the param %s has no value", p.Name)
			}
			return v
		})
	}
	return c
}

// entryClass is one entry of a map in forEach.
func entryClass(v Param) *class {
	c := newClass("entry " + v.Name)
	define(c, "key", cel.StringType, func(e EachItem) ref.Val { return types.String(e.Key) })
	define(c, "value", v.Type.Elem.CEL(), func(e EachItem) ref.Val { return toCEL(e.Value) })
	return c
}

// Activation is what the variables of an Env stand for. What an expression does
// not use need not be set.
type Activation struct {
	Params *Params
	// Facts are nil where there are none.
	Facts         *Facts
	Live, Planned *Host
	Family        ir.Family
	Rule          *Rule
	// Vars are the values of forEach variables.
	Vars map[string]EachItem
}

// Params are the values of all params, ready for expressions.
type Params struct{ vals map[string]ref.Val }

// NewParams takes the values of params, which must not change afterwards.
func NewParams(values map[string]Value) *Params {
	p := &Params{vals: make(map[string]ref.Val, len(values))}
	for name, v := range values {
		p.vals[name] = toCEL(v.Go)
	}
	return p
}

// EachItem is one turn of a forEach: an item of a list or an entry of a map.
type EachItem struct {
	// Key of the entry; for an item of a list its text if it is a scalar, else its
	// number from 0.
	Key   string
	Value any
}

// Each lists the turns of a forEach over a result: a list's items in order, a
// map's entries by key. It is false for a value that is neither.
func Each(v any) ([]EachItem, bool) {
	var out []EachItem
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			key, err := Text(item)
			if err != nil {
				key = fmt.Sprint(i)
			}
			out = append(out, EachItem{key, item})
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, EachItem{k, v[k]})
		}
	default:
		return nil, false
	}
	return out, true
}
