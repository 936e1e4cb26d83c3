package xtables

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Check finds what the tool or the kernel would refuse when the rule is
// committed, and what iptables would take and turn into something else. Table and
// chain may be empty. The errors name no bytes, because a spec has none.
func Check(s *ir.Spec, table, chain string, f ir.Family) []Error {
	c := checker{spec: s, table: table, chain: chain, family: f}
	c.core()
	for _, m := range s.Matches {
		c.match(m)
	}
	if s.Target != nil {
		c.target(s.Target)
	}
	if _, _, bad := controlCharacter(string(appendSpec(nil, s, f, 0)), false); bad {
		c.report(diag.ControlCharacter, "a rule cannot hold control characters or broken UTF-8")
	}
	return c.found
}

type checker struct {
	spec         *ir.Spec
	table, chain string
	family       ir.Family
	found        []Error
}

func (c *checker) report(code diag.Code, format string, args ...any) {
	c.found = append(c.found, Error{Code: code, Message: fmt.Sprintf(format, args...)})
}

// add takes an error of the parser's value checks.
func (c *checker) add(e *Error) {
	if e != nil {
		c.found = append(c.found, Error{Code: e.Code, Message: e.Message, Help: e.Help})
	}
}

// inverted reports the negation of a condition that holds for every packet: it
// never matches, but iptables drops several of these from the rule, which then
// always matches.
func (c *checker) inverted(what string) {
	c.report(diag.Inverted, "%s never matches, and versions of iptables turn such a rule into one that always does", what)
}

// place reports a match or target that cannot stand where the rule stands.
func (c *checker) place(what string, p place) {
	tableOK, chainOK := p.allows(c.table, c.chain)
	switch {
	case !tableOK:
		c.report(diag.BadTarget, "%s works in table %s only, not in %s", what, strings.Join(p.tables, " and "), c.table)
	case !chainOK:
		c.report(diag.BadTarget, "%s works in %s only, not in %s", what, strings.Join(p.chains, ", "), c.chain)
	}
}

func (c *checker) core() {
	s := c.spec
	c.address("-s", s.Source)
	c.address("-d", s.Destination)
	c.iface("-i", s.In, arriving)
	c.iface("-o", s.Out, leaving)
	if p := s.Protocol; p != nil && p.Not && p.Number == 0 {
		c.report(diag.NothingMatches, "a rule for no protocol never matches")
	}
	if s.Fragment != 0 && c.family == ir.IPv6 {
		c.report(diag.FamilyMismatch, "-f is for IPv4 only")
	}
}

func (c *checker) address(option string, a *ir.Address) {
	if a == nil {
		return
	}
	c.ip(a.Prefix.Addr())
	if a.Not && (a.Prefix.Bits() == 0 || a.Mask.IsValid() && a.Mask.IsUnspecified()) {
		c.inverted(fmt.Sprintf("`! %s %s`", option, a.Prefix))
	}
}

func (c *checker) ip(a netip.Addr) {
	if a.IsValid() && a.Is4() != (c.family == ir.IPv4) {
		c.report(diag.FamilyMismatch, "%s is no %s address", a, c.family)
	}
}

func (c *checker) iface(option string, i *ir.Interface, chains []string) {
	if i == nil {
		return
	}
	c.add(checkIface(Word{Text: i.Name}))
	if i.Not && i.Name == "+" {
		c.inverted("`! " + option + " +`")
	}
	c.place(option, place{chains: chains})
}

// protocol tells whether the rule is for one of these protocols.
func (c *checker) protocol(numbers ...uint8) bool {
	p := c.spec.Protocol
	return p != nil && !p.Not && slices.Contains(numbers, p.Number)
}

// needsProtocol asks for what a module of the tables asks for.
func (c *checker) needsProtocol(title string, m *module) {
	if m == nil || m.protocols == nil || c.protocol(m.protocols...) {
		return
	}
	var names []string
	for _, n := range m.protocols {
		names = append(names, "-p "+protocolName(n))
	}
	c.report(diag.RuleText, "%s needs %s", title, strings.Join(names, " or "))
}

// knownMatch checks what the table of modules says about a match.
func (c *checker) knownMatch(name string) {
	m, other := find(matchModules, name, c.family)
	if m == nil && other {
		c.report(diag.FamilyMismatch, "the match %s does not exist for %s", name, c.family)
	}
	c.needsProtocol("-m "+name, m)
	if p, ok := matchPlaces[name]; ok {
		c.place("-m "+name, p)
	}
}

// ipv4AddrTypes are types of addresses that the kernel only tells for IPv4.
var ipv4AddrTypes = []string{"BROADCAST", "BLACKHOLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE"}

func (c *checker) addrTypes(types []string) {
	for _, t := range types {
		if c.family == ir.IPv6 && slices.Contains(ipv4AddrTypes, t) {
			c.report(diag.FamilyMismatch, "the address type %s is for IPv4 only", t)
		}
	}
}

