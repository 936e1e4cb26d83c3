package compiler_test

import (
	"testing"

	"hookline/compiler"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// A param whose type was refused when the file was read is compiled around.
func TestParamWithoutType(t *testing.T) {
	for _, param := range []string{"{type: {a: b}, default: 1}", "{default: 1}", "[]"} {
		docs, list := dsl.Parse(diag.NewFile("site.yaml", head+"  params: {on: "+param+"}\n"))
		if !list.HasErrors() || len(docs) != 1 {
			t.Fatalf("Parse(%s) = %d documents, %v: want one and a finding", param, len(docs), list.Err())
		}
		compiler.Compile(docs[0], compiler.CompileOptions{})
	}
}
