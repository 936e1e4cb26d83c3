package compiler

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/lower"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// computed takes the value of an expression: an element, or a list of them.
func (s *setReader) computed(v *lower.Value, o *ir.ElementOptions) {
	switch v.Kind {
	case lower.List:
		for _, i := range v.Items {
			s.computed(i, o)
		}
	case lower.Map:
		s.diags.Errorf(diag.WrongType, v.Span, "an element of a set is a text, or a list of texts, not a map")
	default:
		s.element(v.Text, o, func() diag.Span { return v.Span })
	}
}

// Numbers of the protocols that have the ports of a concatenation (IANA protocol
// numbers).
var portProtocols = []struct {
	name   string
	number uint64
}{{"tcp", 6}, {"udp", 17}}

// element takes one element. A port of a concatenation without a protocol stands for
// that port of tcp and that of udp.
func (s *setReader) element(text string, o *ir.ElementOptions, at func() diag.Span) {
	wrong := func(format string, args ...any) {
		if s.mistakes++; s.mistakes <= maxMistakes {
			s.diags.Errorf(diag.InvalidValue, at(), format, args...)
		}
	}
	family := ir.Family(0)
	if len(s.kind) == 1 {
		x, f, message := parseField(s.kind[0], text)
		if message != "" {
			wrong("%s", message)
			return
		}
		s.put(ir.Element{Interval: x, Options: o}, f)
		return
	}
	words := strings.Split(text, dsl.SetTypeSeparator)
	if len(words) != len(s.kind) {
		wrong("%q has %s, and an element of %q has %d", text, count(len(words), "part"), s.kind, len(s.kind))
		return
	}
	list := []ir.Element{{Options: o}}
	for i, w := range words {
		w = strings.TrimSpace(w)
		protocol, port, named := strings.Cut(w, ":")
		if s.kind[i] != ir.PortField || protocol != "" && protocol[0] >= '0' && protocol[0] <= '9' {
			named = false // 80:90 is a range
		} else if named {
			w = port
		}
		x, f, message := parseField(s.kind[i], w)
		switch {
		case message != "":
			wrong("%s", message)
			return
		case f != 0 && family != 0 && f != family:
			wrong("%q has an address of each family", text)
			return
		case f != 0:
			family = f
		}
		var next []ir.Element
		for _, e := range list {
			if s.kind[i] != ir.PortField {
				next = append(next, appendField(e, i, x))
				continue
			}
			for _, p := range portProtocols {
				if !named || p.name == protocol {
					next = append(next, appendField(e, i, ir.Interval{Low: ir.Value{Low: p.number<<16 | x.Low.Low}, High: ir.Value{Low: p.number<<16 | x.High.Low}}))
				}
			}
		}
		if list = next; len(list) == 0 {
			wrong("%q is not a protocol with ports that a set holds: there are tcp and udp", protocol)
			return
		}
	}
	for _, e := range list {
		s.put(e, family)
	}
}

func appendField(e ir.Element, i int, x ir.Interval) ir.Element {
	if i == 0 {
		e.Interval = x
		return e
	}
	e.Rest = append(e.Rest[:len(e.Rest):len(e.Rest)], x)
	return e
}

// put adds an element to the lists of its family, or of both.
func (s *setReader) put(e ir.Element, f ir.Family) {
	for _, g := range ir.Families {
		if f == 0 || f == g {
			s.lists[g-1] = append(s.lists[g-1], e)
		}
	}
}

