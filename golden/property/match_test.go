package property

import (
	"fmt"
	"slices"
	"strings"
)

// place is where a rule stands: the kernel refuses some matches and actions
// elsewhere.
type place struct {
	table string
	// hooks are the base chains from which packets come here; empty if none do.
	hooks []string
	// users tells that the kernel knows every user number.
	users bool
}

// within tells that no packet comes here from other hooks than these.
func (pl place) within(hooks ...string) bool {
	return !slices.ContainsFunc(pl.hooks, func(h string) bool { return !slices.Contains(hooks, h) })
}

// match collects the keys of a structured match.
type match struct {
	*params
	families string
	keys     []string // "key: value"
	not      []string
	// protocols that the match asks for: nil for any.
	protocols []string
}

func (m *match) is(key, value string)    { m.keys = append(m.keys, key+": "+value) }
func (m *match) isNot(key, value string) { m.not = append(m.not, key+": "+value) }

// put adds a key with positive odds, or under not.
func (m *match) put(key, value string) {
	if m.one(4) {
		m.isNot(key, value)
		return
	}
	m.is(key, value)
}

// protocol adds protocol and the keys that go with it.
func (m *match) protocol() {
	switch m.IntN(7) {
	case 0:
		m.protocols = []string{m.pick("tcp", "udp", "sctp", "dccp", "udplite")}
	case 1, 2:
		m.protocols = []string{"tcp"}
	case 3:
		m.protocols = []string{"tcp", "udp"}
	case 4:
		m.icmp()
		return
	case 5:
		m.put("protocol", m.spread("string", m.some(1+m.IntN(2), []string{"gre", "esp", "vrrp", "ospf", "112", "47", "igmp"})))
		return
	default:
		return
	}
	m.is("protocol", m.spread("string", m.protocols))
	if m.one(2) {
		m.put("dport", m.ports())
	}
	if m.one(4) {
		m.put("sport", m.ports())
	}
	if m.protocols[0] == "tcp" && len(m.protocols) == 1 && m.one(3) {
		m.put("tcpFlags", m.spread("string", m.some(1+m.IntN(2), []string{"syn", `"SYN,ACK SYN"`, `"FIN,SYN,RST,ACK SYN,ACK"`, `"ALL NONE"`, `"RST RST"`})))
	}
}

func (m *match) icmp() {
	v4 := []string{"echo-request", "8", `"3/4"`, "port-unreachable", "destination-unreachable", "redirect"}
	v6 := []string{"echo-request", "packet-too-big", "135", `"1/4"`, "neighbour-solicitation", "router-advertisement"}
	switch m.families {
	case only4:
		m.is("protocol", "icmp")
		m.put("icmpType", m.spread("string", m.some(1+m.IntN(3), v4)))
	case only6:
		m.is("protocol", m.pick("icmpv6", "ipv6-icmp"))
		m.put("icmpv6Type", m.spread("string", m.some(1+m.IntN(3), v6)))
	default:
		m.is("protocol", "[icmp, icmpv6]")
	}
}

