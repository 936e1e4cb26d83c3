package lower

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// meaning builds a random structured rule together with what it means: the
// conditions as functions of a packet, written without a look at how the rule is
// lowered.
type meaning struct {
	rnd   *rand.Rand
	match []string // "key: value" in flow notation
	not   []string
	holds []func(p *packet) bool // conditions beside limits
	rates []func(p *packet) bool // limits, in written order
	kind  string                 // of the action
	text  string                 // of the action
}

var (
	v4Pool = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "192.0.2.1"}
	v6Pool = []string{"fd00::1", "fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6", "fd00::7", "2001:db8::1"}
	ifPool = []string{"eth0", "eth1", "eth10", "wl0", "lo", "eth"}
)

func (m *meaning) pick(list ...string) string { return list[m.rnd.IntN(len(list))] }
func (m *meaning) one(n int) bool             { return m.rnd.IntN(n) == 0 }

// values makes a list of 0 to 4 values (mostly few), as text, and the function
// that tells whether any of them holds.
func (m *meaning) values(value func() (string, func(p *packet) bool)) (string, func(p *packet) bool) {
	n := []int{0, 1, 1, 1, 2, 2, 3, 4}[m.rnd.IntN(8)]
	if m.one(3) { // a lone value
		text, f := value()
		return text, f
	}
	var texts []string
	var fs []func(p *packet) bool
	for range n {
		text, f := value()
		texts, fs = append(texts, text), append(fs, f)
	}
	return "[" + strings.Join(texts, ", ") + "]", func(p *packet) bool {
		return slices.ContainsFunc(fs, func(f func(p *packet) bool) bool { return f(p) })
	}
}

// key adds a key under match, under not, or under both.
func (m *meaning) key(name string, value func() (string, func(p *packet) bool)) {
	sides := m.rnd.IntN(5)
	if sides != 0 {
		text, f := m.values(value)
		m.match = append(m.match, name+": "+text)
		m.holds = append(m.holds, f)
	}
	if sides < 2 {
		text, f := m.values(value)
		m.not = append(m.not, name+": "+text)
		m.holds = append(m.holds, func(p *packet) bool { return !f(p) })
	}
}

func (m *meaning) address(key string) func() (string, func(p *packet) bool) {
	of := func(p *packet) netip.Addr {
		if key == "source" {
			return p.source
		}
		return p.dest
	}
	pool := [][]string{v4Pool, v6Pool, append(slices.Clone(v4Pool), v6Pool...)}[m.rnd.IntN(3)]
	return func() (string, func(p *packet) bool) {
		a := netip.MustParseAddr(m.pick(pool...))
		switch m.rnd.IntN(6) {
		case 0:
			bits := a.BitLen() - m.rnd.IntN(4)
			x := netip.PrefixFrom(a, bits)
			return `"` + x.String() + `"`, func(p *packet) bool { return x.Contains(of(p)) }
		case 1:
			b := a
			for range m.rnd.IntN(4) {
				b = b.Next()
			}
			return `"` + a.String() + "-" + b.String() + `"`, func(p *packet) bool {
				return of(p).Is4() == a.Is4() && a.Compare(of(p)) <= 0 && of(p).Compare(b) <= 0
			}
		case 2:
			name := m.pick("both", "only4", "only6", "empty")
			dir := map[string]string{"source": "src", "destination": "dst"}[key]
			return "{set: " + name + "}", func(p *packet) bool {
				kernel := map[string]string{"both": "both-4", "only4": "only4"}[name]
				if p.family == ir.IPv6 {
					kernel = map[string]string{"both": "both-6", "only6": "only6"}[name]
				}
				return p.inSet[kernel+" "+dir]
			}
		}
		return `"` + a.String() + `"`, func(p *packet) bool { return of(p) == a }
	}
}

