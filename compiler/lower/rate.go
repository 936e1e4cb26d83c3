package lower

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// The kernel counts rates as a period per packet, in these parts of a second.
const (
	limitScale     = 10_000
	hashlimitScale = 1_000_000
)

// rateUnits from the longest, with the names that iptables-save prints.
var rateUnits = []struct {
	long, short string
	seconds     uint64
}{{"day", "day", 86400}, {"hour", "hour", 3600}, {"minute", "min", 60}, {"second", "sec", 1}}

// rate is a number of packets per unit as the kernel keeps it.
type rate struct {
	text    string // as iptables-save prints it
	period  uint64
	seconds uint64 // of the unit in text
}

// rateMatch is a limit or hashlimit of a rule.
type rateMatch struct {
	of func(f ir.Family) ir.Match
}

// readLimit reads "5/minute" or {rate, burst}.
func (l *lowering) readLimit(k Key, not bool) {
	v, burst := k.Value, uint64(5)
	var burstAt *Value
	if v.Kind == Map {
		m, ok := l.fields(v, "limit", "rate", "burst")
		if !ok {
			return
		}
		if m["rate"] == nil {
			l.diags.Errorf(diag.MissingKey, k.Span, "limit needs a rate").WithHelp("for example limit: {rate: 5/minute, burst: 10}")
			return
		}
		if v = m["rate"]; m["burst"] != nil {
			burstAt = m["burst"]
			if burst, ok = l.readBurst(burstAt, 10000); !ok {
				return
			}
		}
	}
	r, ok := l.readRate(v, limitScale)
	if !ok || !l.checkBurst(r, v, burst, burstAt, limitScale) {
		return
	}
	m := rateMatch{of: func(ir.Family) ir.Match { return &ir.Limit{Rate: r.text, Burst: uint32(burst)} }}
	if !not {
		l.limits = append(l.limits, m)
		return
	}
	l.notRate = &m
}

func (l *lowering) readBurst(v *Value, highest uint64) (uint64, bool) {
	n, ok := l.number(v, "a burst", highest)
	if ok && n == 0 {
		l.diags.Errorf(diag.InvalidValue, v.Span, "a burst of 0 would never match")
		return 0, false
	}
	return n, ok
}

// readRate reads N/UNIT and warns if the kernel keeps another rate.
func (l *lowering) readRate(v *Value, scale uint64) (rate, bool) {
	s, ok := l.scalar(v, "a rate such as 5/minute")
	if !ok {
		return rate{}, false
	}
	count, unit, found := strings.Cut(s, "/")
	n, good := number(count, 1<<32-1)
	seconds := uint64(0)
	for _, u := range rateUnits {
		if unit != "" && strings.HasPrefix(u.long, strings.ToLower(unit)) {
			seconds = u.seconds
		}
	}
	if !found || !good || n == 0 || seconds == 0 {
		l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not a rate: a number, a slash, and second, minute, hour or day", s)
		return rate{}, false
	}
	r := rate{period: scale * seconds / n}
	if r.period == 0 {
		l.diags.Errorf(diag.InvalidValue, v.Span, "%q is faster than iptables can count, which is %d/second", s, scale)
		return rate{}, false
	}
	kept := uint64(0)
	for i, u := range rateUnits {
		whole := u.seconds * scale
		if i > 0 && (r.period > whole || whole/r.period < whole%r.period) {
			break
		}
		kept, r.seconds, r.text = whole/r.period, u.seconds, fmt.Sprintf("%d/%s", whole/r.period, u.short)
	}
	if kept*seconds != n*r.seconds {
		l.diags.Warnf(diag.InvalidValue, v.Span, "the kernel cannot count %s and keeps %s", s, r.text)
	}
	return r, true
}

