package xtables

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// The canons of the tables: each makes a function that spells a value as
// iptables-save prints it.

// num is a decimal number.
func num(low, high uint64) canon {
	return func(_ *parser, a *arg) (string, *Error) {
		n, err := number(a.v, a.v.Text, low, high)
		return strconv.FormatUint(n, 10), err
	}
}

// hexNum is a hexadecimal number of at least so many digits.
func hexNum(digits int, high uint64) canon {
	return func(_ *parser, a *arg) (string, *Error) {
		n, err := number(a.v, a.v.Text, 0, high)
		return fmt.Sprintf("0x%0*x", digits, n), err
	}
}

// hexMask is VALUE or VALUE/MASK; a full mask is not printed.
func hexMask(_ *parser, a *arg) (string, *Error) {
	v, m, err := markMask(a.v)
	return string(appendMarkMask(nil, v, m)), err
}

// fullRange says what becomes of a range that holds every value.
type fullRange uint8

const (
	printFull fullRange = iota // is printed
	dropFull                   // is not printed, and neither is its negation
)

// numSpan is N, N:M, :M or N:, both ends included.
func numSpan(limit uint64, full fullRange) canon {
	return func(p *parser, a *arg) (string, *Error) {
		low, high, isRange := strings.Cut(a.v.Text, ":")
		lo, hi := uint64(0), limit
		var err *Error
		if low != "" || !isRange {
			if lo, err = number(a.v, low, 0, limit); err != nil {
				return "", err
			}
		}
		switch {
		case !isRange:
			hi = lo
		case high != "":
			if hi, err = number(a.v, high, 0, limit); err != nil {
				return "", err
			}
		}
		if lo > hi {
			return "", errorAt(a.v, diag.InvalidValue, "the range %s ends before it begins", a.v.Text)
		}
		if lo == 0 && hi == limit && full == dropFull {
			if a.not {
				return "", errorAt(a.at, diag.Inverted, "`! --%s %s` never matches, but iptables makes it match always", a.opt.name, a.v.Text)
			}
			a.drop = true
		}
		if lo == hi {
			return strconv.FormatUint(lo, 10), nil
		}
		return strconv.FormatUint(lo, 10) + ":" + strconv.FormatUint(hi, 10), nil
	}
}

// oneWord is one of some words, given exactly or without regard to case.
func oneWord(fold bool, words ...string) canon {
	return func(_ *parser, a *arg) (string, *Error) {
		w, ok := oneOf(a.v.Text, words)
		if !ok || !fold && w != a.v.Text {
			return "", errorAt(a.v, diag.InvalidValue, "--%s is %s, not %s", a.opt.name, strings.Join(words, " or "), Quote(a.v.Text))
		}
		return w, nil
	}
}

// identifier is a name that the tool prints without quotes.
func identifier(limit int) canon {
	return func(_ *parser, a *arg) (string, *Error) {
		return a.v.Text, nameLike(a.v, "--"+a.opt.name, limit)
	}
}

// freeText is any text, at most so many bytes.
func freeText(limit int) canon {
	return func(_ *parser, a *arg) (string, *Error) {
		if err := nonEmpty(a.v, "--"+a.opt.name); err != nil {
			return "", err
		}
		return a.v.Text, fits(a.v, "--"+a.opt.name, limit)
	}
}

// hostAddr is one address.
func hostAddr(p *parser, a *arg) (string, *Error) {
	addr, err := p.ip(a.v, a.v.Text)
	if err != nil {
		return "", err
	}
	return string(appendAddr(nil, addr)), nil
}

// hostPrefix is an address with its prefix; clear says that host bits go, and
// always that a full prefix is printed too.
func hostPrefix(clearBits, always bool) canon {
	return func(p *parser, a *arg) (string, *Error) {
		text, mask, hasMask := strings.Cut(a.v.Text, "/")
		addr, err := p.ip(a.v, text)
		if err != nil {
			return "", err
		}
		bits := addr.BitLen()
		if hasMask {
			if bits, err = maskBits(a.v, mask, bits); err != nil {
				return "", err
			}
		}
		if clearBits {
			addr = netip.PrefixFrom(addr, bits).Masked().Addr()
		}
		b := appendAddr(nil, addr)
		if bits < addr.BitLen() || always {
			b = strconv.AppendInt(append(b, '/'), int64(bits), 10)
		}
		return string(b), nil
	}
}

// maskBits reads a prefix length, or a mask that is one.
func maskBits(w Word, text string, limit int) (int, *Error) {
	if n, ok := decimal(text); ok {
		if n > uint64(limit) {
			return 0, errorAt(w, diag.InvalidValue, "a prefix has at most %d bits", limit)
		}
		return int(n), nil
	}
	m, err := netip.ParseAddr(text)
	if err == nil && m.BitLen() == limit {
		if n := prefixLength(m); n >= 0 {
			return n, nil
		}
	}
	return 0, errorAt(w, diag.InvalidValue, "%s is no prefix length", Quote(text))
}

// prefixBits is a prefix length of the rule's family, or a mask.
func prefixBits(p *parser, a *arg) (string, *Error) {
	n, err := maskBits(a.v, a.v.Text, p.addressBits())
	return strconv.Itoa(n), err
}

// addressBits is the length of an address of the rule's family.
func (p *parser) addressBits() int {
	if p.opt.Family == ir.IPv4 {
		return 32
	}
	return 128
}

// ipv6Options is a list of option types, each with an optional length.
func ipv6Options(_ *parser, a *arg) (string, *Error) {
	var out []string
	for part := range strings.SplitSeq(a.v.Text, ",") {
		kind, length, has := strings.Cut(part, ":")
		n, err := number(a.v, kind, 0, math.MaxUint8)
		if err != nil {
			return "", err
		}
		s := strconv.FormatUint(n, 10)
		if has {
			if n, err = number(a.v, length, 0, math.MaxUint8); err != nil {
				return "", err
			}
			s += ":" + strconv.FormatUint(n, 10)
		}
		out = append(out, s)
	}
	if len(out) > 16 {
		return "", errorAt(a.v, diag.TooLong, "--%s holds at most 16 options", a.opt.name)
	}
	return strings.Join(out, ","), nil
}

// The helpers of undecoded modules' finish functions.

// get is what was given for an option, or nil.
func (x *instance) get(name string) *given {
	for i := range x.given {
		if x.given[i].opt.name == name {
			return &x.given[i]
		}
	}
	return nil
}

// put adds an option that was not given.
func (x *instance) put(name, value string) {
	if x.get(name) == nil {
		x.given = append(x.given, given{opt: &x.mod.options[x.mod.lookup(name)], value: value})
	}
}

// rename makes one option of another.
func (x *instance) rename(g *given, name string) { g.opt = &x.mod.options[x.mod.lookup(name)] }

// needsOne asks for one option of some.
func needsOne(names ...string) func(*parser, *instance) *Error {
	return func(_ *parser, x *instance) *Error {
		for _, n := range names {
			if x.has(n) {
				return nil
			}
		}
		return errorAt(x.at, diag.RuleText, "%s needs --%s", x.title(), strings.Join(names, " or --"))
	}
}
