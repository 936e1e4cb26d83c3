package check

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// method is one of the functions of a host or chain.
type method struct {
	class *class
	name  string
	// usage is the call as documentation writes it.
	usage  string
	args   []*cel.Type
	result *cel.Type
	call   func(args []ref.Val) ref.Val
}

// methods are the functions that we add to CEL's own.
var methods = []method{
	{hostClass, "chain", "chain(family, table, name)", strings3, chainClass.typ, func(a []ref.Val) ref.Val {
		return onHost(a, func(h hostView, s []string) ref.Val { return h.chain(s[0], s[1], s[2]) })
	}},
	{hostClass, "set", "set(family, name)", strings3[:2], setClass.typ, func(a []ref.Val) ref.Val {
		return onHost(a, func(h hostView, s []string) ref.Val { return h.set(s[0], s[1]) })
	}},
	{hostClass, "hasNativeRules", "hasNativeRules(family, table)", strings3[:2], cel.BoolType, func(a []ref.Val) ref.Val {
		return onHost(a, func(h hostView, s []string) ref.Val { return h.hasNativeRules(s[0], s[1]) })
	}},
	{chainClass, "position", "position(x)", strings3[:1], cel.IntType, func(a []ref.Val) ref.Val {
		return onChain(a, func(d chainView, s []string) ref.Val {
			if places := d.places(s[0]); len(places) > 0 {
				return types.Int(places[0])
			}
			return types.IntNegOne
		})
	}},
	{chainClass, "count", "count(x)", strings3[:1], cel.IntType, func(a []ref.Val) ref.Val {
		return onChain(a, func(d chainView, s []string) ref.Val { return types.Int(len(d.places(s[0]))) })
	}},
	{chainClass, "has", "has([x, ...])", []*cel.Type{stringList}, cel.BoolType, func(a []ref.Val) ref.Val {
		return onChain(a, func(d chainView, s []string) ref.Val { return types.Bool(d.name(s, true)) })
	}},
	{chainClass, "ordered", "ordered([x, ...])", []*cel.Type{stringList}, cel.BoolType, func(a []ref.Val) ref.Val {
		return onChain(a, func(d chainView, s []string) ref.Val {
			d.name(s, false)
			return types.Bool(d.ordered(s))
		})
	}},
}

var strings3 = []*cel.Type{cel.StringType, cel.StringType, cel.StringType}

func (m *method) option() cel.EnvOption {
	return cel.Function(m.name, cel.MemberOverload(m.overload(),
		append([]*cel.Type{m.class.typ}, m.args...), m.result,
		cel.FunctionBinding(func(args ...ref.Val) ref.Val { return m.call(args) })))
}

func (m *method) overload() string { return m.class.name + "_" + m.name }

// onHost calls f with the host of a method call and its arguments as text.
func onHost(args []ref.Val, f func(hostView, []string) ref.Val) ref.Val {
	h, ok := args[0].Value().(hostView)
	s, bad := texts(args[1:])
	switch {
	case !ok:
		return types.NewErr("the value is no host")
	case bad != nil:
		return bad
	}
	return f(h, s)
}

// onChain calls f likewise, and charges for a pass over the rules for each text.
func onChain(args []ref.Val, f func(chainView, []string) ref.Val) ref.Val {
	d, ok := args[0].Value().(chainView)
	if ok {
		if xs, isList := args[1].(traits.Lister); isList {
			d.session.weigh(xs)
		}
	}
	s, bad := texts(args[1:])
	switch {
	case !ok:
		return types.NewErr("the value is no chain")
	case bad != nil:
		return bad
	}
	d.session.charge(len(s) * len(d.rules()))
	return f(d, s)
}

// texts are the texts of string arguments, or of the items of a list of them.
func texts(args []ref.Val) ([]string, ref.Val) {
	out := make([]string, 0, len(args))
	for _, a := range args {
		switch v := a.(type) {
		case types.String:
			out = append(out, string(v))
		case traits.Lister:
			for it := v.Iterator(); it.HasNext() == types.True; {
				s, ok := it.Next().(types.String)
				if !ok {
					return nil, types.NewErr("the list holds something that is no string")
				}
				out = append(out, string(s))
			}
		default:
			return nil, types.NewErr("the argument is no string")
		}
	}
	return out, nil
}

func badFamily(s string) string {
	msg := fmt.Sprintf("unknown family %q", clip(s))
	if near := diag.DidYouMean(s, []string{"ipv4", "ipv6"}); near != "" {
		return msg + fmt.Sprintf(", did you mean %q?", near)
	}
	return msg + ": families are ipv4 and ipv6"
}

func badTable(s string) string {
	msg := fmt.Sprintf("unknown table %q", clip(s))
	if near := diag.DidYouMean(s, ir.TableNames); near != "" {
		return msg + fmt.Sprintf(", did you mean %q?", near)
	}
	return msg + ": tables are " + strings.Join(ir.TableNames, ", ")
}
