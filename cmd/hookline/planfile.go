package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// planFileKind marks a stored plan.
const planFileKind = "hookline/plan/v1"

// planLimit is the size in bytes of the largest plan that is stored or read. It
// shows whole shared chains besides the texts.
const planLimit = 64 << 20

// mayBePlan tells whether a text begins as stored plans do.
func mayBePlan(text []byte) bool {
	head := text[:min(len(text), 100)]
	return bytes.HasPrefix(head, []byte("{")) && bytes.Contains(head, []byte(planFileKind))
}

// planFile is a stored plan: the texts that it was made from, and what it rests
// on. Applying it compiles the texts again, so that it can do nothing that the
// rulesets in it do not say, and is refused if the host moved on or if what would be
// written is not what Plan shows.
type planFile struct {
	Kind       string     `json:"kind"`
	Rulesets   []textFile `json:"rulesets"`
	Values     []textFile `json:"values,omitempty"`
	Sets       []string   `json:"set,omitempty"`
	Facts      *textFile  `json:"facts,omitempty"`
	Files      []textFile `json:"files,omitempty"`
	Backend    string     `json:"backend"`
	Families   []string   `json:"families,omitempty"`
	BaseDigest string     `json:"baseDigest"`
	// Plan is what was shown.
	Plan compiler.PlanJSON `json:"plan"`
}

type textFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// store writes a plan of these sources to a file.
func (s *sources) store(path string, p *compiler.Plan) error {
	f := planFile{Kind: planFileKind, Sets: s.sets, Backend: string(p.Variant), BaseDigest: p.BaseDigest, Plan: p.JSON()}
	for _, r := range s.rulesets {
		f.Rulesets = append(f.Rulesets, textFile{r.Name(), r.Text()})
	}
	for _, v := range s.values {
		f.Values = append(f.Values, textFile{v.Name(), v.Text()})
	}
	if s.facts != nil {
		f.Facts = &textFile{s.facts.Name(), s.facts.Text()}
	}
	for _, path := range slices.Sorted(maps.Keys(s.files)) {
		f.Files = append(f.Files, textFile{path, s.files[path].Text()})
	}
	for _, x := range s.families {
		f.Families = append(f.Families, x.String())
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("storing the plan: %w", err)
	}
	if len(text) >= planLimit {
		return fmt.Errorf("storing the plan: it would be larger than %d MiB", planLimit>>20)
	}
	return createFile(path, append(text, '\n'))
}

// asPlanFile reads a file as a stored plan; nil if it is none.
func asPlanFile(f *diag.File) (*planFile, error) {
	if !strings.HasPrefix(strings.TrimSpace(f.Text()), "{") || !strings.Contains(f.Text(), `"`+planFileKind+`"`) {
		return nil, nil
	}
	dec := json.NewDecoder(strings.NewReader(f.Text()))
	dec.DisallowUnknownFields()
	var p planFile
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("reading the stored plan %s: %w", f.Name(), err)
	}
	if p.Kind != planFileKind || p.BaseDigest == "" || p.Backend == "" || p.Backend != p.Plan.Backend || len(p.Rulesets) == 0 || dec.More() {
		return nil, fmt.Errorf("%s is no stored plan that this program knows", f.Name())
	}
	return &p, nil
}

// shows tells whether the stored plan shows all that a plan changes, and nothing
// else.
func (p *planFile) shows(now *compiler.Plan) bool {
	shown := now.JSON()
	a, errA := json.Marshal([]any{p.Plan.Changes, p.Plan.Sets})
	b, errB := json.Marshal([]any{shown.Changes, shown.Sets})
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// sources are the texts of a stored plan.
func (p *planFile) sources() (*sources, error) {
	s := &sources{sets: p.Sets, backend: p.Backend, stored: true, files: map[string]*diag.File{}}
	for _, f := range p.Files {
		s.files[f.Name] = diag.NewFile(f.Name, f.Text)
	}
	for _, r := range p.Rulesets {
		s.rulesets = append(s.rulesets, diag.NewFile(r.Name, r.Text))
	}
	for _, v := range p.Values {
		s.values = append(s.values, diag.NewFile(v.Name, v.Text))
	}
	if p.Facts != nil {
		s.facts = diag.NewFile(p.Facts.Name, p.Facts.Text)
	}
	for _, name := range p.Families {
		f, ok := ir.ParseFamily(name)
		if !ok {
			return nil, fmt.Errorf("the stored plan names the family %q", name)
		}
		s.families = append(s.families, f)
	}
	return s, nil
}

// scriptJSON is one script of compile -o json.
type scriptJSON struct {
	// Family is empty for steps on sets, which are for ipset restore.
	Family string `json:"family"`
	Text   string `json:"text"`
}

func writeScripts(w io.Writer, scripts []backend.Script) error {
	out := []scriptJSON{}
	for _, s := range scripts {
		x := scriptJSON{Text: s.Text}
		if !s.Sets {
			x.Family = s.Family.String()
		}
		out = append(out, x)
	}
	return writeJSON(w, out)
}

func writeJSON(w io.Writer, out []scriptJSON) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
