package raise

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl"
)

// builder makes match and not of a rule's parts. why says what cannot be said,
// after which the rest does not matter.
type builder struct {
	is, not []*dsl.Entry
	why     string
}

func (b *builder) cannot(format string, args ...any) {
	if b.why == "" {
		b.why = fmt.Sprintf(format, args...)
	}
}

func scalar(text string) *dsl.Value { return &dsl.Value{Text: dsl.NewWord(text)} }

// free is a scalar that is any text: what looks like a number is quoted.
func free(text string) *dsl.Value { return &dsl.Value{Text: dsl.NewText(text)} }

func list(texts []string) *dsl.Value {
	if len(texts) == 1 {
		return scalar(texts[0])
	}
	out := &dsl.Value{Kind: dsl.Sequence}
	for _, t := range texts {
		out.Items = append(out.Items, scalar(t))
	}
	return out
}

func entry(key string, v *dsl.Value) *dsl.Entry { return &dsl.Entry{Key: dsl.NewWord(key), Value: v} }

func mapping(entries ...*dsl.Entry) *dsl.Value {
	return &dsl.Value{Kind: dsl.Mapping, Entries: slices.DeleteFunc(entries, func(e *dsl.Entry) bool { return e == nil })}
}

// some is an entry, or nil without a text.
func some(key, text string) *dsl.Entry {
	if text == "" {
		return nil
	}
	return entry(key, scalar(text))
}

// add says a key under match or not. A key that is there already would be a list
// of which any holds, where both have to.
func (b *builder) add(not bool, key string, v *dsl.Value) {
	side := &b.is
	if not {
		side = &b.not
	}
	switch e := find(*side, key); {
	case e == nil:
		*side = append(*side, entry(key, v))
	case not: // none of these
		e.Value = joined(e.Value, v)
	default:
		b.cannot("two conditions on %s", key)
	}
}

// joined is a list of the items of both.
func joined(a, b *dsl.Value) *dsl.Value {
	out := &dsl.Value{Kind: dsl.Sequence}
	for _, v := range []*dsl.Value{a, b} {
		if v.Kind == dsl.Sequence {
			out.Items = append(out.Items, v.Items...)
		} else {
			out.Items = append(out.Items, v)
		}
	}
	return out
}

// nest says a key inside another one.
func (b *builder) nest(not bool, outer, inner string, v *dsl.Value) {
	side := &b.is
	if not {
		side = &b.not
	}
	if e := find(*side, outer); e != nil {
		if find(e.Value.Entries, inner) != nil {
			b.cannot("two conditions on %s %s", outer, inner)
			return
		}
		e.Value.Entries = append(e.Value.Entries, entry(inner, v))
		return
	}
	*side = append(*side, entry(outer, mapping(entry(inner, v))))
}

func find(list []*dsl.Entry, key string) *dsl.Entry {
	for _, e := range list {
		if e.Key.Value == key {
			return e
		}
	}
	return nil
}

// structured turns a decoded rule into one with match and action. It is nil where
// the language has no word for a part; why names the part.
func structured(s *ir.Spec) (rule *dsl.Rule, why string) {
	b := &builder{}
	b.core(s)
	rule = &dsl.Rule{}
	for _, m := range s.Matches {
		if c, ok := m.(*ir.Comment); ok {
			rule.Comments = append(rule.Comments, dsl.NewText(c.Text))
			continue
		}
		b.match(m, s)
	}
	if s.Target != nil {
		rule.Action = b.action(s.Target)
	}
	if b.why != "" {
		return nil, b.why
	}
	if len(b.is)+len(b.not) > 0 {
		rule.Match = &dsl.Match{Keys: b.is, Not: b.not}
	}
	return rule, ""
}

