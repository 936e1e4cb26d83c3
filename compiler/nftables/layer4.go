package nftables

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// laterProtocol tells that a match asks for something of the protocol's header, by
// which nft looks at the protocol by itself, and does not list that look.
func (t *translation) laterProtocol() bool {
	return slices.ContainsFunc(t.spec.Matches, func(m ir.Match) bool {
		switch m := m.(type) {
		case *ir.L4, *ir.Multiport:
			return true
		case *ir.ICMP:
			return !m.Any
		case *ir.SetMatch:
			return t.portModule() != "" && t.asksPort(m)
		}
		return false
	})
}

// hasHeader asks for packets that have the protocol's header: later fragments have
// none. For IPv6 there is no look at that; every port is at least 0.
func (t *translation) hasHeader(module string) {
	if t.env.Family == ir.IPv6 {
		t.must(module + " sport >= 0")
		return
	}
	t.must("meta l4proto " + module)
	t.must(fragment(false))
}

// layer4 translates -m tcp and its like. What nft makes of a later fragment that
// nobody put together is what iptables-nft makes of it: docs/decisions/0019.
func (t *translation) layer4(m *ir.L4) {
	t.protocolSaid = true
	before := len(t.conditions)
	if len(m.Rest) > 0 {
		t.refuse("-m %s %s is not translated", m.Module, strings.Join(m.Rest, " "))
	}
	t.ports(m.Module, "sport", m.Source)
	t.ports(m.Module, "dport", m.Dest)
	if m.Flags != nil {
		t.tcpFlags(m.Flags)
	}
	if m.Option != nil {
		if m.OptionNot && len(t.conditions) == before {
			// What has no header has no option: other protocols, and later fragments.
			t.hasHeader("tcp")
		}
		t.must("tcp option " + tcpOption(*m.Option) + map[bool]string{false: " exists", true: " missing"}[m.OptionNot])
	}
	switch {
	case len(t.conditions) > before:
	case t.spec.Protocol != nil && slices.ContainsFunc(t.spec.Matches, func(m ir.Match) bool {
		s, ok := m.(*ir.SetMatch)
		return ok && t.asksPort(s)
	}):
		// The set looks at the protocol, and for IPv6 at the header too.
		if t.env.Family == ir.IPv4 {
			t.must(fragment(false))
		}
	default:
		t.hasHeader(m.Module)
	}
}

func (t *translation) ports(module, field string, p *ir.Ports) {
	switch {
	case p == nil:
	case p.Low == 0 && p.High == 65535 && p.Not:
		t.refuse("it never matches: no port is outside of 0-65535")
	case p.Low > p.High:
		t.refuse("the range of ports %d-%d ends before it begins", p.Low, p.High)
	default:
		t.must(module + " " + field + is(p.Not) + span(p.Low, p.High))
	}
}

// multiport translates a list of ports. Of "ports" either side may be in the list:
// the second alternative is for packets that the first one does not take.
func (t *translation) multiport(m *ir.Multiport) {
	t.protocolSaid = true
	p := t.spec.Protocol
	if p == nil || p.Not {
		t.refuse("-m multiport needs a protocol")
		return
	}
	set, module := portSet(m.Ports), protocol(p.Number)
	side := func(field string, not bool) string { return module + " " + field + is(not) + set }
	switch {
	case m.Kind == "sports":
		t.must(side("sport", m.Not))
	case m.Kind == "dports":
		t.must(side("dport", m.Not))
	case m.Not:
		t.must(side("sport", true))
		t.must(side("dport", true))
	default:
		t.either([]string{side("sport", false)}, []string{side("sport", true), side("dport", false)})
	}
}

// portSet are ports in order, as one range where they overlap or follow one
// another: nft refuses a set whose ranges overlap.
func portSet(list []ir.PortRange) string {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b ir.PortRange) int { return cmp.Compare(a.Low, b.Low) })
	var merged []ir.PortRange
	for _, p := range sorted {
		if n := len(merged); n > 0 && int(p.Low) <= int(merged[n-1].High)+1 {
			merged[n-1].High = max(merged[n-1].High, p.High)
			continue
		}
		merged = append(merged, p)
	}
	var texts []string
	for _, p := range merged {
		texts = append(texts, span(p.Low, p.High))
	}
	return oneOf(texts)
}

var flagNames = []struct {
	bit  uint8
	name string
}{{1, "fin"}, {2, "syn"}, {4, "rst"}, {8, "psh"}, {16, "ack"}, {32, "urg"}}

