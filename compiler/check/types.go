package check

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"

	"hookline/dsl/diag"
)

// Kind is the outermost constructor of a Type.
type Kind uint8

// The kinds of type. A param has one of the first eleven; Dynamic and Entry are
// types of values that expressions make.
const (
	String Kind = iota + 1
	Bool
	Int
	Port
	Address
	CIDR
	Interface
	Mark
	Duration
	List
	Map
	// Dynamic is a value whose type is known only when it is there: a fact of the
	// user's own.
	Dynamic
	// Entry is one entry of a map in forEach: an object with key and value.
	Entry
)

// kindNames are the words of ParseType and of messages.
var kindNames = map[Kind]string{
	String: "string", Bool: "bool", Int: "int", Port: "port", Address: "address", CIDR: "cidr",
	Interface: "interface", Mark: "mark", Duration: "duration", List: "list", Map: "map",
	Dynamic: "any", Entry: "entry",
}

// typeWords are the words that a param's type can be made of.
var typeWords = []string{
	"string", "bool", "int", "port", "address", "cidr", "interface", "mark", "duration", "list", "map",
}

// maxTypeDepth bounds list(list(...)): no table of values is deeper, and a value
// is walked once for each level.
const maxTypeDepth = 8

// Type is the type of a param or of an expression's result.
type Type struct {
	Kind Kind
	// Elem is the type of a list's items, or of a map's or entry's values.
	Elem *Type
}

// ListOf is list(elem).
func ListOf(elem Type) Type { return Type{Kind: List, Elem: &elem} }

// MapOf is map(elem); keys are strings.
func MapOf(elem Type) Type { return Type{Kind: Map, Elem: &elem} }

// String is the type as it is written in a ruleset.
func (t Type) String() string {
	name, known := kindNames[t.Kind]
	if !known {
		return fmt.Sprintf("type(%d)", uint8(t.Kind))
	}
	if t.Elem != nil {
		return name + "(" + t.Elem.String() + ")"
	}
	return name
}

// Scalar tells whether values of the type are single texts, numbers or truths.
func (t Type) Scalar() bool { return t.Kind >= String && t.Kind <= Duration }

// Leaf is the type inside all lists and maps.
func (t Type) Leaf() Type {
	for t.Elem != nil {
		t = *t.Elem
	}
	return t
}

// Each is the type that a forEach variable has over a value of type t: a list's
// item, or a map's entry with key and value. It is false for other types.
func (t Type) Each() (Type, bool) {
	switch t.Kind {
	case List:
		return *t.Elem, true
	case Map:
		return Type{Kind: Entry, Elem: t.Elem}, true
	case Dynamic:
		return t, true
	}
	return Type{}, false
}

// ParseType reads a type as it is written in a ruleset: a word, list(T) or
// map(T). The error is a sentence for the place of the text.
func ParseType(s string) (Type, error) { return parseType(s, 0) }

func parseType(s string, depth int) (Type, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Type{}, fmt.Errorf("a type is missing: %s", strings.Join(typeWords, ", "))
	}
	if depth > maxTypeDepth {
		return Type{}, fmt.Errorf("the type nests deeper than %d levels", maxTypeDepth)
	}
	word, rest, parens := strings.Cut(s, "(")
	word = strings.TrimSpace(word)
	if parens && (word == "list" || word == "map") {
		inner, closed := strings.CutSuffix(rest, ")")
		if !closed {
			return Type{}, fmt.Errorf("the type %q lacks a closing parenthesis", s)
		}
		elem, err := parseType(inner, depth+1)
		if err != nil {
			return Type{}, err
		}
		if word == "list" {
			return ListOf(elem), nil
		}
		return MapOf(elem), nil
	}
	for k := String; k <= Duration; k++ {
		if s == kindNames[k] {
			return Type{Kind: k}, nil
		}
	}
	return Type{}, typeError(s, word, parens)
}

func typeError(s, word string, parens bool) error {
	if s == "list" || s == "map" {
		return fmt.Errorf("the type %s needs the type of its items: %s(string)", s, s)
	}
	for k := String; k <= Duration; k++ {
		if parens && word == kindNames[k] {
			return fmt.Errorf("the type %s takes no type in parentheses", word)
		}
	}
	if near := diag.DidYouMean(word, typeWords); near != "" {
		return fmt.Errorf("unknown type %q, did you mean %q?", clip(word), near)
	}
	return fmt.Errorf("unknown type %q, known are %s", clip(word), strings.Join(typeWords, ", "))
}

// CEL is the type of the value in an expression. Everything that is written as
// one word but bool and int is a normalised string there.
func (t Type) CEL() *cel.Type {
	switch t.Kind {
	case Bool:
		return cel.BoolType
	case Int:
		return cel.IntType
	case List:
		return cel.ListType(t.Elem.CEL())
	case Map:
		return cel.MapType(cel.StringType, t.Elem.CEL())
	case String, Port, Address, CIDR, Interface, Mark, Duration:
		return cel.StringType
	}
	return cel.DynType
}

// typeFromCEL is the type of an expression's result as a Type. Objects of a host
// and other types of CEL's own are Dynamic.
func typeFromCEL(t *cel.Type) Type {
	switch t.Kind() {
	case cel.BoolKind:
		return Type{Kind: Bool}
	case cel.IntKind:
		return Type{Kind: Int}
	case cel.StringKind:
		return Type{Kind: String}
	case cel.ListKind:
		return ListOf(typeFromCEL(t.Parameters()[0]))
	case cel.MapKind:
		if t.Parameters()[0].Kind() == cel.StringKind {
			return MapOf(typeFromCEL(t.Parameters()[1]))
		}
	}
	return Type{Kind: Dynamic}
}

// clip shortens a text of a user's for a message.
func clip(s string) string {
	const most = 60
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

// withArticle puts a or an before a word.
func withArticle(word string) string {
	if word != "" && strings.IndexByte("aeiou", word[0]) >= 0 {
		return "an " + word
	}
	return "a " + word
}