func (m *meaning) interfaces(of func(p *packet) string) func() (string, func(p *packet) bool) {
	return func() (string, func(p *packet) bool) {
		name := m.pick("eth0", "eth1", "eth+", "eth1+", "wl+", "lo", "eth10")
		return name, func(p *packet) bool { return device(&ir.Interface{Name: name}, of(p)) }
	}
}

// span is a number or a range, in one of its spellings.
func (m *meaning) span(highest int) (text string, low, high int) {
	if low = m.rnd.IntN(highest + 1); m.one(6) {
		low = 0
	}
	if m.one(2) {
		return fmt.Sprint(low), low, low
	}
	high = min(highest, low+m.rnd.IntN(4))
	return fmt.Sprintf(`"%d%s%d"`, low, m.pick(":", "-"), high), low, high
}

func (m *meaning) spans(highest int, of func(p *packet) int) func() (string, func(p *packet) bool) {
	return func() (string, func(p *packet) bool) {
		text, low, high := m.span(highest)
		return text, func(p *packet) bool { return low <= of(p) && of(p) <= high }
	}
}

func (m *meaning) marks(of func(p *packet) uint32) func() (string, func(p *packet) bool) {
	return func() (string, func(p *packet) bool) {
		mask := uint32([]int{1, 2, 3, 3, 6, 0xffffffff, 0xffffffff}[m.rnd.IntN(7)])
		value := uint32(m.rnd.IntN(4)) & mask
		text := fmt.Sprintf("0x%x/0x%x", value, mask)
		if mask == 0xffffffff {
			text = fmt.Sprint(value)
		}
		return text, func(p *packet) bool { return of(p)&mask == value }
	}
}

// ports adds a long list now and then, to be cut into chunks.
func (m *meaning) ports(name string, of func(p *packet) int) {
	if !m.one(4) {
		m.key(name, m.spans(12, of))
		return
	}
	var texts []string
	var ranges [][2]int
	for range 12 + m.rnd.IntN(16) {
		text, low, high := m.span(60)
		texts, ranges = append(texts, text), append(ranges, [2]int{low, high})
	}
	f := func(p *packet) bool {
		return slices.ContainsFunc(ranges, func(r [2]int) bool { return r[0] <= of(p) && of(p) <= r[1] })
	}
	text := name + ": [" + strings.Join(texts, ", ") + "]"
	if m.one(2) {
		m.match, m.holds = append(m.match, text), append(m.holds, f)
	} else {
		m.not, m.holds = append(m.not, text), append(m.holds, func(p *packet) bool { return !f(p) })
	}
}

var protoNumbers = map[string]uint8{"tcp": 6, "udp": 17, "sctp": 132, "udplite": 136, "icmp": 1, "icmpv6": 58, "gre": 47}

// protocolIs tells whether a packet has a protocol; icmp is IPv4's, icmpv6 IPv6's.
func protocolIs(name string, p *packet) bool {
	return p.proto == protoNumbers[name] && (name != "icmp" || p.family == ir.IPv4) && (name != "icmpv6" || p.family == ir.IPv6)
}