// core are -p, -s, -d, -i and -o.
func (b *builder) core(s *ir.Spec) {
	if p := s.Protocol; p != nil && (p.Number != 0 || p.Not) {
		b.add(p.Not, "protocol", scalar(protocolName(p.Number)))
	}
	b.address("source", s.Source)
	b.address("destination", s.Destination)
	if s.In != nil {
		b.add(s.In.Not, "in", free(s.In.Name))
	}
	if s.Out != nil {
		b.add(s.Out.Not, "out", free(s.Out.Name))
	}
	if s.Fragment != 0 {
		b.cannot("-f")
	}
}

// protocolName is the name that rulesets use, or the number.
func protocolName(n uint8) string {
	if n == 58 {
		return "icmpv6" // iptables prints ipv6-icmp
	}
	return xtables.ProtocolName(n)
}

func (b *builder) address(key string, a *ir.Address) {
	switch {
	case a == nil:
	case a.Mask.IsValid():
		b.cannot("a mask that is no prefix")
	default:
		b.add(a.Not, key, scalar(prefix(a.Prefix)))
	}
}

func prefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// match says one match of a rule.
func (b *builder) match(m ir.Match, s *ir.Spec) {
	switch m := m.(type) {
	case *ir.L4:
		b.layer4(m, s)
	case *ir.Multiport:
		key, known := map[string]string{"sports": "sport", "dports": "dport"}[m.Kind]
		if !known {
			b.cannot("-m multiport --ports")
			return
		}
		var texts []string
		for _, r := range m.Ports {
			texts = append(texts, ports(r))
		}
		b.add(m.Not, key, list(texts))
	case *ir.Conntrack:
		if len(m.Rest) > 0 || len(m.States) == 0 {
			b.cannot("-m conntrack beyond --ctstate")
			return
		}
		b.add(m.Not, "state", list(lowerCase(m.States)))
	case *ir.Mark:
		b.add(m.Not, "mark", scalar(masked(m.Value, m.Mask)))
	case *ir.Connmark:
		b.add(m.Not, "ctmark", scalar(masked(m.Value, m.Mask)))
	case *ir.ICMP:
		b.icmp(m)
	case *ir.AddrType:
		if m.LimitIfaceIn || m.LimitIfaceOut {
			b.cannot("-m addrtype --limit-iface-in/-out")
		}
		if m.Source != nil {
			b.nest(m.SourceNot, "addrtype", "source", list(m.Source))
		}
		if m.Dest != nil {
			b.nest(m.DestNot, "addrtype", "destination", list(m.Dest))
		}
	case *ir.Limit:
		if m.Burst == 5 {
			b.add(false, "limit", scalar(rate(m.Rate)))
		} else {
			b.add(false, "limit", mapping(some("rate", rate(m.Rate)), some("burst", strconv.Itoa(int(m.Burst)))))
		}
	case *ir.Hashlimit:
		b.hashlimit(m)
	case *ir.Owner:
		if m.SocketExists || m.SupplGroups {
			b.cannot("-m owner beyond users and groups")
		}
		if m.UID != nil {
			b.nest(m.UIDNot, "owner", "uid", scalar(ids(*m.UID)))
		}
		if m.GID != nil {
			b.nest(m.GIDNot, "owner", "gid", scalar(ids(*m.GID)))
		}
	case *ir.MAC:
		b.add(m.Not, "mac", free(fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m.Addr[0], m.Addr[1], m.Addr[2], m.Addr[3], m.Addr[4], m.Addr[5])))
	case *ir.Physdev:
		if m.IsIn || m.IsOut || m.NotIsIn || m.NotIsOut {
			b.cannot("-m physdev --physdev-is-in/-out")
		}
		if m.IsBridged || m.NotIsBridged {
			b.nest(m.NotIsBridged, "physdev", "bridged", scalar("true"))
		}
		if m.In != nil {
			b.nest(m.In.Not, "physdev", "in", free(m.In.Name))
		}
		if m.Out != nil {
			b.nest(m.Out.Not, "physdev", "out", free(m.Out.Name))
		}
	case *ir.SetMatch:
		b.set(m)
	case *ir.IPRange:
		if m.Source != nil {
			b.add(m.SourceNot, "source", scalar(m.Source.Low.String()+"-"+m.Source.High.String()))
		}
		if m.Dest != nil {
			b.add(m.DestNot, "destination", scalar(m.Dest.Low.String()+"-"+m.Dest.High.String()))
		}
	case *ir.Length:
		b.add(m.Not, "length", scalar(ports(ir.PortRange{Low: m.Low, High: m.High})))
	case *ir.TTL:
		op := map[string]string{"eq": "", "lt": "<", "gt": ">"}[m.Op]
		b.add(m.Not, "ttl", scalar(op+strconv.Itoa(int(m.Value))))
	case *ir.Helper:
		b.add(m.Not, "helper", free(m.Name))
	case *ir.RawMatch:
		b.raw(m)
	default:
		b.cannot("-m %s", moduleOf(m))
	}
}

