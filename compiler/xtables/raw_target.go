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

// rawTargets are targets whose words are kept undecoded, in canonical spelling.
// The options stand in the order in which iptables-save prints them.
var rawTargets = slices.Concat(packetTargets(), hostTargets())

// packetTargets change the packet.
func packetTargets() []*module {
	return []*module{
		{name: "TTL", family: ir.IPv4, finish: needsOne("ttl-set", "ttl-dec", "ttl-inc"), options: []option{
			{name: "ttl-set", words: 1, group: 't', canon: num(0, 255)},
			{name: "ttl-dec", words: 1, group: 't', canon: num(1, 255)},
			{name: "ttl-inc", words: 1, group: 't', canon: num(1, 255)},
		}},
		{name: "HL", family: ir.IPv6, finish: needsOne("hl-set", "hl-dec", "hl-inc"), options: []option{
			{name: "hl-set", words: 1, group: 't', canon: num(0, 255)},
			{name: "hl-dec", words: 1, group: 't', canon: num(1, 255)},
			{name: "hl-inc", words: 1, group: 't', canon: num(1, 255)},
		}},
		{name: "TOS", finish: finishTOS, options: []option{
			{name: "set-tos", words: 1, group: 't', canon: tosMask},
			{name: "and-tos", words: 1, group: 't', canon: tosBits},
			{name: "or-tos", words: 1, group: 't', canon: tosBits},
			{name: "xor-tos", words: 1, group: 't', canon: tosBits},
		}},
		{name: "ECN", family: ir.IPv4, protocols: []uint8{protoTCP}, options: []option{{name: "ecn-tcp-remove", must: true}}},
		{name: "CHECKSUM", options: []option{{name: "checksum-fill", must: true}}},
		{name: "TCPOPTSTRIP", protocols: []uint8{protoTCP}, options: []option{
			{name: "strip-options", words: 1, canon: tcpOptions},
		}},
		{name: "NETMAP", options: []option{{name: "to", words: 1, must: true, canon: hostPrefix(true, true)}}},
		{name: "SNPT", family: ir.IPv6, options: []option{
			{name: "src-pfx", words: 1, must: true, canon: networkPrefix},
			{name: "dst-pfx", words: 1, must: true, canon: networkPrefix},
		}},
		{name: "DNPT", family: ir.IPv6, options: []option{
			{name: "src-pfx", words: 1, must: true, canon: networkPrefix},
			{name: "dst-pfx", words: 1, must: true, canon: networkPrefix},
		}},
		{name: "SYNPROXY", protocols: []uint8{protoTCP}, options: []option{
			{name: "sack-perm"},
			{name: "timestamp"},
			{name: "wscale", words: 1, canon: num(0, 14)},
			{name: "mss", words: 1, canon: num(0, math.MaxUint16)},
			{name: "ecn"},
		}},
		{name: "HMARK", finish: finishHMARK, options: []option{
			{name: "hmark-src-prefix", words: 1, canon: prefixBits},
			{name: "hmark-dst-prefix", words: 1, canon: prefixBits},
			{name: "hmark-sport-mask", words: 1, canon: hexNum(4, math.MaxUint16)},
			{name: "hmark-dport-mask", words: 1, canon: hexNum(4, math.MaxUint16)},
			{name: "hmark-spi-mask", words: 1, canon: hexNum(8, max32)},
			{name: "hmark-sport", words: 1, canon: hexNum(4, math.MaxUint16)},
			{name: "hmark-dport", words: 1, canon: hexNum(4, math.MaxUint16)},
			{name: "hmark-spi", words: 1, canon: hexNum(8, max32)},
			{name: "hmark-proto-mask", words: 1, canon: hexNum(2, math.MaxUint16)},
			{name: "hmark-rnd", words: 1, must: true, canon: hexNum(8, max32)},
			{name: "hmark-mod", words: 1, must: true, canon: num(1, max32)},
			{name: "hmark-offset", words: 1, canon: num(0, max32)},
			{name: "hmark-tuple", words: 1, canon: hmarkTuple},
		}},
	}
}

