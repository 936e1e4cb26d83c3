package lower

import (
	"slices"

	"hookline/compiler/ir"
)

// multiportSlots is what one multiport match holds; a range takes two.
const multiportSlots = 15

// choices are the rule's layer 4 keys for one family: at most one choice under
// match, whose alternatives each hold a protocol and all that goes with it, and
// what has to be asked under not beside it.
func (x *layer4) choices(f ir.Family) (is []choice, not []choice, protocols []uint8, gone *absence) {
	protocols, restricted, gone := x.protocols(f)
	if gone != nil {
		return nil, nil, nil, gone
	}
	if !restricted {
		return nil, x.refusedProtocols(f), nil, nil
	}
	icmp := x.icmp[f]
	for _, k := range []struct {
		name string
		none bool
		at   *absence
	}{
		{"sport", x.sport.given && len(x.sport.is) == 0, &absence{span: x.sport.isAt}},
		{"dport", x.dport.given && len(x.dport.is) == 0, &absence{span: x.dport.isAt}},
		{"tcpFlags", x.flags.given && len(x.flags.is) == 0, &absence{span: x.flags.isAt}},
		{map[ir.Family]string{ir.IPv4: "icmpType", ir.IPv6: "icmpv6Type"}[f], icmp.given && len(icmp.is) == 0, &absence{span: icmp.isAt}},
	} {
		if k.none {
			k.at.reason = k.name + " is an empty list"
			return nil, nil, nil, k.at
		}
	}
	c := choice{disjoint: apart(x.flags.is, func(a, b tcpFlags) bool { return (a.comp^b.comp)&a.mask&b.mask != 0 })}
	for _, p := range protocols {
		for _, s := range chunks(x.sport.is) {
			for _, d := range chunks(x.dport.is) {
				for _, fl := range orNone(x.flags.is) {
					for _, t := range orNone(icmp.is) {
						c.alts = append(c.alts, alternative{holds: x.rule(f, p, s, d, fl, t)})
					}
				}
			}
		}
	}
	return []choice{c}, x.refused(f, protocols), protocols, nil
}

// refusedProtocols is not protocol without a protocol under match.
func (x *layer4) refusedProtocols(f ir.Family) []choice {
	c := choice{disjoint: true}
	for _, p := range x.protocol.not {
		if p.family != 0 && p.family != f {
			continue
		}
		c.alts = append(c.alts, alternative{holds: protocolSpec(p.number, false)})
	}
	if len(c.alts) == 0 {
		return nil
	}
	if len(c.alts) == 1 {
		c.alts[0].fails = &ir.Spec{Protocol: &ir.Protocol{Not: true, Number: c.alts[0].holds.Protocol.Number}}
	}
	return []choice{c}
}

func protocolSpec(n uint8, not bool) *ir.Spec {
	return &ir.Spec{Protocol: &ir.Protocol{Not: not, Number: n}}
}

// rule is one alternative: a protocol, a chunk of each port list, a flag
// comparison and an ICMP type, of which any may be absent.
func (x *layer4) rule(f ir.Family, p uint8, sport, dport []numbers, flags *tcpFlags, icmp *numbers) *ir.Spec {
	out := protocolSpec(p, false)
	l4 := &ir.L4{Module: portModules[p]}
	var more []ir.Match
	// A later fragment has no ports: neither a value nor its negation matches it, and so
	// it is to be with a set.
	anyPort := len(x.sets) > 0 && l4.Module != ""
	port := func(key *portKey, list []numbers, slot **ir.Ports, kind string) {
		switch {
		case len(list) == 1 && l4.Module != "" && everyPort(list[0]):
			anyPort = true
		case len(list) == 1 && l4.Module != "":
			*slot = &ir.Ports{PortRange: portRange(list[0])}
		case len(list) > 0:
			more = append(more, multiport(kind, list, false))
		}
		if len(key.not) == 1 && l4.Module != "" && len(list) == 0 {
			*slot = refusedPort(key.not[0])
			return
		}
		for _, c := range head(refusedChunks(key)) {
			more = append(more, multiport(kind, c, true))
		}
	}
	port(&x.sport, sport, &l4.Source, "sports")
	port(&x.dport, dport, &l4.Dest, "dports")
	if l4.Source.RefusesOne() && l4.Dest.RefusesOne() {
		// iptables-nft 1.8.9 makes one comparison of both, which fails for the pair only.
		more = append(more, multiport("dports", []numbers{x.dport.not[0]}, true))
		l4.Dest = nil
	}
	if flags != nil {
		l4.Flags = &ir.TCPFlags{Mask: flags.mask, Comp: flags.comp}
	} else if len(x.flags.not) > 0 {
		n := x.flags.not[0]
		l4.Flags = &ir.TCPFlags{Not: true, Mask: n.mask, Comp: n.comp}
	}
	if l4.Source != nil || l4.Dest != nil || l4.Flags != nil || anyPort {
		out.Matches = append(out.Matches, l4)
	}
	out.Matches = append(out.Matches, more...)
	if icmp != nil {
		out.Matches = append(out.Matches, icmpMatch(f, *icmp, false))
	}
	for _, n := range head(x.icmp[f].not) {
		out.Matches = append(out.Matches, icmpMatch(f, n, true))
	}
	return out
}