// other adds one of the keys that stand alone.
func (m *match) other(pl place) {
	keys := map[string]func(){
		"in":     func() { m.put("in", m.interfaces()) },
		"out":    func() { m.put("out", m.interfaces()) },
		"mark":   func() { m.put("mark", m.spread("mark", m.values(3, m.bits))) },
		"ctmark": func() { m.put("ctmark", m.spread("mark", m.values(3, m.bits))) },
		"length": func() { m.put("length", m.spread("string", m.values(3, m.lengths))) },
		"ttl": func() {
			m.put("ttl", m.spread("string", m.some(1+m.IntN(2), []string{"64", `"<5"`, `">200"`, `">=128"`, "1", `"<=3"`})))
		},
		"helper": func() {
			m.put("helper", m.spread("string", m.some(1+m.IntN(2), []string{"ftp", "sip", "irc", "tftp"})))
		},
		"state": func() {
			m.put("state", m.spread("string", m.some(1+m.IntN(3), []string{"new", "ESTABLISHED", "related", "INVALID", "untracked", "SNAT", "DNAT"})))
		},
		"addrtype": func() {
			types := []string{"LOCAL", "UNICAST", "MULTICAST", "anycast", "UNREACHABLE"}
			if m.families == only4 {
				types = append(types, "BROADCAST", "BLACKHOLE", "PROHIBIT")
			}
			var parts []string
			for _, side := range m.some(1+m.IntN(2), []string{"source", "destination"}) {
				parts = append(parts, side+": "+m.spread("string", m.some(1+m.IntN(2), types)))
			}
			m.put("addrtype", "{"+strings.Join(parts, ", ")+"}")
		},
		"owner": func() {
			ids := []string{"0", "1000", `"1000:2000"`, "33-99", "65534"}
			if !pl.users {
				ids = ids[:1]
			}
			m.put("owner", fmt.Sprintf("{%s: %s}", m.pick("uid", "gid"), m.spread("string", m.some(1+m.IntN(2), ids))))
		},
		"mac": func() {
			m.put("mac", m.spread("string", m.some(1+m.IntN(2), []string{`"02:00:5e:10:00:01"`, `"02:00:5E:10:00:02"`, `"aa:bb:cc:dd:ee:ff"`})))
		},
		"physdev": func() {
			m.put("physdev", fmt.Sprintf("{%s: %s}", m.pick("in", "out"), m.spread("interface", m.some(1+m.IntN(2), []string{"vnet0", "tap+", "veth12", "eth0"}))))
		},
	}
	for _, key := range m.some(1+m.IntN(2), []string{"in", "in", "out", "mark", "ctmark", "length", "ttl", "helper", "state", "addrtype", "owner", "mac", "physdev"}) {
		switch {
		case m.has(key),
			key == "owner" && !pl.within("OUTPUT", "POSTROUTING"),
			key == "mac" && !pl.within("PREROUTING", "INPUT", "FORWARD"),
			key == "physdev" && !pl.within("PREROUTING", "INPUT", "FORWARD", "POSTROUTING"):
			continue
		}
		keys[key]()
	}
}

func (m *match) has(key string) bool {
	return slices.ContainsFunc(slices.Concat(m.keys, m.not), func(s string) bool { return strings.HasPrefix(s, key+": ") })
}

func (m *match) lengths() string {
	low := m.IntN(1500)
	return m.pick(fmt.Sprint(low), fmt.Sprintf(`"%d:%d"`, low, low+m.IntN(100)))
}

// limits adds rates.
func (m *match) limits() {
	switch m.IntN(8) {
	case 0:
		m.is("limit", m.rate())
	case 1:
		m.put("limit", fmt.Sprintf("{rate: %s, burst: %d}", m.rate(), 1+m.IntN(20)))
	case 2:
		name := m.pick("h1", "h2", "h-3", "h_4")
		parts := []string{"name: " + name, m.pick("upto", "above") + ": " + m.rate()}
		if m.one(2) {
			parts = append(parts, fmt.Sprintf("burst: %d", 1+m.IntN(9)))
		}
		if m.one(2) {
			parts = append(parts, "mode: ["+strings.Join(m.some(1+m.IntN(4), []string{"srcip", "srcport", "dstip", "dstport"}), ", ")+"]",
				"srcmask: {ipv4: 24, ipv6: 64}")
		}
		if m.one(3) {
			parts = append(parts, "htableSize: 256", "htableMax: 4096", "htableExpire: 30000")
		}
		m.put("hashlimit", "{"+strings.Join(parts, ", ")+"}")
	}
}

// newMatch makes a match that is valid at its place.
func newMatch(p *params, families string, pl place) *match {
	m := &match{params: p, families: families}
	m.protocol()
	if m.one(3) {
		m.put("source", m.addresses(families))
	}
	if m.one(4) {
		m.put("destination", m.addresses(families))
	}
	if m.one(2) {
		m.other(pl)
	}
	m.limits()
	return m
}

// String is the mapping under `match`, or "" for an empty one.
func (m *match) String() string {
	all := slices.Clone(m.keys)
	if len(m.not) > 0 {
		all = append(all, "not: {"+strings.Join(m.not, ", ")+"}")
	}
	if len(all) == 0 {
		return ""
	}
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return "{" + strings.Join(all, ", ") + "}"
}
