package dsltest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"hookline/dsl"
)

// Place is one place of the grammar.
type Place struct {
	// Path names the place, e.g. spec.tables.<key> or spec.families[].
	Path string
	// Shape is that of the place; for the key of a mapping only Text is set.
	Shape *dsl.Shape
	// Key tells that the place is the key of a mapping.
	Key bool
	// wrap makes the whole document.
	wrap func(any) any
}

// Document is a ruleset, as JSON (which is YAML), with a value in this place.
func (p Place) Document(value any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p.wrap(value)); err != nil {
		panic(fmt.Sprintf("dsltest: %v", err)) // only plain values get here
	}
	return b.String()
}

// Example is a valid value for the place.
func (p Place) Example() any { return example(p.Shape) }

// Places lists every place below a shape, in the order of the grammar.
func Places(s *dsl.Shape) []Place {
	w := walker{}
	w.walk(s, "", nil, func(v any) any { return v })
	return w.places
}

type walker struct{ places []Place }

// maxSelf is how often a shape that holds itself is opened.
const maxSelf = 2

func (w *walker) walk(s *dsl.Shape, path string, above []*dsl.Shape, wrap func(any) any) {
	if count(above, s) >= maxSelf {
		return
	}
	above = append(slices.Clone(above), s)
	w.places = append(w.places, Place{Path: path, Shape: s, wrap: wrap})
	if s.Item != nil {
		w.walk(s.Item, path+"[]", above, func(v any) any { return wrap([]any{v}) })
	}
	for _, f := range s.Fields {
		base := required(s, f.Name)
		w.walk(f.Shape, strings.TrimPrefix(path+"."+f.Name, "."), above, func(v any) any {
			m := maps.Clone(base)
			m[f.Name] = v
			return wrap(m)
		})
	}
	if s.Entry != nil {
		w.places = append(w.places, Place{
			Path: path + ".<key>", Key: true, Shape: &dsl.Shape{What: s.Key.What, Text: s.Key, Example: keyOf(s)},
			wrap: func(v any) any { return wrap(map[string]any{fmt.Sprint(v): example(s.Entry)}) },
		})
		w.walk(s.Entry, path+".*", above, func(v any) any { return wrap(map[string]any{keyOf(s): v}) })
	}
}

func count(list []*dsl.Shape, s *dsl.Shape) int {
	n := 0
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

func keyOf(s *dsl.Shape) string {
	if s.Key.Enum != nil {
		return s.Key.Enum[0]
	}
	return "a"
}

// required makes a mapping of what must be there; but is a key that will be
// added, so that keys which exclude it are left out.
func required(s *dsl.Shape, but string) map[string]any {
	out := map[string]any{}
	for _, f := range s.Fields {
		if f.Required {
			out[f.Name] = example(f.Shape)
		}
	}
	if s.OneOf != nil && !slices.Contains(slices.Concat(s.OneOf...), but) {
		first := s.OneOf[0][0]
		out[first] = example(s.Field(first).Shape)
	}
	return out
}

// example is a small valid value.
func example(s *dsl.Shape) any {
	switch {
	case s.Example != "":
		var v any
		if err := yaml.Unmarshal([]byte(s.Example), &v); err != nil {
			panic(fmt.Sprintf("dsltest: the example %q: %v", s.Example, err)) // a mistake in the table
		}
		return v
	case s.Fields != nil:
		return required(s, "")
	case s.Item != nil && s.Entry == nil:
		return []any{}
	}
	return map[string]any{}
}
