package xtables

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"hookline/dsl/diag"
)

// socketMatches are matches on what the host knows of a packet besides its bytes.
func socketMatches() []*module {
	return []*module{
		{name: "socket", options: []option{{name: "transparent"}, {name: "nowildcard"}, {name: "restore-skmark"}}},
		{name: "rpfilter", options: []option{{name: "loose"}, {name: "validmark"}, {name: "accept-local"}, {name: "invert"}}},
		{name: "cpu", options: []option{{name: "cpu", words: 1, not: true, must: true, canon: num(0, max32)}}},
		{name: "cgroup", finish: needsOne("cgroup", "path"), options: []option{
			{name: "cgroup", words: 1, not: true, group: 'c', canon: num(0, max32)},
			{name: "path", words: 1, not: true, group: 'c', canon: freeText(4095), quote: quoteAlways},
		}},
		{name: "devgroup", finish: needsOne("src-group", "dst-group"), options: []option{
			{name: "src-group", words: 1, not: true, canon: hexMask},
			{name: "dst-group", words: 1, not: true, canon: hexMask},
		}},
		{name: "policy", asGiven: true, finish: finishPolicy, options: []option{
			{name: "dir", words: 1, must: true, canon: oneWord(false, "in", "out")},
			{name: "pol", words: 1, canon: oneWord(false, "none", "ipsec")},
			{name: "strict"},
			{name: "reqid", words: 1, not: true, multi: true, canon: num(0, max32)},
			{name: "spi", words: 1, not: true, multi: true, canon: hexNum(1, max32)},
			{name: "proto", words: 1, not: true, multi: true, canon: policyProtocol},
			{name: "mode", words: 1, not: true, multi: true, canon: oneWord(false, "transport", "tunnel")},
			{name: "tunnel-dst", words: 1, not: true, multi: true, canon: hostPrefix(false, false)},
			{name: "tunnel-src", words: 1, not: true, multi: true, canon: hostPrefix(false, false)},
			{name: "next", multi: true},
		}},
		{name: "ipvs", options: []option{
			{name: "ipvs", not: true},
			{name: "vproto", words: 1, not: true, canon: protocolDecimal},
			{name: "vaddr", words: 1, not: true, canon: hostPrefix(false, false)},
			{name: "vport", words: 1, not: true, canon: portDecimal},
			{name: "vdir", words: 1, canon: oneWord(true, "ORIGINAL", "REPLY")},
			{name: "vmethod", words: 1, not: true, canon: oneWord(true, "GATE", "IPIP", "MASQ")},
			{name: "vportctl", words: 1, not: true, canon: portDecimal},
		}},
	}
}

// policyProtocol is one of the protocols of IPsec, by name.
func policyProtocol(_ *parser, a *arg) (string, *Error) {
	n, ok := protocolNumber(a.v.Text)
	if !ok || !slices.Contains([]uint8{50, 51, 108}, n) {
		return "", errorAt(a.v, diag.InvalidValue, "--proto is esp, ah or ipcomp, not %s", Quote(a.v.Text))
	}
	return protocolName(n), nil
}

func protocolDecimal(_ *parser, a *arg) (string, *Error) {
	n, ok := protocolNumber(a.v.Text)
	if !ok {
		return "", errorAt(a.v, diag.InvalidValue, "unknown protocol %s", Quote(a.v.Text))
	}
	return strconv.Itoa(int(n)), nil
}

func portDecimal(_ *parser, a *arg) (string, *Error) {
	n, err := port(a.v, a.v.Text)
	return strconv.Itoa(int(n)), err
}

// finishPolicy orders the options: those of the whole first, then each element's.
func finishPolicy(_ *parser, x *instance) *Error {
	x.put("pol", "ipsec")
	none := x.get("pol").value == "none"
	var head []given
	elements := [][]given{nil}
	for _, g := range x.given {
		switch g.opt.name {
		case "dir", "pol", "strict":
			head = append(head, g)
		case "next":
			elements = append(elements, []given{g})
		default:
			last := &elements[len(elements)-1]
			if slices.ContainsFunc(*last, func(o given) bool { return o.opt == g.opt }) {
				return errorAt(x.at, diag.RuleText, "--%s is given twice for one element", g.opt.name)
			}
			*last = append(*last, g)
		}
	}
	switch {
	case none && (x.has("strict") || len(head) != len(x.given)):
		return errorAt(x.at, diag.RuleText, "--pol none takes no further options")
	case len(elements) > 1 && !x.has("strict"):
		return errorAt(x.at, diag.RuleText, "--next needs --strict")
	case len(elements) > 4:
		return errorAt(x.at, diag.TooLong, "-m policy holds at most 4 elements")
	}
	x.given = head
	x.sortGiven()
	for i, e := range elements {
		if n := len(e); x.has("strict") && (n == 0 || n == 1 && i > 0) {
			return errorAt(x.at, diag.RuleText, "with --strict each element needs a condition")
		}
		rest := &instance{mod: x.mod, given: e}
		if i > 0 {
			rest.given = e[1:]
			x.given = append(x.given, e[0])
		}
		rest.sortGiven()
		x.given = append(x.given, rest.given...)
	}
	return nil
}

