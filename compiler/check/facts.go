package check

import (
	"fmt"
	"math"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// Facts are what is known of the host itself, ready for expressions. hostname,
// kernel (strings), tools (name to version) and interfaces (name to {name,
// addresses, up, mac, mtu}) are typed; every other fact is the user's own and dynamic.
type Facts struct{ vals map[string]ref.Val }

// The classes of facts; they never change.
var (
	ifaceClass = newIfaceClass()
	factsClass = newFactsClass()
)

// factIface is one network interface.
type factIface struct {
	name  string
	addrs ref.Val
	up    bool
	mac   string
	mtu   int64
}

func newIfaceClass() *class {
	c := newClass("interface")
	define(c, "name", cel.StringType, func(i *factIface) ref.Val { return types.String(i.name) })
	define(c, "addresses", stringList, func(i *factIface) ref.Val { return i.addrs })
	define(c, "mac", cel.StringType, func(i *factIface) ref.Val { return types.String(i.mac) })
	define(c, "mtu", cel.IntType, func(i *factIface) ref.Val { return types.Int(i.mtu) })
	define(c, "up", cel.BoolType, func(i *factIface) ref.Val { return types.Bool(i.up) })
	return c
}

func newFactsClass() *class {
	c := newClass("facts")
	c.open = func(name string) field { return fact(name, cel.DynType) }
	for name, t := range map[string]*cel.Type{
		"hostname":   cel.StringType,
		"kernel":     cel.StringType,
		"tools":      cel.MapType(cel.StringType, cel.StringType),
		"interfaces": cel.MapType(cel.StringType, ifaceClass.typ),
	} {
		c.fields[name] = fact(name, t)
	}
	return c
}

func fact(name string, t *cel.Type) field {
	return field{
		typ: t,
		get: func(data any) ref.Val {
			f, ok := data.(*Facts)
			if !ok || f == nil {
				return types.WrapErr(errNoFacts)
			}
			v, found := f.vals[name]
			if !found {
				return types.WrapErr(&noFactError{name})
			}
			return v
		},
		has: func(data any) bool {
			f, ok := data.(*Facts)
			return ok && f != nil && f.vals[name] != nil
		},
	}
}

// NewFacts takes the facts of a host or a facts file: decoded JSON or YAML. An
// error says which of the typed facts has the wrong shape.
func NewFacts(facts map[string]any) (*Facts, error) {
	f := &Facts{vals: make(map[string]ref.Val, len(facts))}
	for name, v := range facts {
		switch name {
		case "hostname", "kernel":
			s, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("the fact %s is not a text", name)
			}
			f.vals[name] = types.String(s)
		case "tools":
			tools, err := stringMap(v)
			if err != nil {
				return nil, err
			}
			f.vals[name] = tools
		case "interfaces":
			ifaces, err := interfaces(v)
			if err != nil {
				return nil, err
			}
			f.vals[name] = ifaces
		default:
			n, err := plain(v)
			if err != nil {
				return nil, fmt.Errorf("the fact %s %w", name, err)
			}
			f.vals[name] = toCEL(n)
		}
	}
	return f, nil
}

func stringMap(v any) (ref.Val, error) {
	out := map[ref.Val]ref.Val{}
	switch m := v.(type) {
	case map[string]string:
		for k, s := range m {
			out[types.String(k)] = types.String(s)
		}
	case map[string]any:
		for k, e := range m {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("the fact tools: the version of %s is not a text", k)
			}
			out[types.String(k)] = types.String(s)
		}
	default:
		return nil, fmt.Errorf("the fact tools is not a mapping of names to versions")
	}
	return newSortedMap(out), nil
}

// interfaces reads a list of interfaces, or a mapping by name.
func interfaces(v any) (ref.Val, error) {
	out := map[ref.Val]ref.Val{}
	add := func(name string, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("the fact interfaces: an entry is not a mapping")
		}
		i, err := oneInterface(name, m)
		if err == nil {
			out[types.String(i.name)] = ifaceClass.object(i)
		}
		return err
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := add("", e); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name, e := range v {
			if err := add(name, e); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("the fact interfaces is neither a list nor a mapping")
	}
	return newSortedMap(out), nil
}

func oneInterface(name string, m map[string]any) (*factIface, error) {
	i := &factIface{name: name}
	if n, ok := m["name"].(string); ok {
		i.name = n
	}
	if i.name == "" {
		return nil, fmt.Errorf("the fact interfaces: an entry has no name")
	}
	var addrs []string
	switch list := m["addresses"].(type) {
	case nil:
	case []string:
		addrs = list
	case []any:
		for _, a := range list {
			s, ok := a.(string)
			if !ok {
				return nil, fmt.Errorf("the fact interfaces: an address of %s is not a text", i.name)
			}
			addrs = append(addrs, s)
		}
	default:
		return nil, fmt.Errorf("the fact interfaces: the addresses of %s are not a list", i.name)
	}
	i.addrs = stringsVal(addrs)
	if up, given := m["up"]; given {
		b, ok := up.(bool)
		if !ok {
			return nil, fmt.Errorf("the fact interfaces: up of %s is neither true nor false", i.name)
		}
		i.up = b
	}
	if mac, given := m["mac"]; given {
		s, ok := mac.(string)
		if !ok {
			return nil, fmt.Errorf("the fact interfaces: the mac of %s is not a text", i.name)
		}
		i.mac = s
	}
	if mtu, given := m["mtu"]; given {
		n, err := plain(mtu)
		v, ok := n.(int64)
		if err != nil || !ok {
			return nil, fmt.Errorf("the fact interfaces: the mtu of %s is not a whole number", i.name)
		}
		i.mtu = v
	}
	return i, nil
}

// plain brings decoded JSON or YAML into the values that expressions know.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, bool, int64:
		return v, nil
	case int:
		return int64(v), nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
		return float64(v), nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil // JSON has one kind of number
		}
		return v, nil
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			n, err := plain(e)
			if err != nil {
				return nil, err
			}
			out[i] = n
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			n, err := plain(e)
			if err != nil {
				return nil, err
			}
			out[k] = n
		}
		return out, nil
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, s := range v {
			out[k] = s
		}
		return out, nil
	default:
		return nil, fmt.Errorf("holds a value that is no text, number, truth, list or mapping (%T)", v)
	}
}
