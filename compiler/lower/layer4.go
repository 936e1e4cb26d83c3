package lower

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// layer4 is what a rule says about the protocol and its header. These keys are
// read together, because one -p serves all of them.
type layer4 struct {
	protocol     protocolKey
	sport, dport portKey
	flags        flagKey
	icmp         map[ir.Family]*icmpKey
	// sets are the sets of ports that the rule asks about.
	sets []setPort
}

// sides of a key: what match and not say. The spans are zero if they say nothing.
type sides[T any] struct {
	is, not     []T
	isAt, notAt diag.Span
	given       bool // under match
	refused     bool // under not
}

type (
	protocolKey = sides[protocolValue]
	portKey     = sides[numbers]
	flagKey     = sides[tcpFlags]
	icmpKey     = sides[numbers] // type<<8 | code
)

// protocolValue is a protocol; family is 0 if it belongs to both.
type protocolValue struct {
	number uint8
	family ir.Family
	name   string
	span   diag.Span
}

type tcpFlags struct {
	mask, comp uint8
	span       diag.Span
}

// put stores what one side says.
func (s *sides[T]) put(list []T, k Key, not bool) {
	if not {
		s.not, s.notAt, s.refused = list, k.Span, true
	} else {
		s.is, s.isAt, s.given = list, k.Span, true
	}
}

// at is a place where the key stands.
func (s *sides[T]) at() diag.Span {
	if s.given {
		return s.isAt
	}
	return s.notAt
}

func (s *sides[T]) used() bool { return s.given || s.refused }

// read reads one key of match or not.
func (x *layer4) read(l *lowering, k Key, not bool) {
	switch k.Name {
	case "protocol":
		x.protocol.put(l.readProtocols(k, not), k, not)
	case "sport":
		x.sport.put(l.readPorts(k, not), k, not)
	case "dport":
		x.dport.put(l.readPorts(k, not), k, not)
	case "tcpFlags":
		x.flags.put(l.readFlags(k), k, not)
	case "icmpType":
		x.icmpIn(ir.IPv4).put(l.readICMP(k, icmpNames), k, not)
	case "icmpv6Type":
		x.icmpIn(ir.IPv6).put(l.readICMP(k, icmpv6Names), k, not)
	}
}

func (x *layer4) icmpIn(f ir.Family) *icmpKey {
	if x.icmp == nil {
		x.icmp = map[ir.Family]*icmpKey{ir.IPv4: {}, ir.IPv6: {}}
	}
	return x.icmp[f]
}

func (l *lowering) readProtocols(k Key, not bool) []protocolValue {
	var out []protocolValue
	for _, v := range items(k.Value) {
		s, ok := l.scalar(v, "a protocol")
		if !ok {
			continue
		}
		p := protocolValue{name: s, span: v.Span}
		if n, ok := number(s, 255); ok {
			p.number = uint8(n)
		} else if p.number, ok = protocolNames[strings.ToLower(s)]; !ok {
			if low := strings.ToLower(s); low == "all" || low == "any" || low == "ip" {
				l.diags.Errorf(diag.InvalidValue, v.Span, "%q is no protocol", s).
					WithHelp("leave the key out to match every protocol")
			} else {
				l.unknown(diag.InvalidValue, v.Span, "protocol", s, slices.Sorted(maps.Keys(protocolNames)))
			}
			continue
		} else if p.number == protoICMP {
			p.family = ir.IPv4
		} else if p.number == protoICMPv6 {
			p.family = ir.IPv6
		}
		if p.number == 0 {
			l.diags.Errorf(diag.InvalidValue, v.Span, "iptables takes protocol 0 for every protocol").
				WithHelp("leave the key out to match every protocol")
			continue
		}
		if !not && extensionHeaders[p.number] && slices.Contains(l.rule.Families, ir.IPv6) {
			l.diags.Errorf(diag.RuleDialect, v.Span, "ip6tables never matches %s as a protocol: it is an extension header", s).
				WithHelp("narrow the rule with families: [ipv4]")
			continue
		}
		if !slices.ContainsFunc(out, func(q protocolValue) bool { return q.number == p.number }) {
			out = append(out, p)
		}
	}
	return out
}

