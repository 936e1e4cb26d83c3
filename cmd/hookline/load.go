package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// sources are the texts of a run: what a plan file has to carry so that it can be
// applied later.
type sources struct {
	rulesets []*diag.File
	values   []*diag.File
	sets     []string
	facts    *diag.File
	families []ir.Family
	backend  string
	// files are those that rulesets name, by their path; stored tells that there are no
	// others, because the texts come from a stored plan.
	files  map[string]*diag.File
	stored bool
}

// readSources reads every file that the flags and arguments name.
func (a *app) readSources(paths []string) (*sources, error) {
	s := &sources{sets: a.flags.sets, backend: a.flags.backend}
	for _, name := range a.flags.families {
		f, ok := ir.ParseFamily(name)
		if !ok {
			return nil, fmt.Errorf("--family %s: there are ipv4 and ipv6", name)
		}
		if !slices.Contains(s.families, f) {
			s.families = append(s.families, f)
		}
	}
	switch a.flags.backend {
	case "", "auto", string(ir.IptablesNFT), string(ir.IptablesLegacy), string(ir.NFT):
	default:
		return nil, fmt.Errorf("--backend %s: there are auto, iptables-nft, iptables-legacy and nft", a.flags.backend)
	}
	for _, p := range paths {
		files, err := a.rulesetFiles(p)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			text, err := a.readFile(f)
			if err != nil {
				return nil, err
			}
			s.rulesets = append(s.rulesets, text)
		}
	}
	for _, p := range a.flags.values {
		text, err := a.readFile(p)
		if err != nil {
			return nil, err
		}
		s.values = append(s.values, text)
	}
	if a.flags.facts != "" {
		text, err := a.readFile(a.flags.facts)
		if err != nil {
			return nil, err
		}
		s.facts = text
	}
	return s, nil
}

// rulesetFiles lists the ruleset files behind an argument: the file itself, or the
// YAML files of a folder by name, but for values.yaml and facts.yaml.
func (a *app) rulesetFiles(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		ext := filepath.Ext(name)
		stem := strings.TrimSuffix(name, ext)
		if e.IsDir() || ext != ".yaml" && ext != ".yml" || stem == "values" || stem == "facts" || strings.HasPrefix(name, ".") {
			continue
		}
		out = append(out, filepath.Join(path, name))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no rulesets: there is no .yaml file in it", path)
	}
	return out, nil
}

// readFile reads a text of the user's; "-" is standard input. A file over the
// limit of dsl is refused before it is read.
func (a *app) readFile(path string) (*diag.File, error) {
	name, in := path, a.in
	if path == "-" {
		name = "<stdin>"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	limit := dsl.ReadLimit
	text, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	if err == nil && len(text) > limit && mayBePlan(text) {
		limit = planLimit
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(in, int64(limit+1-len(text))))
		text = append(text, rest...)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%s: the file is larger than %d MiB [%s]", name, limit>>20, diag.FileTooLarge)
	}
	return diag.NewFile(name, string(text)), nil
}

// parsed are the documents and values of a run.
type parsed struct {
	src    *sources
	docs   []*dsl.Document
	values [][]*dsl.Entry
	sets   []*dsl.Entry
	facts  map[string]any
	// together is the kind of backend that some document asks for, and with it all of
	// them; empty if none does.
	together string
}

// parse reads all texts and collects every mistake in them.
func (s *sources) parse(list *diag.List) *parsed {
	p := &parsed{src: s}
	for _, f := range s.rulesets {
		docs, l := dsl.Parse(f)
		list.Append(l)
		p.docs = append(p.docs, docs...)
	}
	for _, f := range s.values {
		entries, l := dsl.ParseValues(f)
		list.Append(l)
		p.values = append(p.values, entries)
	}
	for _, arg := range s.sets {
		key, value, l := dsl.ParseSet(arg)
		list.Append(l)
		if value != nil {
			p.sets = append(p.sets, &dsl.Entry{Key: &dsl.Text{Value: key, Span: value.Span}, Value: value})
		}
	}
	if s.facts != nil {
		entries, l := dsl.ParseFacts(s.facts)
		list.Append(l)
		p.facts = compiler.Facts(entries)
	}
	return p
}

// compile turns the documents into programs for one host. own are the values that
// a snapshot brings, facts the host's; both may be nil.
func (p *parsed) compile(own []*dsl.Entry, facts map[string]any, without bool, list *diag.List) []*compiler.Program {
	opt := compiler.CompileOptions{Backend: cmp.Or(p.src.backend, p.together), Families: p.src.families, WithoutFacts: without, ReadFile: p.src.beside}
	opt.Values = append(opt.Values, p.values...)
	opt.Values = append(opt.Values, own, p.sets)
	if facts != nil || p.facts != nil {
		opt.Facts = map[string]any{}
		for k, v := range facts {
			opt.Facts[k] = v
		}
		for k, v := range p.facts {
			opt.Facts[k] = v
		}
	}
	var out []*compiler.Program
	for _, d := range p.docs {
		prog, l := compiler.Compile(d, opt)
		list.Append(l)
		out = append(out, prog)
	}
	if !list.HasErrors() {
		compiler.Overlaps(out, list)
	}
	compiler.UnusedValues(p.docs, opt.Values, list)
	list.OncePerPlace()
	return out
}
