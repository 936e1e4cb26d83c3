package nftables

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// elementsPerLine is how many elements one command of a script has: a line stays
// readable, and nft takes many commands as fast as one.
const elementsPerLine = 64

// AddSet is the command that makes a set, without its elements.
func AddSet(kind Kind, table string, s *ir.OwnSet) string {
	out := fmt.Sprintf("add set %s %s %s { type %s;", kind, table, s.Name, SetType(s))
	var flags []string
	if s.Interval {
		flags = append(flags, "interval")
	}
	if s.Timeouts {
		flags = append(flags, "timeout")
	}
	if len(flags) > 0 {
		out += " flags " + strings.Join(flags, ",") + ";"
	}
	if s.Timeout > 0 {
		out += " timeout " + Seconds(s.Timeout) + ";"
	}
	return out + " }"
}

// Seconds is a time as nft(8) reads it.
func Seconds(n uint32) string { return strconv.FormatUint(uint64(n), 10) + "s" }

// SetLines are the commands of a step on a set, with no end of line.
func SetLines(o *ir.NFTOp) []string {
	at := string(o.Kind) + " " + o.Table
	switch o.Do {
	case ir.NFTAddSet:
		return []string{AddSet(o.Kind, o.Table, o.Set)}
	case ir.NFTDeleteSet:
		return []string{"delete set " + at + " " + o.Set.Name}
	case ir.NFTAddElements:
		return elementLines("add element "+at+" "+o.Set.Name, o.Set, o.Elements, true)
	case ir.NFTDeleteElements:
		return elementLines("delete element "+at+" "+o.Set.Name, o.Set, o.Elements, false)
	}
	return nil
}

// elementLines are commands for elements, with what they say besides or without.
func elementLines(command string, s *ir.OwnSet, list []ir.Element, full bool) []string {
	var out []string
	for len(list) > 0 {
		n := min(len(list), elementsPerLine)
		b := append([]byte(command), " { "...)
		for i := range list[:n] {
			if i > 0 {
				b = append(b, ", "...)
			}
			if full {
				b = AppendElement(b, s, &list[i])
			} else {
				b = appendKey(b, s, &list[i])
			}
		}
		out, list = append(out, string(append(b, " }"...))), list[n:]
	}
	return out
}

// ElementText is an element as nft(8) writes it.
func ElementText(s *ir.OwnSet, e ir.Element) string {
	return string(AppendElement(nil, s, &e))
}

// AppendElement appends an element as nft(8) writes it.
func AppendElement(b []byte, s *ir.OwnSet, e *ir.Element) []byte {
	return appendOptions(appendKey(b, s, e), e.Options)
}

func appendOptions(b []byte, o *ir.ElementOptions) []byte {
	if o == nil {
		return b
	}
	if o.HasTimeout {
		b = append(b, " timeout "...)
		b = append(b, Seconds(o.Timeout)...)
	}
	if o.Comment != "" {
		b = append(b, ` comment "`...)
		b = append(b, o.Comment...)
		b = append(b, '"')
	}
	return b
}

func appendKey(b []byte, s *ir.OwnSet, e *ir.Element) []byte {
	for i, f := range s.Type {
		x := e.Interval
		if i > 0 {
			b = append(b, " . "...)
			x = e.Rest[i-1]
		}
		if f == ir.PortField && len(s.Type) > 1 {
			b = append(b, protocol(uint8(x.Low.Low>>16))...)
			b = append(b, " . "...)
		}
		b = appendField(b, f, s.Family, x)
	}
	return b
}

func appendField(b []byte, f ir.SetField, family ir.Family, x ir.Interval) []byte {
	switch f {
	case ir.AddressField, ir.CIDRField:
		return appendRange(b, family, x)
	case ir.PortField:
		b = strconv.AppendUint(b, x.Low.Low&0xffff, 10)
		if x.High != x.Low {
			b = append(b, '-')
			b = strconv.AppendUint(b, x.High.Low&0xffff, 10)
		}
	case ir.InterfaceField:
		b = append(b, '"')
		b = append(b, x.Low.Name()...)
		b = append(b, '"')
	case ir.MACField:
		for shift := 40; shift >= 0; shift -= 8 {
			b = fmt.Appendf(b, "%02x", byte(x.Low.Low>>shift))
			if shift > 0 {
				b = append(b, ':')
			}
		}
	case ir.MarkField:
		b = append(b, hex(uint32(x.Low.Low))...)
	}
	return b
}

// appendRange writes addresses as a prefix where they are one.
func appendRange(b []byte, family ir.Family, x ir.Interval) []byte {
	low := x.Low.Address(family)
	b = append(b, address(low)...)
	if x.Low == x.High {
		return b
	}
	if bits := family.Width() - x.HostBits(); ir.PrefixInterval(netip.PrefixFrom(low, bits)) == x {
		b = append(b, '/')
		return strconv.AppendInt(b, int64(bits), 10)
	}
	b = append(b, '-')
	return append(b, address(x.High.Address(family))...)
}