// refused is what not says and a rule cannot hold beside its other conditions:
// long lists, and more than one comparison of flags, because iptables-nft 1.8.9
// reads a second `-m tcp` back as a part of the first. What can be asked in the
// rule is asked there, also if more follows: a fragment has no ports and no flags,
// so that neither a value nor its negation matches it.
func (x *layer4) refused(f ir.Family, protocols []uint8) []choice {
	var out []choice
	for _, k := range []struct {
		key  *portKey
		kind string
	}{{&x.sport, "sports"}, {&x.dport, "dports"}} {
		c := choice{}
		for _, chunk := range tail(refusedChunks(k.key)) {
			for _, p := range protocols {
				c.alts = append(c.alts, alternative{holds: joined(protocolSpec(p, false), matching(multiport(k.kind, chunk, false)))})
			}
		}
		out = append(out, c)
	}
	c := choice{}
	flags := x.flags.not
	if len(x.flags.is) == 0 && len(flags) > 0 {
		flags = flags[1:]
	}
	for _, n := range flags {
		m := &ir.L4{Module: "tcp", Flags: &ir.TCPFlags{Mask: n.mask, Comp: n.comp}}
		c.alts = append(c.alts, alternative{holds: joined(protocolSpec(protoTCP, false), matching(m))})
	}
	out = append(out, c)
	c = choice{}
	for _, n := range tail(x.icmp[f].not) {
		c.alts = append(c.alts, alternative{holds: joined(protocolSpec(protocols[0], false), matching(icmpMatch(f, n, false)))})
	}
	out = append(out, c)
	return slices.DeleteFunc(out, func(c choice) bool { return len(c.alts) == 0 })
}

// head is what goes into one rule of a list under not, tail what does not.
func head[T any](list []T) []T { return list[:min(len(list), maxRefusedInline)] }
func tail[T any](list []T) []T { return list[min(len(list), maxRefusedInline):] }

// synOnly tells that every alternative looks at SYN and wants it set, as TCPMSS
// needs.
func (x *layer4) synOnly() bool {
	return len(x.flags.is) > 0 && !slices.ContainsFunc(x.flags.is, func(f tcpFlags) bool { return f.comp&tcpFlagBits["SYN"] == 0 })
}

// chunks cuts a list of ports to what one match holds; a list that is not given
// is one empty chunk.
func chunks(list []numbers) [][]numbers {
	out := [][]numbers{nil}
	slots := 0
	for _, x := range list {
		n := 1
		if x.low != x.high {
			n = 2
		}
		if slots+n > multiportSlots {
			out, slots = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], x)
		slots += n
	}
	return out
}

// refusedChunks is chunks for what not says; none if that is an empty list.
func refusedChunks(k *portKey) [][]numbers {
	if len(k.not) == 0 {
		return nil
	}
	return chunks(k.not)
}

// orNone is a list as pointers, or one nil if it is empty.
func orNone[T any](list []T) []*T {
	if len(list) == 0 {
		return []*T{nil}
	}
	out := make([]*T, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

func multiport(kind string, list []numbers, not bool) *ir.Multiport {
	m := &ir.Multiport{Not: not, Kind: kind}
	for _, x := range list {
		m.Ports = append(m.Ports, portRange(x))
	}
	return m
}

func portRange(x numbers) ir.PortRange { return ir.PortRange{Low: uint16(x.low), High: uint16(x.high)} }

// everyPort tells that a range is all ports. It asks for a header that has ports,
// which a later fragment has not: what iptables-save makes of `-p tcp --dport
// 0:65535` is `-p tcp -m tcp`, and that asks for the same.
func everyPort(x numbers) bool { return x.low == 0 && x.high == 65535 }

// refusedPort is the negation of one port or range. iptables-nft prints the
// negation of 0:N as N+1:65535, so both variants get that.
func refusedPort(x numbers) *ir.Ports {
	if x.low == 0 && x.high > 0 {
		return &ir.Ports{PortRange: ir.PortRange{Low: uint16(x.high + 1), High: 65535}}
	}
	return &ir.Ports{Not: true, PortRange: portRange(x)}
}

func icmpMatch(f ir.Family, x numbers, not bool) *ir.ICMP {
	return &ir.ICMP{Not: not, V6: f == ir.IPv6, Type: uint8(x.low >> 8), CodeLow: uint8(x.low), CodeHigh: uint8(x.high)}
}
