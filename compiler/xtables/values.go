package xtables

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

var errNotIPv4 = errors.New("no IPv4 address")

// decimal reads digits only, without a sign and without leading zeros.
func decimal(s string) (uint64, bool) {
	if s == "" || len(s) > 20 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		d := uint64(s[i] - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// number reads a number in decimal or with 0x, as iptables does, but refuses a
// leading zero: iptables would read the rest as octal.
func number(w Word, text string, low, high uint64) (uint64, *Error) {
	n, ok := decimal(text)
	if !ok {
		if len(text) > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') {
			v, err := strconv.ParseUint(text[2:], 16, 64)
			n, ok = v, err == nil
		} else if len(text) > 1 && text[0] == '0' && strings.Trim(text, "0123456789") == "" {
			return 0, errorAt(w, diag.AmbiguousNumber, "%s has a leading zero, which iptables reads as octal", text).
				withHelp("leave out the zero")
		}
	}
	if !ok {
		return 0, errorAt(w, diag.InvalidValue, "%s is no number", Quote(text))
	}
	if n < low || n > high {
		return 0, errorAt(w, diag.InvalidValue, "%s is out of range %d to %d", text, low, high)
	}
	return n, nil
}

// port reads a port as a number or a well-known service name.
func port(w Word, text string) (uint16, *Error) {
	if n, ok := decimal(text); ok && n <= math.MaxUint16 {
		return uint16(n), nil
	}
	if n, ok := services[text]; ok {
		return n, nil
	}
	n, err := number(w, text, 0, math.MaxUint16)
	if err != nil {
		if err.Code == diag.InvalidValue && text != "" && isLetter(rune(text[0])) {
			err.Message = "unknown service " + Quote(text)
			err.Help = "give the port's number"
			if near := nearest(text, serviceNames()); near != "" {
				err.Help = "did you mean " + near
			}
		}
		return 0, err
	}
	return uint16(n), nil
}

// portRange reads LOW, LOW:HIGH, :HIGH or LOW:.
func portRange(w Word, text string) (ir.PortRange, *Error) {
	low, high, isRange := strings.Cut(text, ":")
	r := ir.PortRange{Low: 0, High: math.MaxUint16}
	var err *Error
	if low != "" || !isRange {
		if r.Low, err = port(w, low); err != nil {
			return r, err
		}
	}
	if !isRange {
		r.High = r.Low
		return r, nil
	}
	if high != "" {
		if r.High, err = port(w, high); err != nil {
			return r, err
		}
	}
	if r.Low > r.High {
		return r, errorAt(w, diag.InvalidValue, "the range %s ends before it begins", text)
	}
	return r, nil
}

// markMask reads VALUE or VALUE/MASK of 32 bits each.
func markMask(w Word) (value, mask uint32, err *Error) {
	text, m, has := strings.Cut(w.Text, "/")
	v, err := number(w, text, 0, math.MaxUint32)
	if err != nil {
		return 0, 0, err
	}
	if !has {
		return uint32(v), math.MaxUint32, nil
	}
	n, err := number(w, m, 0, math.MaxUint32)
	return uint32(v), uint32(n), err
}

// fits refuses a string that is longer than the kernel keeps.
func fits(w Word, what string, limit int) *Error {
	if len(w.Text) > limit {
		return errorAt(w, diag.TooLong, "%s has at most %d bytes, and this one has %d", what, limit, len(w.Text))
	}
	return nil
}

// nonEmpty refuses an empty string.
func nonEmpty(w Word, what string) *Error {
	if w.Text == "" {
		return errorAt(w, diag.InvalidValue, "%s cannot be empty", what)
	}
	return nil
}

// addrRange reads LOW-HIGH or one address.
func (p *parser) addrRange(w Word, text string) (ir.AddrRange, *Error) {
	low, high, isRange := strings.Cut(text, "-")
	var r ir.AddrRange
	var err *Error
	if r.Low, err = p.ip(w, low); err != nil {
		return r, err
	}
	r.High = r.Low
	if isRange {
		if r.High, err = p.ip(w, high); err != nil {
			return r, err
		}
	}
	return r, nil
}

// oneOf finds a word in a list without regard to case.
func oneOf(text string, list []string) (string, bool) {
	for _, s := range list {
		if strings.EqualFold(s, text) {
			return s, true
		}
	}
	return "", false
}

// inOrder reads a comma-separated list of words and gives them in the order of
// list, each once.
func inOrder(w Word, list []string, what string) ([]string, *Error) {
	var seen uint64
	for part := range strings.SplitSeq(w.Text, ",") {
		i := listed(list, part)
		if i >= 0 {
			seen |= 1 << i
		} else {
			e := errorAt(w, diag.InvalidValue, "unknown %s %s", what, Quote(part))
			if near := nearest(strings.ToUpper(part), list); near != "" {
				return nil, e.withHelp("did you mean %s", near)
			}
			return nil, e
		}
	}
	var out []string
	for i, s := range list {
		if seen&(1<<i) != 0 {
			out = append(out, s)
		}
	}
	return out, nil
}

// listed is the index of a word in a list, or of the only one that begins with it:
// iptables takes EST for ESTABLISHED. -1 if there is none.
func listed(list []string, word string) int {
	found := -1
	for i, s := range list {
		if word == "" || len(s) < len(word) || !strings.EqualFold(s[:len(word)], word) {
			continue
		}
		if len(s) == len(word) {
			return i
		}
		if found >= 0 {
			return -1
		}
		found = i
	}
	return found
}

// appendAddr writes an address as inet_ntop does: the C library prints ::1.2.3.4
// with dots, and Go does not.
func appendAddr(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		x := a.As16()
		compat := true
		for _, c := range x[:12] {
			compat = compat && c == 0
		}
		if compat && (x[12] != 0 || x[13] != 0) {
			b = append(b, "::"...)
			return netip.AddrFrom4([4]byte(x[12:])).AppendTo(b)
		}
	}
	return a.AppendTo(b)
}