// checkBurst refuses what overflows the kernel's counter: it holds a day, and a
// burst takes as many periods. Past that legacy refuses the rule or keeps another
// burst, depending on how the kernel was built.
func (l *lowering) checkBurst(r rate, v *Value, burst uint64, burstAt *Value, scale uint64) bool {
	most := 86400 * scale / r.period
	if burst <= most {
		return true
	}
	at := v.Span
	if burstAt != nil {
		at = burstAt.Span
	}
	l.diags.Errorf(diag.InvalidValue, at, "a burst of %d at %s lasts longer than a day, which the kernel cannot count", burst, r.text).
		WithHelp("use a burst of at most %d", most)
	return false
}

// readStatistic reads {probability} or {every, packet}. Like a limit it is asked
// last, and once for a packet: `every` counts the packets that get that far. Under
// not it is asked the other way round.
func (l *lowering) readStatistic(k Key, not bool) {
	m, ok := l.fields(k.Value, "statistic", "probability", "every", "packet")
	if !ok {
		return
	}
	bang := ""
	if not {
		bang = "! "
	}
	text := ""
	switch {
	case m["probability"] != nil && (m["every"] != nil || m["packet"] != nil):
		l.diags.Errorf(diag.RuleConflict, k.Span, "statistic takes probability, or every and packet")
	case m["probability"] != nil:
		s, ok := l.scalar(m["probability"], "a probability between 0 and 1")
		if ok && !probability.MatchString(s) {
			l.diags.Errorf(diag.InvalidValue, m["probability"].Span, "%q is not a probability: a number between 0 and 1 such as 0.25", s)
			return
		}
		text = "-m statistic --mode random " + bang + "--probability " + s
	case m["every"] != nil:
		every, ok1 := l.number(m["every"], "a number of packets", 1<<32-1)
		packet, ok2 := uint64(0), true
		if m["packet"] != nil {
			packet, ok2 = l.number(m["packet"], "a number of a packet", 1<<32-1)
		}
		if ok1 && every == 0 {
			l.diags.Errorf(diag.InvalidValue, m["every"].Span, "every 0 packets is never: every counts from 1")
			return
		}
		if ok1 && ok2 && packet >= every {
			at := k.Span
			if m["packet"] != nil {
				at = m["packet"].Span
			}
			l.diags.Errorf(diag.InvalidValue, at, "packet counts from 0 to %d", every-1)
			return
		}
		text = fmt.Sprintf("-m statistic --mode nth %s--every %d --packet %d", bang, every, packet)
	default:
		l.diags.Errorf(diag.MissingKey, k.Span, "statistic needs probability or every")
	}
	if l.diags.HasErrors() {
		return
	}
	// The tool keeps a probability as a fraction of 2^31: the one spelling of that is
	// known where rule text is read.
	specs, err := xtables.Parse(text, xtables.Options{Family: ir.IPv4})
	if err != nil || len(specs) != 1 || len(specs[0].Matches) != 1 {
		l.diags.Errorf(diag.InvalidValue, k.Span, "statistic: %v", err)
		return
	}
	l.limits = append(l.limits, rateMatch{of: func(ir.Family) ir.Match { return specs[0].Matches[0] }})
}

// probability is a number from 0 to 1 with at most the digits that the tool prints.
var probability = regexp.MustCompile(`^(0(\.[0-9]{1,11})?|1(\.0{1,11})?)$`)

var hashlimitKeys = []string{"name", "upto", "above", "burst", "mode", "srcmask", "dstmask", "htableSize", "htableMax", "htableExpire"}

// hashModes in the order in which iptables prints them.
var hashModes = []string{"srcip", "srcport", "dstip", "dstport"}

