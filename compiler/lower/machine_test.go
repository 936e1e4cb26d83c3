package lower

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// packet is what the rules of the property test look at.
type packet struct {
	family           ir.Family
	source, dest     netip.Addr
	proto            uint8
	sport, dport     uint16
	flags            uint8
	icmpType, code   uint8
	in, out          string
	physin, physout  string
	state            string
	sourceType       []string // a local IPv6 address is LOCAL and UNICAST
	destType         []string
	mark, ctmark     uint32
	uid, gid         uint32
	mac              [6]byte
	length           uint16
	ttl              uint8
	helper           string
	inSet            map[string]bool // by kernel name and directions
	limitOK, underOK bool            // underOK: hashlimit's rate is not exceeded
	chosen           bool            // by statistic
}

// The rules that the machine puts around the rule under test.
const (
	afterRule   = 901 // NFLOG group: the packet is behind the rule
	afterCaller = 902 // the packet is back in the caller of the rule's chain
	inOther     = 903 // the packet is in chain OTHER
)

// machine runs a packet through chains as the kernel does, and counts.
type machine struct {
	chains map[string][]*ir.Spec
	p      packet
	steps  int
	hits   map[*ir.Spec]int // packets that each rule took
	still  bool             // chain OTHER changes nothing

	ran, asked       int // the action; limits and hashlimits
	behind, returned int // afterRule, afterCaller
	verdict          string
}

// newMachine has the lowered rule in OWNER, called from CALLER.
func newMachine(rules []*ir.Spec, chains []HelperChain, p packet) *machine {
	m := &machine{chains: map[string][]*ir.Spec{}, hits: map[*ir.Spec]int{}, p: p}
	mark := func(n uint16) *ir.Spec { return &ir.Spec{Target: &ir.NFLog{Group: n}} }
	m.chains["CALLER"] = []*ir.Spec{jump("OWNER", false), mark(afterCaller)}
	m.chains["OWNER"] = append(slices.Clone(rules), mark(afterRule))
	m.chains["OTHER"] = []*ir.Spec{mark(inOther)}
	for _, c := range chains {
		m.chains[c.Name] = c.Specs
	}
	return m
}

func (m *machine) run() { m.chain("CALLER") }

// chain runs a chain and tells whether the packet came back from it.
func (m *machine) chain(name string) bool {
	specs, ok := m.chains[name]
	if !ok {
		panic("no chain " + name)
	}
	for _, s := range specs {
		if m.steps++; m.steps > 100_000 {
			panic("the packet runs in circles")
		}
		if !m.matches(s) {
			continue
		}
		m.hits[s]++
		switch t := s.Target.(type) {
		case *ir.Jump:
			if t.Goto {
				return m.chain(t.Chain)
			}
			if !m.chain(t.Chain) {
				return false
			}
		case *ir.Verdict:
			if t.Name == "RETURN" {
				return true
			}
			m.ran, m.verdict = m.ran+1, t.Name
			return false
		case *ir.Reject, *ir.NAT, *ir.Masquerade, *ir.Redirect, *ir.TProxy:
			m.ran, m.verdict = m.ran+1, fmt.Sprintf("%T", t)
			return false
		case *ir.NFLog:
			m.note(t.Group)
		case nil:
			m.ran++
		default:
			m.ran++
			m.change(t)
		}
	}
	return true
}

func (m *machine) note(group uint16) {
	switch group {
	case afterRule:
		m.behind++
	case afterCaller:
		m.returned++
	case inOther:
		if m.ran++; !m.still {
			m.change(&ir.Jump{Chain: "OTHER"})
		}
	default:
		m.ran++
	}
}

// change does to the packet what an action does, the worst that a called chain
// can do included.
func (m *machine) change(t ir.Target) {
	p := &m.p
	switch t := t.(type) {
	case *ir.SetMark:
		p.mark = p.mark&^t.Mask ^ t.Value
	case *ir.SetConnmark:
		switch t.Op {
		case "set":
			p.ctmark = p.ctmark&^t.Mask ^ t.Value
		case "save":
			p.ctmark = p.ctmark&^t.CTMask ^ p.mark&t.NFMask
		case "restore":
			p.mark = p.mark&^t.NFMask ^ p.ctmark&t.CTMask
		}
	case *ir.TCPMSS:
		p.length++ // an option may be added
	case *ir.CT:
		p.ctmark, p.helper = 0, t.Helper
	case *ir.Jump:
		p.mark, p.ctmark, p.length, p.ttl = p.mark+1, p.ctmark+1, p.length+1, p.ttl-1
		p.helper = map[string]string{"ftp": "sip", "sip": "ftp"}[p.helper]
		flipped := map[string]bool{}
		for k, v := range p.inSet {
			flipped[k] = !v
		}
		p.inSet = flipped
	case *ir.Log, *ir.SetDSCP:
	default:
		panic(fmt.Sprintf("the machine does not know %T", t))
	}
}

