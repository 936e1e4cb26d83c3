package xtables

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// rawMatches are matches whose words are kept undecoded, in canonical spelling.
// The options stand in the order in which iptables-save prints them.
var rawMatches = slices.Concat(headerMatches(), trackingMatches(), socketMatches(), contentMatches())

const (
	max32 = math.MaxUint32
	max64 = math.MaxUint64
)

func headerMatches() []*module {
	return []*module{
		{name: "ah", family: ir.IPv4, protocols: []uint8{51}, options: []option{
			{name: "ahspi", words: 1, not: true, canon: numSpan(max32, dropFull)},
		}},
		{name: "ah", family: ir.IPv6, options: []option{
			{name: "ahspi", words: 1, not: true, canon: numSpan(max32, dropFull)},
			{name: "ahlen", words: 1, not: true, canon: zeroIsNone(max32)},
			{name: "ahres"},
		}},
		{name: "esp", protocols: []uint8{50}, options: []option{
			{name: "espspi", words: 1, not: true, canon: numSpan(max32, dropFull)},
		}},
		{name: "ipcomp", protocols: []uint8{108}, finish: finishIPComp, options: []option{
			{name: "ipcompspi", words: 1, not: true, canon: compressionSpan},
			{name: "compres"},
		}},
		{name: "tcpmss", protocols: []uint8{protoTCP}, options: []option{
			{name: "mss", words: 1, not: true, must: true, canon: numSpan(math.MaxUint16, printFull)},
		}},
		{name: "ecn", finish: finishECN, options: []option{
			{name: "ecn-tcp-ece", not: true},
			{name: "ecn-tcp-cwr", not: true},
			{name: "ecn-ip-ect", words: 1, not: true, canon: num(0, 3)},
		}},
		{name: "dscp", finish: finishDSCPMatch, options: []option{
			{name: "dscp", words: 1, not: true, group: 'd', canon: dscpHex},
			{name: "dscp-class", words: 1, not: true, group: 'd', canon: dscpHex},
		}},
		{name: "tos", options: []option{
			{name: "tos", words: 1, not: true, must: true, canon: tosMask},
		}},
		{name: "realm", family: ir.IPv4, options: []option{
			{name: "realm", words: 1, not: true, must: true, canon: hexMask},
		}},
		{name: "osf", family: ir.IPv4, protocols: []uint8{protoTCP}, options: []option{
			{name: "genre", words: 1, not: true, must: true, canon: identifier(31)},
			{name: "ttl", words: 1, canon: num(0, 2)},
			{name: "log", words: 1, canon: num(0, 2)},
		}},
		{name: "dst", family: ir.IPv6, options: []option{
			{name: "dst-len", words: 1, not: true, canon: num(0, math.MaxUint16)},
			{name: "dst-opts", words: 1, canon: ipv6Options},
		}},
		{name: "hbh", family: ir.IPv6, options: []option{
			{name: "hbh-len", words: 1, not: true, canon: num(0, math.MaxUint16)},
			{name: "hbh-opts", words: 1, canon: ipv6Options},
		}},
		{name: "frag", family: ir.IPv6, options: []option{
			{name: "fragid", words: 1, not: true, canon: numSpan(max32, dropFull)},
			{name: "fraglen", words: 1, not: true, canon: num(0, max32)},
			{name: "fragres"},
			{name: "fragfirst"},
			{name: "fragmore", group: 'm'},
			{name: "fraglast", group: 'm'},
		}},
		{name: "ipv6header", family: ir.IPv6, options: []option{
			{name: "header", words: 1, not: true, must: true, canon: ipv6Headers},
			{name: "soft"},
		}},
		{name: "mh", family: ir.IPv6, protocols: []uint8{135}, options: []option{
			{name: "mh-type", words: 1, not: true, canon: mhType},
		}},
		{name: "rt", family: ir.IPv6, finish: finishRT, options: []option{
			{name: "rt-type", words: 1, not: true, canon: num(0, max32)},
			{name: "rt-segsleft", words: 1, not: true, canon: numSpan(max32, dropFull)},
			{name: "rt-len", words: 1, not: true, canon: num(0, max32)},
			{name: "rt-0-res"},
			{name: "rt-0-addrs", words: 1, canon: addrList},
			{name: "rt-0-not-strict"},
		}},
		{name: "srh", family: ir.IPv6, options: []option{
			{name: "srh-next-hdr", words: 1, not: true, canon: num(0, 255)},
			{name: "srh-hdr-len-eq", words: 1, not: true, group: 'h', canon: num(0, 255)},
			{name: "srh-hdr-len-gt", words: 1, not: true, group: 'h', canon: num(0, 255)},
			{name: "srh-hdr-len-lt", words: 1, not: true, group: 'h', canon: num(0, 255)},
			{name: "srh-segs-left-eq", words: 1, not: true, group: 's', canon: num(0, 255)},
			{name: "srh-segs-left-gt", words: 1, not: true, group: 's', canon: num(0, 255)},
			{name: "srh-segs-left-lt", words: 1, not: true, group: 's', canon: num(0, 255)},
			{name: "srh-last-entry-eq", words: 1, not: true, group: 'l', canon: num(0, 255)},
			{name: "srh-last-entry-gt", words: 1, not: true, group: 'l', canon: num(0, 255)},
			{name: "srh-last-entry-lt", words: 1, not: true, group: 'l', canon: num(0, 255)},
			{name: "srh-tag", words: 1, not: true, canon: num(0, math.MaxUint16)},
			{name: "srh-psid", words: 1, not: true, canon: hostPrefix(false, true)},
			{name: "srh-nsid", words: 1, not: true, canon: hostPrefix(false, true)},
			{name: "srh-lsid", words: 1, not: true, canon: hostPrefix(false, true)},
		}},
		{name: "eui64", family: ir.IPv6},
	}
}

