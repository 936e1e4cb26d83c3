package ipsets_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/compiler/ipsets"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// types that the kernel of a test machine may lack are tried by their text only.
var types = []struct {
	kind ir.SetType
	name string
}{
	{ir.SetType{ir.AddressField}, "hash:ip"},
	{ir.SetType{ir.CIDRField}, "hash:net"},
	{ir.SetType{ir.PortField}, "bitmap:port"},
	{ir.SetType{ir.MACField}, "hash:mac"},
	{ir.SetType{ir.InterfaceField}, "hash:net,iface"},
	{ir.SetType{ir.CIDRField, ir.InterfaceField}, "hash:net,iface"},
	{ir.SetType{ir.AddressField, ir.PortField}, "hash:ip,port"},
	{ir.SetType{ir.CIDRField, ir.PortField}, "hash:net,port"},
	{ir.SetType{ir.AddressField, ir.MarkField}, "hash:ip,mark"},
	{ir.SetType{ir.AddressField, ir.MACField}, "hash:ip,mac"},
	{ir.SetType{ir.CIDRField, ir.CIDRField}, "hash:net,net"},
	{ir.SetType{ir.AddressField, ir.PortField, ir.AddressField}, "hash:ip,port,ip"},
	{ir.SetType{ir.AddressField, ir.PortField, ir.CIDRField}, "hash:ip,port,net"},
	{ir.SetType{ir.CIDRField, ir.PortField, ir.CIDRField}, "hash:net,port,net"},
}

// random is a set of a type with a few elements.
func random(r *rand.Rand, kind ir.SetType, f ir.Family) *ir.NamedSet {
	s := &ir.NamedSet{Family: f, Name: "x", Type: kind}
	if r.IntN(3) == 0 {
		s.Timeouts, s.Timeout = true, uint32(r.IntN(2)*3600)
	}
	s.Comments = r.IntN(3) == 0
	var list []ir.Element
	for n := range r.IntN(12) {
		var e ir.Element
		for i, field := range kind {
			x := randomField(r, field, f, len(kind) > 1)
			if i == 0 {
				e.Interval = x
			} else {
				e.Rest = append(e.Rest, x)
			}
		}
		list = append(list, e)
		if s.Comments && n == 0 && kind[0] != ir.CIDRField {
			list[0].Options = &ir.ElementOptions{Comment: "it's the #1 & only"}
		}
	}
	merged, conflict := ir.MergeElements(kind, list)
	if conflict != nil {
		s.Comments = false
		return s
	}
	s.Elements = merged
	return s
}

func randomField(r *rand.Rand, field ir.SetField, f ir.Family, many bool) ir.Interval {
	one := func(v ir.Value) ir.Interval { return ir.Interval{Low: v, High: v} }
	base := netip.MustParseAddr("10.0.0.0")
	if f == ir.IPv6 {
		base = netip.MustParseAddr("2001:db8::")
	}
	v := ir.AddressValue(base)
	switch field {
	case ir.AddressField:
		v.Low += uint64(r.IntN(64))
	case ir.CIDRField:
		if r.IntN(20) == 0 {
			return ir.Interval{High: ir.LastAddress(f)}
		}
		low := v.Low + uint64(r.IntN(64))
		return ir.Interval{Low: ir.Value{High: v.High, Low: low}, High: ir.Value{High: v.High, Low: low + uint64(r.IntN(9))}}
	case ir.PortField:
		p := uint64(r.IntN(65530))
		if many {
			p |= 6 << 16
		}
		return ir.Interval{Low: ir.Value{Low: p}, High: ir.Value{Low: p + uint64(r.IntN(3))}}
	case ir.InterfaceField:
		return one(ir.NameValue(fmt.Sprintf("eth%d", r.IntN(9))))
	case ir.MACField:
		return one(ir.Value{Low: 0x020000000000 + uint64(r.IntN(99))})
	default:
		return one(ir.Value{Low: uint64(r.Uint32())})
	}
	return one(v)
}

// script is what makes an ipset.
func script(im *ipsets.Image) string {
	var b strings.Builder
	fmt.Fprintf(&b, "create %s %s %s\n", im.Name, im.Type, im.Header())
	for _, e := range im.Compare(nil).Add {
		fmt.Fprintf(&b, "add %s %s\n", im.Name, e)
	}
	return b.String()
}