// parseField reads one part of an element; the message says what is wrong.
func parseField(field ir.SetField, s string) (x ir.Interval, f ir.Family, message string) {
	switch field {
	case ir.AddressField:
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return x, 0, fmt.Sprintf("%q is not an address such as 192.0.2.1", s)
		}
		v := ir.AddressValue(a)
		return ir.Interval{Low: v, High: v}, familyOf(a), ""
	case ir.CIDRField:
		return parseRange(s)
	case ir.PortField:
		low, high, ranged := strings.Cut(s, "-")
		if !ranged {
			low, high, ranged = strings.Cut(s, ":")
		}
		if !ranged {
			high = low
		}
		a, err1 := strconv.ParseUint(low, 10, 16)
		b, err2 := strconv.ParseUint(high, 10, 16)
		switch {
		case err1 != nil || err2 != nil:
			return x, 0, fmt.Sprintf("%q is not a port or a range of ports (0 to 65535)", s)
		case b < a:
			return x, 0, fmt.Sprintf("the range %q ends before it starts", s)
		}
		return ir.Interval{Low: ir.Value{Low: a}, High: ir.Value{Low: b}}, 0, ""
	case ir.InterfaceField:
		if message := interfaceName(s); message != "" {
			return x, 0, fmt.Sprintf("%q is not an interface: %s", s, message)
		}
		v := ir.NameValue(s)
		return ir.Interval{Low: v, High: v}, 0, ""
	case ir.MACField:
		n, err := strconv.ParseUint(strings.ReplaceAll(s, ":", ""), 16, 48)
		if err != nil || len(s) != 17 || strings.Count(s, ":") != 5 {
			return x, 0, fmt.Sprintf("%q is not an Ethernet address such as 02:00:5e:10:00:01", s)
		}
		for i := 2; i < 17; i += 3 {
			if s[i] != ':' {
				return x, 0, fmt.Sprintf("%q is not an Ethernet address such as 02:00:5e:10:00:01", s)
			}
		}
		return ir.Interval{Low: ir.Value{Low: n}, High: ir.Value{Low: n}}, 0, ""
	case ir.MarkField:
		n, err := strconv.ParseUint(s, 0, 32)
		if err != nil {
			return x, 0, fmt.Sprintf("%q is not a mark: a number from 0 to 0xffffffff", s)
		}
		return ir.Interval{Low: ir.Value{Low: n}, High: ir.Value{Low: n}}, 0, ""
	}
	return x, 0, fmt.Sprintf("there are no elements of type %s", field)
}

// parseRange reads an address, a prefix or a range of addresses.
func parseRange(s string) (x ir.Interval, f ir.Family, message string) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return x, 0, fmt.Sprintf("%q is not a prefix such as 10.0.0.0/8", s)
		}
		return ir.PrefixInterval(p), familyOf(p.Addr()), ""
	}
	low, high, ranged := strings.Cut(s, "-")
	if !ranged {
		high = low
	}
	a, err1 := netip.ParseAddr(strings.TrimSpace(low))
	b, err2 := netip.ParseAddr(strings.TrimSpace(high))
	switch {
	case err1 != nil || err2 != nil || a.Zone() != "" || b.Zone() != "":
		return x, 0, fmt.Sprintf("%q is not an address, a prefix or a range of addresses", s)
	case familyOf(a) != familyOf(b):
		return x, 0, fmt.Sprintf("the range %q starts in one family and ends in the other", s)
	case b.Less(a):
		return x, 0, fmt.Sprintf("the range %q ends before it starts", s)
	}
	return ir.Interval{Low: ir.AddressValue(a), High: ir.AddressValue(b)}, familyOf(a), ""
}

// familyOf is an address's family; ::ffff:1.2.3.4 is IPv6.
func familyOf(a netip.Addr) ir.Family {
	if a.Is4() {
		return ir.IPv4
	}
	return ir.IPv6
}

// interfaceName says what is wrong with the name of an interface in a set, or "". A
// set holds whole names.
func interfaceName(s string) string {
	switch {
	case s == "" || len(s) > 15:
		return "a name has 1 to 15 bytes"
	case s[0] == '-' || s[0] == '!':
		return "a name does not start with - or !"
	case s == "." || s == "..":
		return "the kernel refuses this name"
	case strings.HasSuffix(s, "+"):
		return "a set holds whole names, and no beginnings of them"
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/:"'\*,`, r) }):
		return "a name holds no blanks, quotes, commas, colons, slashes and asterisks"
	}
	return ""
}