// zeroIsNone is a number of which 0 is the default, which is not printed.
func zeroIsNone(high uint64) canon {
	return func(p *parser, a *arg) (string, *Error) {
		n, err := number(a.v, a.v.Text, 0, high)
		if n == 0 && err == nil {
			if a.not {
				return "", errorAt(a.at, diag.Inverted, "`! --%s 0` is lost by iptables", a.opt.name)
			}
			a.drop = true
		}
		return strconv.FormatUint(n, 10), err
	}
}

// compressionSpan refuses all SPIs: the tool prints nothing for them, and reads
// nothing as SPI 0.
func compressionSpan(p *parser, a *arg) (string, *Error) {
	s, err := numSpan(max32, dropFull)(p, a)
	if err == nil && a.drop {
		return "", errorAt(a.v, diag.InvalidValue, "iptables forgets that all SPIs are meant and takes 0").withHelp("write -p ipcomp alone")
	}
	return s, err
}

// finishIPComp prints the SPI that the tool assumes.
func finishIPComp(_ *parser, x *instance) *Error {
	if !x.has("ipcompspi") {
		x.put("ipcompspi", "0")
	}
	return nil
}

func finishECN(p *parser, x *instance) *Error {
	if len(x.given) == 0 {
		return errorAt(x.at, diag.RuleText, "-m ecn needs at least one option")
	}
	pr := p.spec.Protocol
	if (x.has("ecn-tcp-ece") || x.has("ecn-tcp-cwr")) && (pr == nil || pr.Not || pr.Number != protoTCP) {
		return errorAt(x.at, diag.RuleText, "-m ecn needs -p tcp for TCP's bits")
	}
	return nil
}

func dscpHex(_ *parser, a *arg) (string, *Error) {
	v, err := dscp(a)
	return fmt.Sprintf("0x%02x", v), err
}

func finishDSCPMatch(_ *parser, x *instance) *Error {
	if len(x.given) == 0 {
		return errorAt(x.at, diag.RuleText, "-m dscp needs --dscp or --dscp-class")
	}
	x.rename(&x.given[0], "dscp")
	return nil
}

// tosNames are names of types of service; they stand for six bits.
var tosNames = map[string]uint8{
	"MINIMIZE-DELAY": 0x10, "MAXIMIZE-THROUGHPUT": 0x08, "MAXIMIZE-RELIABILITY": 0x04, "MINIMIZE-COST": 0x02,
	"NORMAL-SERVICE": 0x00,
}

