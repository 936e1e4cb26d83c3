package dsl

import (
	"strings"
	"sync"

	"hookline/dsl/diag"
)

var (
	valuesShape = sync.OnceValue(func() *Shape { return mapOf("values", variableName, anyValue("value", literalOf)) })
	factsShape  = sync.OnceValue(func() *Shape { return mapOf("facts", factName, anyValue("fact", literalOf)) })
)

// ParseValues reads a values file: a mapping of params to values, in written
// order. An empty file has no values.
func ParseValues(file *diag.File) ([]*Entry, *diag.List) { return parseMap(file, valuesShape()) }

// ParseFacts reads a facts file: a mapping whose values may have any shape.
func ParseFacts(file *diag.File) ([]*Entry, *diag.List) { return parseMap(file, factsShape()) }

func parseMap(file *diag.File, s *Shape) ([]*Entry, *diag.List) {
	list := &diag.List{}
	nodes, text, _ := load(file, 0, list)
	r := &reader{file: file, list: list, text: text}
	var out []*Entry
	for i, n := range nodes {
		switch {
		case n.empty():
		case i > 0:
			list.Errorf(diag.WrongType, firstLine(n), "the file holds more than one document")
		default:
			if v := r.check(n, s, n.span); v != nil {
				out = values(v.entries)
			}
		}
	}
	return out, finish(list)
}

// ParseSet reads the argument of `--set k=YAML`. Its spans point into a file of
// the name "--set k" that holds the argument. Nothing behind the equals sign is
// the empty text.
func ParseSet(arg string) (key string, value *Value, _ *diag.List) {
	list := &diag.List{}
	key, _, found := strings.Cut(arg, "=")
	file := diag.NewFile("--set "+key, arg)
	switch {
	case !found:
		list.Errorf(diag.ParamValue, file.Span(0, len(arg)), "there is no value").WithHelp("write --set NAME=VALUE")
		return key, nil, list
	case len(arg) > ReadLimit:
		list.Errorf(diag.FileTooLarge, file.Span(0, 0), "the value is larger than %d MiB", ReadLimit>>20)
		return key, nil, list
	}
	nodes, text, ok := load(file, len(key)+1, list)
	r := &reader{file: file, list: list, text: text, strictComments: true}
	at := file.Span(0, len(key))
	r.word(&node{value: key, span: at}, variableName, key)
	switch {
	case !ok:
	case len(nodes) > 1:
		list.Errorf(diag.WrongType, firstLine(nodes[1]), "the value is more than one document")
	case len(nodes) == 0:
		end := file.Span(len(arg), len(arg))
		value = &Value{Span: end, Text: &Text{Span: end}}
		if len(strings.TrimSpace(arg)) > len(key)+1 {
			list.Errorf(diag.CommentInText, file.Span(len(key)+1, len(arg)), "YAML reads this as a comment").WithHelp("quote the value")
		}
	default:
		value = r.check(nodes[0], anyValue("value", literalOf), at).value()
	}
	return key, value, finish(list)
}
