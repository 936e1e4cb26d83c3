package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// sortedMap is a map that a loop goes through in the order of its keys. CEL's own
// go in Go's order, which differs from run to run.
type sortedMap struct {
	traits.Mapper
	keys []ref.Val
}

// Iterator implements traits.Iterable.
func (m *sortedMap) Iterator() traits.Iterator {
	return types.NewRefValList(types.DefaultTypeAdapter, m.keys).Iterator()
}

func newSortedMap(entries map[ref.Val]ref.Val) ref.Val {
	keys := make([]ref.Val, 0, len(entries))
	for k := range entries {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	return &sortedMap{types.NewRefValMap(types.DefaultTypeAdapter, entries), keys}
}

// compareKeys orders keys of one type by value, others by the name of the type.
func compareKeys(a, b ref.Val) int {
	if c := strings.Compare(a.Type().TypeName(), b.Type().TypeName()); c != 0 {
		return c
	}
	switch a := a.(type) {
	case types.String:
		if b, ok := b.(types.String); ok {
			return cmp.Compare(a, b)
		}
	case types.Int:
		if b, ok := b.(types.Int); ok {
			return cmp.Compare(a, b)
		}
	case types.Uint:
		if b, ok := b.(types.Uint); ok {
			return cmp.Compare(a, b)
		}
	}
	return strings.Compare(fmt.Sprint(a.Value()), fmt.Sprint(b.Value()))
}

// sortedLiteral is a map literal whose value is a sorted map.
type sortedLiteral struct {
	interpreter.InterpretableConstructor
}

// Exec implements interpreter.InterpretableV2.
func (l *sortedLiteral) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := l.InterpretableConstructor.Exec(frame)
	m, ok := v.(traits.Mapper)
	if !ok {
		return v // an error or an unknown
	}
	out := &sortedMap{Mapper: m}
	for it := m.Iterator(); it.HasNext() == types.True; {
		out.keys = append(out.keys, it.Next())
	}
	slices.SortFunc(out.keys, compareKeys)
	return out
}

// Eval implements interpreter.Interpretable.
func (l *sortedLiteral) Eval(vars interpreter.Activation) ref.Val {
	return l.Exec(interpreter.AsFrame(vars))
}
