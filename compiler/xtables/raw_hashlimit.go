package xtables

import (
	"math"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// hashScale is the number of units of a second in xt_hashlimit.
const hashScale = 1000000

// byteShift: rates in bytes are kept in units of 16 bytes.
const byteShift = 4

// hashRate spells --hashlimit-upto and --hashlimit-above. What else depends on
// the rate is done by finishHashlimit.
func hashRate(_ *parser, a *arg) (string, *Error) {
	if n, isBytes, err := byteRate(a.v); isBytes {
		return spellBytes(n>>byteShift<<byteShift) + "/s", err
	}
	_, period, err := hashPeriod(a.v)
	if err != nil {
		return "", err
	}
	u, n := hashUnit(period)
	return strconv.FormatUint(n, 10) + "/" + rateUnits[u].print, nil
}

// hashPeriod gives the unit that a rate was written in, and the time between two
// packets.
func hashPeriod(w Word) (unit int, period uint64, err *Error) {
	num, word, hasUnit := strings.Cut(w.Text, "/")
	n, ok := decimal(num)
	unit = len(rateUnits) - 1
	if hasUnit {
		unit = -1
		for i, u := range rateUnits {
			if word != "" && len(word) <= len(u.word) && strings.EqualFold(u.word[:len(word)], word) {
				unit = i
			}
		}
	}
	if !ok || n == 0 || unit < 0 {
		return 0, 0, errorAt(w, diag.InvalidValue, "%s is no rate", Quote(w.Text)).
			withHelp("a rate is a number and second, minute, hour or day, or bytes: 5/minute, 512kb/s")
	}
	period = rateUnits[unit].scale / limitScale * hashScale / n
	if period == 0 {
		return 0, 0, errorAt(w, diag.InvalidValue, "%s is too fast: at most 1000000 in a second can be told apart", w.Text)
	}
	return unit, period, nil
}

// hashUnit is the largest unit that gives a period back, and the rate in it.
func hashUnit(period uint64) (unit int, n uint64) {
	i := 1
	for ; i < len(rateUnits); i++ {
		s := rateUnits[i].scale / limitScale * hashScale
		if period > s || s/period < s%period {
			break
		}
	}
	return i - 1, rateUnits[i-1].scale / limitScale * hashScale / period
}

// unitSeconds are the seconds of rateUnits.
func unitSeconds(unit int) uint64 { return rateUnits[unit].scale / limitScale }

// byteRate reads Nb/s, Nkb/s and Nmb/s.
func byteRate(w Word) (n uint64, isBytes bool, err *Error) {
	text, isBytes := strings.CutSuffix(w.Text, "b/s")
	if !isBytes {
		return 0, false, nil
	}
	n, err = byteCount(w, text)
	return n, true, err
}

// byteCount reads N, Nk and Nm.
func byteCount(w Word, text string) (uint64, *Error) {
	scale := uint64(1)
	if t, ok := strings.CutSuffix(text, "k"); ok {
		text, scale = t, 1<<10
	} else if t, ok := strings.CutSuffix(text, "m"); ok {
		text, scale = t, 1<<20
	}
	n, ok := decimal(text)
	if !ok || n > math.MaxUint32/scale {
		return 0, errorAt(w, diag.InvalidValue, "%s is no number of bytes", Quote(w.Text))
	}
	if n*scale < 1<<byteShift {
		return 0, errorAt(w, diag.InvalidValue, "%s is less than 16 bytes, which iptables takes as none", w.Text)
	}
	return n * scale, nil
}

// spellBytes writes a number with the largest unit that divides it.
func spellBytes(n uint64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.FormatUint(n>>20, 10) + "mb"
	case n >= 1<<10 && n%(1<<10) == 0:
		return strconv.FormatUint(n>>10, 10) + "kb"
	}
	return strconv.FormatUint(n, 10) + "b"
}

func hashBurst(_ *parser, a *arg) (string, *Error) {
	if text, ok := strings.CutSuffix(a.v.Text, "b"); ok {
		n, err := byteCount(a.v, text)
		return strconv.FormatUint(n, 10) + "b", err
	}
	n, err := number(a.v, a.v.Text, 1, 1000000)
	return strconv.FormatUint(n, 10), err
}