// networkPrefix is a prefix without host bits, which the kernel refuses.
func networkPrefix(p *parser, a *arg) (string, *Error) {
	kept, err := hostPrefix(false, true)(p, a)
	if err != nil {
		return "", err
	}
	if cleared, _ := hostPrefix(true, true)(p, a); cleared != kept {
		return "", errorAt(a.v, diag.InvalidValue, "%s has bits behind the prefix", a.v.Text).withHelp("write %s", cleared)
	}
	return kept, nil
}

func tosBits(_ *parser, a *arg) (string, *Error) {
	n, err := number(a.v, a.v.Text, 0, math.MaxUint8)
	value, mask := n, n // or
	switch a.opt.name {
	case "and-tos":
		value, mask = 0, ^n&0xff
	case "xor-tos":
		mask = 0
	}
	return fmt.Sprintf("0x%02x/0x%02x", value, mask), err
}

func finishTOS(_ *parser, x *instance) *Error {
	if len(x.given) == 0 {
		return errorAt(x.at, diag.RuleText, "-j TOS needs --set-tos, --and-tos, --or-tos or --xor-tos")
	}
	x.rename(&x.given[0], "set-tos")
	return nil
}

// tcpOptionNames are names of TCP options that can be stripped.
var tcpOptionNames = map[string]uint64{
	"wscale": 3, "mss": 2, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19,
}

// tcpOptions reads names and numbers, and gives numbers in order.
func tcpOptions(_ *parser, a *arg) (string, *Error) {
	var list []int
	for part := range strings.SplitSeq(a.v.Text, ",") {
		n, named := tcpOptionNames[part]
		if !named {
			var err *Error
			if n, err = number(a.v, part, 2, math.MaxUint8); err != nil {
				return "", err
			}
		}
		list = append(list, int(n))
	}
	slices.Sort(list)
	var out []string
	for i, n := range list {
		if i > 0 && n == list[i-1] {
			return "", errorAt(a.v, diag.InvalidValue, "the option %d is given twice", n)
		}
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ","), nil
}

var hmarkFields = []string{"src", "dst", "sport", "dport", "spi", "ct"}

func hmarkTuple(_ *parser, a *arg) (string, *Error) {
	var out []string
	for part := range strings.SplitSeq(a.v.Text, ",") {
		if !slices.Contains(hmarkFields, part) {
			return "", errorAt(a.v, diag.InvalidValue, "--hmark-tuple holds %s, not %s", strings.Join(hmarkFields, ", "), Quote(part))
		}
		out = append(out, part)
	}
	return strings.Join(out, ","), nil
}

// finishHMARK spells the fields of a tuple as masks; only ct stays a tuple.
func finishHMARK(p *parser, x *instance) *Error {
	if g := x.get("hmark-tuple"); g != nil {
		fields := strings.Split(g.value, ",")
		x.drop(g)
		full := strconv.Itoa(p.addressBits())
		for _, f := range fields {
			if x.has("hmark-"+f+"-prefix") || x.has("hmark-"+f+"-mask") {
				return errorAt(x.at, diag.RuleText, "--hmark-tuple names %s, which has an option of its own", f)
			}
			switch f {
			case "src", "dst":
				x.put("hmark-"+f+"-prefix", full)
			case "sport", "dport":
				x.put("hmark-"+f+"-mask", "0xffff")
			case "spi":
				x.put("hmark-spi-mask", "0xffffffff")
			default:
				x.put("hmark-tuple", "ct")
			}
		}
	}
	looks, spi, ports := false, false, false
	for _, g := range x.given {
		name := g.opt.name
		spi = spi || strings.HasPrefix(name, "hmark-spi")
		ports = ports || strings.HasPrefix(name, "hmark-sport") || strings.HasPrefix(name, "hmark-dport")
		looks = looks || name != "hmark-rnd" && name != "hmark-mod" && name != "hmark-offset"
	}
	switch {
	case spi && ports:
		return errorAt(x.at, diag.RuleText, "-j HMARK looks at the SPI or at ports, not at both")
	case !looks:
		return errorAt(x.at, diag.RuleText, "-j HMARK needs a part of the packet to look at").withHelp("add --hmark-tuple src,dst")
	}
	return nil
}

