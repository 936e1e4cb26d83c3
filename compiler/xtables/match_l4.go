package xtables

import (
	"math"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// typedMatches are the matches that fill a type of package ir.
var typedMatches = slices.Concat(l4Matches(), icmpMatches(), conntrackMatches(), packetMatches(), deviceMatches())

const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

func l4Matches() []*module {
	ports := func() []option {
		return []option{
			{name: "sport", words: 1, not: true, set: setSport},
			{name: "source-port", alias: "sport"},
			{name: "dport", words: 1, not: true, set: setDport},
			{name: "destination-port", alias: "dport"},
		}
	}
	fresh := func(name string) func() any {
		return func() any { return &ir.L4{Module: name} }
	}
	return []*module{
		{
			name: "tcp", protocols: []uint8{protoTCP}, fresh: fresh("tcp"), finish: finishL4,
			options: append(ports(),
				option{name: "tcp-flags", words: 2, not: true, group: 'f', set: setTCPFlags},
				option{name: "syn", not: true, group: 'f', set: setSyn},
				option{name: "tcp-option", words: 1, not: true, set: setTCPOption}),
		},
		{name: "udp", protocols: []uint8{protoUDP}, fresh: fresh("udp"), finish: finishL4, options: ports()},
		{
			name: "sctp", protocols: []uint8{protoSCTP}, fresh: fresh("sctp"), finish: finishL4,
			options: append(ports(), option{name: "chunk-types", words: 2, not: true, set: setChunkTypes}),
		},
		{
			name: "dccp", protocols: []uint8{protoDCCP}, fresh: fresh("dccp"), finish: finishL4,
			options: append(ports(),
				option{name: "dccp-types", words: 1, not: true, set: setDCCPTypes},
				option{name: "dccp-option", words: 1, not: true, set: setDCCPOption}),
		},
		{
			name: "multiport", protocols: []uint8{protoTCP, protoUDP, protoUDPLite, protoSCTP, protoDCCP},
			fresh: func() any { return &ir.Multiport{} }, finish: finishMultiport,
			options: []option{
				{name: "sports", words: 1, not: true, group: 'p', set: setMultiport},
				{name: "source-ports", alias: "sports"},
				{name: "dports", words: 1, not: true, group: 'p', set: setMultiport},
				{name: "destination-ports", alias: "dports"},
				{name: "ports", words: 1, not: true, group: 'p', set: setMultiport},
			},
		},
	}
}

func l4Ports(a *arg) (*ir.Ports, *Error) {
	r, err := portRange(a.v, a.v.Text)
	if err != nil {
		return nil, err
	}
	return &ir.Ports{Not: a.not, PortRange: r}, nil
}

func setSport(_ *parser, x *instance, a *arg) (err *Error) {
	x.value.(*ir.L4).Source, err = l4Ports(a)
	return err
}

func setDport(_ *parser, x *instance, a *arg) (err *Error) {
	x.value.(*ir.L4).Dest, err = l4Ports(a)
	return err
}

// finishL4 drops what the tool does not print because it holds for every packet.
func finishL4(p *parser, x *instance) *Error {
	m := x.value.(*ir.L4)
	all := ir.PortRange{Low: 0, High: math.MaxUint16}
	if m.Module != "tcp" && m.Module != "udp" {
		all = ir.PortRange{Low: 1} // the other modules print every range
	}
	if m.Source != nil && m.Source.PortRange == all && !m.Source.Not {
		m.Source = nil
	}
	if m.Dest != nil && m.Dest.PortRange == all && !m.Dest.Not {
		m.Dest = nil
	}
	if m.Flags != nil && *m.Flags == (ir.TCPFlags{}) {
		m.Flags = nil
	}
	if p.decoding {
		return nil
	}
	for k := range p.insts {
		if o := &p.insts[k]; o != x && o.mod == x.mod {
			return errorAt(x.at, diag.RuleText, "-m %s is given twice", x.mod.name).
				withHelp("the two variants of iptables take this differently: use one")
		}
	}
	return nil
}

// tcpFlagNames are in the order of printing, by bit.
var tcpFlagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

func tcpFlags(w Word) (uint8, *Error) {
	var bits uint8
	for part := range strings.SplitSeq(w.Text, ",") {
		switch i := slices.IndexFunc(tcpFlagNames, func(s string) bool { return strings.EqualFold(s, part) }); {
		case i >= 0:
			bits |= 1 << i
		case strings.EqualFold(part, "ALL"):
			bits |= 1<<len(tcpFlagNames) - 1
		case strings.EqualFold(part, "NONE"):
		default:
			e := errorAt(w, diag.InvalidValue, "unknown TCP flag %s", Quote(part))
			return 0, e.withHelp("flags are FIN, SYN, RST, PSH, ACK, URG, ALL and NONE")
		}
	}
	return bits, nil
}

func setTCPFlags(_ *parser, x *instance, a *arg) *Error {
	mask, err := tcpFlags(a.v)
	if err != nil {
		return err
	}
	comp, err := tcpFlags(a.v2)
	if err != nil {
		return err
	}
	x.value.(*ir.L4).Flags = &ir.TCPFlags{Not: a.not, Mask: mask, Comp: comp}
	return nil
}

// setSyn is --tcp-flags FIN,SYN,RST,ACK SYN.
func setSyn(_ *parser, x *instance, a *arg) *Error {
	x.value.(*ir.L4).Flags = &ir.TCPFlags{Not: a.not, Mask: 0x17, Comp: 0x02}
	return nil
}

func setTCPOption(_ *parser, x *instance, a *arg) *Error {
	n, err := number(a.v, a.v.Text, 1, math.MaxUint8)
	if err != nil {
		return err
	}
	m := x.value.(*ir.L4)
	v := uint8(n)
	m.Option, m.OptionNot = &v, a.not
	return nil
}

// rest keeps an option of a decoded module that package ir has no field for.
func rest(list []string, a *arg, values ...string) []string {
	if a.not {
		list = append(list, "!")
	}
	return append(append(list, "--"+a.opt.name), values...)
}

// chunkTypes are in the order of printing: by the number of the chunk type.
var chunkTypes = []string{
	"DATA", "INIT", "INIT_ACK", "SACK", "HEARTBEAT", "HEARTBEAT_ACK", "ABORT", "SHUTDOWN", "SHUTDOWN_ACK", "ERROR",
	"COOKIE_ECHO", "COOKIE_ACK", "ECN_ECNE", "ECN_CWR", "SHUTDOWN_COMPLETE", "I_DATA", "ASCONF_ACK", "RE_CONFIG",
	"PAD", "FORWARD_TSN", "ASCONF", "I_FORWARD_TSN",
}

// chunkFlags are the flags that a chunk type can be matched with, from bit 7 down.
var chunkFlags = map[string]string{"DATA": "----IUBE", "I_DATA": "----IUBE", "ABORT": "-------T", "SHUTDOWN_COMPLETE": "-------T"}

// setChunkTypes reads --chunk-types all|any|only TYPE[:FLAGS],...
func setChunkTypes(_ *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.L4)
	mode, ok := oneOf(a.v.Text, []string{"all", "any", "only"})
	if !ok {
		return errorAt(a.v, diag.InvalidValue, "chunk types are matched as all, any or only, not %s", Quote(a.v.Text))
	}
	if strings.EqualFold(a.v2.Text, "ALL") || strings.EqualFold(a.v2.Text, "NONE") {
		m.Rest = rest(m.Rest, a, mode, strings.ToUpper(a.v2.Text))
		return nil
	}
	found := make(map[string]string)
	for part := range strings.SplitSeq(a.v2.Text, ",") {
		name, flags, hasFlags := strings.Cut(part, ":")
		t, ok := oneOf(name, chunkTypes)
		if !ok {
			return errorAt(a.v2, diag.InvalidValue, "unknown chunk type %s", Quote(name))
		}
		if !hasFlags {
			found[t] = ""
			continue
		}
		f, ok := sortChunkFlags(t, flags)
		if !ok {
			return errorAt(a.v2, diag.InvalidValue, "the chunk type %s does not have the flags %s", t, Quote(flags))
		}
		found[t] = f
	}
	var list []string
	for _, t := range chunkTypes {
		if f, ok := found[t]; ok {
			if f != "" {
				t += ":" + f
			}
			list = append(list, t)
		}
	}
	m.Rest = rest(m.Rest, a, mode, strings.Join(list, ","))
	return nil
}

