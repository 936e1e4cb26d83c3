package dsl

import (
	"regexp"

	"hookline/dsl/diag"
)

// Shape says what may stand in a place of the language. One table of shapes
// (Grammar) drives the reader, the JSON Schema and the hostile tests. A shape
// accepts a scalar if Text is set, a list if Item is set, and a mapping if Fields
// or Entry is set; more than one may be.
type Shape struct {
	// Name is set for shapes that the schema defines once and refers to.
	Name string
	// What names the value in messages, with its article: "a rule".
	What string
	// MappingWhat is What for the mapping form, where that is another thing.
	MappingWhat string
	// Doc is a sentence for people who write the value.
	Doc  string
	Text *TextShape
	Item *Shape
	// NonEmpty tells that a list must have items.
	NonEmpty bool
	// Fields are the keys of a mapping whose keys are known.
	Fields []*Field
	// OneOf lists sets of keys of which exactly one is used: keys of two sets exclude
	// each other, and one key at least must be there.
	OneOf [][]string
	// Key and Entry describe a mapping whose keys are free.
	Key   *TextShape
	Entry *Shape
	// Single tells that such a mapping has exactly one entry.
	Single bool
	// Example is a small valid value, as YAML in flow style.
	Example string
}

// Field is one key of a mapping.
type Field struct {
	Name     string
	Doc      string
	Required bool
	Shape    *Shape
}

// TextKind is the way in which a scalar is read.
type TextKind uint8

// The ways of reading a scalar.
const (
	// LineText is one line without control characters.
	LineText TextKind = iota
	// ProseText may have several lines; it is only ever shown.
	ProseText
	// RuleText is rule text of a tool.
	RuleText
	// CELText is a bare CEL expression.
	CELText
)

// TextShape says what a scalar may be.
type TextShape struct {
	Kind TextKind
	// What names the value in messages, with its article: "a chain name".
	What string
	// Enum lists all allowed values, if they can be listed.
	Enum []string
	// Pattern, if not empty, is a regular expression that the whole value matches.
	Pattern string
	// MaxBytes bounds the length of the value; 0 means unbounded.
	MaxBytes int
	// Code is that of a value which does not match; InvalidValue if empty.
	Code diag.Code
	// Template tells that `${ CEL }` is allowed.
	Template bool
	// Empty tells that an empty (quoted) text is allowed.
	Empty bool
	// Problem says what is wrong with a value in a sentence, or "". It goes beyond
	// Pattern or says it better.
	Problem func(value string) string
	// Hint is the help that is printed with a problem.
	Hint string
	// Free tells that YAML numbers and booleans are valid too.
	Free     bool
	compiled *regexp.Regexp
}

// Field finds a key; nil if the shape has none of that name.
func (s *Shape) Field(name string) *Field {
	for _, f := range s.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// text finishes a TextShape.
func text(t TextShape) *TextShape {
	if t.Pattern != "" {
		t.compiled = regexp.MustCompile(`^(?:` + t.Pattern + `)$`)
	}
	if t.Code == "" {
		t.Code = diag.InvalidValue
	}
	return &t
}

// scalar is a shape that accepts that text only.
func scalar(t *TextShape, example string) *Shape {
	return &Shape{What: t.What, Text: t, Example: example}
}

// list is a shape that accepts a list only.
func list(what string, item *Shape) *Shape {
	return &Shape{What: what, Item: item, Example: "[" + item.Example + "]"}
}

// field is an optional key.
func field(name string, s *Shape, doc string) *Field { return &Field{Name: name, Shape: s, Doc: doc} }

// either makes sets of one key each for OneOf.
func either(keys ...string) [][]string {
	var out [][]string
	for _, k := range keys {
		out = append(out, []string{k})
	}
	return out
}

// required is a key that must be there.
func required(name string, s *Shape, doc string) *Field {
	return &Field{Name: name, Shape: s, Doc: doc, Required: true}
}

// Mapping tells that the shape accepts a mapping.
func (s *Shape) Mapping() bool { return s.Fields != nil || s.Entry != nil }