// hostTargets hand the packet to something on the host.
func hostTargets() []*module {
	return []*module{
		{name: "AUDIT", options: []option{{name: "type", words: 1, must: true, canon: oneWord(true, "accept", "drop", "reject")}}},
		{name: "CLASSIFY", options: []option{{name: "set-class", words: 1, must: true, canon: trafficClass}}},
		{name: "CONNSECMARK", finish: needsOne("save", "restore"), options: []option{
			{name: "save", group: 'o'},
			{name: "restore", group: 'o'},
		}},
		{name: "SECMARK", options: []option{{name: "selctx", words: 1, must: true, canon: identifier(255)}}},
		{name: "IDLETIMER", options: []option{
			{name: "timeout", words: 1, must: true, canon: num(1, math.MaxInt32/1000-1)},
			{name: "label", words: 1, must: true, canon: identifier(27)},
			{name: "alarm"},
		}},
		{name: "LED", options: []option{
			{name: "led-trigger-id", words: 1, must: true, canon: freeText(22), quote: quoteAlways},
			{name: "led-delay", words: 1, canon: ledDelay},
			{name: "led-always-blink"},
		}},
		{name: "NFQUEUE", finish: finishNFQUEUE, options: []option{
			{name: "queue-num", words: 1, group: 'q', canon: num(0, math.MaxUint16)},
			{name: "queue-balance", words: 1, group: 'q', canon: queueBalance},
			{name: "queue-bypass"},
			{name: "queue-cpu-fanout"},
		}},
		{name: "RATEEST", finish: finishRateEst, options: []option{
			{name: "rateest-name", words: 1, must: true, canon: identifier(15)},
			{name: "rateest-interval", words: 1, must: true, canon: tcTime},
			{name: "rateest-ewmalog", words: 1, must: true, canon: tcTime},
		}},
		{name: "SET", finish: needsOne("add-set", "del-set", "map-set"), options: []option{
			{name: "add-set", words: 2, group: 's', canon: setTarget},
			{name: "del-set", words: 2, group: 's', canon: setTarget},
			{name: "map-set", words: 2, group: 's', canon: setTarget},
			{name: "exist"},
			{name: "timeout", words: 1, canon: num(0, max32)},
			{name: "map-mark"},
			{name: "map-prio"},
			{name: "map-queue"},
		}},
		{name: "TEE", options: []option{
			{name: "gateway", words: 1, must: true, canon: hostAddr},
			{name: "oif", words: 1, canon: interfaceName},
		}},
		{name: "TRACE"},
		{name: "ULOG", family: ir.IPv4, options: []option{
			{name: "ulog-prefix", words: 1, canon: freeText(31), quote: quoteNeeded},
			{name: "ulog-nlgroup", words: 1, canon: num(1, 32)},
			{name: "ulog-cprange", words: 1, canon: num(0, max64)},
			{name: "ulog-qthreshold", words: 1, canon: num(1, 50)},
		}},
		{name: "CLUSTERIP", family: ir.IPv4, options: []option{
			{name: "new"},
			{name: "hashmode", words: 1, canon: oneWord(false, "sourceip", "sourceip-sourceport", "sourceip-sourceport-destport")},
			{name: "clustermac", words: 1, canon: identifier(17)},
			{name: "total-nodes", words: 1, canon: num(1, 16)},
			{name: "local-node", words: 1, canon: num(1, 16)},
			{name: "hash-init", words: 1, canon: num(0, max32)},
		}},
	}
}

// trafficClass is MAJOR:MINOR, in hexadecimal without a prefix.
func trafficClass(_ *parser, a *arg) (string, *Error) {
	major, minor, ok := strings.Cut(a.v.Text, ":")
	x, err := strconv.ParseUint(strings.TrimPrefix(major, "0x"), 16, 16)
	y, err2 := strconv.ParseUint(strings.TrimPrefix(minor, "0x"), 16, 16)
	if !ok || err != nil || err2 != nil {
		return "", errorAt(a.v, diag.InvalidValue, "%s is no traffic class", Quote(a.v.Text)).withHelp("write it as 1:10, in hexadecimal")
	}
	return fmt.Sprintf("%04x:%04x", x, y), nil
}