// layer4 adds protocol and what goes with it.
func (m *meaning) layer4(tcpOnly bool) {
	protocols := func(names ...string) {
		m.match = append(m.match, "protocol: ["+strings.Join(names, ", ")+"]")
		m.holds = append(m.holds, func(p *packet) bool {
			return slices.ContainsFunc(names, func(s string) bool { return protocolIs(s, p) })
		})
	}
	withPorts := func() {
		if m.one(2) {
			m.ports("dport", func(p *packet) int { return int(p.dport) })
		}
		if m.one(3) {
			m.ports("sport", func(p *packet) int { return int(p.sport) })
		}
	}
	flags := func() (string, func(p *packet) bool) {
		mask := []string{"SYN", "SYN,ACK", "FIN,SYN,RST,ACK"}[m.rnd.IntN(3)]
		bits := map[string]uint8{"SYN": 2, "SYN,ACK": 18, "FIN,SYN,RST,ACK": 23}[mask]
		comp := m.pick("SYN", "NONE")
		if tcpOnly {
			comp = "SYN"
		}
		want := map[string]uint8{"SYN": 2, "NONE": 0}[comp]
		return `"` + mask + " " + comp + `"`, func(p *packet) bool { return p.proto == 6 && p.flags&bits == want }
	}
	kind := m.rnd.IntN(8)
	if tcpOnly {
		kind = 1
	}
	switch kind {
	case 0:
		m.key("protocol", func() (string, func(p *packet) bool) {
			name := m.pick("tcp", "udp", "sctp", "icmp", "icmpv6", "gre")
			return name, func(p *packet) bool { return protocolIs(name, p) }
		})
	case 1:
		protocols("tcp")
		withPorts()
		if tcpOnly {
			text, f := flags()
			texts, fs := []string{text}, []func(*packet) bool{f}
			if m.one(2) {
				text, f := flags()
				texts, fs = append(texts, text), append(fs, f)
			}
			m.match = append(m.match, "tcpFlags: ["+strings.Join(texts, ", ")+"]")
			m.holds = append(m.holds, func(p *packet) bool { return fs[0](p) || fs[len(fs)-1](p) })
		} else if m.one(2) {
			m.key("tcpFlags", flags)
		}
	case 2:
		protocols("tcp", "udp")
		withPorts()
	case 3:
		protocols(m.pick("udp", "udplite", "sctp"), "tcp", "udplite")
		withPorts()
	case 4:
		protocols("icmp", "icmpv6")
		key := m.pick("icmpType", "icmpv6Type")
		m.key(key, m.icmpTypes(key))
	}
}

// icmpTypes are values of icmpType or icmpv6Type, by number.
func (m *meaning) icmpTypes(key string) func() (string, func(p *packet) bool) {
	protocol := map[string]string{"icmpType": "icmp", "icmpv6Type": "icmpv6"}[key]
	return func() (string, func(p *packet) bool) {
		t := m.rnd.IntN(4)
		if m.one(2) {
			c := m.rnd.IntN(3)
			return fmt.Sprintf("%d/%d", t, c), func(p *packet) bool {
				return protocolIs(protocol, p) && int(p.icmpType) == t && int(p.code) == c
			}
		}
		return fmt.Sprint(t), func(p *packet) bool { return protocolIs(protocol, p) && int(p.icmpType) == t }
	}
}

// nested adds a key whose values stand one level deeper.
func (m *meaning) nested(outer, inner string, value func() (string, func(p *packet) bool)) {
	x := &meaning{rnd: m.rnd}
	x.key(inner, value)
	for _, s := range x.match {
		m.match = append(m.match, outer+": {"+s+"}")
	}
	for _, s := range x.not {
		m.not = append(m.not, outer+": {"+s+"}")
	}
	m.holds = append(m.holds, x.holds...)
}

// words are values of a key that knows words.
func (m *meaning) words(of func(p *packet) string, known ...string) func() (string, func(p *packet) bool) {
	return func() (string, func(p *packet) bool) {
		s := m.pick(known...)
		return s, func(p *packet) bool { return of(p) == s }
	}
}

