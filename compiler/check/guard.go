package check

import (
	"errors"
	"regexp"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// CEL counts the cost of an operation when it is over, and takes some for cheap
// that are not: values share their parts, so that a few nested map() make a list
// whose comparison never ends. The guards below weigh such operands first.

// defaultCostLimit is about a second of work: two passes with three comparisons
// over the rules of a chain with 100,000 cost a fifth of it.
const defaultCostLimit = 10_000_000

// maxWeight is the largest value that is compared, searched or given as a result.
const maxWeight = 1_000_000

// maxRegexWork bounds length of text times length of pattern for matches().
const maxRegexWork = 20_000_000

// errCost is inside every error that a guard makes.
var errCost = errors.New("the expression works on values that are too large")

// weight counts a value with everything inside, shared parts as often as they
// are reached, up to a limit. It takes no longer than the limit.
func weight(v ref.Val, limit int) int {
	n := 1
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
	case types.String:
		n += len(v) / 64
	case types.Bytes:
		n += len(v) / 64
	case object:
		if d, ok := v.data.(*chainData); ok {
			n += len(d.rules())
		}
	}
	return n
}

func tooHeavy(v ref.Val) bool { return weight(v, maxWeight) >= maxWeight }

// guard replaces == and != by versions that weigh their operands, matches() with
// a literal pattern by one that compiles it once, and map literals by sorted ones.
func guard(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if c, ok := i.(interpreter.InterpretableConstructor); ok && c.Type() == types.MapType {
		return &sortedLiteral{c}, nil
	}
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	switch call.Function() {
	case operators.Equals, operators.NotEquals:
		return &guardedEquality{call}, nil
	case overloads.Matches:
		if len(call.Args()) != 2 {
			return i, nil
		}
		literal, ok := call.Args()[1].(interpreter.InterpretableConst)
		if !ok {
			return i, nil
		}
		pattern, ok := literal.Value().(types.String)
		if !ok {
			return i, nil
		}
		re, err := regexp.Compile(string(pattern))
		if err != nil {
			return i, nil // checked as a literal; as a value it fails when it is run
		}
		return &literalMatch{call, re}, nil
	}
	return i, nil
}

// literalMatch is text.matches("literal").
type literalMatch struct {
	interpreter.InterpretableCall
	re *regexp.Regexp
}

// Exec implements interpreter.InterpretableV2.
func (m *literalMatch) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	args := m.Args()
	v := args[0].Exec(frame)
	// The pattern is run for the observers' sake: they count its cost.
	args[1].Exec(frame)
	if types.IsUnknownOrError(v) {
		return v
	}
	text, ok := v.(types.String)
	switch {
	case !ok:
		return types.LabelErrNode(m.ID(), types.MaybeNoSuchOverloadErr(v))
	case (len(text)+1)*(len(m.re.String())+1) > maxRegexWork:
		return types.LabelErrNode(m.ID(), types.WrapErr(errCost))
	}
	return types.Bool(m.re.MatchString(string(text)))
}

// Eval implements interpreter.Interpretable.
func (m *literalMatch) Eval(vars interpreter.Activation) ref.Val {
	return m.Exec(interpreter.AsFrame(vars))
}

type guardedEquality struct{ interpreter.InterpretableCall }

// Exec implements interpreter.InterpretableV2.
func (g *guardedEquality) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	args := g.Args()
	a := args[0].Exec(frame)
	if types.IsError(a) {
		return a
	}
	b := args[1].Exec(frame)
	if types.IsError(b) {
		return b
	}
	unk, _ := types.MaybeMergeUnknowns(a, nil)
	if unk, _ = types.MaybeMergeUnknowns(b, unk); unk != nil {
		return unk
	}
	// The lighter side bounds the comparison.
	if tooHeavy(a) && tooHeavy(b) {
		return types.LabelErrNode(g.ID(), types.WrapErr(errCost))
	}
	equal := types.Equal(a, b)
	if g.Function() == operators.NotEquals {
		return types.Bool(equal != types.True)
	}
	return equal
}

// Eval implements interpreter.Interpretable.
func (g *guardedEquality) Eval(vars interpreter.Activation) ref.Val {
	return g.Exec(interpreter.AsFrame(vars))
}

// guardedFunctions are CEL's own functions with a guard before them. The
// environment leaves the originals out.
func guardedFunctions() []cel.EnvOption {
	a, b := cel.TypeParamType("A"), cel.TypeParamType("B")
	str := cel.StringType
	return []cel.EnvOption{
		cel.Function(operators.In,
			cel.Overload(overloads.InList, []*cel.Type{a, cel.ListType(a)}, cel.BoolType),
			cel.Overload(overloads.InMap, []*cel.Type{a, cel.MapType(a, b)}, cel.BoolType),
			cel.SingletonBinaryBinding(guardedIn)),
		cel.Function(overloads.Matches,
			cel.Overload(overloads.Matches, []*cel.Type{str, str}, cel.BoolType),
			cel.MemberOverload(overloads.MatchesString, []*cel.Type{str, str}, cel.BoolType),
			cel.SingletonBinaryBinding(guardedMatches, traits.MatcherType)),
	}
}

func guardedIn(x, in ref.Val) ref.Val {
	c, ok := in.(traits.Container)
	if !ok {
		return types.MaybeNoSuchOverloadErr(in)
	}
	if _, isMap := in.(traits.Mapper); !isMap && tooHeavy(in) {
		return types.WrapErr(errCost)
	}
	return c.Contains(x)
}

func guardedMatches(text, pattern ref.Val) ref.Val {
	t, ok := text.(types.String)
	p, ok2 := pattern.(types.String)
	if !ok || !ok2 {
		return types.MaybeNoSuchOverloadErr(text)
	}
	if (len(t)+1)*(len(p)+1) > maxRegexWork {
		return types.WrapErr(errCost)
	}
	return t.Match(p)
}

// costs tells CEL what our functions cost, and what it counts too low.
type costs struct{}

// CallCost implements interpreter.ActualCostEstimator.
func (costs) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	n := 1
	switch {
	case overload == "chain_position", overload == "chain_count":
		n += rulesOf(args[0])
	case overload == "chain_has", overload == "chain_ordered":
		n += size(args[1]) * (1 + rulesOf(args[0]))
	case overload == overloads.AddList, overload == overloads.AddString, overload == overloads.AddBytes:
		n += size(result)
	case overload == overloads.InList:
		n = weight(args[1], maxWeight)
	case function == overloads.Matches:
		text, pattern := byteLen(args[0]), byteLen(args[1])
		n += 20 + pattern + text*pattern/32
	case function == operators.Equals, function == operators.NotEquals:
		n = min(weight(args[0], maxWeight), weight(args[1], maxWeight))
	default:
		long := 0
		for _, a := range args {
			long += byteLen(a)
		}
		if long < 256 {
			return nil // CEL's own estimate is fair
		}
		n += long / 8
	}
	c := uint64(n)
	return &c
}

func rulesOf(v ref.Val) int {
	if d, ok := v.Value().(*chainData); ok {
		return len(d.rules())
	}
	return 0
}

// size counts items of a list or bytes of a text.
func size(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return max(1, len(v))
	case traits.Sizer:
		if n, ok := v.Size().(types.Int); ok {
			return int(n)
		}
	}
	return 1
}

func byteLen(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return 0
}
