package check

import (
	"errors"
	"regexp"
	"regexp/syntax"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// checkLiterals finds what the types cannot: misspelled families and tables,
// patterns that are none, names that no chain can have, and rule.index where
// rules are chosen for removal. It notes the variables that are used.
func (x *Expr) checkLiterals(list *diag.List) {
	native := x.ast.NativeRep()
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			x.uses[e.AsIdent()] = true
		case ast.SelectKind:
			sel := e.AsSelect()
			if x.env.opt.Rule && sel.FieldName() == "index" && native.GetType(sel.Operand().ID()).TypeName() == ruleClass.typ.TypeName() {
				list.Errorf(diag.RuleIndexUse, x.place(e), "an index cannot choose rules for removal").
					WithHelp("choose by what the rule says: text, comment, target, source")
			}
		case ast.CallKind:
			x.checkCall(native, e.AsCall(), list)
		case ast.UnspecifiedExprKind, ast.ComprehensionKind, ast.ListKind, ast.LiteralKind, ast.MapKind, ast.StructKind:
		}
	}))
}

func (x *Expr) checkCall(native *ast.AST, call ast.CallExpr, list *diag.List) {
	args := call.Args()
	if call.FunctionName() == overloads.Matches {
		x.checkPattern(args[len(args)-1], list)
		return
	}
	if !call.IsMemberFunction() {
		return
	}
	switch native.GetType(call.Target().ID()).TypeName() {
	case hostClass.typ.TypeName():
		if s, ok := literalString(args[0]); ok {
			if _, known := ir.ParseFamily(s); !known {
				list.Errorf(diag.CELType, x.place(args[0]), "%s", badFamily(s))
			}
		}
		if call.FunctionName() == "set" {
			return
		}
		if s, ok := literalString(args[1]); ok && ir.BuiltinChains(s) == nil {
			list.Errorf(diag.CELType, x.place(args[1]), "%s", badTable(s))
		}
	case chainClass.typ.TypeName():
		if len(args) == 0 {
			return
		}
		items := args
		if args[0].Kind() == ast.ListKind {
			items = args[0].AsList().Elements()
		}
		for _, item := range items {
			if s, ok := literalString(item); ok && ir.IsTargetName(s) {
				list.Errorf(diag.CELType, x.place(item), "%q is a target, not a chain or participant", s).
					WithHelp("ask the rules: rules.exists(r, r.target == %q)", s)
			}
		}
	}
}

// checkPattern reports a literal pattern of matches() that is no regular
// expression.
func (x *Expr) checkPattern(arg ast.Expr, list *diag.List) {
	s, ok := literalString(arg)
	if !ok {
		return
	}
	_, err := regexp.Compile(s)
	var bad *syntax.Error
	if errors.As(err, &bad) {
		list.Errorf(diag.CELType, x.place(arg), "the pattern is no regular expression: %s: %q", bad.Code, clip(bad.Expr))
	}
}

func literalString(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// place is the span of what an expression node is written as.
func (x *Expr) place(e ast.Expr) diag.Span {
	r, found := x.ast.NativeRep().SourceInfo().GetOffsetRange(e.ID())
	if !found {
		return x.whole()
	}
	return x.src.token(x.src.runeOffset(int(r.Start)))
}
