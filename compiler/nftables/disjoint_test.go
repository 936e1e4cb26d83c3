package nftables

import (
	"math/rand/v2"
	"testing"

	"hookline/compiler/ir"
)

// Elements that overlap are cut apart, and match what they matched before.
func TestDisjoint(t *testing.T) {
	kind := ir.SetType{ir.CIDRField, ir.PortField, ir.CIDRField}
	holds := func(list []ir.Element, v [3]uint64) (n int) {
		for _, e := range list {
			in := true
			for i := range v {
				x := *part(&e, i)
				in = in && x.Low.Low <= v[i] && v[i] <= x.High.Low
			}
			if in {
				n++
			}
		}
		return n
	}
	cut := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		span := func() ir.Interval {
			low := uint64(r.IntN(7))
			return ir.Interval{Low: ir.Value{Low: low}, High: ir.Value{Low: low + uint64(r.IntN(4))}}
		}
		var list []ir.Element
		for range 1 + r.IntN(8) {
			list = append(list, ir.Element{Interval: span(), Rest: []ir.Interval{span(), span()}})
		}
		list, _ = ir.MergeElements(kind, list)
		got, conflict, tooMany := Disjoint(kind, list)
		if conflict != nil || tooMany {
			t.Fatalf("seed %d: %v %v", seed, conflict, tooMany)
		}
		if len(got) != len(list) {
			cut++
		}
		for a := range uint64(12) {
			for b := range uint64(12) {
				for c := range uint64(12) {
					v := [3]uint64{a, b, c}
					if n := holds(got, v); n > 1 || (n > 0) != (holds(list, v) > 0) {
						t.Fatalf("seed %d: %v is in %d pieces of\n%v\nof %v", seed, v, n, got, list)
					}
				}
			}
		}
		for i := range got[1:] {
			if got[i].Compare(got[i+1]) >= 0 {
				t.Fatalf("seed %d: not in order", seed)
			}
		}
	}
	if cut < 100 {
		t.Errorf("only %d of 300 were cut", cut)
	}
	one := ir.Interval{Low: ir.Value{Low: 1}, High: ir.Value{Low: 5}}
	a := ir.Element{Interval: one, Rest: []ir.Interval{one, one}}
	b := ir.Element{Interval: one, Rest: []ir.Interval{one, {Low: ir.Value{Low: 2}, High: ir.Value{Low: 9}}}, Options: &ir.ElementOptions{Comment: "x"}}
	if _, conflict, _ := Disjoint(kind, []ir.Element{a, b}); len(conflict) != 2 {
		t.Error("two that say different things besides are taken together")
	}
}