// tos reads VALUE, VALUE/MASK or a name.
func tos(w Word) (value, mask uint8, err *Error) {
	if v, ok := tosNames[strings.ToUpper(w.Text)]; ok {
		return v, 0x3f, nil
	}
	text, m, has := strings.Cut(w.Text, "/")
	v, err := number(w, text, 0, math.MaxUint8)
	if err != nil || !has {
		return uint8(v), 0xff, err
	}
	n, err := number(w, m, 0, math.MaxUint8)
	return uint8(v), uint8(n), err
}

func tosMask(_ *parser, a *arg) (string, *Error) {
	v, m, err := tos(a.v)
	return fmt.Sprintf("0x%02x/0x%02x", v, m), err
}

// ipv6HeaderNames are in the order of printing, each followed by other names of it.
var ipv6HeaderNames = [][]string{
	{"hop-by-hop", "hop", "0"},
	{"ipv6-opts", "dst", "60"},
	{"ipv6-route", "route", "43"},
	{"ipv6-frag", "frag", "44"},
	{"ah", "auth", "51"},
	{"esp", "esp", "50"},
	{"ipv6-nonxt", "none", "59"},
	{"protocol", "prot", "255"},
}

func ipv6Headers(_ *parser, a *arg) (string, *Error) {
	seen := make([]bool, len(ipv6HeaderNames))
	for part := range strings.SplitSeq(a.v.Text, ",") {
		i := slices.IndexFunc(ipv6HeaderNames, func(n []string) bool { return slices.Contains(n, strings.ToLower(part)) })
		if i < 0 {
			return "", errorAt(a.v, diag.InvalidValue, "unknown IPv6 header %s", Quote(part))
		}
		seen[i] = true
	}
	var out []string
	for i, n := range ipv6HeaderNames {
		if seen[i] {
			out = append(out, n[0])
		}
	}
	return strings.Join(out, ","), nil
}

// mhNames are names of mobility header types, by number, long and short.
var mhNames = [][]string{
	{"binding-refresh-request", "brr"},
	{"home-test-init", "hoti"},
	{"careof-test-init", "coti"},
	{"home-test", "hot"},
	{"careof-test", "cot"},
	{"binding-update", "bu"},
	{"binding-acknowledgement", "ba"},
	{"binding-error", "be"},
}

func mhNumber(w Word, text string) (uint64, *Error) {
	for i, names := range mhNames {
		if _, ok := oneOf(text, names); ok {
			return uint64(i), nil
		}
	}
	return number(w, text, 0, math.MaxUint8)
}

func mhType(p *parser, a *arg) (string, *Error) {
	low, high, isRange := strings.Cut(a.v.Text, ":")
	lo, err := mhNumber(a.v, low)
	if err != nil {
		return "", err
	}
	hi := lo
	if isRange {
		if hi, err = mhNumber(a.v, high); err != nil {
			return "", err
		}
	}
	b := *a
	b.v.Text = strconv.FormatUint(lo, 10) + ":" + strconv.FormatUint(hi, 10)
	s, err := numSpan(math.MaxUint8, dropFull)(p, &b)
	a.drop = b.drop
	return s, err
}

func addrList(p *parser, a *arg) (string, *Error) {
	var b []byte
	n := 0
	for part := range strings.SplitSeq(a.v.Text, ",") {
		addr, err := p.ip(a.v, part)
		if err != nil {
			return "", err
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = appendAddr(b, addr)
	}
	if n > 16 {
		return "", errorAt(a.v, diag.TooLong, "--%s holds at most 16 addresses", a.opt.name)
	}
	return string(b), nil
}

func finishRT(_ *parser, x *instance) *Error {
	if x.has("rt-0-not-strict") && !x.has("rt-0-addrs") {
		return errorAt(x.at, diag.RuleText, "--rt-0-not-strict needs --rt-0-addrs")
	}
	if g := x.get("rt-type"); (x.has("rt-0-res") || x.has("rt-0-addrs")) && (g == nil || g.not || g.value != "0") {
		return errorAt(x.at, diag.RuleText, "the options --rt-0-... need --rt-type 0")
	}
	return nil
}