// sortChunkFlags gives chunk flags from the highest bit to the lowest.
func sortChunkFlags(chunk, flags string) (string, bool) {
	valid := chunkFlags[chunk]
	for _, c := range flags {
		if c == '-' || !strings.ContainsRune(strings.ToUpper(valid), upper(c)) {
			return "", false
		}
	}
	var b strings.Builder
	for _, c := range valid {
		if c == '-' {
			continue
		}
		if strings.ContainsRune(flags, c) {
			b.WriteRune(c)
		} else if strings.ContainsRune(flags, c+'a'-'A') {
			b.WriteRune(c + 'a' - 'A')
		}
	}
	return b.String(), true
}

func upper(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r - 'a' + 'A'
	}
	return r
}

var dccpTypes = []string{
	"REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC", "SYNCACK", "INVALID",
}

func setDCCPTypes(_ *parser, x *instance, a *arg) *Error {
	list, err := inOrder(a.v, dccpTypes, "DCCP type")
	if err != nil {
		return err
	}
	m := x.value.(*ir.L4)
	m.Rest = rest(m.Rest, a, strings.Join(list, ","))
	return nil
}

func setDCCPOption(_ *parser, x *instance, a *arg) *Error {
	if _, err := number(a.v, a.v.Text, 1, math.MaxUint8); err != nil {
		return err
	}
	m := x.value.(*ir.L4)
	m.Rest = rest(m.Rest, a, a.v.Text)
	return nil
}

// setMultiport reads a list of ports and ranges; open ranges are refused, as the
// tool does.
func setMultiport(_ *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.Multiport)
	m.Not, m.Kind = a.not, a.opt.name
	for part := range strings.SplitSeq(a.v.Text, ",") {
		low, high, isRange := strings.Cut(part, ":")
		if low == "" || isRange && high == "" {
			return errorAt(a.v, diag.InvalidValue, "%s is no port and no range", Quote(part)).
				withHelp("-m multiport has no open ranges: write both ends")
		}
		r, err := portRange(a.v, part)
		if err != nil {
			return err
		}
		if isRange && r.Low == r.High {
			return errorAt(a.v, diag.InvalidValue, "the range %s holds one port", part).withHelp("write %s", low)
		}
		m.Ports = append(m.Ports, r)
	}
	return nil
}

func finishMultiport(p *parser, x *instance) *Error {
	m := x.value.(*ir.Multiport)
	if m.Kind == "" {
		return errorAt(x.at, diag.RuleText, "-m multiport needs --sports, --dports or --ports")
	}
	if n := multiportSlots(m); n > maxMultiport && !p.decoding {
		return errorAt(x.at, diag.TooLong, "-m multiport holds at most %d ports, a range counts as two, and these are %d", maxMultiport, n)
	}
	return nil
}

// maxMultiport is XT_MULTI_PORTS.
const maxMultiport = 15

func multiportSlots(m *ir.Multiport) int {
	n := 0
	for _, r := range m.Ports {
		n++
		if r.Low != r.High {
			n++
		}
	}
	return n
}
