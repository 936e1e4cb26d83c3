package nftables

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// Words of keys that a set with ports asks for.
const (
	protocolKey = "meta l4proto"
	bothPorts   = "{ tcp, udp }"
)

// lookup is a rule's question to a set of our table.
type lookup struct {
	set  *ir.OwnSet
	dirs []string
}

// lookup finds the set of a match. An ipset is nothing that nft can ask.
func (t *translation) lookup(m *ir.SetMatch) (lookup, string) {
	if t.env.Set == nil {
		return lookup{}, "the set " + m.Name + " is an ipset, which nft cannot ask"
	}
	s, problem := t.env.Set(m.Name, t.env.Family)
	if problem != "" {
		return lookup{}, problem
	}
	l := lookup{set: s, dirs: m.Dirs}
	if slices.Equal(s.Type, ir.SetType{ir.InterfaceField}) && len(l.dirs) == 2 {
		// On iptables a network stands ahead of each name, which is always the whole family.
		l.dirs = l.dirs[1:]
	}
	return l, ""
}

// has tells whether the set has a field.
func (l lookup) has(f ir.SetField) bool { return l.set != nil && slices.Contains(l.set.Type, f) }

// asksPort tells that a match asks a set of our table for ports.
func (t *translation) asksPort(m *ir.SetMatch) bool {
	l, _ := t.lookup(m)
	return l.has(ir.PortField)
}

// portModule is the protocol that the rule is for, if it has ports; else "".
func (t *translation) portModule() string {
	if p := t.spec.Protocol; p != nil && !p.Not {
		if name := protocol(p.Number); slices.Contains([]string{"tcp", "udp", "udplite", "sctp", "dccp"}, name) {
			return name
		}
	}
	return ""
}

// set translates -m set for a set that stands in our table.
func (t *translation) set(m *ir.SetMatch) {
	if len(m.Rest) > 0 {
		t.refuse("-m set %s has no equal", strings.Join(m.Rest, " "))
		return
	}
	l, problem := t.lookup(m)
	if problem != "" {
		t.refuse("%s", problem)
		return
	}
	if len(l.dirs) != len(l.set.Type) {
		t.refuse("the set %s has %d parts, and the rule asks for %d", m.Name, len(l.set.Type), len(m.Dirs))
		return
	}
	p := t.spec.Protocol
	named := p != nil && !p.Not && p.Number != 0
	if module := t.portModule(); len(l.set.Type) == 1 && l.has(ir.PortField) && named && module != "tcp" && module != "udp" {
		if !m.Not {
			t.refuse("it never matches: the set %s has ports of tcp and udp, and the rule is for %s", m.Name, protocol(p.Number))
		}
		return // no such packet is in the set
	}
	t.askSet(l, m.Not)
}

// keys are what the rule asks the set for.
func (t *translation) keys(l lookup) []string {
	var out []string
	for i, f := range l.set.Type {
		source := l.dirs[i] == "src"
		pick := func(a, b string) string {
			if source {
				return a
			}
			return b
		}
		switch f {
		case ir.AddressField, ir.CIDRField:
			out = append(out, t.ip()+pick(" saddr", " daddr"))
		case ir.PortField:
			module := t.portModule()
			if module == "" {
				module = "th"
			}
			if len(l.set.Type) > 1 {
				out = append(out, protocolKey)
			}
			out = append(out, module+pick(" sport", " dport"))
		case ir.InterfaceField:
			out = append(out, pick("iifname", "oifname"))
		case ir.MACField:
			out = append(out, "ether"+pick(" saddr", " daddr"))
		case ir.MarkField:
			out = append(out, "meta mark")
		}
	}
	return out
}

// askSet asks a set. On iptables a packet that lacks what is asked for is in no set,
// and so passes the negation; nft breaks off, whether or not it is negated. Such
// packets are alternatives of their own then.
func (t *translation) askSet(l lookup, not bool) {
	ports, module := l.has(ir.PortField), t.portModule()
	var proto []string
	if ports && module != "" {
		t.protocolSaid = true
		proto = []string{protocolKey + " " + module}
	}
	alternatives := [][]string{{strings.Join(t.keys(l), " . ") + is(not) + "@" + l.set.Name}}
	if not && l.has(ir.MACField) {
		alternatives = append(alternatives, append(slices.Clip(proto), "meta iiftype != ether"), append(slices.Clip(proto), "iif 0"))
	}
	if ports && t.env.Family == ir.IPv4 && !t.looksAtHeader() {
		// A later fragment has no ports. For IPv6 there is no look at them.
		for i := range alternatives {
			alternatives[i] = append([]string{fragment(false)}, alternatives[i]...)
		}
		if not {
			alternatives = append(alternatives, append(slices.Clip(proto), fragment(true)))
		}
	}
	if ports && module == "" && len(l.set.Type) == 1 {
		// The set holds the ports of these two.
		for i := range alternatives {
			alternatives[i] = append([]string{protocolKey + " " + bothPorts}, alternatives[i]...)
		}
		if not {
			alternatives = append(alternatives, []string{protocolKey + " != " + bothPorts})
		}
	}
	t.either(alternatives...)
}

// looksAtHeader tells that another match keeps out later fragments.
func (t *translation) looksAtHeader() bool {
	return slices.ContainsFunc(t.spec.Matches, func(m ir.Match) bool {
		switch m.(type) {
		case *ir.L4, *ir.Multiport:
			return true
		}
		return false
	})
}