func ledDelay(p *parser, a *arg) (string, *Error) {
	if a.v.Text == "inf" {
		return "inf", nil
	}
	return zeroIsNone(max32)(p, a)
}

func queueBalance(_ *parser, a *arg) (string, *Error) {
	low, high, ok := strings.Cut(a.v.Text, ":")
	lo, err := number(a.v, low, 0, math.MaxUint16)
	if err != nil {
		return "", err
	}
	hi, err := number(a.v, high, 0, math.MaxUint16)
	if err != nil {
		return "", err
	}
	if !ok || lo >= hi {
		return "", errorAt(a.v, diag.InvalidValue, "%s is no range of queues", Quote(a.v.Text))
	}
	return strconv.FormatUint(lo, 10) + ":" + strconv.FormatUint(hi, 10), nil
}

func finishNFQUEUE(_ *parser, x *instance) *Error {
	if x.has("queue-cpu-fanout") && !x.has("queue-balance") {
		return errorAt(x.at, diag.RuleText, "--queue-cpu-fanout needs --queue-balance")
	}
	if !x.has("queue-balance") {
		x.put("queue-num", "0")
	}
	return nil
}

func interfaceName(p *parser, a *arg) (string, *Error) {
	if p.decoding {
		return a.v.Text, nil
	}
	return a.v.Text, checkIface(a.v)
}

// setTarget checks the set's name; the directions are the second argument.
func setTarget(_ *parser, a *arg) (string, *Error) {
	if err := checkSetName(a.v); err != nil {
		return "", err
	}
	_, err := setDirs(a.v2)
	return a.v.Text, err
}

// tcTime is a time as tc(8) writes it, in microseconds.
func tcTime(_ *parser, a *arg) (string, *Error) {
	n := strings.IndexFunc(a.v.Text, isLetter)
	if n < 0 {
		n = len(a.v.Text)
	}
	scale := map[string]float64{"": 1, "s": 1e6, "sec": 1e6, "secs": 1e6, "ms": 1e3, "msec": 1e3, "msecs": 1e3, "us": 1, "usec": 1, "usecs": 1}
	f, err := strconv.ParseFloat(a.v.Text[:n], 64)
	unit, ok := scale[strings.ToLower(a.v.Text[n:])]
	if err != nil || !ok || f < 0 || f*unit > max32 {
		return "", errorAt(a.v, diag.InvalidValue, "%s is no time", Quote(a.v.Text)).withHelp("write it as 250ms")
	}
	return strconv.FormatFloat(math.Floor(f*unit), 'f', 0, 64), nil
}

// spellTC writes microseconds as tc(8) does.
func spellTC(us float64) string {
	switch {
	case us >= 1e6:
		return strconv.FormatFloat(us/1e6, 'f', 1, 64) + "s"
	case us >= 1e3:
		return strconv.FormatFloat(us/1e3, 'f', 1, 64) + "ms"
	}
	return strconv.FormatFloat(us, 'f', 0, 64) + "us"
}

// finishRateEst rounds the times to the steps that the kernel knows.
func finishRateEst(_ *parser, x *instance) *Error {
	interval, _ := strconv.ParseFloat(x.get("rateest-interval").value, 64)
	ewma, _ := strconv.ParseFloat(x.get("rateest-ewmalog").value, 64)
	step := 250e3
	for i := 0; interval > step; i++ {
		if i == 5 {
			return errorAt(x.at, diag.InvalidValue, "--rateest-interval is at most 8s")
		}
		step *= 2
	}
	e := 1
	for ; e < 32; e++ {
		w := 1 - 1/float64(uint64(1)<<e)
		if step/-math.Log(w) > ewma {
			break
		}
	}
	if e--; e == 0 || e == 31 {
		return errorAt(x.at, diag.InvalidValue, "--rateest-ewmalog does not fit the interval")
	}
	x.get("rateest-interval").value = spellTC(step)
	x.get("rateest-ewmalog").value = spellTC(step * float64(uint64(1)<<e))
	return nil
}