func flags(bits uint8) []string {
	var out []string
	for _, f := range flagNames {
		if bits&f.bit != 0 {
			out = append(out, f.name)
		}
	}
	return out
}

// tcpFlags translates --tcp-flags MASK COMP into the form that nft lists, which is
// another one for each kind of mask.
func (t *translation) tcpFlags(f *ir.TCPFlags) {
	mask, set := flags(f.Mask), flags(f.Comp)
	list := strings.Join(mask, ",")
	op := map[bool]string{false: " == ", true: " != "}[f.Not]
	never := f.Comp&^f.Mask != 0 || f.Mask == 0 && f.Not && f.Comp == 0
	switch {
	case never && !f.Not, f.Mask == 0 && f.Not && f.Comp == 0:
		t.refuse("it never matches: no flags are such flags")
	case f.Mask == 0, never:
		t.hasHeader("tcp")
	case f.Comp == 0 && f.Not:
		t.must("tcp flags " + list)
	case f.Comp == 0:
		t.must("tcp flags ! " + list)
	case len(mask) == 1:
		t.must("tcp flags & " + list + op + list)
	default:
		t.must("tcp flags" + is(f.Not) + strings.Join(set, ",") + " / " + list)
	}
}

var tcpOptions = map[uint8]string{
	0: "eol", 1: "nop", 2: "maxseg", 3: "window", 4: "sack-perm", 5: "sack", 8: "timestamp", 19: "md5sig", 30: "mptcp", 34: "fastopen",
}

func tcpOption(n uint8) string { return named(tcpOptions, n) }

// named is the name that nft lists for a number, or the number.
func named(names map[uint8]string, n uint8) string {
	if s, ok := names[n]; ok {
		return s
	}
	return strconv.Itoa(int(n))
}

// The names of types and codes as nft 1.0.6 lists them. Codes have one name each,
// whatever the type.
var (
	icmpTypes = map[uint8]string{
		0: "echo-reply", 3: "destination-unreachable", 4: "source-quench", 5: "redirect", 8: "echo-request", 9: "router-advertisement",
		10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem", 13: "timestamp-request", 14: "timestamp-reply",
		15: "info-request", 16: "info-reply", 17: "address-mask-request", 18: "address-mask-reply",
	}
	icmpCodes = map[uint8]string{
		0: "net-unreachable", 1: "host-unreachable", 2: "prot-unreachable", 3: "port-unreachable", 4: "frag-needed",
		9: "net-prohibited", 10: "host-prohibited", 13: "admin-prohibited",
	}
	icmpv6Types = map[uint8]string{
		1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem", 128: "echo-request", 129: "echo-reply",
		130: "mld-listener-query", 131: "mld-listener-report", 132: "mld-listener-done", 133: "nd-router-solicit", 134: "nd-router-advert",
		135: "nd-neighbor-solicit", 136: "nd-neighbor-advert", 137: "nd-redirect", 138: "router-renumbering", 141: "ind-neighbor-solicit",
		142: "ind-neighbor-advert", 143: "mld2-listener-report",
	}
	icmpv6Codes = map[uint8]string{
		0: "no-route", 1: "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable", 5: "policy-fail", 6: "reject-route",
	}
)

// icmp translates a type, or a type and a code. The negation of both together is
// another type, or the type with another code.
func (t *translation) icmp(m *ir.ICMP) {
	name, types, codes := "icmp", icmpTypes, icmpCodes
	if m.V6 {
		name, types, codes = "icmpv6", icmpv6Types, icmpv6Codes
	}
	if m.Any {
		if m.Not {
			t.refuse("it never matches: every type is one of any")
			return
		}
		t.must(fragment(false)) // a later fragment has no type
		return
	}
	t.protocolSaid = true
	kind := func(not bool) string { return name + " type" + is(not) + named(types, m.Type) }
	code := func(not bool) string {
		s := name + " code" + is(not)
		if m.CodeLow == m.CodeHigh {
			return s + named(codes, m.CodeLow)
		}
		return s + fmt.Sprintf("%s-%s", named(codes, m.CodeLow), named(codes, m.CodeHigh))
	}
	switch {
	case m.CodeLow == 0 && m.CodeHigh == 255:
		t.must(kind(m.Not))
	case !m.Not:
		t.must(kind(false))
		t.must(code(false))
	default:
		t.either([]string{kind(true)}, []string{kind(false), code(true)})
	}
}
