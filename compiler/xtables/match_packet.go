package xtables

import (
	"math"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

var addrTypes = []string{
	"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT",
	"THROW", "NAT", "XRESOLVE",
}

// maxComment is the number of bytes that iptables keeps of a comment; it cuts the
// rest without a word.
const maxComment = 255

func packetMatches() []*module {
	return []*module{
		{
			name: "comment", fresh: func() any { return &ir.Comment{} },
			options: []option{{name: "comment", words: 1, must: true, set: setComment}},
		},
		{
			name: "addrtype", fresh: func() any { return &ir.AddrType{} }, finish: finishAddrType,
			options: []option{
				{name: "src-type", words: 1, not: true, set: setAddrType},
				{name: "dst-type", words: 1, not: true, set: setAddrType},
				{name: "limit-iface-in", group: 'l', set: setAddrTypeIface},
				{name: "limit-iface-out", group: 'l', set: setAddrTypeIface},
			},
		},
		{
			name: "iprange", fresh: func() any { return &ir.IPRange{} }, finish: finishIPRange,
			options: []option{
				{name: "src-range", words: 1, not: true, set: setIPRange},
				{name: "dst-range", words: 1, not: true, set: setIPRange},
			},
		},
		{
			name: "length", fresh: func() any { return &ir.Length{} },
			options: []option{{name: "length", words: 1, not: true, must: true, set: setLength}},
		},
		{
			name: "ttl", family: ir.IPv4, fresh: func() any { return &ir.TTL{} }, finish: finishTTL,
			options: []option{
				{name: "ttl-eq", words: 1, not: true, group: 't', set: setTTL},
				{name: "ttl", alias: "ttl-eq"},
				{name: "ttl-lt", words: 1, group: 't', set: setTTL},
				{name: "ttl-gt", words: 1, group: 't', set: setTTL},
			},
		},
		{
			name: "hl", family: ir.IPv6, fresh: func() any { return &ir.TTL{V6: true} }, finish: finishTTL,
			options: []option{
				{name: "hl-eq", words: 1, not: true, group: 't', set: setTTL},
				{name: "hl", alias: "hl-eq"},
				{name: "hl-lt", words: 1, group: 't', set: setTTL},
				{name: "hl-gt", words: 1, group: 't', set: setTTL},
			},
		},
		{
			name: "pkttype", fresh: func() any { return &ir.PktType{} },
			options: []option{{name: "pkt-type", words: 1, not: true, must: true, set: setPktType}},
		},
		{
			name: "limit", fresh: func() any { return &ir.Limit{Rate: "3/hour", Burst: 5} },
			options: []option{
				{name: "limit", words: 1, set: setLimit},
				{name: "limit-burst", words: 1, set: setLimitBurst},
			},
		},
		{
			name: "set", fresh: func() any { return &ir.SetMatch{} }, finish: finishSet,
			options: []option{
				{name: "match-set", words: 2, not: true, must: true, set: setSet},
				{name: "set", alias: "match-set"},
				{name: "return-nomatch", set: setSetFlag},
				{name: "update-counters", not: true, set: setSetFlag},
				{name: "update-subcounters", not: true, set: setSetFlag},
				{name: "packets-eq", words: 1, not: true, group: 'p', set: setSetCounter},
				{name: "packets-lt", words: 1, group: 'p', set: setSetCounter},
				{name: "packets-gt", words: 1, group: 'p', set: setSetCounter},
				{name: "bytes-eq", words: 1, not: true, group: 'b', set: setSetCounter},
				{name: "bytes-lt", words: 1, group: 'b', set: setSetCounter},
				{name: "bytes-gt", words: 1, group: 'b', set: setSetCounter},
			},
		},
	}
}

func setComment(p *parser, x *instance, a *arg) *Error {
	if !p.decoding {
		if err := fits(a.v, "a comment", maxComment); err != nil {
			return err
		}
	}
	x.value.(*ir.Comment).Text = a.v.Text
	return nil
}

// localOnly is the address type of nearly every rule, shared by all of them.
var localOnly = []string{"LOCAL"}

func setAddrType(_ *parser, x *instance, a *arg) *Error {
	list := localOnly
	if a.v.Text != "LOCAL" {
		var err *Error
		if list, err = inOrder(a.v, addrTypes, "address type"); err != nil {
			return err
		}
	}
	m := x.value.(*ir.AddrType)
	if a.opt.name == "src-type" {
		m.Source, m.SourceNot = list, a.not
	} else {
		m.Dest, m.DestNot = list, a.not
	}
	return nil
}

func setAddrTypeIface(_ *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.AddrType)
	if a.opt.name == "limit-iface-in" {
		m.LimitIfaceIn = true
	} else {
		m.LimitIfaceOut = true
	}
	return nil
}

