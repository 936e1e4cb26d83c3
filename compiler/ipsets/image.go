package ipsets

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// Image is an ipset as it is to stand.
type Image struct {
	Name   string
	Family ir.Family
	// Type as ipset names it.
	Type string
	// Timeouts tells that elements can end, Timeout is the ipset's default in seconds.
	Timeouts bool
	Timeout  uint32
	Comments bool
	// Elements as the kernel counts them, in ascending order.
	Elements []ir.Element

	layout layout
	// kernel are the fields of an element in the kernel.
	kernel ir.SetType
}

// Limits of ipset: the elements that we let a set have, and the interfaces that a
// set holds beside one network (ip_set_hash_netiface.c).
const (
	maxElements   = 1 << 22
	maxInterfaces = 64
)

// New makes the ipset of a set. The problem says why ipset cannot hold it.
func New(s *ir.NamedSet) (im *Image, problem string) {
	l, problem := typeOf(s.Type)
	if problem != "" {
		return nil, problem
	}
	im = &Image{
		Name: s.Name, Family: s.Family, Type: l.name, Timeouts: s.Timeouts, Timeout: s.Timeout, Comments: s.Comments,
		layout: l, kernel: s.Type,
	}
	if l.anyNet {
		im.kernel = append(ir.SetType{ir.CIDRField}, s.Type...)
	}
	if problem = im.expand(s); problem != "" {
		return nil, problem
	}
	return im, ""
}

// expand cuts the ranges of a set into what the kernel holds as one element each:
// prefixes and single ports. A network that is a whole family is cut in two, where
// the ipset has no /0.
func (im *Image) expand(s *ir.NamedSet) string {
	if len(s.Type) == 1 && s.Type[0] == ir.CIDRField {
		// The large sets: no lists in between.
		im.Elements = make([]ir.Element, 0, len(s.Elements))
		for _, e := range s.Elements {
			im.eachPiece(0, e.Interval, func(x ir.Interval) { im.Elements = append(im.Elements, ir.Element{Interval: x, Options: e.Options}) })
			if len(im.Elements) > maxElements {
				return tooMany
			}
		}
		return ""
	}
	total := 0
	for _, e := range s.Elements {
		if total += im.pieces(e); total > maxElements {
			return tooMany
		}
	}
	for _, e := range s.Elements {
		if im.layout.anyNet {
			all := ir.Interval{High: ir.LastAddress(im.Family)}
			e = ir.Element{Interval: all, Rest: append([]ir.Interval{e.Interval}, e.Rest...), Options: e.Options}
		}
		out := []ir.Element{{Options: e.Options}}
		for i := range im.kernel {
			x := e.Interval
			if i > 0 {
				x = e.Rest[i-1]
			}
			var next []ir.Element
			im.eachPiece(i, x, func(piece ir.Interval) {
				for _, o := range out {
					if i == 0 {
						o.Interval = piece
					} else {
						o.Rest = append(slices.Clip(o.Rest), piece)
					}
					next = append(next, o)
				}
			})
			out = next
		}
		im.Elements = append(im.Elements, out...)
	}
	slices.SortFunc(im.Elements, ir.Element.Compare)
	im.Elements = slices.CompactFunc(im.Elements, func(a, b ir.Element) bool { return a.Compare(b) == 0 })
	return im.interfaces()
}

// pieces is how many elements of the kernel one of a set becomes.
func (im *Image) pieces(e ir.Element) int {
	n := 1
	for i, f := range im.layout.fields {
		x := e.Interval
		if i > 0 {
			x = e.Rest[i-1]
		}
		switch f {
		case ir.PortField:
			n *= int(x.High.Low-x.Low.Low) + 1
		case ir.CIDRField:
			of := 0
			x.EachPrefix(im.Family.Width()-1, func(ir.Interval) { of++ })
			n *= of
		case ir.AddressField, ir.InterfaceField, ir.MACField, ir.MarkField:
		}
	}
	return n
}

const tooMany = "it would have more than 4,194,304 elements in the kernel, which holds each network and each port apart"

// interfaces checks how many stand beside one network.
func (im *Image) interfaces() string {
	if im.Type != "hash:net,iface" {
		return ""
	}
	n := 0
	for i, e := range im.Elements {
		if n++; i > 0 && im.Elements[i-1].Interval != e.Interval {
			n = 1
		}
		if n > maxInterfaces {
			return fmt.Sprintf("ipset holds at most %d interfaces beside one network", maxInterfaces)
		}
	}
	return ""
}

// eachPiece cuts a field's range.
func (im *Image) eachPiece(i int, x ir.Interval, f func(ir.Interval)) {
	switch {
	case x.Low == x.High:
		f(x)
	case im.kernel[i] == ir.CIDRField:
		most := im.Family.Width() - 1
		if im.layout.whole {
			most++
		}
		x.EachPrefix(most, f)
	default:
		for v := x.Low; ; v.Low++ { // ports
			f(single(v))
			if v == x.High {
				return
			}
		}
	}
}

// Header are the words behind the type in a create, as ipset(8) prints them.
func (im *Image) Header() string {
	var words []string
	switch {
	case im.Type == "bitmap:port":
		words = append(words, "range", "0-65535")
	case im.layout.noFamily:
		words = append(words, sizes(len(im.Elements)))
	case im.Family == ir.IPv6:
		words = append(words, "family", "inet6", sizes(len(im.Elements)))
	default:
		words = append(words, "family", "inet", sizes(len(im.Elements)))
	}
	if im.Timeouts {
		words = append(words, "timeout", strconv.FormatUint(uint64(im.Timeout), 10))
	}
	if im.Comments {
		words = append(words, "comment")
	}
	return strings.Join(words, " ")
}

// The sizes that ipset gives a hash if nobody asks for others.
const (
	defaultSize  = 1024
	defaultElems = 65536
)

// sizes are the first size of a hash and the most elements that it takes. The first
// size is ipset's own: to fill a million elements into a hash that is large from the
// start takes half as long again as into one that grows.
func sizes(n int) string {
	most := defaultElems
	for most < n {
		most *= 2
	}
	return fmt.Sprintf("hashsize %d maxelem %d", defaultSize, most)
}

// header is what a create says of an ipset that matters for what it can hold.
type header struct {
	timeouts, comments, others bool
	timeout, maxElem           uint64
	ports                      string
}

func parseHeader(s string) header {
	var h header
	words := strings.Fields(s)
	for i := 0; i < len(words); i++ {
		value := func() uint64 {
			if i++; i >= len(words) {
				return 0
			}
			n, _ := strconv.ParseUint(words[i], 10, 64)
			return n
		}
		switch words[i] {
		case "timeout":
			h.timeouts, h.timeout = true, value()
		case "comment":
			h.comments = true
		case "maxelem":
			h.maxElem = value()
		case "range":
			if i++; i < len(words) {
				h.ports = words[i]
			}
		case "family", "hashsize", "bucketsize", "initval", "netmask", "probes", "resize":
			h.others = h.others || words[i] == "netmask"
			i++
		case "counters", "forceadd":
			// They count and throw out; what matches is the same.
			h.others = h.others || words[i] == "forceadd"
		default:
			h.others = true
		}
	}
	return h
}

// SetFamily is the ipset's family: 0 for a type without one.
func (im *Image) SetFamily() ir.Family {
	if im.layout.noFamily {
		return 0
	}
	return im.Family
}
