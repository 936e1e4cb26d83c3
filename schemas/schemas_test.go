package schemas_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/dsl/dsltest"
	"hookline/schemas"
	"hookline/schemas/internal/generate"
)

// TestGenerated: the embedded files are what the sources give.
func TestGenerated(t *testing.T) {
	files, err := generate.All("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := schemas.FS.ReadFile(name)
		if err != nil {
			t.Errorf("%v; run go generate ./schemas", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not up to date; run go generate ./schemas (-want +got):\n%s", name, diff)
		}
	}
	entries, err := schemas.FS.ReadDir("v1")
	if err != nil || len(entries) != len(files) {
		t.Errorf("v1 holds %d files, %d are generated (%v)", len(entries), len(files), err)
	}
}

// compile reads an embedded schema; compiling checks it against its dialect.
func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	text, err := schemas.FS.ReadFile("v1/" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:test", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:test")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// instance is a YAML text as an editor hands it to a schema.
func instance(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompiles(t *testing.T) {
	for _, name := range []string{"ruleset", "plan", "snapshot", "doctor"} {
		compile(t, name)
	}
	if !json.Valid(schemas.Ruleset()) {
		t.Error("Ruleset is no JSON")
	}
}

// TestAccepts: what the reader accepts, the schema accepts.
func TestAccepts(t *testing.T) {
	s := compile(t, "ruleset")
	texts := map[string]string{}
	for _, pattern := range []string{"../dsl/testdata/complete.yaml", "../rulesets/*/*.yaml", "../golden/scenarios/*/ruleset.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts[name] = string(text)
		}
	}
	for _, p := range dsltest.Places(dsl.Grammar()) {
		texts[p.Path] = p.Document(p.Example())
	}
	checked := 0
	for name, text := range texts {
		docs, l := dsl.Parse(diag.NewFile(name, text))
		if l.HasErrors() || len(docs) != 1 {
			continue // scenarios of mistakes, values files; the reader's tests look at the rest
		}
		checked++
		if err := s.Validate(instance(t, text)); err != nil {
			t.Errorf("%s: the reader accepts it, the schema does not: %v\n%s", name, err, text)
		}
	}
	if checked < 200 {
		t.Errorf("only %d texts were checked", checked)
	}
}

// TestRefuses: a key that the reader does not know, the schema does not know; and
// where the reader needs a key, the schema does.
func TestRefuses(t *testing.T) {
	s := compile(t, "ruleset")
	if err := s.Validate(instance(t, "apiVersion: hookline/v1\nkind: Ruleset\n")); err == nil {
		t.Error("the schema does not need metadata")
	}
	mappings := 0
	for _, p := range dsltest.Places(dsl.Grammar()) {
		if p.Shape.Fields == nil {
			continue
		}
		mappings++
		m, ok := p.Example().(map[string]any)
		if !ok { // the example is in the short form
			m = map[string]any{}
			for _, f := range p.Shape.Fields {
				if f.Required || p.Shape.OneOf != nil && p.Shape.OneOf[0][0] == f.Name {
					m[f.Name] = "1"
				}
			}
		}
		m["zzz"] = "x"
		if err := s.Validate(instance(t, p.Document(m))); err == nil {
			t.Errorf("%s: the schema accepts the key zzz", p.Path)
		}
	}
	if mappings < 40 {
		t.Errorf("only %d mappings were checked", mappings)
	}
}
