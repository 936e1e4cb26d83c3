package schemas

import "embed"

//go:generate go run ./gen

// FS holds v1/ruleset.schema.json, v1/plan.schema.json, v1/snapshot.schema.json and
// v1/doctor.schema.json.
//
//go:embed v1/*.schema.json
var FS embed.FS

// Ruleset is the JSON Schema of a ruleset document; the caller may change the
// bytes.
func Ruleset() []byte {
	text, err := FS.ReadFile("v1/ruleset.schema.json")
	if err != nil {
		panic("schemas: the embedded ruleset schema: " + err.Error())
	}
	return text
}
