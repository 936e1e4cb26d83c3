package ir_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"hookline/compiler/ir"
)

// number is a small value of a field.
func number(n int) ir.Value { return ir.Value{Low: uint64(n)} }

func span(low, high int) ir.Interval { return ir.Interval{Low: number(low), High: number(high)} }

// Merging changes nothing of what elements match, whatever the order in which they
// are written, and leaves what NamedSet promises: counted one by one over a small
// world.
func TestMergeElementsProperty(t *testing.T) {
	const world = 24
	for _, kind := range []ir.SetType{
		{ir.CIDRField},
		{ir.PortField},
		{ir.AddressField},
		{ir.InterfaceField},
		{ir.CIDRField, ir.PortField},
		{ir.CIDRField, ir.CIDRField},
		{ir.AddressField, ir.PortField},
		{ir.CIDRField, ir.PortField, ir.CIDRField},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(kind.String()))))
			for range 400 {
				list := make([]ir.Element, r.IntN(12))
				for i := range list {
					for k, f := range kind {
						low := r.IntN(world)
						x := span(low, low)
						if f == ir.CIDRField || f == ir.PortField {
							x.High = number(min(world-1, low+r.IntN(5)))
						}
						if k == 0 {
							list[i].Interval = x
						} else {
							list[i].Rest = append(list[i].Rest, x)
						}
					}
				}
				want := points(kind, list, world)
				shuffled := slices.Clone(list)
				r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				merged, conflict := ir.MergeElements(kind, slices.Clone(list))
				if conflict != nil {
					t.Fatalf("%v: a conflict %v without options", list, conflict)
				}
				if got := points(kind, merged, world); !slices.Equal(got, want) {
					t.Fatalf("%v\nbecomes %v: it matches otherwise", list, merged)
				}
				promises(t, kind, merged)
				if len(kind) == 1 {
					if again, _ := ir.MergeElements(kind, shuffled); !slices.EqualFunc(merged, again, func(a, b ir.Element) bool { return a.Compare(b) == 0 }) {
						t.Fatalf("another order gives %v, not %v", again, merged)
					}
				}
			}
		})
	}
}

// points tells for every point of the world whether some element matches it.
func points(kind ir.SetType, list []ir.Element, world int) []bool {
	n := 1
	for range kind {
		n *= world
	}
	out := make([]bool, n)
	for p := range n {
		out[p] = slices.ContainsFunc(list, func(e ir.Element) bool {
			q := p
			for k := range kind {
				x := e.Interval
				if k > 0 {
					x = e.Rest[k-1]
				}
				v := number(q % world)
				if q /= world; v.Compare(x.Low) < 0 || v.Compare(x.High) > 0 {
					return false
				}
			}
			return true
		})
	}
	return out
}

func promises(t *testing.T, kind ir.SetType, list []ir.Element) {
	t.Helper()
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if a.Compare(b) >= 0 {
			t.Fatalf("%v and %v are not in order, or the same", a, b)
		}
		if len(kind) > 1 {
			continue
		}
		switch gap := int(b.Low.Low) - int(a.High.Low); {
		case gap <= 0:
			t.Fatalf("%v and %v overlap", a, b)
		case gap == 1 && (kind[0] == ir.CIDRField || kind[0] == ir.PortField):
			t.Fatalf("%v and %v are one range", a, b)
		case kind[0] == ir.InterfaceField && a.Low != a.High:
			t.Fatalf("%v is a range of names", a)
		}
	}
}

// Elements that say different things besides may stand side by side, and not
// overlap.
func TestMergeElementsWithOptions(t *testing.T) {
	a, b := &ir.ElementOptions{Comment: "a"}, &ir.ElementOptions{Comment: "b"}
	kind := ir.SetType{ir.CIDRField}
	got, conflict := ir.MergeElements(kind, []ir.Element{{Interval: span(4, 7), Options: b}, {Interval: span(0, 3), Options: a}, {Interval: span(2, 3), Options: &ir.ElementOptions{Comment: "a"}}})
	if conflict != nil || len(got) != 2 || got[0].Interval != span(0, 3) || got[1].Options.Comment != "b" {
		t.Errorf("neighbours: %v, conflict %v", got, conflict)
	}
	for _, other := range []*ir.ElementOptions{b, nil} {
		if _, conflict := ir.MergeElements(kind, []ir.Element{{Interval: span(0, 9), Options: a}, {Interval: span(5, 5), Options: other}}); len(conflict) != 2 {
			t.Errorf("%v inside %v is no conflict", other, a)
		}
	}
}

// A range is cut into prefixes that cover it exactly, of which no two could be one,
// and none is larger than it may be.
func TestEachPrefix(t *testing.T) {
	addr := func(s string) ir.Value { return ir.AddressValue(netip.MustParseAddr(s)) }
	for _, c := range []struct {
		low, high string
		host, n   int
	}{
		{"0.0.0.0", "255.255.255.255", 31, 2},
		{"0.0.0.0", "255.255.255.255", 32, 1},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 127, 2},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128, 1},
		{"10.0.0.1", "10.0.0.1", 31, 1},
		{"10.0.0.1", "10.0.0.6", 31, 4},
		{"255.255.255.254", "255.255.255.255", 31, 1},
		{"2001:db8::", "2001:db9:ffff:ffff:ffff:ffff:ffff:ffff", 127, 1},
		{"::ffff:ffff:ffff:ffff", "::1:0:0:0:0", 127, 2},
		{"0.0.0.1", "255.255.255.255", 31, 32},
	} {
		x := ir.Interval{Low: addr(c.low), High: addr(c.high)}
		var pieces []ir.Element
		x.EachPrefix(c.host, func(p ir.Interval) {
			if p.HostBits() > c.host {
				t.Errorf("%s-%s: %v has %d host bits", c.low, c.high, p, p.HostBits())
			}
			pieces = append(pieces, ir.Element{Interval: p})
		})
		merged, _ := ir.MergeElements(ir.SetType{ir.CIDRField}, slices.Clone(pieces))
		if len(pieces) != c.n || len(merged) != 1 || merged[0].Interval != x {
			t.Errorf("%s-%s: %d pieces %v, which are %v", c.low, c.high, len(pieces), pieces, merged)
		}
	}
}

func TestValues(t *testing.T) {
	for _, s := range []string{"0.0.0.0", "192.0.2.1", "255.255.255.255"} {
		if got := ir.AddressValue(netip.MustParseAddr(s)).Address(ir.IPv4).String(); got != s {
			t.Errorf("%s becomes %s", s, got)
		}
	}
	for _, s := range []string{"::", "2001:db8::1", "::ffff:192.0.2.1"} {
		if got := ir.AddressValue(netip.MustParseAddr(s)).Address(ir.IPv6).String(); got != s {
			t.Errorf("%s becomes %s", s, got)
		}
	}
	for _, s := range []string{"lo", "eth0.4094", "aaaaaaaaaaaaaaa"} {
		if got := ir.NameValue(s).Name(); got != s {
			t.Errorf("%s becomes %s", s, got)
		}
	}
}
