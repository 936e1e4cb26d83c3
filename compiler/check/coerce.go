package check

import (
	"fmt"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// RawKind is the shape of a Raw value.
type RawKind uint8

// The shapes of a Raw value.
const (
	RawScalar RawKind = iota
	RawList
	RawMap
)

// Raw is a value as a user wrote it, with places: what Coerce gives a type to.
type Raw struct {
	Span diag.Span
	Kind RawKind
	// Scalar is the text of a scalar; Quoted tells that it was not plain.
	Scalar string
	Quoted bool
	Items  []*Raw
	// Keys of a map, in written order.
	Keys []Key
}

// Key is one entry of a map.
type Key struct {
	Name  string
	Span  diag.Span
	Value *Raw
}

// Value is a typed value. Go is a string, bool, int64, []any or map[string]any,
// and is never changed.
type Value struct {
	Type Type
	Go   any
}

// Coerce gives a raw value a type: it normalises every scalar in it and reports
// everything that does not fit at its place. It is false if anything did not.
func Coerce(t Type, raw *Raw, list *diag.List) (Value, bool) {
	c := coercion{list: list}
	v := c.value(t, raw)
	return Value{Type: t, Go: v}, !c.failed
}

type coercion struct {
	list   *diag.List
	failed bool
}

func (c *coercion) errorf(at diag.Span, format string, args ...any) *diag.Diagnostic {
	c.failed = true
	return c.list.Errorf(diag.ParamValue, at, format, args...)
}

func (c *coercion) value(t Type, raw *Raw) any {
	switch t.Kind {
	case List:
		return c.items(t, raw)
	case Map:
		return c.entries(t, raw)
	}
	if raw.Kind != RawScalar {
		c.errorf(raw.Span, "%s is needed here, not a %s", withArticle(t.String()), shape(raw))
		return nil
	}
	if !raw.Quoted && isNull(raw.Scalar) {
		d := c.errorf(raw.Span, "the value is empty, %s is needed", withArticle(t.String()))
		if t.Kind == String {
			d.WithHelp(`quote it if it is meant as text: "%s"`, raw.Scalar)
		}
		return nil
	}
	v, err := normalise(t.Kind, raw.Scalar)
	if err != nil {
		d := c.errorf(raw.Span, "the %s %q %s", t, clip(raw.Scalar), err)
		if help := scalarHelp(t.Kind, raw.Scalar); help != "" {
			d.WithHelp("%s", help)
		}
		return nil
	}
	return v
}

func (c *coercion) items(t Type, raw *Raw) any {
	if raw.Kind != RawList {
		d := c.errorf(raw.Span, "%s is needed here, not a %s", withArticle(t.String()), shape(raw))
		if raw.Kind == RawScalar && !isNull(raw.Scalar) {
			d.WithHelp("write [%s]", clip(raw.Scalar))
		}
		return nil
	}
	out := make([]any, 0, len(raw.Items))
	for _, item := range raw.Items {
		out = append(out, c.value(*t.Elem, item))
	}
	return out
}

func (c *coercion) entries(t Type, raw *Raw) any {
	if raw.Kind != RawMap {
		c.errorf(raw.Span, "%s is needed here, not a %s", withArticle(t.String()), shape(raw)).WithHelp("write {KEY: VALUE}")
		return nil
	}
	out := make(map[string]any, len(raw.Keys))
	first := make(map[string]diag.Span, len(raw.Keys))
	for _, k := range raw.Keys {
		if at, twice := first[k.Name]; twice {
			c.errorf(k.Span, "the key %q stands twice", clip(k.Name)).Note(at, "first here")
			continue
		}
		first[k.Name] = k.Span
		out[k.Name] = c.value(*t.Elem, k.Value)
	}
	return out
}

// isNull tells whether a plain scalar is what YAML calls null.
func isNull(s string) bool {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

func shape(raw *Raw) string {
	switch raw.Kind {
	case RawList:
		return "list"
	case RawMap:
		return "map"
	}
	return "single value"
}

func scalarHelp(k Kind, s string) string {
	switch k {
	case Bool:
		switch strings.ToLower(s) {
		case "yes", "y", "on", "true", "1":
			return "write true"
		case "no", "n", "off", "false", "0":
			return "write false"
		}
	case Address:
		if strings.Contains(s, "/") {
			return "the type of a prefix is cidr"
		}
	}
	return ""
}

// CheckEnum reports every scalar in v that is not one of allowed, at its place in
// raw (the value that v was coerced from). Allowed values have v's leaf type.
func CheckEnum(v Value, raw *Raw, allowed []Value, list *diag.List) bool {
	ok := true
	words := make([]string, 0, len(allowed))
	for _, a := range allowed {
		words = append(words, fmt.Sprint(a.Go))
	}
	leaf := v.Type.Leaf()
	eachScalar(raw, func(r *Raw) {
		got, err := normalise(leaf.Kind, r.Scalar)
		if err != nil || slices.ContainsFunc(allowed, func(a Value) bool { return a.Go == got }) {
			return // a scalar that does not fit its type was reported by Coerce
		}
		ok = false
		d := list.Errorf(diag.ParamValue, r.Span, "%q is none of the values allowed here: %s",
			clip(r.Scalar), strings.Join(words, ", "))
		if near := diag.DidYouMean(r.Scalar, words); near != "" {
			d.WithHelp("did you mean %q?", near)
		}
	})
	return ok
}

func eachScalar(raw *Raw, f func(*Raw)) {
	switch raw.Kind {
	case RawScalar:
		f(raw)
	case RawList:
		for _, item := range raw.Items {
			eachScalar(item, f)
		}
	case RawMap:
		for _, k := range raw.Keys {
			eachScalar(k.Value, f)
		}
	}
}