func finishAddrType(_ *parser, x *instance) *Error {
	if m := x.value.(*ir.AddrType); m.Source == nil && m.Dest == nil {
		return errorAt(x.at, diag.RuleText, "-m addrtype needs --src-type or --dst-type")
	}
	return nil
}

func setIPRange(p *parser, x *instance, a *arg) *Error {
	r, err := p.addrRange(a.v, a.v.Text)
	if err != nil {
		return err
	}
	if r.High.Less(r.Low) && !p.decoding {
		return errorAt(a.v, diag.Inverted, "the range %s ends before it begins and never matches", a.v.Text)
	}
	m := x.value.(*ir.IPRange)
	if a.opt.name == "src-range" {
		m.Source, m.SourceNot = &r, a.not
	} else {
		m.Dest, m.DestNot = &r, a.not
	}
	return nil
}

func finishIPRange(_ *parser, x *instance) *Error {
	if m := x.value.(*ir.IPRange); m.Source == nil && m.Dest == nil {
		return errorAt(x.at, diag.RuleText, "-m iprange needs --src-range or --dst-range")
	}
	return nil
}

func setLength(p *parser, x *instance, a *arg) *Error {
	low, high, isRange := strings.Cut(a.v.Text, ":")
	lo, hi := uint64(0), uint64(math.MaxUint16)
	var err *Error
	if low != "" || !isRange {
		if lo, err = number(a.v, low, 0, math.MaxUint16); err != nil {
			return err
		}
	}
	if !isRange {
		hi = lo
	} else if high != "" {
		if hi, err = number(a.v, high, 0, math.MaxUint16); err != nil {
			return err
		}
	}
	if lo > hi && !p.decoding {
		return errorAt(a.v, diag.InvalidValue, "the range %s ends before it begins and never matches", a.v.Text)
	}
	*x.value.(*ir.Length) = ir.Length{Not: a.not, Low: uint16(lo), High: uint16(hi)}
	return nil
}

func setTTL(_ *parser, x *instance, a *arg) *Error {
	n, err := number(a.v, a.v.Text, 0, math.MaxUint8)
	if err != nil {
		return err
	}
	m := x.value.(*ir.TTL)
	m.Not, m.Value = a.not, uint8(n)
	m.Op = a.opt.name[strings.LastIndexByte(a.opt.name, '-')+1:]
	return nil
}

func finishTTL(_ *parser, x *instance) *Error {
	if x.value.(*ir.TTL).Op == "" {
		o := x.mod.options
		return errorAt(x.at, diag.RuleText, "-m %s needs --%s, --%s or --%s", x.mod.name, o[0].name, o[2].name, o[3].name)
	}
	return nil
}

// pktTypes are names of packet types, each followed by other spellings of it.
var pktTypes = [][]string{{"unicast", "host"}, {"broadcast", "bcast"}, {"multicast", "mcast"}}

func setPktType(_ *parser, x *instance, a *arg) *Error {
	for _, names := range pktTypes {
		if _, ok := oneOf(a.v.Text, names); ok {
			*x.value.(*ir.PktType) = ir.PktType{Not: a.not, Type: names[0]}
			return nil
		}
	}
	return errorAt(a.v, diag.InvalidValue, "a packet type is unicast, broadcast or multicast, not %s", Quote(a.v.Text))
}

func setLimit(_ *parser, x *instance, a *arg) *Error {
	r, err := rate(a.v)
	x.value.(*ir.Limit).Rate = r
	return err
}

func setLimitBurst(p *parser, x *instance, a *arg) *Error {
	low := uint64(1) // one variant refuses 0, the other prints nothing for it
	if p.decoding {
		low = 0
	}
	n, err := number(a.v, a.v.Text, low, limitScale)
	x.value.(*ir.Limit).Burst = uint32(n)
	return err
}