// moduleOf is the name behind -m of a match that the language does not have.
func moduleOf(m ir.Match) string {
	switch m := m.(type) {
	case *ir.StateMatch:
		return "state"
	case *ir.PktType:
		return "pkttype"
	case *ir.RawMatch:
		return m.Module
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", m), "*ir."))
}

// l4Protocols are the protocols of the modules with ports.
var l4Protocols = map[string]uint8{"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132}

func (b *builder) layer4(m *ir.L4, s *ir.Spec) {
	p := s.Protocol
	switch {
	case p == nil || p.Not || l4Protocols[m.Module] != p.Number:
		b.cannot("-m %s without its protocol", m.Module)
		return
	case m.Option != nil || len(m.Rest) > 0:
		b.cannot("-m %s beyond ports and flags", m.Module)
		return
	}
	if m.Source != nil {
		b.add(m.Source.Not, "sport", scalar(ports(m.Source.PortRange)))
	}
	if m.Dest != nil {
		b.add(m.Dest.Not, "dport", scalar(ports(m.Dest.PortRange)))
	}
	if m.Source == nil && m.Dest == nil && m.Flags == nil {
		// A packet that has ports, whichever: no later fragment.
		key := "dport"
		for _, o := range s.Matches {
			if mp, ok := o.(*ir.Multiport); ok && mp.Kind == "dports" {
				key = "sport"
			}
		}
		b.add(false, key, scalar("0-65535"))
	}
	if f := m.Flags; f != nil {
		text := flags(f.Mask) + " " + flags(f.Comp)
		if f.Mask == 23 && f.Comp == 2 {
			text = "syn"
		}
		b.add(f.Not, "tcpFlags", scalar(text))
	}
}

var flagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

func flags(bits uint8) string {
	var out []string
	for i, n := range flagNames {
		if bits&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return "NONE"
	}
	return strings.Join(out, ",")
}

func (b *builder) icmp(m *ir.ICMP) {
	key := "icmpType"
	if m.V6 {
		key = "icmpv6Type"
	}
	text := strconv.Itoa(int(m.Type))
	switch {
	case m.Any:
		b.cannot("-m icmp --icmp-type any")
		return
	case m.CodeLow == m.CodeHigh:
		text += "/" + strconv.Itoa(int(m.CodeLow))
	case m.CodeLow != 0 || m.CodeHigh != 0xff:
		b.cannot("a range of ICMP codes")
		return
	default:
		text = icmpName(m.V6, m.Type)
	}
	b.add(m.Not, key, scalar(text))
}

// icmpName is the usual name of an ICMP type, or its number.
func icmpName(v6 bool, t uint8) string {
	names := map[uint8]string{0: "echo-reply", 3: "destination-unreachable", 8: "echo-request", 11: "time-exceeded", 12: "parameter-problem"}
	if v6 {
		names = map[uint8]string{
			1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem", 128: "echo-request",
			129: "echo-reply", 130: "mld-listener-query", 131: "mld-listener-report", 132: "mld-listener-done",
			133: "router-solicitation", 134: "router-advertisement", 135: "neighbour-solicitation", 136: "neighbour-advertisement",
			137: "redirect", 143: "mld2-listener-report",
		}
	}
	if n, known := names[t]; known {
		return n
	}
	return strconv.Itoa(int(t))
}

func (b *builder) set(m *ir.SetMatch) {
	if len(m.Rest) > 0 || len(m.Dirs) != 1 {
		b.cannot("-m set of several dimensions or with options")
		return
	}
	key := "source"
	if m.Dirs[0] == "dst" {
		key = "destination"
	}
	b.add(m.Not, key, mapping(entry("set", free(m.Name))))
}

// raw says the matches that the language has and the model keeps as words.
func (b *builder) raw(m *ir.RawMatch) {
	if m.Module != "statistic" {
		b.cannot("-m %s", m.Module)
		return
	}
	not, words := false, map[string]string{}
	for i := 0; i < len(m.Args); i++ {
		if m.Args[i] == "!" {
			not = true
		} else if i+1 < len(m.Args) {
			words[m.Args[i]] = m.Args[i+1]
			i++
		}
	}
	switch words["--mode"] {
	case "random":
		p := words["--probability"]
		if strings.Contains(p, ".") {
			p = strings.TrimSuffix(strings.TrimRight(p, "0"), ".")
		}
		b.add(not, "statistic", mapping(some("probability", p)))
	case "nth":
		packet := words["--packet"]
		if packet == "0" {
			packet = ""
		}
		b.add(not, "statistic", mapping(some("every", words["--every"]), some("packet", packet)))
	default:
		b.cannot("-m statistic")
	}
}

func (b *builder) hashlimit(m *ir.Hashlimit) {
	known := map[string]string{
		"--hashlimit-upto": "upto", "--hashlimit-above": "above", "--hashlimit-burst": "burst", "--hashlimit-mode": "mode",
		"--hashlimit-name": "name", "--hashlimit-srcmask": "srcmask", "--hashlimit-dstmask": "dstmask",
		"--hashlimit-htable-size": "htableSize", "--hashlimit-htable-max": "htableMax", "--hashlimit-htable-expire": "htableExpire",
	}
	v := mapping()
	for i := 0; i < len(m.Options); i += 2 {
		key := known[m.Options[i]]
		if key == "" || i+1 == len(m.Options) {
			b.cannot("-m hashlimit %s", m.Options[i])
			return
		}
		switch text := m.Options[i+1]; key {
		case "upto", "above":
			v.Entries = append(v.Entries, entry(key, scalar(rate(text))))
		case "mode":
			v.Entries = append(v.Entries, entry(key, list(strings.Split(text, ","))))
		case "name":
			v.Entries = slices.Insert(v.Entries, 0, entry(key, free(text)))
		case "burst":
			if text != "5" {
				v.Entries = append(v.Entries, entry(key, scalar(text)))
			}
		default:
			v.Entries = append(v.Entries, entry(key, scalar(text)))
		}
	}
	b.add(false, "hashlimit", v)
}

// rate is a rate with the unit written out: 5/min is 5/minute.
func rate(text string) string {
	n, unit, _ := strings.Cut(text, "/")
	if long, known := map[string]string{"sec": "second", "min": "minute"}[unit]; known {
		return n + "/" + long
	}
	return text
}

func ports(r ir.PortRange) string {
	if r.Low == r.High {
		return strconv.Itoa(int(r.Low))
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

func ids(r ir.IDRange) string {
	if r.Low == r.High {
		return strconv.FormatUint(uint64(r.Low), 10)
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

func masked(value, mask uint32) string {
	if mask == 0xffffffff {
		return fmt.Sprintf("0x%x", value)
	}
	return fmt.Sprintf("0x%x/0x%x", value, mask)
}

func lowerCase(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}
