package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
)

// core translates what stands in front of the matches.
func (t *translation) core() {
	s := t.spec
	t.address("saddr", s.Source)
	t.address("daddr", s.Destination)
	t.iface("iifname", s.In)
	t.iface("oifname", s.Out)
	if s.Fragment != 0 {
		t.must(fragment(s.Fragment > 0))
	}
	if p := s.Protocol; p != nil && (p.Not || !t.laterProtocol()) {
		t.sayProtocol(p)
	}
}

// ip is the word for the network header of the rule's family.
func (t *translation) ip() string {
	if t.env.Family == ir.IPv6 {
		return "ip6"
	}
	return "ip"
}

// is is what stands between the two sides of a comparison for equality.
func is(not bool) string {
	if not {
		return " != "
	}
	return " "
}

// fragment asks for packets that are later fragments, or that are not.
func fragment(later bool) string {
	if later {
		return "ip frag-off & 8191 != 0"
	}
	return "ip frag-off & 8191 == 0"
}

func (t *translation) address(field string, a *ir.Address) {
	if a == nil {
		return
	}
	left := t.ip() + " " + field
	switch {
	case a.Mask.IsValid() && a.Not:
		t.must(fmt.Sprintf("%s & %s != %s", left, address(a.Mask), address(a.Prefix.Addr())))
	case a.Mask.IsValid():
		t.must(fmt.Sprintf("%s & %s == %s", left, address(a.Mask), address(a.Prefix.Addr())))
	case a.Prefix.Bits() == 0 && a.Not:
		t.refuse("it never matches: no packet is outside of %s", a.Prefix)
	case a.Prefix.Bits() == 0:
		// Every packet has such an address.
	default:
		t.must(left + is(a.Not) + prefix(a.Prefix))
	}
}

// address is an address as the C library of nft writes it.
func address(a netip.Addr) string {
	if !a.Is6() {
		return a.String()
	}
	b := a.As16()
	tail := netip.AddrFrom4([4]byte(b[12:])).String()
	switch {
	case a.Is4In6():
		return "::ffff:" + tail
	case [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0):
		return "::" + tail
	}
	return a.String()
}

func prefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return address(p.Addr())
	}
	return address(p.Masked().Addr()) + "/" + strconv.Itoa(p.Bits())
}

// iface translates -i and -o, where + at the end stands for anything.
func (t *translation) iface(key string, i *ir.Interface) {
	if i == nil {
		return
	}
	name, wild := strings.CutSuffix(i.Name, "+")
	switch {
	case name == "" && wild && i.Not:
		t.refuse("it never matches: every interface is one of +")
		return
	case name == "" && wild:
		return
	case strings.ContainsAny(name, "\"\\") || !plainText(name):
		t.refuse("nft cannot write the interface %q", name)
		return
	case wild:
		name += "*"
	case strings.HasSuffix(name, "*"):
		name = strings.TrimSuffix(name, "*") + `\*`
	}
	t.must(key + is(i.Not) + `"` + name + `"`)
}

// sayProtocol looks at the protocol alone.
func (t *translation) sayProtocol(p *ir.Protocol) {
	t.protocolSaid = true
	if p.Number == 0 && !p.Not {
		return
	}
	t.must("meta l4proto" + is(p.Not) + protocol(p.Number))
}

// protocol is a protocol as nft lists it: by the name that the host's list has for
// it, which is the one that iptables-save prints.
func protocol(n uint8) string { return xtables.ProtocolName(n) }

func (t *translation) match(m ir.Match) {
	switch m := m.(type) {
	case *ir.Comment: // the caller's
	case *ir.L4:
		t.layer4(m)
	case *ir.Multiport:
		t.multiport(m)
	case *ir.ICMP:
		t.icmp(m)
	case *ir.Conntrack:
		t.conntrack(m)
	case *ir.StateMatch:
		t.states(m.States, m.Not)
	case *ir.Mark:
		t.mark("meta mark", "mark", m.Not, m.Value, m.Mask)
	case *ir.Connmark:
		t.connmark(m)
	case *ir.AddrType:
		t.addrTypes(m)
	case *ir.Limit:
		t.limit(m)
	case *ir.Owner:
		t.owner(m)
	case *ir.MAC:
		t.must(fmt.Sprintf("ether saddr%s%02x:%02x:%02x:%02x:%02x:%02x", is(m.Not), m.Addr[0], m.Addr[1], m.Addr[2], m.Addr[3], m.Addr[4], m.Addr[5]))
	case *ir.SetMatch:
		t.set(m)
	case *ir.IPRange:
		t.ranges(m)
	case *ir.Length:
		t.must("meta length" + is(m.Not) + span(m.Low, m.High))
	case *ir.TTL:
		t.ttl(m)
	case *ir.Helper:
		t.helper(m)
	case *ir.PktType:
		t.must("meta pkttype" + is(m.Not) + map[string]string{"unicast": "host", "broadcast": "broadcast", "multicast": "multicast"}[m.Type])
	case *ir.Hashlimit:
		t.refuse("-m hashlimit has no equal: the entries of a dynamic set of nft live and expire in another way")
	case *ir.Physdev:
		t.refuse("-m physdev has no equal: a table of ip packets does not see the ports of a bridge")
	case *ir.RawMatch:
		t.raw(m)
	default:
		t.refuse("%T is not known", m)
	}
}

