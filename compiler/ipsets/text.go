package ipsets

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// Numbers of the protocols whose ports a set holds (IANA protocol numbers).
const (
	protoTCP = 6
	protoUDP = 17
)

// usualLength is the length of most elements in large sets: addresses of IPv4.
const usualLength = 16

// texts prints elements as ipset(8) reads and prints them. All strings share one
// text.
func (im *Image) texts(list []ir.Element) []string {
	var b strings.Builder
	ends := make([]int, len(list))
	buf := make([]byte, 0, 128)
	b.Grow(len(list) * usualLength)
	for i, e := range list {
		buf = im.appendElement(buf[:0], e)
		b.Write(buf)
		ends[i] = b.Len()
	}
	all, at := b.String(), 0
	out := make([]string, len(list))
	for i, end := range ends {
		out[i], at = all[at:end], end
	}
	return out
}

func (im *Image) appendElement(b []byte, e ir.Element) []byte {
	b = im.appendField(b, im.kernel[0], e.Interval)
	for i, x := range e.Rest {
		b = append(b, ',')
		b = im.appendField(b, im.kernel[i+1], x)
	}
	timeout, comment := im.options(e)
	if im.Timeouts {
		b = append(b, " timeout "...)
		b = strconv.AppendUint(b, uint64(timeout), 10)
	}
	if comment != "" {
		b = append(b, ` comment "`...)
		b = append(b, comment...)
		b = append(b, '"')
	}
	return b
}

// options are what an element says besides in effect.
func (im *Image) options(e ir.Element) (timeout uint32, comment string) {
	timeout = im.Timeout
	if e.Options != nil {
		comment = e.Options.Comment
		if e.Options.HasTimeout {
			timeout = e.Options.Timeout
		}
	}
	return timeout, comment
}

func (im *Image) appendField(b []byte, f ir.SetField, x ir.Interval) []byte {
	switch f {
	case ir.AddressField, ir.CIDRField:
		b = x.Low.Address(im.Family).AppendTo(b)
		if host := x.HostBits(); host > 0 {
			b = append(b, '/')
			b = strconv.AppendInt(b, int64(im.Family.Width()-host), 10)
		}
	case ir.PortField:
		switch x.Low.Low >> 16 {
		case protoTCP:
			b = append(b, "tcp:"...)
		case protoUDP:
			b = append(b, "udp:"...)
		}
		b = strconv.AppendUint(b, x.Low.Low&0xffff, 10)
		if x.High != x.Low {
			b = append(b, '-')
			b = strconv.AppendUint(b, x.High.Low&0xffff, 10)
		}
	case ir.InterfaceField:
		b = append(b, x.Low.Name()...)
	case ir.MACField:
		var mac [6]byte
		for i := range mac {
			mac[i] = byte(x.Low.Low >> (40 - 8*i))
		}
		for i := range mac {
			if i > 0 {
				b = append(b, ':')
			}
			b = hex.AppendEncode(b, mac[i:i+1])
		}
	case ir.MarkField:
		b = append(b, "0x"...)
		b = strconv.AppendUint(b, x.Low.Low, 16)
	}
	return b
}

// parse reads an element as ipset(8) prints it; false for one that we would never
// write.
func (im *Image) parse(text string) (ir.Element, bool) {
	var e ir.Element
	fields, options, more := strings.Cut(text, " ")
	if more {
		o, ok := parseOptions(options)
		if !ok {
			return e, false
		}
		e.Options = o
	}
	for i := range im.kernel {
		word, rest, _ := strings.Cut(fields, ",")
		x, ok := im.parseField(im.kernel[i], word)
		if !ok || word == "" {
			return e, false
		}
		if i == 0 {
			e.Interval = x
		} else {
			e.Rest = append(e.Rest, x)
		}
		fields = rest
	}
	return e, fields == ""
}

// parseOptions reads what stands behind an element. Counters count as nothing.
func parseOptions(s string) (*ir.ElementOptions, bool) {
	o := &ir.ElementOptions{}
	for s != "" {
		word, rest, _ := strings.Cut(s, " ")
		value, after, _ := strings.Cut(rest, " ")
		switch word {
		case "timeout":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return nil, false
			}
			o.Timeout, o.HasTimeout = uint32(n), true
		case "packets", "bytes":
		case "comment":
			text, behind, closed := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
			if !closed || !strings.HasPrefix(rest, `"`) {
				return nil, false
			}
			o.Comment, after = text, strings.TrimPrefix(behind, " ")
		default:
			return nil, false
		}
		s = after
	}
	return o, true
}

func (im *Image) parseField(f ir.SetField, s string) (ir.Interval, bool) {
	switch f {
	case ir.AddressField, ir.CIDRField:
		if !strings.Contains(s, "/") {
			a, err := netip.ParseAddr(s)
			return single(ir.AddressValue(a)), err == nil && a.BitLen() == im.Family.Width() && a.Zone() == ""
		}
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().BitLen() != im.Family.Width() {
			return ir.Interval{}, false
		}
		return ir.PrefixInterval(p), true
	case ir.PortField:
		proto := uint64(0)
		if name, port, ok := strings.Cut(s, ":"); ok {
			switch name {
			case "tcp", strconv.Itoa(protoTCP):
				proto = protoTCP
			case "udp", strconv.Itoa(protoUDP):
				proto = protoUDP
			default:
				return ir.Interval{}, false
			}
			s = port
		}
		n, err := strconv.ParseUint(s, 10, 16)
		return single(ir.Value{Low: proto<<16 | n}), err == nil
	case ir.InterfaceField:
		return single(ir.NameValue(s)), len(s) < 16
	case ir.MACField:
		n, err := strconv.ParseUint(strings.ReplaceAll(s, ":", ""), 16, 48)
		return single(ir.Value{Low: n}), err == nil
	case ir.MarkField:
		n, err := strconv.ParseUint(s, 0, 32)
		return single(ir.Value{Low: n}), err == nil
	}
	return ir.Interval{}, false
}

func single(v ir.Value) ir.Interval { return ir.Interval{Low: v, High: v} }

// withoutTimeout is an element without the time that it has left.
func withoutTimeout(s string) string {
	head, rest, timed := strings.Cut(s, " timeout ")
	if !timed || strings.Contains(head, `"`) {
		return s
	}
	if left, more, found := strings.Cut(rest, " "); found {
		return head + " " + more
	} else if left == "0" {
		return head + " timeout 0"
	}
	return head
}