// others adds one of the remaining keys.
func (m *meaning) others() {
	types := func(of func(p *packet) []string) func() (string, func(p *packet) bool) {
		return func() (string, func(p *packet) bool) {
			s := m.pick("LOCAL", "UNICAST", "MULTICAST", "BROADCAST")
			return s, func(p *packet) bool { return slices.Contains(of(p), s) }
		}
	}
	key := m.rnd.IntN(16)
	// Often the key that the action changes under its feet.
	if changed, ok := map[string]int{"mark": 3, "connmark": 5, "tcpmss": 13}[m.kind]; ok && m.one(2) {
		key = changed
	}
	switch key {
	case 0, 1:
		m.key("in", m.interfaces(func(p *packet) string { return p.in }))
	case 2:
		m.key("out", m.interfaces(func(p *packet) string { return p.out }))
	case 3, 4:
		m.key("mark", m.marks(func(p *packet) uint32 { return p.mark }))
	case 5:
		m.key("ctmark", m.marks(func(p *packet) uint32 { return p.ctmark }))
	case 6:
		m.key("state", m.words(func(p *packet) string { return p.state }, "NEW", "ESTABLISHED", "RELATED", "INVALID"))
	case 7:
		m.nested("addrtype", "source", types(func(p *packet) []string { return p.sourceType }))
	case 8:
		m.nested("addrtype", "destination", types(func(p *packet) []string { return p.destType }))
	case 9:
		m.nested("owner", "uid", m.spans(9, func(p *packet) int { return int(p.uid) }))
	case 10:
		m.nested("owner", "gid", m.spans(9, func(p *packet) int { return int(p.gid) }))
	case 11:
		m.key("mac", func() (string, func(p *packet) bool) {
			n := byte(m.rnd.IntN(4))
			return fmt.Sprintf(`"02:00:00:00:00:%02x"`, n), func(p *packet) bool { return p.mac[5] == n }
		})
	case 12:
		m.nested("physdev", "in", m.interfaces(func(p *packet) string { return p.physin }))
	case 13:
		m.key("length", m.spans(12, func(p *packet) int { return int(p.length) }))
	case 14:
		m.key("ttl", func() (string, func(p *packet) bool) {
			op, n := m.pick("", "<", "<=", ">", ">="), 60+m.rnd.IntN(6)
			return fmt.Sprintf(`"%s%d"`, op, n), func(p *packet) bool {
				t := int(p.ttl)
				return map[string]bool{"": t == n, "<": t < n, "<=": t <= n, ">": t > n, ">=": t >= n}[op]
			}
		})
	case 15:
		m.key("helper", m.words(func(p *packet) string { return p.helper }, "ftp", "sip", "irc"))
	}
}

// rate adds limits.
func (m *meaning) rate() {
	if m.one(5) {
		m.match = append(m.match, "limit: 5/minute")
		m.rates = append(m.rates, func(p *packet) bool { return p.limitOK })
	} else if m.one(8) {
		m.not = append(m.not, "limit: {rate: 5/minute, burst: 9}")
		m.rates = append(m.rates, func(p *packet) bool { return !p.limitOK })
	}
	if m.one(6) {
		text, not := m.pick("statistic: {probability: 0.5}", "statistic: {every: 3, packet: 1}"), m.one(3)
		if not {
			m.not = append(m.not, text)
		} else {
			m.match = append(m.match, text)
		}
		m.rates = append(m.rates, func(p *packet) bool { return p.chosen != not })
	}
	if m.one(6) {
		side, not := m.pick("upto", "above"), m.one(2)
		text := "hashlimit: {name: x, " + side + ": 5/second}"
		if not {
			m.not = append(m.not, text)
		} else {
			m.match = append(m.match, text)
		}
		m.rates = append(m.rates, func(p *packet) bool { return p.underOK == (side == "upto") != not })
	}
}

// newMeaning makes a rule that has no mistakes, but may be unsayable.
func newMeaning(rnd *rand.Rand) *meaning {
	m := &meaning{rnd: rnd}
	actions := []string{
		"accept", "drop", "reject", "return", "{jump: OTHER}", "{goto: OTHER}", "{log: {prefix: x}}", "{mark: {set: 0x1/0x3}}",
		"{mark: {set: 2}}", "{connmark: {set: 2}}", "{connmark: {restore: true}}", "{connmark: {save: 0x3}}", "{dscp: {set: 4}}", "{tcpmss: {set: 1400}}",
		"{ct: {notrack: true}}", "masquerade", "",
	}
	m.text = actions[rnd.IntN(len(actions))]
	m.kind = strings.Trim(strings.SplitN(m.text, ":", 2)[0], "{")
	if rnd.IntN(3) > 0 || m.kind == "tcpmss" {
		m.layer4(m.kind == "tcpmss")
	}
	if m.one(2) {
		m.key("source", m.address("source"))
	}
	if m.one(4) {
		m.key("destination", m.address("destination"))
	}
	seen := map[string]bool{}
	for range rnd.IntN(3) {
		before := *m
		m.others()
		names := append(slices.Clone(m.match[len(before.match):]), m.not[len(before.not):]...)
		if slices.ContainsFunc(names, func(s string) bool { return seen[strings.Split(s, ":")[0]] }) {
			*m = before // a key stands once
		}
		for _, s := range names {
			seen[strings.Split(s, ":")[0]] = true
		}
	}
	m.rate()
	rnd.Shuffle(len(m.match), func(i, j int) { m.match[i], m.match[j] = m.match[j], m.match[i] })
	return m
}

