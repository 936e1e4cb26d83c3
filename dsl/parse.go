package dsl

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"

	"hookline/dsl/diag"
)

// Parse reads the rulesets of a file. It reports every mistake that can be seen
// without a host; documents that could be read in part are returned too, so that
// a list with errors means that none of them is to be used.
func Parse(file *diag.File) ([]*Document, *diag.List) {
	list := &diag.List{}
	nodes, text, ok := load(file, 0, list)
	var docs []*Document
	r := &reader{file: file, list: list, text: text}
	written := 0
	for _, n := range nodes {
		if n.empty() {
			continue // `---` with nothing behind it
		}
		written++
		if d := r.document(n); d != nil {
			docs = append(docs, d)
		}
	}
	if ok && written == 0 && !list.HasErrors() {
		list.Errorf(diag.WrongType, file.Span(0, 0), "the file holds no ruleset").
			WithHelp("begin with apiVersion: %s", APIVersion)
	}
	return docs, finish(list)
}

// mostFindings bounds what is reported of one file; only a hostile file has more.
const mostFindings = 200

// finish orders the findings and leaves out those past the bound.
func finish(list *diag.List) *diag.List {
	list.Sort()
	all := list.All()
	if len(all) <= mostFindings {
		return list
	}
	short := &diag.List{}
	short.Add(all[:mostFindings]...)
	short.Errorf(all[mostFindings].Code, all[mostFindings].Span, "%d more findings in this file are not shown", len(all)-mostFindings)
	return short
}

// document reads one document. Of a document that is none of ours only that is
// reported.
func (r *reader) document(n *node) *Document {
	g := Grammar()
	if n.kind != Mapping {
		r.list.Errorf(diag.WrongType, firstLine(n), "a ruleset is a mapping, found %s", n.kind).
			WithHelp("begin with apiVersion: %s", APIVersion)
		return nil
	}
	for _, e := range n.entries {
		f := g.Field(e.key.value)
		if f == nil || f.Shape.Text == nil || f.Shape.Text.Code != diag.APIVersion || e.value.empty() {
			continue
		}
		if e.value.kind == Scalar && e.value.value != f.Shape.Text.Enum[0] {
			r.list.Errorf(diag.APIVersion, e.value.span, "%s %q is not %q", f.Name, clip(e.value.value), f.Shape.Text.Enum[0]).
				WithHelp("this program reads apiVersion: %s, kind: %s", APIVersion, Kind)
			return nil
		}
	}
	d := document(r.file, r.fields(n, g))
	r.afterwards(d)
	return d
}

// load reads the YAML documents of a file from an offset on. ok is false if the
// text as a whole could not be read.
func load(file *diag.File, base int, list *diag.List) (docs []*node, text string, ok bool) {
	if n := len(file.Text()); n > ReadLimit {
		list.Errorf(diag.FileTooLarge, file.Span(0, 0), "the file is larger than %d MiB", ReadLimit>>20)
		return nil, "", false
	}
	text = sanitize(file, list)
	if base == 0 && strings.HasPrefix(text, byteOrderMark) {
		base = len(byteOrderMark)
	}
	l := newLoader(file, list, text, base)
	dec := yaml.NewDecoder(strings.NewReader(text[base:]))
	for {
		y, err := decode(dec)
		switch {
		case errors.Is(err, io.EOF):
			return docs, text, true
		case err != nil:
			l.syntaxError(err)
			return docs, text, false
		case y.Kind == yaml.DocumentNode && len(y.Content) == 1:
			docs = append(docs, l.convert(y.Content[0], 0))
		}
	}
}

// decode reads one document. yaml.v3 panics on some texts that it cannot read;
// that is an error of the text.
func decode(dec *yaml.Decoder) (y *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	y = &yaml.Node{}
	err = dec.Decode(y)
	return y, err
}