func hashMode(_ *parser, a *arg) (string, *Error) {
	list, err := inOrder(a.v, []string{"srcip", "srcport", "dstip", "dstport"}, "mode")
	return strings.Join(list, ","), err
}

// byteExpire and burstExpire are the lifetimes in seconds that entries of a byte
// rate have by default, without and with a burst.
const (
	byteExpire  = 15
	burstExpire = 60
)

// finishHashlimit brings the options into the form that the tool prints.
func finishHashlimit(p *parser, x *instance) *Error {
	rate := x.get("hashlimit-upto")
	if rate == nil {
		rate = x.get("hashlimit-above")
	}
	if rate == nil {
		return errorAt(x.at, diag.RuleText, "-m hashlimit needs --hashlimit-upto or --hashlimit-above")
	}
	if rate.not {
		rate.not = false
		if rate.opt.name == "hashlimit-upto" {
			x.rename(rate, "hashlimit-above")
		} else {
			x.rename(rate, "hashlimit-upto")
		}
	}
	x.dropDefault("hashlimit-htable-size", "0")
	x.dropDefault("hashlimit-htable-max", "0")
	x.dropDefault("hashlimit-htable-gcinterval", "1000")
	full := strconv.Itoa(p.addressBits())
	x.dropDefault("hashlimit-srcmask", full)
	x.dropDefault("hashlimit-dstmask", full)
	if g := x.get("hashlimit-rate-interval"); g != nil && (!x.has("hashlimit-rate-match") || g.value == "1") {
		x.drop(g)
	}
	if err := x.finishHashBurst(x.rate()); err != nil {
		return err
	}
	x.sortGiven()
	m := x.value.(*ir.Hashlimit)
	m.Options, _ = x.words()
	return nil
}

// rate is the given rate again, after others may have been moved.
func (x *instance) rate() *given {
	if g := x.get("hashlimit-upto"); g != nil {
		return g
	}
	return x.get("hashlimit-above")
}

// finishHashBurst spells burst and lifetime, whose defaults depend on the rate.
func (x *instance) finishHashBurst(rate *given) *Error {
	burst := x.get("hashlimit-burst")
	bytes, isBytes, _ := byteRate(Word{Text: rate.value})
	switch {
	case isBytes && burst == nil:
	case isBytes:
		text, ok := strings.CutSuffix(burst.value, "b")
		n, _ := strconv.ParseUint(text, 10, 64)
		if !ok {
			return errorAt(x.at, diag.InvalidValue, "the burst of a rate in bytes is in bytes: %sb", text)
		}
		if n < bytes {
			return errorAt(x.at, diag.InvalidValue, "the burst is smaller than the rate of one second")
		}
		// The kernel keeps whole multiples of the rate.
		burst.value = spellBytes((n + bytes - 1) / bytes * bytes)
	case burst == nil:
		x.put("hashlimit-burst", "5")
	case strings.HasSuffix(burst.value, "b"):
		return errorAt(x.at, diag.InvalidValue, "the burst of a rate in packets is a number of packets")
	}
	quantum := uint64(byteExpire)
	switch {
	case isBytes && burst != nil:
		quantum = burstExpire
	case !isBytes:
		// The default is the unit as typed; not printed is the unit as printed.
		typed, period, err := hashPeriod(Word{Text: rate.typed})
		if err != nil {
			return err
		}
		unit, _ := hashUnit(period)
		quantum = unitSeconds(unit)
		x.put("hashlimit-htable-expire", strconv.FormatUint(unitSeconds(typed)*1000, 10))
	}
	x.dropDefault("hashlimit-htable-expire", strconv.FormatUint(quantum*1000, 10))
	return nil
}

// drop takes an option back.
func (x *instance) drop(g *given) {
	for i := range x.given {
		if &x.given[i] == g {
			x.given = append(x.given[:i], x.given[i+1:]...)
			return
		}
	}
}

// dropDefault takes an option back if it says what holds without it.
func (x *instance) dropDefault(name, value string) {
	if g := x.get(name); g != nil && g.value == value {
		x.drop(g)
	}
}