// String is the rule in flow notation.
func (m *meaning) String() string {
	s := "{match: {" + strings.Join(m.match, ", ") + "}, not: {" + strings.Join(m.not, ", ") + "}"
	if m.text != "" {
		s += ", action: " + m.text
	}
	return s + "}"
}

// conditions tells whether everything but the limits holds.
func (m *meaning) conditions(p *packet) bool {
	return !slices.ContainsFunc(m.holds, func(f func(p *packet) bool) bool { return !f(p) })
}

func (m *meaning) limits(p *packet) bool {
	return !slices.ContainsFunc(m.rates, func(f func(p *packet) bool) bool { return !f(p) })
}

// newPacket makes a packet out of the values that rules ask for.
func newPacket(rnd *rand.Rand, f ir.Family) packet {
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	pool, protos := v4Pool, []uint8{6, 6, 6, 17, 132, 136, 1, 1, 47}
	if f == ir.IPv6 {
		pool, protos = v6Pool, []uint8{6, 6, 6, 17, 132, 136, 58, 58, 47}
	}
	port := func() uint16 { return uint16(rnd.IntN([]int{14, 62}[rnd.IntN(2)])) }
	p := packet{
		family: f, source: netip.MustParseAddr(pick(pool)), dest: netip.MustParseAddr(pick(pool)), proto: protos[rnd.IntN(len(protos))],
		sport: port(), dport: port(), flags: uint8(rnd.IntN(32)), icmpType: uint8(rnd.IntN(4)), code: uint8(rnd.IntN(3)),
		in: pick(ifPool), out: pick(ifPool), physin: pick(ifPool), physout: pick(ifPool),
		state:      pick([]string{"NEW", "ESTABLISHED", "RELATED", "INVALID"}),
		sourceType: addressType(rnd, f), destType: addressType(rnd, f),
		mark: uint32(rnd.IntN(5)), ctmark: uint32(rnd.IntN(5)), uid: uint32(rnd.IntN(10)), gid: uint32(rnd.IntN(10)),
		mac: [6]byte{2, 0, 0, 0, 0, byte(rnd.IntN(4))}, length: uint16(rnd.IntN(14)), ttl: uint8(59 + rnd.IntN(8)),
		helper: pick([]string{"ftp", "sip", "irc", "tftp"}), limitOK: rnd.IntN(4) > 0, underOK: rnd.IntN(4) > 0,
		chosen: rnd.IntN(4) > 0, inSet: map[string]bool{},
	}
	for _, s := range []string{"both-4", "both-6", "only4", "only6"} {
		p.inSet[s+" src"], p.inSet[s+" dst"] = rnd.IntN(3) == 0, rnd.IntN(3) == 0
	}
	return p
}

// addressType is what a packet's address is.
func addressType(rnd *rand.Rand, f ir.Family) []string {
	if f == ir.IPv6 {
		return [][]string{{"LOCAL", "UNICAST"}, {"UNICAST"}, {"MULTICAST"}}[rnd.IntN(3)]
	}
	return [][]string{{"LOCAL"}, {"UNICAST"}, {"MULTICAST"}, {"BROADCAST"}}[rnd.IntN(4)]
}