// limitScale is the number of units that a second has in xt_limit.
const limitScale = 10000

// rateUnits are the units of a rate by length, as iptables prints them, with the
// words that it takes for them.
var rateUnits = []struct {
	print, word string
	scale       uint64
}{
	{"day", "day", 24 * 3600 * limitScale},
	{"hour", "hour", 3600 * limitScale},
	{"min", "minute", 60 * limitScale},
	{"sec", "second", limitScale},
}

// rate reads N/UNIT and spells it as iptables does: the kernel keeps the time
// between two packets in tenths of a millisecond, and the tool prints the
// largest unit that gives it back.
func rate(w Word) (string, *Error) {
	num, unit, hasUnit := strings.Cut(w.Text, "/")
	n, ok := decimal(num)
	scale := uint64(limitScale)
	if hasUnit {
		scale = 0
		for _, u := range rateUnits {
			if unit != "" && len(unit) <= len(u.word) && strings.EqualFold(u.word[:len(unit)], unit) {
				scale = u.scale
			}
		}
	}
	if !ok || n == 0 || n > math.MaxInt32 || scale == 0 {
		return "", errorAt(w, diag.InvalidValue, "%s is no rate", Quote(w.Text)).
			withHelp("a rate is a number and second, minute, hour or day: 5/minute")
	}
	period := scale / n
	if period == 0 {
		return "", errorAt(w, diag.InvalidValue, "%s is too fast: at most 10000 in a second can be told apart", w.Text)
	}
	return spellRate(period), nil
}

func spellRate(period uint64) string {
	i := 1
	for ; i < len(rateUnits); i++ {
		s := rateUnits[i].scale
		if period > s || s/period < s%period {
			break
		}
	}
	u := rateUnits[i-1]
	return strconv.FormatUint(u.scale/period, 10) + "/" + u.print
}

// maxSet is IPSET_MAXNAMELEN without the final NUL.
const maxSet = 31

func setSet(p *parser, x *instance, a *arg) *Error {
	if err := checkSetName(a.v); err != nil {
		return err
	}
	m := x.value.(*ir.SetMatch)
	dirs, err := setDirs(a.v2)
	m.Not, m.Name, m.Dirs = a.not, a.v.Text, dirs
	return err
}

func checkSetName(w Word) *Error {
	switch {
	case w.Text == "" || w.Text[0] == '-' || w.Text[0] == '!' || !bare(w.Text):
		return errorAt(w, diag.InvalidName, "%s is no name of a set", Quote(w.Text))
	}
	return fits(w, "the name of a set", maxSet)
}

// setDirs reads src,dst,...: at most six.
func setDirs(w Word) ([]string, *Error) {
	switch w.Text {
	case "src":
		return dirSource, nil
	case "dst":
		return dirDest, nil
	}
	dirs := strings.Split(w.Text, ",")
	for _, d := range dirs {
		if d != "src" && d != "dst" {
			return nil, errorAt(w, diag.InvalidValue, "the directions of a set are src and dst, not %s", Quote(d))
		}
	}
	if len(dirs) > 6 {
		return nil, errorAt(w, diag.InvalidValue, "a set has at most 6 dimensions")
	}
	return dirs, nil
}

var dirSource, dirDest = []string{"src"}, []string{"dst"}

func setSetFlag(_ *parser, x *instance, a *arg) *Error {
	x.given = append(x.given, given{opt: a.opt, not: a.not})
	return nil
}

func setSetCounter(_ *parser, x *instance, a *arg) *Error {
	n, err := number(a.v, a.v.Text, 0, math.MaxUint64)
	x.given = append(x.given, given{opt: a.opt, not: a.not, value: strconv.FormatUint(n, 10)})
	return err
}

// finishSet writes the further options in the tool's order: the order of the
// option table.
func finishSet(_ *parser, x *instance) *Error {
	m := x.value.(*ir.SetMatch)
	for i := range x.mod.options {
		for k := range x.given {
			g := &x.given[k]
			if g.opt != &x.mod.options[i] {
				continue
			}
			if g.opt.words == 0 {
				m.Rest = rest(m.Rest, &arg{opt: g.opt, not: g.not})
			} else {
				m.Rest = rest(m.Rest, &arg{opt: g.opt, not: g.not}, g.value)
			}
		}
	}
	return nil
}
