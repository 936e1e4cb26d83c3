package dsl_test

import (
	"testing"

	"hookline/dsl"
	"hookline/dsl/diag"
)

func BenchmarkParse(b *testing.B) {
	text := read(b, "testdata/complete.yaml")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, l := dsl.Parse(diag.NewFile("complete.yaml", text)); l.Len() > 0 {
			b.Fatal(l.Err())
		}
	}
}