// contentMatches look into the packet, or at the clock.
func contentMatches() []*module {
	return []*module{
		{name: "string", finish: finishString, options: []option{
			{name: "hex-string", words: 1, not: true, group: 's', canon: hexPattern, quote: quoteString},
			{name: "string", words: 1, not: true, group: 's', canon: freeText(128), quote: quoteString},
			{name: "algo", words: 1, must: true, canon: oneWord(false, "bm", "kmp", "fsm")},
			{name: "from", words: 1, canon: num(0, math.MaxUint16)},
			{name: "to", words: 1, canon: num(0, math.MaxUint16)},
			{name: "icase"},
		}},
		{name: "u32", options: []option{
			{name: "u32", words: 1, not: true, must: true, canon: u32Tests, quote: quoteAlways},
		}},
		{name: "bpf", finish: needsOne("bytecode", "object-pinned"), options: []option{
			{name: "bytecode", words: 1, group: 'b', canon: bytecode, quote: quoteAlways},
			{name: "object-pinned", words: 1, group: 'b', canon: identifier(511)},
		}},
		{name: "time", finish: finishTime, options: []option{
			{name: "timestart", words: 1, canon: timeOfDay},
			{name: "timestop", words: 1, canon: timeOfDay},
			{name: "monthdays", words: 1, not: true, canon: monthDays},
			{name: "weekdays", words: 1, not: true, canon: weekDays},
			{name: "datestart", words: 1, canon: dateTime},
			{name: "datestop", words: 1, canon: dateTime},
			{name: "kerneltz", group: 'z'},
			{name: "localtz", group: 'z'},
			{name: "utc", group: 'z'},
			{name: "contiguous"},
		}},
	}
}

// hexPattern reads text with hexadecimal bytes between bars, and gives the bytes.
func hexPattern(_ *parser, a *arg) (string, *Error) {
	bad := func() (string, *Error) {
		return "", errorAt(a.v, diag.InvalidValue, "%s is no text with hexadecimal bytes between bars", Quote(a.v.Text)).
			withHelp("write bytes as |0d 0a|")
	}
	var out []byte
	s := a.v.Text
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			out = append(out, s[i])
		case s[i] != '|':
			out = append(out, s[i])
		default:
			end := strings.IndexByte(s[i+1:], '|')
			if end < 0 {
				return bad()
			}
			digits := strings.ReplaceAll(s[i+1:i+1+end], " ", "")
			for k := 0; k < len(digits); k += 2 {
				n, err := strconv.ParseUint(digits[k:min(k+2, len(digits))], 16, 8)
				if err != nil || k+2 > len(digits) {
					return bad()
				}
				out = append(out, byte(n))
			}
			i += end + 1
		}
	}
	if len(out) == 0 || len(out) > 128 {
		return "", errorAt(a.v, diag.InvalidValue, "a pattern holds 1 to 128 bytes")
	}
	return string(out), nil
}

// finishString chooses between text and hexadecimal bytes as the tool does.
func finishString(p *parser, x *instance) *Error {
	if err := needsOne("string", "hex-string")(p, x); err != nil {
		return err
	}
	x.dropDefault("from", "0")
	x.dropDefault("to", "65535")
	for i := range x.given {
		g := &x.given[i]
		if g.opt.name != "string" && g.opt.name != "hex-string" {
			continue
		}
		if strings.IndexFunc(g.value, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
			x.rename(g, "string")
			continue
		}
		x.rename(g, "hex-string")
		const digits = "0123456789abcdef"
		b := []byte{'|'}
		for k := 0; k < len(g.value); k++ {
			b = append(b, digits[g.value[k]>>4], digits[g.value[k]&15])
		}
		g.value = string(append(b, '|'))
	}
	return nil
}

// bytecode is a number of instructions and as many times four numbers.
func bytecode(_ *parser, a *arg) (string, *Error) {
	count, body, _ := strings.Cut(a.v.Text, ",")
	n, err := number(a.v, count, 1, 64)
	if err != nil {
		return "", err
	}
	out := strconv.FormatUint(n, 10)
	lines := strings.Split(strings.TrimSuffix(body, ","), ",")
	if uint64(len(lines)) != n {
		return "", errorAt(a.v, diag.InvalidValue, "the program has %d instructions, not %d", len(lines), n)
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return "", errorAt(a.v, diag.InvalidValue, "%s is no instruction of four numbers", Quote(line))
		}
		out += ","
		for i, f := range fields {
			v, err := number(a.v, f, 0, max32)
			if err != nil {
				return "", err
			}
			if i > 0 {
				out += " "
			}
			out += strconv.FormatUint(v, 10)
		}
	}
	return out, nil
}