const maxPort = math.MaxUint16

func (c *checker) ports(option string, p *ir.Ports) {
	switch {
	case p == nil:
	case p.Low > p.High:
		c.report(diag.InvalidValue, "%s: the range %d:%d ends before it begins", option, p.Low, p.High)
	case p.Not && p.Low == 0 && p.High == maxPort:
		c.inverted("`! " + option + " 0:65535`")
	}
}

func (c *checker) match(m ir.Match) {
	switch m := m.(type) {
	case *ir.Comment:
		c.add(fits(Word{Text: m.Text}, "a comment", maxComment))
	case *ir.L4:
		c.knownMatch(m.Module)
		c.ports("--sport", m.Source)
		c.ports("--dport", m.Dest)
		if m.Source.RefusesOne() && m.Dest.RefusesOne() && (m.Module == "tcp" || m.Module == "udp") {
			c.report(diag.RuleDialect, "`! --sport %d ! --dport %d`: iptables-nft 1.8.9 compares both at once, and a packet with one of the ports matches",
				m.Source.Low, m.Dest.Low)
			c.found[len(c.found)-1].Help = fmt.Sprintf("say one of them with multiport: `-m multiport ! --dports %d`", m.Dest.Low)
		}
		if fl := m.Flags; fl != nil && fl.Not && fl.Mask == 0 && fl.Comp == 0 {
			c.inverted("`! --tcp-flags NONE NONE`")
		}
		if (m.Flags != nil || m.Option != nil) && m.Module != "tcp" {
			c.report(diag.RuleText, "-m %s has no TCP flags and options", m.Module)
		}
		c.words(m.Rest)
	case *ir.Multiport:
		c.multiport(m)
	case *ir.Conntrack:
		c.words(m.Rest)
		if len(m.States) == 0 && len(m.Rest) == 0 {
			c.report(diag.RuleText, "-m conntrack needs at least one option")
		}
	case *ir.StateMatch:
		if len(m.States) == 0 {
			c.report(diag.RuleText, "-m state needs --state")
		}
	case *ir.Mark:
		c.mark("mark", m.Not, m.Value, m.Mask)
	case *ir.Connmark:
		c.mark("connmark", m.Not, m.Value, m.Mask)
	case *ir.ICMP:
		name := "icmp"
		if m.V6 {
			name = "icmp6"
		}
		c.knownMatch(name)
		if m.Not && m.Any {
			c.report(diag.Inverted, "`! --icmp-type any` never matches")
		}
		if m.CodeLow != m.CodeHigh && (m.CodeLow != 0 || m.CodeHigh != 0xff) {
			c.report(diag.InvalidValue, "-m %s matches one code or all of them", name)
		}
	case *ir.AddrType:
		c.addrTypes(m.Source)
		c.addrTypes(m.Dest)
		if m.LimitIfaceIn {
			c.place("--limit-iface-in", place{chains: arriving})
		}
		if m.LimitIfaceOut {
			c.place("--limit-iface-out", place{chains: leaving})
		}
	case *ir.Limit, *ir.Hashlimit, *ir.PktType, *ir.Helper:
	case *ir.Owner:
		c.knownMatch("owner")
		c.ids("--uid-owner", m.UIDNot, m.UID)
		c.ids("--gid-owner", m.GIDNot, m.GID)
	case *ir.MAC:
		c.knownMatch("mac")
	case *ir.Physdev:
		c.physdev(m)
	case *ir.SetMatch:
		c.add(checkSetName(Word{Text: m.Name}))
		if len(m.Dirs) == 0 || len(m.Dirs) > 6 {
			c.report(diag.InvalidValue, "a set is matched with 1 to 6 directions")
		}
	case *ir.IPRange:
		c.addrRange("--src-range", m.SourceNot, m.Source)
		c.addrRange("--dst-range", m.DestNot, m.Dest)
	case *ir.Length:
		if m.Not && m.Low == 0 && m.High == math.MaxUint16 {
			c.inverted("`! --length 0:65535`")
		}
		if m.Low > m.High {
			c.report(diag.InvalidValue, "the length %d:%d ends before it begins", m.Low, m.High)
		}
	case *ir.TTL:
		if m.V6 != (c.family == ir.IPv6) {
			c.report(diag.FamilyMismatch, "-m ttl is for IPv4 and -m hl for IPv6")
		}
		if m.Not && m.Op != "eq" {
			c.report(diag.RuleText, "--ttl-%s cannot be negated", m.Op)
		}
	case *ir.RawMatch:
		c.raw(m)
	default:
		c.report(diag.RuleText, "the match %T is not known", m)
	}
}

