package generate_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/schemas/internal/generate"
)

func TestSource(t *testing.T) {
	dir := t.TempDir()
	const src = "package p\n\n" +
		"// Top is the whole.\ntype Top struct {\n" +
		"\t// Name names it.\n\tName string `json:\"name\"`\n" +
		"\tList []item `json:\"list,omitempty\"`\n" +
		"\tNext *Top `json:\"next\"`\n" +
		"\tAny map[string]any `json:\"any,omitempty\"`\n" +
		"\thidden int\n\tSkipped int `json:\"-\"`\n\tCount uint8\n}\n\n" +
		"type item struct{ On bool `json:\"on\"` }\n"
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := generate.Source(dir, "Top")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "description": "The whole.",
 "type": "object",
 "properties": {
  "Count": {
   "type": "integer",
   "minimum": 0
  },
  "any": {
   "type": "object",
   "additionalProperties": {}
  },
  "list": {
   "type": "array",
   "items": {
    "$ref": "#/$defs/item"
   }
  },
  "name": {
   "description": "Names it.",
   "type": "string"
  },
  "next": {
   "anyOf": [
    {
     "$ref": "#"
    },
    {
     "type": "null"
    }
   ]
  }
 },
 "additionalProperties": false,
 "required": [
  "name",
  "next",
  "Count"
 ],
 "$defs": {
  "item": {
   "type": "object",
   "properties": {
    "on": {
     "type": "boolean"
    }
   },
   "additionalProperties": false,
   "required": [
    "on"
   ]
  }
 }
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("Source mismatch (-want +got):\n%s", diff)
	}
	for _, root := range []string{"Missing", "Bad"} {
		if err := os.WriteFile(filepath.Join(dir, "q.go"), []byte("package p\ntype Bad struct{ C chan int `json:\"c\"` }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := generate.Source(dir, root); err == nil {
			t.Errorf("Source(%s) succeeds", root)
		}
	}
}
