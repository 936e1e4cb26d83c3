package check

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"

	"hookline/dsl/diag"
)

// functionNames are CEL's own functions and macros that a ruleset may use.
var functionNames = []string{
	"all", "exists", "exists_one", "filter", "map", "has", "size", "contains", "startsWith", "endsWith", "matches",
	"int", "uint", "double", "string", "bytes", "bool", "type", "dyn", "duration",
	"getHours", "getMinutes", "getSeconds", "getMilliseconds",
}

func isFunction(name string) bool {
	return slices.Contains(functionNames, name) ||
		slices.ContainsFunc(methods, func(m method) bool { return m.name == name })
}

// reportTypes reports what the checker found.
func (e *Env) reportTypes(src Source, parsed *cel.Ast, errs []*common.Error, list *diag.List) {
	nodes := map[int64]ast.Expr{}
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(n ast.Expr) { nodes[n.ID()] = n }))
	seen := map[diag.Span]bool{}
	for _, err := range errs {
		if n := nodes[err.ExprID]; n != nil && n.Kind() == ast.CallKind && isMacro(n.AsCall().FunctionName()) {
			errs = []*common.Error{err} // the names that it declares are unknown for that reason
			break
		}
	}
	for _, err := range errs {
		start, end := src.tokenAt(src.offset(err.Location.Line(), err.Location.Column()))
		span := src.at(start, end)
		if len(seen) == maxFindings {
			return
		}
		if src.Exact && seen[span] {
			continue
		}
		seen[span] = true
		node := nodes[err.ExprID]
		if node != nil && node.Kind() == ast.SelectKind && node.AsSelect().IsTestOnly() {
			// The place of has(x.y) is has, not y.
			if i := strings.Index(src.Text[start:], node.AsSelect().FieldName()); i >= 0 {
				span = src.at(start+i, start+i+len(node.AsSelect().FieldName()))
			}
		}
		e.reportType(finding{list, span, node, src.Text[start:end]}, err.Message)
	}
}

func isMacro(name string) bool {
	switch name {
	case "all", "exists", "exists_one", "filter", "map":
		return true
	}
	return false
}

// finding is one error of the checker: its place, node, and the word there.
type finding struct {
	list *diag.List
	span diag.Span
	node ast.Expr
	word string
}

func (f finding) errorf(format string, args ...any) *diag.Diagnostic {
	return f.list.Errorf(diag.CELType, f.span, format, args...)
}

func (e *Env) reportType(f finding, msg string) {
	if m, ok := holes(msg, "undeclared reference to '", "' (in container '"); ok {
		e.reportUnknown(f, m[0])
		return
	}
	if m, ok := holes(msg, "undefined field '", "'"); ok {
		e.reportField(f, m[0])
		return
	}
	if m, ok := holes(msg, "found no matching overload for '", "' applied to '", "'"); ok {
		reportCall(f, m[0], typeWord(m[1]))
		return
	}
	if m, ok := holes(msg, "type '", "' does not support field selection"); ok {
		f.errorf("a value of type %s has no fields", typeWord(m[0]))
		return
	}
	if m, ok := holes(msg, "expression of type '", "' cannot be range of a comprehension"); ok {
		f.errorf("%q needs a list or map, not %s", f.word, typeWord(m[0]))
		return
	}
	if m, ok := holes(msg, "expected type '", "' but found '", "'"); ok {
		f.errorf("%s is needed here, not %s", typeWord(m[0]), typeWord(m[1]))
		return
	}
	if strings.Contains(msg, "exceeds limit") {
		f.list.Errorf(diag.CELCost, f.span, "the expression is too large or nests too deeply")
		return
	}
	f.errorf("%s", clipLong(typeWord(msg)))
}

// reportUnknown reports a function or variable that does not exist.
func (e *Env) reportUnknown(f finding, name string) {
	name = clip(name)
	if f.node == nil || f.node.Kind() != ast.CallKind {
		if name == "__result__" || name == "@result" {
			f.errorf("the expression cannot be read")
			return
		}
		d := f.errorf("unknown name %q", name)
		switch near := diag.DidYouMean(name, e.vars); {
		case near != "":
			d.WithHelp("did you mean %q?", near)
		case name == "live" || name == "planned":
			d.WithHelp("%s is known in constraints only", name)
		case name == "rule":
			d.WithHelp("rule is known in collect only")
		case name == "facts":
			d.WithHelp("facts cannot be used here")
		case slices.Contains(e.params.names(), name):
			d.WithHelp("write params.%s", name)
		}
		return
	}
	candidates := slices.Clone(functionNames)
	if call := f.node.AsCall(); call.IsMemberFunction() {
		if c := e.classOf(call.Target()); c != nil {
			candidates = nil
			for _, m := range methods {
				if m.class == c {
					candidates = append(candidates, m.name)
				}
			}
			if _, field := c.field(name); field && c.open == nil {
				f.errorf("%q of a %s is a field, not a function", name, c.name).WithHelp("write it without parentheses")
				return
			}
		} else {
			for _, m := range methods {
				candidates = append(candidates, m.name)
			}
		}
	}
	if slices.Contains(candidates, name) {
		f.errorf("%q is not called like this", name).WithHelp("%s", usage(name))
		return
	}
	suggest(f.errorf("unknown function %q", name), name, candidates)
}