// raw checks an undecoded match.
func (c *checker) raw(m *ir.RawMatch) {
	if m.Module != "" {
		c.knownMatch(m.Module)
	}
	c.words(m.Args)
	has := func(option, value string) bool {
		i := slices.Index(m.Args, option)
		return i >= 0 && i+1 < len(m.Args) && (value == "" || m.Args[i+1] == value)
	}
	switch m.Module {
	case "policy":
		if has("--dir", "in") {
			c.place("--dir in", place{chains: arriving})
		} else {
			c.place("--dir out", place{chains: leaving})
		}
	case "devgroup":
		if has("--src-group", "") {
			c.place("--src-group", place{chains: arriving})
		}
		if has("--dst-group", "") {
			c.place("--dst-group", place{chains: leaving})
		}
	}
}

// fullRanges are the values of undecoded options that hold for every packet.
var fullRanges = map[string][]string{
	"--mss": {"0:65535"}, "--ctorigsrcport": {"0:65535"}, "--ctorigdstport": {"0:65535"},
	"--ctreplsrcport": {"0:65535"}, "--ctrepldstport": {"0:65535"},
	"--ctexpire": {"0:4294967295"}, "--ahspi": {"0:4294967295"}, "--espspi": {"0:4294967295"},
	"--ipcompspi": {"0:4294967295"}, "--fragid": {"0:4294967295"}, "--rt-segsleft": {"0:4294967295"},
	"--mh-type": {"0:255"}, "--connbytes": {"0", "0:18446744073709551615"},
	"--ctorigsrc": {"0.0.0.0/0", "::/0"}, "--ctorigdst": {"0.0.0.0/0", "::/0"},
	"--ctreplsrc": {"0.0.0.0/0", "::/0"}, "--ctrepldst": {"0.0.0.0/0", "::/0"},
}

// words looks for negated full ranges in undecoded options.
func (c *checker) words(args []string) {
	for i := 0; i+2 < len(args); i++ {
		if args[i] == "!" && slices.Contains(fullRanges[args[i+1]], args[i+2]) {
			c.inverted("`! " + args[i+1] + " " + args[i+2] + "`")
		}
	}
}

// multiport also adds the ranges up: together they can be everything.
func (c *checker) multiport(m *ir.Multiport) {
	c.knownMatch("multiport")
	if !slices.Contains([]string{"sports", "dports", "ports"}, m.Kind) || len(m.Ports) == 0 {
		c.report(diag.RuleText, "-m multiport needs --sports, --dports or --ports")
	}
	if n := multiportSlots(m); n > maxMultiport {
		c.report(diag.TooLong, "-m multiport holds at most %d ports, a range counts as two, and these are %d", maxMultiport, n)
	}
	sorted := slices.Clone(m.Ports)
	slices.SortFunc(sorted, func(a, b ir.PortRange) int { return int(a.Low) - int(b.Low) })
	next := 0 // all ports below are covered
	for _, r := range sorted {
		if r.Low > r.High {
			c.report(diag.InvalidValue, "the range %d:%d ends before it begins", r.Low, r.High)
		}
		if int(r.Low) > next {
			break
		}
		next = max(next, int(r.High)+1)
	}
	if m.Not && next > maxPort {
		c.inverted("`! --" + m.Kind + "` of all ports")
	}
}

func (c *checker) mark(module string, negated bool, value, mask uint32) {
	if negated && value == 0 && mask == 0 {
		c.inverted("`-m " + module + " ! --mark 0x0/0x0`")
	}
}

func (c *checker) ids(option string, negated bool, r *ir.IDRange) {
	switch {
	case r == nil:
	case r.Low > r.High:
		c.report(diag.InvalidValue, "%s: the range %d-%d ends before it begins", option, r.Low, r.High)
	case negated && r.Low == 0 && r.High >= math.MaxUint32-1:
		c.inverted("`! " + option + "` of all numbers")
	}
}

func (c *checker) physdev(m *ir.Physdev) {
	for _, i := range []*ir.Interface{m.In, m.Out} {
		if i == nil {
			continue
		}
		c.add(checkIface(Word{Text: i.Name}))
		if i.Not && i.Name == "+" {
			c.inverted("`-m physdev` with `! +`")
		}
	}
	if (m.Out != nil || m.IsOut || m.NotIsOut) && !m.IsBridged {
		c.place("--physdev-out without --physdev-is-bridged", place{chains: []string{"PREROUTING", "INPUT", "FORWARD", "POSTROUTING"}})
	}
}

func (c *checker) addrRange(option string, negated bool, r *ir.AddrRange) {
	if r == nil {
		return
	}
	c.ip(r.Low)
	c.ip(r.High)
	if r.High.Less(r.Low) {
		c.report(diag.Inverted, "%s: the range %s-%s ends before it begins", option, r.Low, r.High)
	}
	if negated && r.Low.IsUnspecified() && !r.High.Next().IsValid() {
		c.inverted("`! " + option + "` of all addresses")
	}
}