// What we write is what we read, and differs from nothing.
func TestImageReadsItself(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	for _, c := range types {
		for _, f := range ir.Families {
			for range 50 {
				s := random(r, c.kind, f)
				im, problem := ipsets.New(s)
				if problem != "" || im.Type != c.name {
					t.Fatalf("%s becomes %v: %s", c.kind, im, problem)
				}
				live := &ir.Set{Family: im.SetFamily(), Name: "x", Type: im.Type, Header: im.Header(), Elements: im.Compare(nil).Add, Counted: -1}
				if !im.SameType(live) {
					t.Fatalf("%s: %+v is of another type", c.kind, live)
				}
				slices.Reverse(live.Elements)
				if d := im.Compare(live); !d.Empty() {
					t.Fatalf("%s: add %q, remove %q, %s", c.kind, d.Add, d.Remove, d.Rewrite)
				}
			}
		}
	}
}

// The kernel takes what we write, and ipset prints it back as the same set.
func TestImageOnAKernel(t *testing.T) {
	ns := netns.ForTest(t)
	run := func(stdin string, argv ...string) backend.Result {
		res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	r := rand.New(rand.NewPCG(4, 5))
	tried := 0
	for _, c := range types {
		if res := run("", "ipset", "create", "probe", c.name); res.Exit != 0 && !strings.HasPrefix(c.name, "bitmap") {
			t.Logf("this kernel has no %s: %s", c.name, res.Stderr)
			continue
		}
		run("", "ipset", "destroy")
		tried++
		for _, f := range ir.Families {
			for range 8 {
				im, problem := ipsets.New(random(r, c.kind, f))
				if problem != "" {
					t.Fatal(problem)
				}
				if res := run(script(im), "ipset", "restore"); res.Exit != 0 {
					t.Fatalf("%s\n%s", res.Stderr, script(im))
				}
				live := &ir.Set{Family: im.SetFamily(), Name: "x", Type: im.Type, Elements: []string{}, Counted: -1}
				for line := range strings.Lines(run("", "ipset", "save", "x").Stdout) {
					line = strings.TrimSuffix(line, "\n")
					if e, ok := strings.CutPrefix(line, "add x "); ok {
						live.Elements = append(live.Elements, e)
					} else {
						live.Header = strings.TrimPrefix(line, "create x "+im.Type+" ")
					}
				}
				if d := im.Compare(live); !d.Empty() {
					t.Fatalf("%s\nis printed as %q %q: add %q, remove %q, %s", script(im), live.Header, live.Elements, d.Add, d.Remove, d.Rewrite)
				}
				run("", "ipset", "destroy")
			}
		}
	}
	if tried < 5 {
		t.Errorf("this kernel has %d types of ipset: nothing was proved", tried)
	}
}

func TestCompare(t *testing.T) {
	value := func(s string) ir.Interval {
		v := ir.AddressValue(netip.MustParseAddr(s))
		return ir.Interval{Low: v, High: v}
	}
	net := func(s string) ir.Interval { return ir.PrefixInterval(netip.MustParsePrefix(s)) }
	hosts := &ir.NamedSet{Family: ir.IPv4, Name: "x", Type: ir.SetType{ir.AddressField}, Elements: []ir.Element{{Interval: value("192.0.2.1")}, {Interval: value("192.0.2.2")}}}
	nets := &ir.NamedSet{Family: ir.IPv4, Name: "x", Type: ir.SetType{ir.CIDRField}, Elements: []ir.Element{{Interval: net("10.0.0.0/8")}}}
	timed := &ir.NamedSet{Family: ir.IPv4, Name: "x", Type: hosts.Type, Elements: hosts.Elements, Timeouts: true, Timeout: 60}
	const header = "family inet hashsize 1024 maxelem 65536"
	for _, c := range []struct {
		name        string
		set         *ir.NamedSet
		header      string
		elements    []string
		add, remove []string
		rewrite     bool
	}{
		{"the same", hosts, header, []string{"192.0.2.2", "192.0.2.1"}, nil, nil, false},
		{"one missing", hosts, header, []string{"192.0.2.2"}, []string{"192.0.2.1"}, nil, false},
		{"one too many", hosts, header, []string{"192.0.2.2", "192.0.2.3", "192.0.2.1"}, nil, []string{"192.0.2.3"}, false},
		{"cut otherwise", nets, header, []string{"10.128.0.0/9", "10.0.0.0/9"}, nil, nil, false},
		{"one inside another", nets, header, []string{"10.0.0.0/8", "10.1.0.0/16"}, nil, nil, false},
		{"a hole", nets, header, []string{"10.0.0.0/8", "10.1.0.0/16 nomatch"}, nil, []string{"10.1.0.0/16 nomatch"}, false},
		{"a timeout that nobody asked for", hosts, header + " timeout 0", []string{"192.0.2.1 timeout 0", "192.0.2.2 timeout 0"}, nil, nil, true},
		{"time runs", timed, header + " timeout 60", []string{"192.0.2.1 timeout 1", "192.0.2.2 timeout 60"}, nil, nil, false},
		{"recorded without the time that is left", timed, header + " timeout 60", []string{"192.0.2.1", "192.0.2.2"}, nil, nil, false},
		{"too much time", timed, header + " timeout 60", []string{"192.0.2.1 timeout 61", "192.0.2.2 timeout 60"}, []string{"192.0.2.1 timeout 60"}, []string{"192.0.2.1"}, false},
		{"stays for ever", timed, header + " timeout 60", []string{"192.0.2.1 timeout 0", "192.0.2.2 timeout 60"}, []string{"192.0.2.1 timeout 60"}, []string{"192.0.2.1"}, false},
		{"no room", hosts, "family inet hashsize 64 maxelem 1", []string{"192.0.2.1"}, []string{"192.0.2.2"}, nil, true},
		{"throws out", hosts, header + " forceadd", []string{"192.0.2.1", "192.0.2.2"}, nil, nil, true},
	} {
		im, _ := ipsets.New(c.set)
		d := im.Compare(&ir.Set{Family: ir.IPv4, Name: "x", Type: im.Type, Header: c.header, Elements: c.elements, Counted: -1})
		if !slices.Equal(d.Add, c.add) || !slices.Equal(d.Remove, c.remove) || (d.Rewrite != "") != c.rewrite {
			t.Errorf("%s: add %q, remove %q, rewrite %q", c.name, d.Add, d.Remove, d.Rewrite)
		}
	}
}

// What ipset cannot hold is said, with the limit.
func TestNewRefuses(t *testing.T) {
	var many []ir.Element
	for i := range 65 {
		v := ir.NameValue(fmt.Sprintf("eth%d", i))
		many = append(many, ir.Element{Interval: ir.Interval{Low: v, High: v}})
	}
	ports := ir.Interval{Low: ir.Value{Low: 6 << 16}, High: ir.Value{Low: 6<<16 | 65535}}
	var wide []ir.Element
	for i := range 65 {
		v := ir.Value{Low: uint64(i)}
		wide = append(wide, ir.Element{Interval: ir.Interval{Low: v, High: v}, Rest: []ir.Interval{ports}})
	}
	for _, c := range []struct {
		kind ir.SetType
		list []ir.Element
		want string
	}{
		{ir.SetType{ir.MarkField}, nil, "no type for mark alone"},
		{ir.SetType{ir.PortField, ir.MACField}, nil, "no type for port . mac"},
		{ir.SetType{ir.InterfaceField}, many, "at most 64 interfaces"},
		{ir.SetType{ir.AddressField, ir.PortField}, wide, "more than 4,194,304 elements"},
	} {
		if _, problem := ipsets.New(&ir.NamedSet{Family: ir.IPv4, Name: "x", Type: c.kind, Elements: c.list}); !strings.Contains(problem, c.want) {
			t.Errorf("%s: %q, want %q", c.kind, problem, c.want)
		}
	}
}

func TestEqual(t *testing.T) {
	set := func(header string, elements ...string) *ir.Set {
		return &ir.Set{Family: ir.IPv4, Name: "x", Type: "hash:ip", Header: header, Elements: elements}
	}
	a := set("family inet hashsize 1024 maxelem 65536 timeout 60 comment", `1.1.1.1 timeout 5 comment "a timeout b"`, "1.1.1.2 timeout 0")
	for _, c := range []struct {
		b    *ir.Set
		want bool
	}{
		{set("family inet hashsize 4096 maxelem 131072 timeout 60 comment", "1.1.1.2 timeout 0", `1.1.1.1 timeout 60 comment "a timeout b"`), true},
		{set("family inet timeout 60 comment", "1.1.1.2 timeout 7", `1.1.1.1 timeout 5 comment "a timeout b"`), false},
		{set("family inet timeout 60 comment", "1.1.1.2 timeout 0", `1.1.1.1 timeout 5 comment "b"`), false},
		{set("family inet", "1.1.1.2", "1.1.1.1"), false},
	} {
		if got := ipsets.Equal(a, c.b); got != c.want {
			t.Errorf("%v and %v: equal is %v", a, c.b, got)
		}
	}
}
