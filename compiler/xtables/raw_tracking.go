package xtables

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// trackingMatches are matches that remember or count something.
func trackingMatches() []*module {
	return []*module{
		{name: "connbytes", options: []option{
			{name: "connbytes", words: 1, not: true, must: true, canon: connBytes},
			{name: "connbytes-mode", words: 1, must: true, canon: oneWord(false, "packets", "bytes", "avgpkt")},
			{name: "connbytes-dir", words: 1, must: true, canon: oneWord(false, "original", "reply", "both")},
		}},
		{name: "connlimit", finish: finishConnlimit, options: []option{
			{name: "connlimit-upto", words: 1, not: true, group: 'n', canon: num(0, max32)},
			{name: "connlimit-above", words: 1, not: true, group: 'n', canon: num(0, max32)},
			{name: "connlimit-mask", words: 1, canon: prefixBits},
			{name: "connlimit-saddr", group: 'a'},
			{name: "connlimit-daddr", group: 'a'},
		}},
		{name: "connlabel", options: []option{
			{name: "label", words: 1, not: true, must: true, canon: num(0, 127), quote: quoteAlways},
			{name: "set"},
		}},
		{name: "cluster", finish: finishCluster, options: []option{
			{name: "cluster-local-nodemask", words: 1, not: true, group: 'l', canon: hexNum(8, max32)},
			{name: "cluster-local-node", words: 1, not: true, group: 'l', canon: clusterNode},
			{name: "cluster-total-nodes", words: 1, must: true, canon: num(1, 32)},
			{name: "cluster-hash-seed", words: 1, must: true, canon: hexNum(8, max32)},
		}},
		{name: "statistic", finish: finishStatistic, options: []option{
			{name: "mode", words: 1, must: true, canon: oneWord(false, "random", "nth")},
			{name: "probability", words: 1, not: true, group: 'm', canon: probability},
			{name: "every", words: 1, not: true, group: 'm', canon: num(1, max32)},
			{name: "packet", words: 1, canon: num(0, max32)},
		}},
		{name: "recent", finish: finishRecent, options: []option{
			{name: "set", not: true, group: 'o'},
			{name: "rcheck", not: true, group: 'o'},
			{name: "update", not: true, group: 'o'},
			{name: "remove", not: true, group: 'o'},
			{name: "seconds", words: 1, canon: num(1, max32)},
			{name: "reap"},
			{name: "hitcount", words: 1, canon: num(0, max32)},
			{name: "rttl"},
			{name: "name", words: 1, canon: identifier(199)},
			{name: "mask", words: 1, canon: recentMask},
			{name: "rsource", group: 'a'},
			{name: "rdest", group: 'a'},
		}},
		{name: "quota", options: []option{
			{name: "quota", words: 1, not: true, must: true, canon: num(0, max64)},
		}},
		{name: "nfacct", options: []option{
			{name: "nfacct-name", words: 1, must: true, canon: identifier(31)},
		}},
		{name: "rateest", asGiven: true, options: []option{
			{name: "rateest", words: 1, canon: identifier(15)},
			{name: "rateest1", words: 1, canon: identifier(15)},
			{name: "rateest2", words: 1, canon: identifier(15)},
			{name: "rateest-delta"},
			{name: "rateest-bps", words: 1, canon: bitRate},
			{name: "rateest-bps1", words: 1, canon: bitRate},
			{name: "rateest-bps2", words: 1, canon: bitRate},
			{name: "rateest-pps", words: 1, canon: num(0, max32)},
			{name: "rateest-pps1", words: 1, canon: num(0, max32)},
			{name: "rateest-pps2", words: 1, canon: num(0, max32)},
			{name: "rateest-lt", not: true, group: 'c'},
			{name: "rateest-gt", not: true, group: 'c'},
			{name: "rateest-eq", not: true, group: 'c'},
		}},
		{
			name: "hashlimit", fresh: func() any { return &ir.Hashlimit{} }, finish: finishHashlimit,
			options: []option{
				{name: "hashlimit-upto", words: 1, not: true, group: 'r', canon: hashRate},
				{name: "hashlimit", alias: "hashlimit-upto"},
				{name: "hashlimit-above", words: 1, not: true, group: 'r', canon: hashRate},
				{name: "hashlimit-burst", words: 1, canon: hashBurst},
				{name: "hashlimit-mode", words: 1, canon: hashMode},
				{name: "hashlimit-name", words: 1, must: true, canon: identifier(254)},
				{name: "hashlimit-htable-size", words: 1, canon: num(0, max32)},
				{name: "hashlimit-htable-max", words: 1, canon: num(0, max32)},
				{name: "hashlimit-htable-gcinterval", words: 1, canon: num(0, max32)},
				{name: "hashlimit-htable-expire", words: 1, canon: num(0, max32)},
				{name: "hashlimit-srcmask", words: 1, canon: prefixBits},
				{name: "hashlimit-dstmask", words: 1, canon: prefixBits},
				{name: "hashlimit-rate-match"},
				{name: "hashlimit-rate-interval", words: 1, canon: num(1, max32)},
			},
		},
	}
}

