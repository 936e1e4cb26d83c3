package nftables

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// target translates what the rule does.
func (t *translation) target(target ir.Target) {
	switch x := target.(type) {
	case nil:
	case *ir.Verdict:
		t.verdict(x.Name)
	case *ir.Jump:
		word := "jump "
		if x.Goto {
			word = "goto "
		}
		t.last = []string{word + ChainName(t.env.Table, x.Chain)}
	case *ir.Reject:
		t.reject(x.With)
	case *ir.Log:
		t.log(x)
	case *ir.NFLog:
		t.nflog(x)
	case *ir.NAT:
		t.nat(x)
	case *ir.Masquerade:
		t.last = []string{"masquerade" + ports(x.HasPorts, x.Ports) + natFlags(x.Random, x.RandomFully, false)}
	case *ir.Redirect:
		if x.HasBase {
			t.refuse("REDIRECT with a base port has no equal")
		}
		t.last = []string{"redirect" + ports(x.HasPorts, x.Ports) + natFlags(x.Random, false, false)}
	case *ir.SetMark:
		t.last = []string{"meta mark set " + changed("meta mark", x.Value, x.Mask)}
	case *ir.SetConnmark:
		t.setConnmark(x)
	case *ir.CT:
		t.ct(x)
	case *ir.TCPMSS:
		size := "rt mtu"
		if !x.Clamp {
			size = strconv.Itoa(int(x.Set))
		}
		t.last = []string{"tcp option maxseg size set " + size}
	case *ir.TProxy:
		t.tproxy(x)
	case *ir.SetDSCP:
		t.counts, t.last = true, []string{t.ip() + " dscp set " + dscp(x.Value)}
	case *ir.RawTarget:
		t.refuse("-j %s is not translated", x.Name)
	default:
		t.refuse("%T is not known", x)
	}
}

func (t *translation) verdict(name string) {
	switch name {
	case "ACCEPT", "DROP", "RETURN":
		t.last = []string{strings.ToLower(name)}
	default:
		t.refuse("-j %s is not translated", name)
	}
}

// rejectBoth are the answers that have a word for both families, by the words of
// iptables; rejectOne those that one family has.
var (
	rejectBoth = map[string]string{
		"icmp-port-unreachable": "port-unreachable", "icmp6-port-unreachable": "port-unreachable",
		"icmp-host-unreachable": "host-unreachable", "icmp6-addr-unreachable": "host-unreachable",
		"icmp-net-unreachable": "no-route", "icmp6-no-route": "no-route",
		"icmp-admin-prohibited": "admin-prohibited", "icmp6-adm-prohibited": "admin-prohibited",
	}
	rejectOne = map[string]string{
		"icmp-port-unreachable": "icmp port-unreachable", "icmp6-port-unreachable": "icmpv6 port-unreachable",
		"icmp-host-unreachable": "icmp host-unreachable", "icmp6-addr-unreachable": "icmpv6 addr-unreachable",
		"icmp-net-unreachable": "icmp net-unreachable", "icmp6-no-route": "icmpv6 no-route",
		"icmp-admin-prohibited": "icmp admin-prohibited", "icmp6-adm-prohibited": "icmpv6 admin-prohibited",
		"icmp-proto-unreachable": "icmp prot-unreachable", "icmp-net-prohibited": "icmp net-prohibited",
		"icmp-host-prohibited": "icmp host-prohibited", "icmp6-policy-fail": "icmpv6 policy-fail", "icmp6-reject-route": "icmpv6 reject-route",
	}
)

// reject translates REJECT. Such a rule counts always, as one that sets a DSCP does:
// without a counter between them nft does not list the looks at family and protocol
// that stand in front, and rules that mean different things would read the same.
func (t *translation) reject(with string) {
	t.counts = true
	both, isBoth := rejectBoth[with]
	one, known := rejectOne[with]
	switch {
	case with == "tcp-reset":
		t.last = []string{"reject with tcp reset"}
	case !known:
		t.refuse("REJECT --reject-with %s has no equal", with)
	case t.env.Kind == Inet && isBoth:
		t.last = []string{"reject with icmpx " + both}
	case t.env.Kind != Inet && both == "port-unreachable":
		t.last = []string{"reject"}
	default:
		t.last = []string{"reject with " + one}
	}
}

