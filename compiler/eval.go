package compiler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/check"
	"hookline/compiler/lower"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// params gives every param its type and value and makes the environment of the
// document's expressions. It is false if there is none.
func (c *compilation) params() bool {
	types := map[string]check.Type{}
	values := map[string]check.Value{}
	var decls []check.Param
	for _, p := range c.doc.Params {
		if p.Type == nil {
			continue // reported when the file was read
		}
		name := literal(p.Name)
		t, err := check.ParseType(literal(p.Type))
		if err != nil {
			c.diags.Errorf(diag.WrongType, p.Type.Span, "%v", err)
			continue
		}
		types[name] = t
		decls = append(decls, check.Param{Name: name, Type: t})
		if v, ok := c.param(p, t); ok {
			values[name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		c.prog.Params = append(c.prog.Params, ParamValue{name, showValue(values[name].Go)})
	}
	env, err := check.NewEnv(decls, check.EnvOptions{Facts: true})
	if err != nil {
		c.diags.Errorf(diag.InvalidValue, c.prog.Span, "%v", err)
		return false
	}
	act := check.Activation{Params: check.NewParams(values)}
	if c.opt.Facts != nil {
		facts, err := check.NewFacts(c.opt.Facts)
		if err != nil {
			c.diags.Errorf(diag.ParamValue, diag.Span{}, "%v", err)
			return false
		}
		act.Facts = facts
	}
	c.decls = decls
	c.eval = &evaluator{c: c, env: env, act: act}
	c.prog.act = act
	c.valueless = len(values) < len(c.doc.Params)
	return true
}

// param is the value of one param: the last one given, else its default.
func (c *compilation) param(p *dsl.Param, t check.Type) (check.Value, bool) {
	var enum []check.Value
	for _, e := range p.Enum {
		if v, ok := check.Coerce(t.Leaf(), raw(e), c.diags); ok {
			enum = append(enum, v)
		}
	}
	from := p.Default
	if p.Default != nil {
		c.coerce(t, p.Default, enum)
	}
	for _, entries := range c.opt.Values {
		for _, e := range entries {
			if e.Key.Value == literal(p.Name) {
				from = e.Value
			}
		}
	}
	if from == nil {
		c.diags.Errorf(diag.ParamValue, p.Name.Span, "the param %s has no default and no value is given", literal(p.Name)).
			WithHelp("give it with --set %s=VALUE or --values FILE", literal(p.Name))
		return check.Value{}, false
	}
	return c.coerce(t, from, enum)
}

func (c *compilation) coerce(t check.Type, v *dsl.Value, enum []check.Value) (check.Value, bool) {
	r := raw(v)
	out, ok := check.Coerce(t, r, c.diags)
	if ok && len(enum) > 0 {
		ok = check.CheckEnum(out, r, enum, c.diags)
	}
	return out, ok
}

// raw is a YAML value as check takes it.
func raw(v *dsl.Value) *check.Raw {
	r := &check.Raw{Span: v.Span}
	switch v.Kind {
	case dsl.Scalar:
		r.Scalar, r.Quoted = v.Text.Literal(), v.Text.Quoted
	case dsl.Sequence:
		r.Kind = check.RawList
		for _, i := range v.Items {
			r.Items = append(r.Items, raw(i))
		}
	case dsl.Mapping:
		r.Kind = check.RawMap
		for _, e := range v.Entries {
			r.Keys = append(r.Keys, check.Key{Name: e.Key.Value, Span: e.Key.Span, Value: raw(e.Value)})
		}
	}
	return r
}

// Facts turns the entries of a facts file into facts: quoted scalars are text,
// plain ones truth values and whole numbers where they look like it.
func Facts(entries []*dsl.Entry) map[string]any {
	out := map[string]any{}
	for _, e := range entries {
		out[e.Key.Value] = fact(e.Value)
	}
	return out
}

func fact(v *dsl.Value) any {
	switch v.Kind {
	case dsl.Sequence:
		out := []any{}
		for _, i := range v.Items {
			out = append(out, fact(i))
		}
		return out
	case dsl.Mapping:
		return Facts(v.Entries)
	case dsl.Scalar:
	}
	s := v.Text.Literal()
	if !v.Text.Quoted {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
		if s == "true" || s == "false" {
			return s == "true"
		}
	}
	return s
}

// evaluator evaluates the expressions at one place of the document: with forEach
// there are variables around it.
type evaluator struct {
	c    *compilation
	env  *check.Env
	act  check.Activation
	vars []check.Param
	// skip collects the sets of the rule at hand that may be missing.
	skip []string
}

func checkSource(e *dsl.Expr) check.Source {
	return check.Source{Text: e.Source, Span: e.Span, Exact: e.Exact}
}

// run compiles and evaluates an expression. It is false if there is no value; the
// reason was reported, or the value depends on facts that are not there and need
// not be.
func (v *evaluator) run(e *dsl.Expr, want check.Want) (any, bool) {
	expr, list := v.env.Compile(checkSource(e), want)
	v.c.diags.Append(list)
	if expr == nil || list.HasErrors() {
		return nil, false
	}
	if v.act.Facts == nil && expr.Uses("facts") {
		if !v.c.opt.WithoutFacts {
			v.c.diags.Errorf(diag.FactsNeeded, e.Span, "the expression asks for facts of a host, and there are none").
				WithHelp("give them with --facts FILE")
		}
		return nil, false
	}
	res, failed := expr.Eval(context.Background(), v.act)
	if failed != nil {
		if !v.c.valueless {
			// Else it may fail for want of a param whose value was refused already.
			v.c.diags.Add(failed)
		}
		return nil, false
	}
	return res.Value, true
}

// when evaluates a condition; an absent one holds.
func (v *evaluator) when(e *dsl.Expr) bool {
	if e == nil {
		return true
	}
	x, ok := v.run(e, check.WantBool)
	is, _ := x.(bool)
	return ok && is
}

// turn is one turn of a forEach.
type turn struct {
	key  string
	item check.EachItem
}

// forEach lists the turns of a loop.
func (v *evaluator) forEach(f *dsl.ForEach) ([]turn, bool) {
	var val any
	var ok bool
	switch {
	case f.InExpr != nil:
		expr, list := v.env.Compile(checkSource(f.InExpr), check.WantEach)
		if expr == nil || list.HasErrors() {
			v.c.diags.Append(list)
			return nil, false
		}
		if each, fine := expr.Type().Each(); fine {
			v.c.eachType[f] = each
		}
		val, ok = v.run(f.InExpr, check.WantEach)
	default:
		val, ok = v.tree(f.In)
		v.c.eachType[f] = treeType(val)
	}
	if !ok {
		return nil, false
	}
	items, ok := check.Each(val)
	if !ok {
		v.c.diags.Errorf(diag.WrongType, f.Span, "forEach needs a list or a map")
		return nil, false
	}
	var out []turn
	for _, i := range items {
		out = append(out, turn{i.Key, i})
	}
	return out, true
}

// treeType is the type of a forEach variable over a list or map that is written
// in the ruleset.
func treeType(v any) check.Type {
	t := check.Type{Kind: check.Dynamic}
	switch v := v.(type) {
	case []any:
		for _, i := range v {
			if _, text := i.(string); !text {
				return t
			}
		}
		return check.Type{Kind: check.String}
	case map[string]any:
		elem := check.Type{Kind: check.String}
		for _, i := range v {
			if _, text := i.(string); !text {
				elem = t
			}
		}
		return check.Type{Kind: check.Entry, Elem: &elem}
	}
	return t
}

// with is the evaluator inside a turn of a loop.
func (v *evaluator) with(f *dsl.ForEach, t turn) *evaluator {
	n := *v
	name := literal(f.Var)
	n.vars = append(slices.Clone(v.vars), check.Param{Name: name, Type: v.c.eachType[f]})
	n.act.Vars = maps.Clone(v.act.Vars)
	if n.act.Vars == nil {
		n.act.Vars = map[string]check.EachItem{}
	}
	n.act.Vars[name] = t.item
	env, known := v.c.eachEnv[f]
	if !known {
		var err error
		if env, err = check.NewEnv(v.c.decls, check.EnvOptions{Facts: true, Vars: n.vars}); err != nil {
			v.c.diags.Errorf(diag.InvalidValue, f.Span, "%v", err)
			env = v.env
		}
		v.c.eachEnv[f] = env
	}
	n.env = env
	return &n
}

// tree evaluates a YAML value that may hold expressions to plain values.
func (v *evaluator) tree(y *dsl.Value) (any, bool) {
	switch y.Kind {
	case dsl.Sequence:
		out := []any{}
		for _, i := range y.Items {
			x, ok := v.tree(i)
			if !ok {
				return nil, false
			}
			out = append(out, x)
		}
		return out, true
	case dsl.Mapping:
		out := map[string]any{}
		for _, e := range y.Entries {
			x, ok := v.tree(e.Value)
			if !ok {
				return nil, false
			}
			out[e.Key.Value] = x
		}
		return out, true
	case dsl.Scalar:
	}
	if y.Text.IsExpr() {
		return v.run(y.Text.Parts[0].Expr, check.WantAny)
	}
	s, ok := v.string(y.Text)
	return s, ok
}

// string evaluates a scalar to text.
func (v *evaluator) string(t *dsl.Text) (string, bool) {
	parts, ok := v.template(t)
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String(), ok
}

// template evaluates the parts of a scalar. In rule text each value is one
// argument, or a part of one.
func (v *evaluator) template(t *dsl.Text) ([]xtables.TemplatePart, bool) {
	var out []xtables.TemplatePart
	ok := true
	for _, p := range t.Parts {
		if p.Expr == nil {
			out = append(out, xtables.TemplatePart{Text: p.Literal})
			continue
		}
		x, fine := v.run(p.Expr, check.WantText)
		if !fine {
			ok = false
			continue
		}
		s, err := check.Text(x)
		if err != nil {
			v.c.diags.Errorf(diag.WrongType, p.Expr.Span, "%v", err)
			ok = false
			continue
		}
		out = append(out, xtables.TemplatePart{Text: s, IsValue: true, Width: p.Expr.Span.End - p.Expr.Span.Start + len("${}")})
	}
	return out, ok
}

// value evaluates a YAML value for lowering. {set: NAME, ifMissing: skip} loses
// its ifMissing here, which is about the host.
func (v *evaluator) value(y *dsl.Value) (*lower.Value, bool) {
	switch y.Kind {
	case dsl.Sequence:
		out := &lower.Value{Span: y.Span, Kind: lower.List}
		ok := true
		for _, i := range y.Items {
			x, fine := v.value(i)
			ok = ok && fine
			out.Items = append(out.Items, x)
		}
		return out, ok
	case dsl.Mapping:
		out := &lower.Value{Span: y.Span, Kind: lower.Map}
		ok := true
		for _, e := range y.Entries {
			if e.Key.Value == "ifMissing" && y.Entry("set") != nil {
				if y.Entry("set").Kind == dsl.Scalar && e.Value.Kind == dsl.Scalar && literal(e.Value.Text) == "skip" {
					if name := y.Entry("set").Text.Literal(); v.c.setDoc(name) == nil {
						v.skip = append(v.skip, name) // a declared one is never missing
					}
				} else if e.Value.Kind != dsl.Scalar || literal(e.Value.Text) != "fail" {
					v.c.diags.Errorf(diag.InvalidValue, e.Value.Span, "ifMissing of a set is skip or fail")
				}
				continue
			}
			x, fine := v.value(e.Value)
			ok = ok && fine
			out.Keys = append(out.Keys, lower.Key{Name: e.Key.Value, Span: e.Key.Span, Value: x})
		}
		return out, ok
	case dsl.Scalar:
	}
	if y.Text.IsExpr() {
		x, ok := v.run(y.Text.Parts[0].Expr, check.WantAny)
		if !ok {
			return nil, false
		}
		return lowerValue(x, y.Span), true
	}
	s, ok := v.string(y.Text)
	return &lower.Value{Span: y.Span, Text: s, Quoted: y.Text.Quoted || y.Text.HasExpr()}, ok
}

// lowerValue is a result of an expression at the place of the expression.
func lowerValue(x any, at diag.Span) *lower.Value {
	switch x := x.(type) {
	case []any:
		out := &lower.Value{Span: at, Kind: lower.List}
		for _, i := range x {
			out.Items = append(out.Items, lowerValue(i, at))
		}
		return out
	case map[string]any:
		out := &lower.Value{Span: at, Kind: lower.Map}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			out.Keys = append(out.Keys, lower.Key{Name: k, Span: at, Value: lowerValue(x[k], at)})
		}
		return out
	case string:
		return &lower.Value{Span: at, Text: x, Quoted: true}
	default:
		return &lower.Value{Span: at, Text: fmt.Sprint(x), Quoted: true}
	}
}

// skippable are the sets of the rule at hand without which it is left out.
func (v *evaluator) skippable() []string { return slices.Clone(v.skip) }

// constraints compiles the document's constraints.
func (c *compilation) constraints() {
	env, err := check.NewEnv(c.decls, check.EnvOptions{Facts: true, Live: true})
	if err != nil {
		c.diags.Errorf(diag.InvalidValue, c.prog.Span, "%v", err)
		return
	}
	for _, d := range c.doc.Constraints {
		if d.That == nil {
			continue // reported when the file was read
		}
		out := &Constraint{Span: d.That.Span}
		out.Check = check.Constraint{Name: literal(d.Name), Families: c.narrow(c.prog.Families, d.Families)}
		if literal(d.Severity) == "warning" {
			out.Check.Severity = diag.Warning
		}
		that, list := env.Compile(checkSource(d.That), check.WantBool)
		c.diags.Append(list)
		out.Check.That = that
		if d.When != nil {
			when, l := env.Compile(checkSource(d.When), check.WantBool)
			c.diags.Append(l)
			list.Append(l)
			out.Check.When = when
		}
		if d.Message != nil {
			out.Check.Message, _ = c.eval.string(d.Message)
		}
		if !list.HasErrors() && len(out.Check.Families) > 0 {
			c.prog.Constraints = append(c.prog.Constraints, out)
		}
	}
}

// showValue prints a param's value for people: text as it is, lists and maps as
// in YAML's flow style.
func showValue(v any) string {
	switch v := v.(type) {
	case []any:
		var out []string
		for _, i := range v {
			out = append(out, showValue(i))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case map[string]any:
		var out []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, k+": "+showValue(v[k]))
		}
		return "{" + strings.Join(out, ", ") + "}"
	}
	return fmt.Sprint(v)
}
