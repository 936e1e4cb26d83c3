package xtables

import (
	"slices"

	"hookline/compiler/ir"
)

// appendConditions writes the matches of a key: comments first, then one part for
// each condition, in an order of its own between two that do something when they
// are asked. All of them have to hold, in whichever order and grouping.
//
// Two things are not counted as meaning: what a match does to a packet that ends
// inside of its header (some drop it on the spot), and the counters that a set may
// keep of its members.
func appendConditions(b []byte, s *ir.Spec, st style) []byte {
	for _, m := range s.Matches {
		if _, comment := m.(*ir.Comment); comment {
			b = appendMatch(b, m, st)
		}
	}
	list := s.Matches
	for len(list) > 0 {
		n := 0
		for n < len(list) && !asks(list[n]) {
			n++
		}
		b = appendSorted(b, s.Protocol, list[:n], st)
		if n < len(list) {
			b = appendMatch(b, list[n], st)
			n++
		}
		list = list[n:]
	}
	return b
}

// appendSorted writes the conditions of matches in the order of their texts.
func appendSorted(b []byte, p *ir.Protocol, list []ir.Match, st style) []byte {
	var room [8]ir.Match
	parts := room[:0]
	for _, m := range list {
		if _, comment := m.(*ir.Comment); !comment {
			parts = appendParts(parts, p, m)
		}
	}
	if len(parts) == 1 {
		return appendMatch(b, parts[0], st)
	}
	texts := make([]string, len(parts))
	for i, m := range parts {
		texts[i] = string(appendMatch(nil, m, st))
	}
	slices.Sort(texts)
	for _, t := range texts {
		b = append(b, t...)
	}
	return b
}

// asks tells that a match does something when it is asked: it takes from a limit,
// counts, or touches an entry of a list. Which packets get that far is then part of
// what the rule means. What is not decoded may do anything.
func asks(m ir.Match) bool {
	switch m := m.(type) {
	case *ir.Limit, *ir.Hashlimit, *ir.RawMatch:
		return true
	case *ir.SetMatch:
		return len(m.Rest) > 0 // conditions on the counters, and the like
	}
	return false
}

// appendParts adds the conditions of a match, each as a match of its own. Of
// multiport with a single port or range the protocol's own match says the same.
func appendParts(out []ir.Match, p *ir.Protocol, m ir.Match) []ir.Match {
	switch m := m.(type) {
	case *ir.L4:
		return appendL4Parts(out, m)
	case *ir.Multiport:
		if x := onePort(p, m); x != nil {
			return append(out, x)
		}
	case *ir.AddrType:
		if m.Source != nil && m.Dest != nil && !m.LimitIfaceIn && !m.LimitIfaceOut {
			return append(out, &ir.AddrType{SourceNot: m.SourceNot, Source: m.Source}, &ir.AddrType{DestNot: m.DestNot, Dest: m.Dest})
		}
	case *ir.Owner:
		if m.UID != nil && m.GID != nil && !m.SocketExists && !m.SupplGroups {
			return append(out, &ir.Owner{UIDNot: m.UIDNot, UID: m.UID}, &ir.Owner{GIDNot: m.GIDNot, GID: m.GID})
		}
	case *ir.Physdev:
		return appendPhysdevParts(out, m)
	case *ir.IPRange:
		if m.Source != nil && m.Dest != nil {
			return append(out, &ir.IPRange{SourceNot: m.SourceNot, Source: m.Source}, &ir.IPRange{DestNot: m.DestNot, Dest: m.Dest})
		}
	}
	return append(out, m)
}

func appendPhysdevParts(out []ir.Match, m *ir.Physdev) []ir.Match {
	add := func(is bool, part ir.Physdev) {
		if is {
			out = append(out, &part)
		}
	}
	add(m.In != nil, ir.Physdev{In: m.In})
	add(m.Out != nil, ir.Physdev{Out: m.Out})
	add(m.IsIn || m.NotIsIn, ir.Physdev{IsIn: m.IsIn, NotIsIn: m.NotIsIn})
	add(m.IsOut || m.NotIsOut, ir.Physdev{IsOut: m.IsOut, NotIsOut: m.NotIsOut})
	add(m.IsBridged || m.NotIsBridged, ir.Physdev{IsBridged: m.IsBridged, NotIsBridged: m.NotIsBridged})
	return out
}

func appendL4Parts(out []ir.Match, m *ir.L4) []ir.Match {
	n := len(out)
	if m.Source != nil {
		out = append(out, &ir.L4{Module: m.Module, Source: m.Source})
	}
	if m.Dest != nil {
		out = append(out, &ir.L4{Module: m.Module, Dest: m.Dest})
	}
	if m.Flags != nil {
		out = append(out, &ir.L4{Module: m.Module, Flags: m.Flags})
	}
	if m.Option != nil {
		out = append(out, &ir.L4{Module: m.Module, Option: m.Option, OptionNot: m.OptionNot})
	}
	switch {
	case len(m.Rest) > 0:
		out = append(out, &ir.L4{Module: m.Module, Rest: m.Rest})
	case len(out) == n:
		out = append(out, m)
	}
	return out
}

// portModules are the matches that hold one --sport and --dport, by protocol.
var portModules = map[uint8]string{6: "tcp", 17: "udp", 33: "dccp", 132: "sctp"}

// onePort is a multiport of a single port or range as the protocol's own match; nil
// if there is none.
func onePort(p *ir.Protocol, m *ir.Multiport) *ir.L4 {
	if p == nil || p.Not || portModules[p.Number] == "" || len(m.Ports) != 1 || m.Kind == "ports" {
		return nil
	}
	x := &ir.L4{Module: portModules[p.Number]}
	r := &ir.Ports{Not: m.Not, PortRange: m.Ports[0]}
	switch {
	case r.Low == 0 && r.High == maxPort && r.Not:
		return nil
	case r.Low == 0 && r.High == maxPort: // any port, but there have to be ports
	case m.Kind == "sports":
		x.Source = r
	default:
		x.Dest = r
	}
	return x
}