// connBytes reads FROM[:TO]; an open end is not printed.
func connBytes(p *parser, a *arg) (string, *Error) {
	low, high, isRange := strings.Cut(a.v.Text, ":")
	lo, hi := uint64(0), uint64(math.MaxUint64)
	var err *Error
	if low != "" || !isRange {
		if lo, err = number(a.v, low, 0, max64); err != nil {
			return "", err
		}
	}
	if high != "" {
		if hi, err = number(a.v, high, 0, max64); err != nil {
			return "", err
		}
	}
	switch {
	case lo > hi:
		return "", errorAt(a.v, diag.InvalidValue, "the range %s ends before it begins", a.v.Text)
	case lo == hi && a.not:
		return "", errorAt(a.at, diag.Inverted, "iptables forgets the `!` before --connbytes %s", a.v.Text)
	case hi == math.MaxUint64:
		return strconv.FormatUint(lo, 10), nil
	}
	return strconv.FormatUint(lo, 10) + ":" + strconv.FormatUint(hi, 10), nil
}

// finishConnlimit turns a negated limit round and fills in what the tool fills in.
func finishConnlimit(p *parser, x *instance) *Error {
	if err := needsOne("connlimit-upto", "connlimit-above")(p, x); err != nil {
		return err
	}
	for i := range x.given {
		g := &x.given[i]
		if !g.not {
			continue
		}
		g.not = false
		if g.opt.name == "connlimit-upto" {
			x.rename(g, "connlimit-above")
		} else {
			x.rename(g, "connlimit-upto")
		}
	}
	x.put("connlimit-mask", strconv.Itoa(p.addressBits()))
	if !x.has("connlimit-daddr") {
		x.put("connlimit-saddr", "")
	}
	return nil
}

// clusterNode is a node number; it is printed as the mask of that node.
func clusterNode(_ *parser, a *arg) (string, *Error) {
	n, err := number(a.v, a.v.Text, 1, 32)
	if err != nil {
		return "", err
	}
	s := "00000000" + strconv.FormatUint(1<<(n-1), 16)
	return "0x" + s[len(s)-8:], nil
}

// maxNodeMask is the highest value of --cluster-local-nodemask that iptables reads.
const maxNodeMask = 32

func finishCluster(p *parser, x *instance) *Error {
	if err := needsOne("cluster-local-node", "cluster-local-nodemask")(p, x); err != nil {
		return err
	}
	if g := x.get("cluster-local-node"); g != nil {
		x.rename(g, "cluster-local-nodemask")
	}
	total, _ := strconv.ParseUint(x.get("cluster-total-nodes").value, 10, 64)
	mask, _ := strconv.ParseUint(x.get("cluster-local-nodemask").value[2:], 16, 64)
	if mask > maxNodeMask && !p.decoding {
		// The tool takes a node above the sixth and prints a mask for it that it does
		// not read back.
		return errorAt(x.at, diag.InvalidValue, "iptables cannot read back the mask of a node above the sixth")
	}
	if mask>>total != 0 {
		return errorAt(x.at, diag.InvalidValue, "the local node is above the number of nodes")
	}
	return nil
}