func suggest(d *diag.Diagnostic, name string, candidates []string) {
	if near := diag.DidYouMean(name, candidates); near != "" {
		d.WithHelp("did you mean %q?", near)
	}
}

// reportField reports a field that does not exist.
func (e *Env) reportField(f finding, name string) {
	name = clip(name)
	var c *class
	if f.node != nil && f.node.Kind() == ast.SelectKind {
		c = e.classOf(f.node.AsSelect().Operand())
	}
	switch {
	case c == e.params && c != nil:
		suggest(f.errorf("unknown param %q", name), name, c.names())
	case c != nil:
		d := f.errorf("%s has no field %q", withArticle(c.word()), name)
		if i := slices.IndexFunc(methods, func(m method) bool { return m.class == c && m.name == name }); i >= 0 {
			d.WithHelp("it is a function: %s", methods[i].usage)
			return
		}
		suggest(d, name, c.names())
	default:
		var all []string
		for _, k := range slices.Sorted(maps.Keys(e.classes)) {
			all = append(all, e.classes[k].names()...)
		}
		suggest(f.errorf("unknown field %q", name), name, all)
	}
}

// word is the class in messages.
func (c *class) word() string {
	word, _, _ := strings.Cut(c.name, " ")
	return word
}

// classOf guesses the class of an unchecked expression, nil if it is not plain.
func (e *Env) classOf(n ast.Expr) *class {
	switch n.Kind() {
	case ast.IdentKind:
		switch name := n.AsIdent(); {
		case name == "params":
			return e.params
		case name == "facts" && e.opt.Facts:
			return factsClass
		case (name == "live" || name == "planned") && e.opt.Live:
			return hostClass
		case name == "rule" && e.opt.Rule:
			return ruleClass
		default:
			return e.entries[name]
		}
	case ast.CallKind:
		call := n.AsCall()
		for _, m := range methods {
			if call.IsMemberFunction() && m.name == call.FunctionName() {
				return e.classes[m.result.TypeName()]
			}
		}
		if call.FunctionName() == "_[_]" && isField(call.Args()[0], "rules") {
			return ruleClass
		}
	default:
	}
	return nil
}

func isField(n ast.Expr, name string) bool {
	return n.Kind() == ast.SelectKind && n.AsSelect().FieldName() == name
}

// operators are CEL's names of operators as people write them.
var operatorWords = map[string]string{
	"_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "_+_": "+", "_-_": "-", "_*_": "*",
	"_/_": "/", "_%_": "%", "_&&_": "&&", "_||_": "||", "@in": "in", "!_": "!", "-_": "-", "_?_:_": "?:", "_[_]": "[]",
}

// reportCall reports operands or arguments of the wrong types. The types come as
// CEL lists them: (A, B), or TARGET.(A, B).
func reportCall(f finding, name, types string) {
	op, isOperator := operatorWords[name]
	if !isOperator {
		target, args, member := strings.Cut(types, ".(")
		if member {
			types = "(" + args
			f.errorf("%q of a %s does not take %s", name, target, types).WithHelp("%s", usage(name))
			return
		}
		f.errorf("%q does not take %s", name, types).WithHelp("%s", usage(name))
		return
	}
	operands := strings.Split(strings.TrimSuffix(strings.TrimPrefix(types, "("), ")"), ", ")
	d := f.errorf("%q does not work on %s", op, strings.Join(operands, " and "))
	switch {
	case len(operands) == 2 && slices.Contains(operands, "string") && slices.Contains(operands, "int"):
		d.WithHelp("ports, marks and addresses are strings: quote the number, or convert with int() or string()")
	case op == "?:":
		d.Message = "the condition before ? must be a bool, and both results of one type, not " + strings.Join(operands, ", ")
	case op == "[]" && len(operands) > 0 && operands[0] == "params":
		d.WithHelp("write params.NAME")
	}
}

// usage shows how a function is called; "" for most of CEL's own.
func usage(name string) string {
	var all []string
	for _, m := range methods {
		if m.name == name {
			all = append(all, m.class.name+"."+m.usage)
		}
	}
	switch name {
	case "all", "exists", "exists_one", "filter", "map":
		all = append(all, "list."+name+"(x, EXPRESSION)")
	case "contains", "startsWith", "endsWith", "matches":
		all = append(all, "string."+name+"(string)")
	}
	if len(all) == 0 {
		return ""
	}
	return "write " + strings.Join(all, " or ")
}
