package recorded

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// Protocols whose ports stand in a concatenation (IANA protocol numbers).
var portProtocols = map[string]uint64{"tcp": 6, "udp": 17}

// setType says what a set declared with these types of nft(8) holds; the family is
// 0 if its elements have none, and ok is false for what no ruleset can declare. An
// interval is kept of prefixes.
func setType(words, flags []string) (t ir.SetType, family ir.Family, ok bool) {
	for i, w := range words {
		if w == protocolType {
			if i+1 == len(words) || words[i+1] != "inet_service" {
				return nil, 0, false
			}
			continue
		}
		field, known := kernelTypes[w]
		if !known || w == "inet_service" && len(words) > 1 && (i == 0 || words[i-1] != protocolType) {
			return nil, 0, false
		}
		if field == ir.AddressField {
			f := ir.IPv4
			if w == "ipv6_addr" {
				f = ir.IPv6
			}
			if family != 0 && family != f {
				return nil, 0, false
			}
			if family = f; slices.Contains(flags, "interval") {
				field = ir.CIDRField
			}
		}
		t = append(t, field)
	}
	for _, f := range flags {
		if f != "interval" && f != "timeout" {
			return nil, 0, false
		}
	}
	return t, family, len(t) > 0
}

// describe says what a set is that no ruleset can declare.
func describe(words []string, s *listedSet) string {
	out := "type " + strings.Join(words, " . ")
	if s.Map != nil {
		out += " : " + strings.Join(typeWords(s.Map), " . ")
	}
	if len(s.Flags) > 0 {
		out += "; flags " + strings.Join(s.Flags, ",")
	}
	return out
}

// readElement reads an element of a listing; false if it is none that a ruleset can
// declare.
func readElement(s *ir.OwnSet, words []string, text json.RawMessage) (e ir.Element, ok bool) {
	var wrapped struct {
		Elem *struct {
			Val     json.RawMessage
			Timeout *uint32
			Comment string
		}
	}
	if json.Unmarshal(text, &wrapped) == nil && wrapped.Elem != nil {
		text = wrapped.Elem.Val
		if o := (ir.ElementOptions{Comment: wrapped.Elem.Comment}); wrapped.Elem.Timeout != nil {
			o.Timeout, o.HasTimeout = *wrapped.Elem.Timeout, true
			e.Options = &o
		} else if o.Comment != "" {
			e.Options = &o
		}
	}
	var concat struct{ Concat []json.RawMessage }
	parts := []json.RawMessage{text}
	if json.Unmarshal(text, &concat) == nil && concat.Concat != nil {
		parts = concat.Concat
	}
	if len(parts) != len(words) {
		return e, false
	}
	i, protocol := 0, uint64(0)
	for n, w := range words {
		if w == protocolType {
			var name string
			if json.Unmarshal(parts[n], &name) != nil || portProtocols[name] == 0 {
				return e, false
			}
			protocol = portProtocols[name]
			continue
		}
		low, high, ranged := ends(parts[n])
		x, good := readInterval(s.Type[i], low, high, ranged)
		if !good {
			return e, false
		}
		if w == "inet_service" && protocol != 0 {
			x.Low.Low |= protocol << 16
			x.High.Low |= protocol << 16
		}
		if i == 0 {
			e.Interval = x
		} else {
			e.Rest = append(e.Rest, x)
		}
		i++
	}
	return e, true
}

// ends are the two ends of a value of a listing, which may be a range or a prefix.
func ends(text json.RawMessage) (low, high string, ranged bool) {
	var o struct {
		Range  []json.RawMessage
		Prefix *struct {
			Addr string
			Len  int
		}
	}
	if json.Unmarshal(text, &o) == nil {
		switch {
		case len(o.Range) == 2:
			return wordOf(o.Range[0]), wordOf(o.Range[1]), true
		case o.Prefix != nil:
			return fmt.Sprintf("%s/%d", o.Prefix.Addr, o.Prefix.Len), "", false
		}
	}
	return wordOf(text), "", false
}

// wordOf is a string or a number of a listing as text.
func wordOf(text json.RawMessage) string {
	var s string
	if json.Unmarshal(text, &s) == nil {
		return s
	}
	return string(text)
}