var logLevels = []string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}

// prefix writes the prefix of a log. nft takes $ in it for one of its variables,
// and has no way to write a quote.
func (t *translation) prefix(s string) string {
	switch {
	case s == "":
		return ""
	case strings.ContainsAny(s, "\"$") || !plainText(s):
		t.refuse("nft cannot write the prefix %q: it has no quotes for \" and $", s)
	}
	return ` prefix "` + s + `"`
}

func (t *translation) log(x *ir.Log) {
	s := "log" + t.prefix(x.Prefix)
	if int(x.Level) < len(logLevels) && x.Level != 4 {
		s += " level " + logLevels[x.Level]
	}
	if int(x.Level) >= len(logLevels) {
		t.refuse("there is no log level %d", x.Level)
	}
	var tcp, flags []string
	for _, f := range []struct {
		on   bool
		list *[]string
		name string
	}{
		{x.TCPSequence, &tcp, "sequence"},
		{x.TCPOptions, &tcp, "options"},
		{x.IPOptions, &flags, "ip options"},
		{x.UID, &flags, "skuid"},
		{x.MACDecode, &flags, "ether"},
	} {
		if f.on {
			*f.list = append(*f.list, f.name)
		}
	}
	if len(tcp) > 0 {
		flags = append([]string{"tcp " + strings.Join(tcp, ",")}, flags...)
	}
	switch {
	case len(tcp) == 2 && len(flags) == 4:
		s += " flags all"
	case len(flags) > 0:
		s += " flags " + strings.Join(flags, " flags ")
	}
	t.last = []string{s}
}

func (t *translation) nflog(x *ir.NFLog) {
	s := "log" + t.prefix(x.Prefix) + " group " + strconv.Itoa(int(x.Group))
	if x.Size >= 0 {
		s += " snaplen " + strconv.FormatInt(x.Size, 10)
	}
	if x.Threshold > 0 {
		s += " queue-threshold " + strconv.Itoa(int(x.Threshold))
	}
	t.last = []string{s}
}

// changed is a mark with the bits of a mask put out and those of a value turned
// over, in the words that nft lists: bits that are put out or set are a mask with
// ones, the others are turned over.
func changed(what string, value, mask uint32) string {
	if mask == ^uint32(0) {
		return hex(value)
	}
	set, flip := value&mask, value&^mask
	s := what
	if keep := ^mask | set; keep != ^uint32(0) {
		s += " & " + hex(keep)
	}
	if flip != 0 {
		s += " ^ " + hex(flip)
	}
	if set != 0 {
		s += " | " + hex(set)
	}
	return s
}

// setConnmark translates CONNMARK. nft computes with one mark at a time: bits of
// one mark that are put among those of another cannot be said.
func (t *translation) setConnmark(x *ir.SetConnmark) {
	const all = ^uint32(0)
	to, from, keep, take := "ct mark", "meta mark", x.CTMask, x.NFMask
	if x.Op == "restore" {
		to, from, keep, take = from, to, x.NFMask, x.CTMask
	}
	switch {
	case x.Op == "set":
		t.last = []string{"ct mark set " + changed("ct mark", x.Value, x.Mask)}
	case keep != all:
		t.refuse("CONNMARK --%s-mark under a mask has no equal: nft cannot mix the bits of two marks", x.Op)
	case take != all:
		t.last = []string{to + " set " + from + " & " + hex(take)}
	default:
		t.last = []string{to + " set " + from}
	}
}