// raw translates of the matches that are kept as words those that the language has
// a word for.
func (t *translation) raw(m *ir.RawMatch) {
	switch m.Module {
	case "statistic":
		t.statistic(m)
	case "":
		t.refuse("%q is not understood", strings.Join(m.Args, " "))
	default:
		t.refuse("-m %s is not translated", m.Module)
	}
}

func span[T ~uint8 | ~uint16 | ~uint32](low, high T) string {
	if low == high {
		return strconv.FormatUint(uint64(low), 10)
	}
	return fmt.Sprintf("%d-%d", low, high)
}

func (t *translation) ranges(m *ir.IPRange) {
	for _, r := range []struct {
		field string
		not   bool
		*ir.AddrRange
	}{{"saddr", m.SourceNot, m.Source}, {"daddr", m.DestNot, m.Dest}} {
		switch {
		case r.AddrRange == nil:
		case r.High.Less(r.Low):
			t.refuse("the range %s-%s ends before it begins", r.Low, r.High)
		case r.Low == r.High:
			t.must(t.ip() + " " + r.field + is(r.not) + address(r.Low))
		default:
			t.must(t.ip() + " " + r.field + is(r.not) + address(r.Low) + "-" + address(r.High))
		}
	}
}

func (t *translation) ttl(m *ir.TTL) {
	left := "ip ttl"
	if m.V6 {
		left = "ip6 hoplimit"
	}
	op := map[string]string{"eq": is(m.Not), "lt": " < ", "gt": " > "}[m.Op]
	t.must(left + op + strconv.Itoa(int(m.Value)))
}

// owner translates who sent a packet. A packet without a socket matches neither a
// user nor its negation in nft, but every negation in iptables.
func (t *translation) owner(m *ir.Owner) {
	switch {
	case m.UIDNot || m.GIDNot:
		t.refuse("a negated -m owner also takes packets that no socket sent, which nft cannot ask for")
		return
	case m.SocketExists:
		t.refuse("-m owner --socket-exists has no equal")
		return
	case m.SupplGroups:
		t.refuse("-m owner --suppl-groups has no equal")
		return
	}
	if m.UID != nil {
		t.must("meta skuid " + span(m.UID.Low, m.UID.High))
	}
	if m.GID != nil {
		t.must("meta skgid " + span(m.GID.Low, m.GID.High))
	}
}

// addrTypes translates -m addrtype. For IPv4 both ask the routing table in the
// same way. For IPv6 iptables takes unicast, multicast and unspecified from the
// address alone, so that a local address is unicast too.
func (t *translation) addrTypes(m *ir.AddrType) {
	flag := ""
	switch {
	case m.LimitIfaceIn && m.LimitIfaceOut:
		t.refuse("an address type is limited to one interface, not to both")
	case m.LimitIfaceIn:
		flag = " . iif"
	case m.LimitIfaceOut:
		flag = " . oif"
	}
	t.addrType("saddr", flag, m.SourceNot, m.Source)
	t.addrType("daddr", flag, m.DestNot, m.Dest)
}

var addrTypes = []string{"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT"}

// addrClasses are the address types of IPv6 that the address alone decides.
var addrClasses = map[string]struct {
	not   bool
	addrs string
}{
	"UNSPEC":    {false, "::"},
	"MULTICAST": {false, "ff00::/8"},
	"UNICAST":   {true, "{ ::, ::ffff:0.0.0.0/96, ff00::/8 }"},
}

func (t *translation) addrType(field, flag string, not bool, types []string) {
	if types == nil {
		return
	}
	var names []string
	for _, n := range types {
		if !slices.Contains(addrTypes, n) {
			t.refuse("nft does not know the address type %s", n)
		}
		names = append(names, strings.ToLower(n))
	}
	if t.env.Family == ir.IPv6 {
		t.addrType6(field, flag, not, types)
		return
	}
	t.must("fib " + field + flag + " type" + is(not) + oneOf(names))
}

func (t *translation) addrType6(field, flag string, not bool, types []string) {
	if len(types) > 1 {
		t.refuse("iptables asks for all of several address types of IPv6 at once")
		return
	}
	class, byAddress := addrClasses[types[0]]
	switch {
	case byAddress:
		t.must("ip6 " + field + is(class.not != not) + class.addrs)
	case types[0] == "LOCAL" || types[0] == "ANYCAST":
		t.must("fib " + field + flag + " type" + is(not) + strings.ToLower(types[0]))
	default:
		t.refuse("nft has no equal for the address type %s of IPv6", types[0])
	}
}

// oneOf is a value, or a set of several.
func oneOf(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return "{ " + strings.Join(values, ", ") + " }"
}