// readInterval reads the ends of a field's value.
func readInterval(f ir.SetField, low, high string, ranged bool) (x ir.Interval, ok bool) {
	if prefix, err := netip.ParsePrefix(low); err == nil && f == ir.CIDRField && !ranged {
		return ir.PrefixInterval(prefix), true
	}
	a, ok := readValue(f, low)
	b := a
	if ranged && ok {
		b, ok = readValue(f, high)
	}
	return ir.Interval{Low: a, High: b}, ok && a.Compare(b) <= 0
}

// readValue reads one value of a field.
func readValue(f ir.SetField, s string) (ir.Value, bool) {
	switch f {
	case ir.AddressField, ir.CIDRField:
		a, err := netip.ParseAddr(s)
		return ir.AddressValue(a), err == nil && a.Zone() == ""
	case ir.InterfaceField:
		return ir.NameValue(s), s != "" && len(s) <= 15 && !strings.HasSuffix(s, "*")
	case ir.MACField:
		n, err := strconv.ParseUint(strings.ReplaceAll(s, ":", ""), 16, 48)
		return ir.Value{Low: n}, err == nil && len(s) == len("00:00:00:00:00:00")
	case ir.PortField:
		n, err := strconv.ParseUint(s, 10, 16)
		return ir.Value{Low: n}, err == nil
	case ir.MarkField:
		n, err := strconv.ParseUint(s, 0, 32)
		return ir.Value{Low: n}, err == nil
	}
	return ir.Value{}, false
}

// elementText is an element as own.json keeps it: the fields as a ruleset has them.
func elementText(s *ir.OwnSet, e ir.Element) string {
	var out []string
	for i, f := range s.Type {
		x := e.Interval
		if i > 0 {
			x = e.Rest[i-1]
		}
		out = append(out, intervalText(f, s.Family, x))
	}
	return strings.Join(out, " . ")
}

func intervalText(f ir.SetField, family ir.Family, x ir.Interval) string {
	protocol := ""
	if f == ir.PortField {
		for name, n := range portProtocols {
			if x.Low.Low>>16 == n {
				protocol = name + ":"
			}
		}
	}
	low := valueText(f, family, x.Low)
	if x.Low == x.High {
		return protocol + low
	}
	if f == ir.CIDRField {
		bits := family.Width() - x.HostBits()
		if p := netip.PrefixFrom(x.Low.Address(family), bits); ir.PrefixInterval(p) == x {
			return p.String()
		}
	}
	return protocol + low + "-" + valueText(f, family, x.High)
}

func valueText(f ir.SetField, family ir.Family, v ir.Value) string {
	switch f {
	case ir.AddressField, ir.CIDRField:
		return v.Address(family).String()
	case ir.InterfaceField:
		return v.Name()
	case ir.MACField:
		var out []string
		for i := range 6 {
			out = append(out, fmt.Sprintf("%02x", byte(v.Low>>(40-8*i))))
		}
		return strings.Join(out, ":")
	case ir.MarkField:
		return fmt.Sprintf("0x%x", v.Low)
	case ir.PortField:
	}
	return strconv.FormatUint(v.Low&0xffff, 10)
}

// parseElement reads what elementText wrote.
func parseElement(s *ir.OwnSet, text string) (e ir.Element, ok bool) {
	words := strings.Split(text, " . ")
	if len(words) != len(s.Type) {
		return e, false
	}
	for i, f := range s.Type {
		w, protocol := words[i], uint64(0)
		if name, port, named := strings.Cut(w, ":"); f == ir.PortField && named {
			if protocol = portProtocols[name]; protocol == 0 {
				return e, false
			}
			w = port
		}
		low, high, ranged := w, "", false
		if f == ir.CIDRField || f == ir.PortField {
			low, high, ranged = strings.Cut(w, "-")
		}
		x, good := readInterval(f, low, high, ranged)
		if !good {
			return e, false
		}
		x.Low.Low |= protocol << 16
		x.High.Low |= protocol << 16
		if i == 0 {
			e.Interval = x
		} else {
			e.Rest = append(e.Rest, x)
		}
	}
	return e, true
}