// ct translates CT and NOTRACK.
func (t *translation) ct(x *ir.CT) {
	switch {
	case x.Helper != "":
		t.refuse("CT --helper has no equal: nft gives a connection its helper behind connection tracking, not ahead of it")
	case len(x.Rest) > 0:
		t.refuse("CT %s has no equal", strings.Join(x.Rest, " "))
	case x.NoTrack && x.Zone != nil:
		t.refuse("CT with both --notrack and --zone is not translated")
	case x.NoTrack:
		t.last = []string{"notrack"}
	case x.Zone == nil:
		t.refuse("CT without options does nothing but keep later rules from saying notrack")
	default:
		dir := map[string]string{"": "", "orig": "original ", "reply": "reply "}[x.ZoneDir]
		// iptables leaves alone what notrack was said for; nft would track it again.
		t.last = []string{"ct state ! untracked", fmt.Sprintf("ct %szone set %d", dir, *x.Zone)}
	}
}

// tproxy translates TPROXY, which accepts a packet that has a socket and drops one
// that has none, where nft goes on with the next rule: the drop is a rule of its
// own behind it.
func (t *translation) tproxy(x *ir.TProxy) {
	s := "tproxy to"
	if t.env.Kind == Inet {
		s = "tproxy " + t.ip() + " to"
	}
	any := !x.Addr.IsValid() || x.Addr.IsUnspecified()
	switch {
	case any && x.Port == 0:
		t.refuse("TPROXY without a port and an address has no equal")
	case any:
		s += fmt.Sprintf(" :%d", x.Port)
	case x.Port == 0:
		s += " " + address(x.Addr)
	default:
		s += " " + natAddress(x.Addr, true) + ":" + strconv.Itoa(int(x.Port))
	}
	t.last = []string{s}
	if x.Mask != 0 || x.Value != 0 {
		t.last = append(t.last, "meta mark set "+changed("meta mark", x.Value, x.Mask))
	}
	t.last = append(t.last, "accept")
	t.otherwise = []string{"drop"}
}

// nat translates DNAT and SNAT.
func (t *translation) nat(x *ir.NAT) {
	s := "snat"
	if x.Dest {
		s = "dnat"
	}
	r := x.To
	switch {
	case r.HasBase:
		t.refuse("DNAT with a base port has no equal")
	case r.HasPorts && r.Ports.Low > r.Ports.High:
		t.refuse("the range of ports %d-%d ends before it begins", r.Ports.Low, r.Ports.High)
	}
	if !r.Low.IsValid() {
		t.last = []string{s + ports(r.HasPorts, r.Ports) + natFlags(x.Random, x.RandomFully, x.Persistent)}
		return
	}
	if t.env.Kind == Inet {
		s += " " + t.ip()
	}
	s += " to " + natAddress(r.Low, r.HasPorts)
	if r.High.IsValid() && r.High != r.Low {
		s += "-" + natAddress(r.High, r.HasPorts)
	}
	if r.HasPorts {
		s += ":" + span(r.Ports.Low, r.Ports.High)
	}
	t.last = []string{s + natFlags(x.Random, x.RandomFully, x.Persistent)}
}

// natAddress is an address that a port follows, or not.
func natAddress(a netip.Addr, withPort bool) string {
	if withPort && a.Is6() {
		return "[" + address(a) + "]"
	}
	return address(a)
}

func ports(has bool, p ir.PortRange) string {
	if !has {
		return ""
	}
	return " to :" + span(p.Low, p.High)
}

func natFlags(random, fully, persistent bool) string {
	var out []string
	for _, f := range []struct {
		on   bool
		name string
	}{{random, "random"}, {fully, "fully-random"}, {persistent, "persistent"}} {
		if f.on {
			out = append(out, f.name)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " " + strings.Join(out, ",")
}

var dscpNames = map[uint8]string{
	0: "cs0", 1: "lephb", 8: "cs1", 10: "af11", 12: "af12", 14: "af13", 16: "cs2", 18: "af21", 20: "af22", 22: "af23", 24: "cs3",
	26: "af31", 28: "af32", 30: "af33", 32: "cs4", 34: "af41", 36: "af42", 38: "af43", 40: "cs5", 44: "va", 46: "ef", 48: "cs6", 56: "cs7",
}

func dscp(n uint8) string { return named(dscpNames, n) }