// matches asks a rule's conditions in order, and no further than the first that
// does not hold.
func (m *machine) matches(s *ir.Spec) bool {
	p := &m.p
	address := func(a *ir.Address, x netip.Addr) bool { return a == nil || a.Prefix.Contains(x) != a.Not }
	if !address(s.Source, p.source) || !address(s.Destination, p.dest) ||
		!device(s.In, p.in) || !device(s.Out, p.out) ||
		s.Protocol != nil && (s.Protocol.Number == p.proto) == s.Protocol.Not {
		return false
	}
	for _, x := range s.Matches {
		if !m.match(x) {
			return false
		}
	}
	return true
}

func device(i *ir.Interface, name string) bool {
	if i == nil {
		return true
	}
	head, open := strings.CutSuffix(i.Name, "+")
	return (name == i.Name || open && strings.HasPrefix(name, head)) != i.Not
}

func (m *machine) match(x ir.Match) bool {
	p := &m.p
	port := func(x *ir.Ports, n uint16) bool { return x == nil || (x.Low <= n && n <= x.High) != x.Not }
	ids := func(x *ir.IDRange, n uint32, not bool) bool { return x == nil || (x.Low <= n && n <= x.High) != not }
	addr := func(x *ir.AddrRange, a netip.Addr, not bool) bool {
		return x == nil || (x.Low.Compare(a) <= 0 && a.Compare(x.High) <= 0) != not
	}
	switch x := x.(type) {
	case *ir.Comment:
		return true
	case *ir.L4:
		return x.Module == map[uint8]string{6: "tcp", 17: "udp", 132: "sctp", 33: "dccp"}[p.proto] &&
			port(x.Source, p.sport) && port(x.Dest, p.dport) &&
			(x.Flags == nil || (p.flags&x.Flags.Mask == x.Flags.Comp) != x.Flags.Not)
	case *ir.Multiport:
		slots := 0
		for _, r := range x.Ports {
			if slots++; r.Low != r.High {
				slots++
			}
		}
		if slots > 15 {
			panic("too many ports for multiport")
		}
		n := map[string]uint16{"sports": p.sport, "dports": p.dport}[x.Kind]
		return slices.ContainsFunc(x.Ports, func(r ir.PortRange) bool { return r.Low <= n && n <= r.High }) != x.Not
	case *ir.Conntrack:
		return slices.Contains(x.States, p.state) != x.Not
	case *ir.Mark:
		return (p.mark&x.Mask == x.Value) != x.Not
	case *ir.Connmark:
		return (p.ctmark&x.Mask == x.Value) != x.Not
	case *ir.ICMP:
		return (p.icmpType == x.Type && x.CodeLow <= p.code && p.code <= x.CodeHigh) != x.Not
	case *ir.AddrType:
		types := func(list, have []string, not bool) bool {
			if p.family == ir.IPv6 && len(list) > 1 {
				panic("ip6tables takes several address types as all of them")
			}
			return list == nil || slices.ContainsFunc(list, func(s string) bool { return slices.Contains(have, s) }) != not
		}
		return types(x.Source, p.sourceType, x.SourceNot) && types(x.Dest, p.destType, x.DestNot)
	case *ir.Limit:
		m.asked++
		return p.limitOK
	case *ir.Hashlimit:
		m.asked++
		return p.underOK == (x.Options[0] == "--hashlimit-upto")
	case *ir.RawMatch:
		if x.Module != "statistic" {
			panic("the machine does not know -m " + x.Module)
		}
		m.asked++
		return p.chosen != slices.Contains(x.Args, "!")
	case *ir.Owner:
		return ids(x.UID, p.uid, x.UIDNot) && ids(x.GID, p.gid, x.GIDNot)
	case *ir.MAC:
		return (x.Addr == p.mac) != x.Not
	case *ir.Physdev:
		return device(x.In, p.physin) && device(x.Out, p.physout)
	case *ir.SetMatch:
		return p.inSet[x.Name+" "+strings.Join(x.Dirs, ",")] != x.Not
	case *ir.IPRange:
		return addr(x.Source, p.source, x.SourceNot) && addr(x.Dest, p.dest, x.DestNot)
	case *ir.Length:
		return (x.Low <= p.length && p.length <= x.High) != x.Not
	case *ir.TTL:
		return map[string]bool{"eq": p.ttl == x.Value, "lt": p.ttl < x.Value, "gt": p.ttl > x.Value}[x.Op] != x.Not
	case *ir.Helper:
		return (p.helper != "" && strings.HasPrefix(x.Name, p.helper)) != x.Not
	}
	panic(fmt.Sprintf("the machine does not know %T", x))
}
