package check

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// toCEL wraps a value of a param or fact. Lists and maps are wrapped once, item
// by item, so that a loop does not convert again.
func toCEL(v any) ref.Val {
	switch v := v.(type) {
	case nil:
		return types.NullValue
	case string:
		return types.String(v)
	case bool:
		return types.Bool(v)
	case int64:
		return types.Int(v)
	case float64:
		return types.Double(v)
	case []any:
		out := make([]ref.Val, len(v))
		for i, e := range v {
			out[i] = toCEL(e)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, out)
	case map[string]any:
		out := make(map[ref.Val]ref.Val, len(v))
		for k, e := range v {
			out[types.String(k)] = toCEL(e)
		}
		return newSortedMap(out)
	default:
		return types.NewErr("a value of type %T cannot be used", v)
	}
}

// errNotAValue is the end of a sentence about a result that is no value.
var errNotAValue = errors.New("not a value that a ruleset can hold")

// toGo is the inverse of toCEL. Null, objects of a host and CEL's own types are
// no values of a ruleset.
func toGo(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.String:
		return string(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if int64(v) >= 0 {
			return int64(v), nil
		}
	case types.Duration:
		return v.Duration.String(), nil
	case types.Timestamp:
		return v.Time.UTC().Format(time.RFC3339Nano), nil
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			k := it.Next()
			name, ok := k.(types.String)
			if !ok {
				return nil, fmt.Errorf("a map with a key that is no string, %w", errNotAValue)
			}
			e, err := toGo(v.Get(k))
			if err != nil {
				return nil, err
			}
			out[string(name)] = e
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			e, err := toGo(it.Next())
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	case object:
		return nil, fmt.Errorf("a %s, %w", v.class.word(), errNotAValue)
	}
	return nil, fmt.Errorf("a %s, %w", typeWord(v.Type().TypeName()), errNotAValue)
}

// Text is how a value stands inside a larger scalar: a string as it is, a number
// in decimal, true or false. Lists and maps have no such text; the error is a
// sentence without their content.
func Text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case []any:
		return "", errors.New("a list cannot stand inside a text")
	case map[string]any:
		return "", errors.New("a map cannot stand inside a text")
	default:
		return "", fmt.Errorf("a value of type %T cannot stand inside a text", v)
	}
}
