package xtables

import (
	"math"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// icmpName is a name of an ICMP type, or of a type and a code.
type icmpName struct {
	name      string
	kind      uint8
	low, high uint8 // codes
}

// icmpNames is in the order in which iptables looks for a name that is cut short.
var icmpNames = []icmpName{
	{"any", 0xff, 0, 0xff},
	{"echo-reply", 0, 0, 0xff},
	{"pong", 0, 0, 0xff},
	{"destination-unreachable", 3, 0, 0xff},
	{"network-unreachable", 3, 0, 0},
	{"host-unreachable", 3, 1, 1},
	{"protocol-unreachable", 3, 2, 2},
	{"port-unreachable", 3, 3, 3},
	{"fragmentation-needed", 3, 4, 4},
	{"source-route-failed", 3, 5, 5},
	{"network-unknown", 3, 6, 6},
	{"host-unknown", 3, 7, 7},
	{"network-prohibited", 3, 9, 9},
	{"host-prohibited", 3, 10, 10},
	{"TOS-network-unreachable", 3, 11, 11},
	{"TOS-host-unreachable", 3, 12, 12},
	{"communication-prohibited", 3, 13, 13},
	{"host-precedence-violation", 3, 14, 14},
	{"precedence-cutoff", 3, 15, 15},
	{"source-quench", 4, 0, 0xff},
	{"redirect", 5, 0, 0xff},
	{"network-redirect", 5, 0, 0},
	{"host-redirect", 5, 1, 1},
	{"TOS-network-redirect", 5, 2, 2},
	{"TOS-host-redirect", 5, 3, 3},
	{"echo-request", 8, 0, 0xff},
	{"ping", 8, 0, 0xff},
	{"router-advertisement", 9, 0, 0xff},
	{"router-solicitation", 10, 0, 0xff},
	{"time-exceeded", 11, 0, 0xff},
	{"ttl-exceeded", 11, 0, 0xff},
	{"ttl-zero-during-transit", 11, 0, 0},
	{"ttl-zero-during-reassembly", 11, 1, 1},
	{"parameter-problem", 12, 0, 0xff},
	{"ip-header-bad", 12, 0, 0},
	{"required-option-missing", 12, 1, 1},
	{"timestamp-request", 13, 0, 0xff},
	{"timestamp-reply", 14, 0, 0xff},
	{"address-mask-request", 17, 0, 0xff},
	{"address-mask-reply", 18, 0, 0xff},
}

// icmpv6Names likewise for ip6tables.
var icmpv6Names = []icmpName{
	{"destination-unreachable", 1, 0, 0xff},
	{"no-route", 1, 0, 0},
	{"communication-prohibited", 1, 1, 1},
	{"beyond-scope", 1, 2, 2},
	{"address-unreachable", 1, 3, 3},
	{"port-unreachable", 1, 4, 4},
	{"failed-policy", 1, 5, 5},
	{"reject-route", 1, 6, 6},
	{"packet-too-big", 2, 0, 0xff},
	{"time-exceeded", 3, 0, 0xff},
	{"ttl-exceeded", 3, 0, 0xff},
	{"ttl-zero-during-transit", 3, 0, 0},
	{"ttl-zero-during-reassembly", 3, 1, 1},
	{"parameter-problem", 4, 0, 0xff},
	{"bad-header", 4, 0, 0},
	{"unknown-header-type", 4, 1, 1},
	{"unknown-option", 4, 2, 2},
	{"echo-request", 128, 0, 0xff},
	{"ping", 128, 0, 0xff},
	{"echo-reply", 129, 0, 0xff},
	{"pong", 129, 0, 0xff},
	{"mld-listener-query", 130, 0, 0xff},
	{"mld-listener-report", 131, 0, 0xff},
	{"mld-listener-done", 132, 0, 0xff},
	{"router-solicitation", 133, 0, 0xff},
	{"router-advertisement", 134, 0, 0xff},
	{"neighbour-solicitation", 135, 0, 0xff},
	{"neighbor-solicitation", 135, 0, 0xff},
	{"neighbour-advertisement", 136, 0, 0xff},
	{"neighbor-advertisement", 136, 0, 0xff},
	{"redirect", 137, 0, 0xff},
}

func icmpMatches() []*module {
	return []*module{
		{
			name: "icmp", family: ir.IPv4, protocols: []uint8{protoICMP}, fresh: func() any { return &ir.ICMP{} },
			options: []option{{name: "icmp-type", words: 1, not: true, must: true, set: setICMP}},
		},
		{
			name: "icmp6", family: ir.IPv6, protocols: []uint8{protoICMPv6}, fresh: func() any { return &ir.ICMP{V6: true} },
			options: []option{{name: "icmpv6-type", words: 1, not: true, must: true, set: setICMP}},
		},
	}
}

// setICMP reads a name, TYPE or TYPE/CODE.
func setICMP(p *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.ICMP)
	m.Not = a.not
	n, err := icmpType(a.v, m.V6)
	if err != nil {
		return err
	}
	m.Type, m.CodeLow, m.CodeHigh = n.kind, n.low, n.high
	if !m.V6 && n.kind == 0xff {
		// iptables keeps "any" as type 255 and prints no code for it.
		m.Any, m.Type, m.CodeLow, m.CodeHigh = true, 0, 0, 0xff
	}
	return nil
}

func icmpType(w Word, v6 bool) (icmpName, *Error) {
	names := icmpNames
	if v6 {
		names = icmpv6Names
	}
	if w.Text == "" {
		return icmpName{}, errorAt(w, diag.InvalidValue, "an ICMP type cannot be empty")
	}
	found := -1
	for i, n := range names {
		if len(w.Text) > len(n.name) || !strings.EqualFold(n.name[:len(w.Text)], w.Text) {
			continue
		}
		if len(n.name) == len(w.Text) {
			return n, nil
		}
		if found >= 0 {
			return icmpName{}, errorAt(w, diag.InvalidValue, "%s is short for %s and %s", w.Text, names[found].name, n.name)
		}
		found = i
	}
	if found >= 0 {
		return names[found], nil
	}
	kind, code, hasCode := strings.Cut(w.Text, "/")
	if isLetter(rune(w.Text[0])) {
		e := errorAt(w, diag.InvalidValue, "unknown ICMP type %s", Quote(w.Text))
		var all []string
		for _, n := range names {
			all = append(all, n.name)
		}
		if near := nearest(w.Text, all); near != "" {
			return icmpName{}, e.withHelp("did you mean %s", near)
		}
		return icmpName{}, e
	}
	k, err := number(w, kind, 0, math.MaxUint8)
	if err != nil {
		return icmpName{}, err
	}
	n := icmpName{kind: uint8(k), low: 0, high: 0xff}
	if hasCode {
		c, err := number(w, code, 0, math.MaxUint8)
		if err != nil {
			return icmpName{}, err
		}
		n.low, n.high = uint8(c), uint8(c)
	}
	return n, nil
}