func (l *lowering) readPorts(k Key, not bool) []numbers {
	var list []numbers
	for _, v := range items(k.Value) {
		if x, ok := l.readRange(v, "a port", 65535); ok {
			list = append(list, x)
		}
	}
	list = mergeNumbers(list)
	if not && covers(list, 65535) {
		l.diags.Errorf(diag.Inverted, k.Value.Span, "not %s with every port can never hold, and iptables 1.8.9 inverts it", k.Name)
	}
	return list
}

// readFlags reads `syn`, or as iptables does "MASK COMP", e.g. "SYN,ACK SYN".
func (l *lowering) readFlags(k Key) []tcpFlags {
	var out []tcpFlags
	for _, v := range items(k.Value) {
		s, ok := l.scalar(v, `TCP flags such as "SYN,ACK SYN"`)
		if !ok {
			continue
		}
		f := tcpFlags{mask: 23, comp: 2, span: v.Span} // FIN,SYN,RST,ACK SYN
		if s != "syn" {
			words := strings.Fields(s)
			if len(words) != 2 {
				l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not TCP flags: the flags to look at, a space, and those of them that are set", s).
					WithHelp(`for example "FIN,SYN,RST,ACK SYN", which is also written syn`)
				continue
			}
			mask, ok1 := l.flagBits(v, words[0])
			comp, ok2 := l.flagBits(v, words[1])
			if !ok1 || !ok2 {
				continue
			}
			if mask == 0 || comp&^mask != 0 {
				l.diags.Errorf(diag.InvalidValue, v.Span, "%q can never match: a flag has to be looked at to be set", s)
				continue
			}
			f.mask, f.comp = mask, comp
		}
		if !slices.ContainsFunc(out, func(g tcpFlags) bool { return g.mask == f.mask && g.comp == f.comp }) {
			out = append(out, f)
		}
	}
	return out
}

func (l *lowering) flagBits(v *Value, list string) (bits uint8, ok bool) {
	for _, w := range strings.Split(list, ",") {
		b, known := tcpFlagBits[strings.ToUpper(w)]
		if !known {
			l.unknown(diag.InvalidValue, v.Span, "TCP flag", w, slices.Sorted(maps.Keys(tcpFlagBits)))
			return 0, false
		}
		bits |= b
	}
	return bits, true
}

// readICMP reads type names, TYPE or TYPE/CODE as intervals of type<<8|code.
func (l *lowering) readICMP(k Key, names map[string]icmpName) []numbers {
	var list []numbers
	for _, v := range items(k.Value) {
		s, ok := l.scalar(v, "an ICMP type")
		if !ok {
			continue
		}
		n, ok := names[s]
		if !ok {
			kind, code, coded := strings.Cut(s, "/")
			t, ok1 := number(kind, 255)
			c, ok2 := uint64(0), true
			if coded {
				c, ok2 = number(code, 255)
			}
			if !ok1 || !ok2 {
				l.unknown(diag.InvalidValue, v.Span, k.Name, s, slices.Sorted(maps.Keys(names)))
				continue
			}
			n = icmpName{int(t), int(c)}
			if !coded {
				n.code = icmpAny
			}
		}
		if k.Name == "icmpType" && n.kind == 255 {
			l.diags.Errorf(diag.InvalidValue, v.Span, "iptables takes ICMP type 255 for every type").WithHelp("say protocol: icmp")
			continue
		}
		x := numbers{low: uint64(n.kind) << 8, high: uint64(n.kind)<<8 | 255, span: v.Span}
		if n.code != icmpAny {
			x.low |= uint64(n.code)
			x.high = x.low
		}
		list = append(list, x)
	}
	return mergeNumbers(list)
}