// readHashlimit reads {name, upto | above, burst, mode, ...}. Under not, upto
// means above and the other way round.
func (l *lowering) readHashlimit(k Key, not bool) {
	m, ok := l.fields(k.Value, "hashlimit", hashlimitKeys...)
	if !ok {
		return
	}
	if m["name"] == nil {
		l.diags.Errorf(diag.MissingKey, k.Span, "hashlimit needs a name for its table in the kernel")
	}
	side, v := "upto", m["upto"]
	switch {
	case v == nil && m["above"] == nil:
		l.diags.Errorf(diag.MissingKey, k.Span, "hashlimit needs upto or above")
	case v != nil && m["above"] != nil:
		l.diags.Errorf(diag.RuleConflict, k.Span, "hashlimit takes one of upto, above")
	case v == nil:
		side, v = "above", m["above"]
	}
	r, good := l.readRate(v, hashlimitScale)
	burst := uint64(5)
	if m["burst"] != nil {
		n, ok := l.readBurst(m["burst"], 1_000_000)
		burst, good = n, good && ok
	}
	if good {
		l.checkBurst(r, v, burst, m["burst"], hashlimitScale)
	}
	if not {
		side = map[string]string{"upto": "above", "above": "upto"}[side]
	}
	options := []string{"--hashlimit-" + side, r.text, "--hashlimit-burst", strconv.FormatUint(burst, 10)}
	if modes := l.readModes(m["mode"]); len(modes) > 0 {
		options = append(options, "--hashlimit-mode", strings.Join(modes, ","))
	}
	if m["name"] != nil {
		name, _ := l.word(m["name"], "a hashlimit name", "-_.:", 63)
		if name == "." || name == ".." {
			l.diags.Errorf(diag.InvalidValue, m["name"].Span, "the kernel refuses this name")
		}
		options = append(options, "--hashlimit-name", name)
	}
	for _, o := range []struct {
		key, option string
		spared      uint64 // not printed
	}{{"htableSize", "--hashlimit-htable-size", 0}, {"htableMax", "--hashlimit-htable-max", 0}, {"htableExpire", "--hashlimit-htable-expire", r.seconds * 1000}} {
		if m[o.key] == nil {
			continue
		}
		if n, ok := l.number(m[o.key], "a number", 1<<31-1); ok && n != o.spared {
			options = append(options, o.option, strconv.FormatUint(n, 10))
		}
	}
	srcmask, dstmask := l.readHashMask(m["srcmask"], "srcmask"), l.readHashMask(m["dstmask"], "dstmask")
	l.limits = append(l.limits, rateMatch{of: func(f ir.Family) ir.Match {
		o := slices.Clone(options)
		if n, ok := srcmask[f]; ok {
			o = append(o, "--hashlimit-srcmask", strconv.Itoa(n))
		}
		if n, ok := dstmask[f]; ok {
			o = append(o, "--hashlimit-dstmask", strconv.Itoa(n))
		}
		return &ir.Hashlimit{Options: o}
	}})
}

func (l *lowering) readModes(v *Value) []string {
	var out []string
	seen := map[string]bool{}
	for _, x := range items(v) {
		s, ok := l.scalar(x, "a hashlimit mode")
		if ok && !slices.Contains(hashModes, s) {
			l.unknown(diag.InvalidValue, x.Span, "hashlimit mode", s, hashModes)
		}
		seen[s] = true
	}
	for _, s := range hashModes {
		if seen[s] {
			out = append(out, s)
		}
	}
	return out
}

// readHashMask reads a prefix length, or {ipv4: N, ipv6: N}: one number cannot
// be meant for both families.
func (l *lowering) readHashMask(v *Value, name string) map[ir.Family]int {
	out := map[ir.Family]int{}
	if v == nil {
		return out
	}
	put := func(v *Value, f ir.Family) {
		width := uint64(32)
		if f == ir.IPv6 {
			width = 128
		}
		if n, ok := l.number(v, "a prefix length", width); ok && n != width {
			out[f] = int(n)
		}
	}
	if v.Kind == Map {
		m, _ := l.fields(v, name, "ipv4", "ipv6")
		for _, f := range ir.Families {
			if m[f.String()] != nil {
				put(m[f.String()], f)
			}
		}
		return out
	}
	if len(l.rule.Families) > 1 {
		l.diags.Errorf(diag.InvalidValue, v.Span, "%s needs a length for each family", name).
			WithHelp("write %s: {ipv4: 24, ipv6: 64}, or narrow the rule with families", name)
		return out
	}
	for _, f := range l.rule.Families {
		put(v, f)
	}
	return out
}
