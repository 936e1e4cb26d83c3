package xtables

import (
	"strconv"
	"strings"

	"hookline/dsl/diag"
)

// u32Tests spells the tests of -m u32 with hexadecimal numbers and without blanks.
// A test is LOCATION=RANGES, where a location is a number followed by &N, <<N,
// >>N and @N; tests are joined by &&.
func u32Tests(_ *parser, a *arg) (string, *Error) {
	r := u32Reader{w: a.v, s: a.v.Text}
	for tests := 0; ; tests++ {
		if tests > 10 {
			return "", errorAt(a.v, diag.TooLong, "-m u32 holds at most 10 tests")
		}
		if err := r.location(); err != nil {
			return "", err
		}
		if err := r.ranges(); err != nil {
			return "", err
		}
		r.blanks()
		if r.i == len(r.s) {
			return r.out.String(), nil
		}
		if !r.take("&&") {
			return "", r.bad()
		}
		r.out.WriteString("&&")
	}
}

type u32Reader struct {
	w   Word
	s   string
	i   int
	out strings.Builder
}

func (r *u32Reader) bad() *Error {
	return errorAt(r.w, diag.InvalidValue, "the u32 test cannot be read from %s on", Quote(r.s[min(r.i, len(r.s)):]))
}

func (r *u32Reader) blanks() {
	for r.i < len(r.s) && r.s[r.i] == ' ' {
		r.i++
	}
}

func (r *u32Reader) take(s string) bool {
	if strings.HasPrefix(r.s[r.i:], s) {
		r.i += len(s)
		return true
	}
	return false
}

// number reads a number of 32 bits and writes it in hexadecimal.
func (r *u32Reader) number() (uint64, *Error) {
	r.blanks()
	start := r.i
	for r.i < len(r.s) && strings.IndexByte("0123456789abcdefABCDEFxX", r.s[r.i]) >= 0 {
		r.i++
	}
	n, err := number(r.w, r.s[start:r.i], 0, max32)
	if err != nil {
		r.i = start
		return 0, r.bad()
	}
	return n, nil
}

func (r *u32Reader) hex(n uint64) { r.out.WriteString("0x" + strconv.FormatUint(n, 16)) }

func (r *u32Reader) location() *Error {
	n, err := r.number()
	if err != nil {
		return err
	}
	r.hex(n)
	for {
		r.blanks()
		op := ""
		for _, o := range []string{"<<", ">>", "&", "@"} {
			if op == "" && r.take(o) {
				op = o
			}
		}
		if op == "" {
			break
		}
		if n, err = r.number(); err != nil {
			return err
		}
		r.out.WriteString(op)
		r.hex(n)
	}
	if !r.take("=") {
		return r.bad()
	}
	r.out.WriteByte('=')
	return nil
}

func (r *u32Reader) ranges() *Error {
	for {
		low, err := r.number()
		if err != nil {
			return err
		}
		high := low
		r.blanks()
		if r.take(":") {
			if high, err = r.number(); err != nil {
				return err
			}
		}
		if low > high {
			return errorAt(r.w, diag.InvalidValue, "a range in the u32 test ends before it begins")
		}
		r.hex(low)
		if high != low {
			r.out.WriteByte(':')
			r.hex(high)
		}
		r.blanks()
		if !r.take(",") {
			return nil
		}
		r.out.WriteByte(',')
	}
}