// check reports keys whose protocol is missing or does not have them.
func (x *layer4) check(l *lowering) {
	need := func(name string, at diag.Span, what string, fits func(p uint8) bool) {
		if !x.protocol.given {
			l.diags.Errorf(diag.MissingKey, at, "%s needs a protocol", name).WithHelp("add protocol: %s", what)
			return
		}
		for _, p := range x.protocol.is {
			if !fits(p.number) {
				l.diags.Errorf(diag.RuleConflict, at, "%s needs protocol %s, but the rule also matches %s", name, what, p.name).
					Note(p.span, "protocol %s", p.name)
				return
			}
		}
	}
	ports := func(p uint8) bool { _, ok := portModules[p]; return ok }
	if x.sport.used() {
		need("sport", x.sport.at(), "tcp, udp, udplite, sctp or dccp", ports)
	}
	if x.dport.used() {
		need("dport", x.dport.at(), "tcp, udp, udplite, sctp or dccp", ports)
	}
	for _, s := range x.sets {
		// bitmap:port knows the ports of these two only.
		need(s.key+" of a set", s.at, "tcp or udp", func(p uint8) bool { return p == protoTCP || p == protoUDP })
	}
	if x.flags.used() {
		need("tcpFlags", x.flags.at(), "tcp", func(p uint8) bool { return p == protoTCP })
	}
	icmp := func(f ir.Family, name, proto string, number uint8) {
		k := x.icmpIn(f)
		if k.refused && !k.given && !x.protocol.given {
			l.diags.Errorf(diag.MissingKey, k.notAt, "not %s needs a protocol", name).WithHelp("add protocol: %s", proto)
			return
		}
		if !k.used() || !x.protocol.given {
			return
		}
		for _, p := range x.protocol.is {
			if p.number != number && (p.family == 0 || p.family == f) {
				l.diags.Errorf(diag.RuleConflict, k.at(), "%s needs protocol %s, but the rule also matches %s", name, proto, p.name).
					Note(p.span, "protocol %s", p.name)
				return
			}
		}
	}
	icmp(ir.IPv4, "icmpType", "icmp", protoICMP)
	icmp(ir.IPv6, "icmpv6Type", "icmpv6", protoICMPv6)
}

// protocols are the protocols of one family, without those under not. ok is
// false if the rule does not restrict them under match.
func (x *layer4) protocols(f ir.Family) (list []uint8, ok bool, gone *absence) {
	own, other := uint8(protoICMP), ir.IPv6
	key := x.icmp[f]
	if f == ir.IPv6 {
		own, other = protoICMPv6, ir.IPv4
	}
	if k := x.icmp[other]; k.given {
		name := map[ir.Family]string{ir.IPv4: "icmpType", ir.IPv6: "icmpv6Type"}[other]
		return nil, true, &absence{reason: fmt.Sprintf("%s is %s only", name, familyName(other)), span: k.isAt, family: true}
	}
	var foreign *protocolValue
	for i, p := range x.protocol.is {
		if p.family == other {
			foreign = &x.protocol.is[i]
			continue
		}
		list = append(list, p.number)
	}
	switch {
	case x.protocol.given && len(x.protocol.is) == 0:
		return nil, true, &absence{reason: "protocol is an empty list", span: x.protocol.isAt}
	case x.protocol.given && len(list) == 0:
		return nil, true, &absence{reason: fmt.Sprintf("protocol %s is %s only", foreign.name, familyName(other)), span: foreign.span, family: true}
	case !x.protocol.given && key.given:
		list = []uint8{own}
	case !x.protocol.given:
		return nil, false, nil
	}
	list = slices.DeleteFunc(list, func(p uint8) bool {
		return slices.ContainsFunc(x.protocol.not, func(q protocolValue) bool { return q.number == p && q.family != other })
	})
	if len(list) == 0 {
		return nil, true, &absence{reason: "not protocol excludes every protocol of the rule", span: x.protocol.notAt}
	}
	return list, true, nil
}