// probability is kept by the kernel in units of 1/2^31.
func probability(_ *parser, a *arg) (string, *Error) {
	f, err := strconv.ParseFloat(a.v.Text, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1 {
		return "", errorAt(a.v, diag.InvalidValue, "a probability is a number from 0 to 1, not %s", Quote(a.v.Text))
	}
	return strconv.FormatFloat(math.Round(f*(1<<31))/(1<<31), 'f', 11, 64), nil
}

func finishStatistic(_ *parser, x *instance) *Error {
	nth := x.get("mode").value == "nth"
	switch {
	case nth && !(x.has("every") && x.has("packet")):
		return errorAt(x.at, diag.RuleText, "--mode nth needs --every and --packet")
	case !nth && !x.has("probability"):
		return errorAt(x.at, diag.RuleText, "--mode random needs --probability")
	case !nth && x.has("packet"):
		return errorAt(x.at, diag.RuleText, "--packet needs --mode nth")
	case nth:
		every, _ := strconv.ParseUint(x.get("every").value, 10, 64)
		if packet, _ := strconv.ParseUint(x.get("packet").value, 10, 64); packet >= every {
			return errorAt(x.at, diag.InvalidValue, "--packet counts from 0 to %d", every-1)
		}
	}
	return nil
}

// recentMask is a mask as an address; a number is read as an address too, which
// is not what people mean by it.
func recentMask(p *parser, a *arg) (string, *Error) {
	m, err := netip.ParseAddr(a.v.Text)
	if err != nil || m.BitLen() != p.addressBits() {
		return "", errorAt(a.v, diag.InvalidValue, "%s is no mask", Quote(a.v.Text)).
			withHelp("write the mask as an address: 255.255.255.0")
	}
	return string(appendAddr(nil, m)), nil
}

func finishRecent(p *parser, x *instance) *Error {
	if err := needsOne("set", "rcheck", "update", "remove")(p, x); err != nil {
		return err
	}
	looks := x.has("rcheck") || x.has("update")
	switch {
	case x.has("reap") && !x.has("seconds"):
		return errorAt(x.at, diag.RuleText, "--reap needs --seconds")
	case !looks && (x.has("seconds") || x.has("hitcount") || x.has("rttl")):
		return errorAt(x.at, diag.RuleText, "--seconds, --hitcount and --rttl need --rcheck or --update")
	}
	x.put("name", "DEFAULT")
	mask := "255.255.255.255"
	if p.opt.Family == ir.IPv6 {
		mask = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	}
	x.put("mask", mask)
	if !x.has("rdest") {
		x.put("rsource", "")
	}
	return nil
}

// bitUnits are units of tc(8) in bits for each second.
var bitUnits = map[string]float64{
	"": 1, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12,
	"kibit": 1 << 10, "mibit": 1 << 20, "gibit": 1 << 30, "tibit": 1 << 40,
	"bps": 8, "kbps": 8e3, "mbps": 8e6, "gbps": 8e9, "tbps": 8e12,
	"kibps": 8 << 10, "mibps": 8 << 20, "gibps": 8 << 30, "tibps": 8 << 40,
}

// bitRate is a rate in bits, kept in bytes and printed in bits.
func bitRate(_ *parser, a *arg) (string, *Error) {
	n := strings.IndexFunc(a.v.Text, isLetter)
	if n < 0 {
		n = len(a.v.Text)
	}
	f, err := strconv.ParseFloat(a.v.Text[:n], 64)
	scale, ok := bitUnits[strings.ToLower(a.v.Text[n:])]
	bytes := f * scale / 8
	if err != nil || !ok || bytes < 0 || bytes > max32 {
		return "", errorAt(a.v, diag.InvalidValue, "%s is no rate", Quote(a.v.Text)).withHelp("write it as 5mbit")
	}
	bits := math.Floor(bytes) * 8
	switch {
	case bits >= 1e9:
		return strconv.FormatFloat(bits/1e6, 'f', 0, 64) + "Mbit", nil
	case bits >= 1e6:
		return strconv.FormatFloat(bits/1e3, 'f', 0, 64) + "Kbit", nil
	}
	return strconv.FormatFloat(bits, 'f', 0, 64) + "bit", nil
}
