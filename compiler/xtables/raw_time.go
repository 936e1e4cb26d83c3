package xtables

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"hookline/dsl/diag"
)

const clock = "15:04:05"

// timeOfDay reads HH:MM or HH:MM:SS, without leading zeros too.
func timeOfDay(_ *parser, a *arg) (string, *Error) {
	sec, ok := daySeconds(a.v.Text)
	if !ok {
		return "", errorAt(a.v, diag.InvalidValue, "%s is no time of a day", Quote(a.v.Text)).withHelp("write it as 08:30")
	}
	return time.Unix(sec, 0).UTC().Format(clock), nil
}

func daySeconds(text string) (int64, bool) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	var sec int64
	for i, limit := range []int64{23, 59, 59} {
		var n int64
		if i < len(parts) {
			v, err := strconv.ParseUint(parts[i], 10, 8)
			if err != nil || len(parts[i]) > 2 || int64(v) > limit {
				return 0, false
			}
			n = int64(v)
		}
		sec = sec*60 + n
	}
	return sec, true
}

// dateTime reads YYYY[-MM[-DD[Thh[:mm[:ss]]]]].
func dateTime(_ *parser, a *arg) (string, *Error) {
	bad := errorAt(a.v, diag.InvalidValue, "%s is no date", Quote(a.v.Text)).withHelp("write it as 2030-12-31T23:59:59")
	day, hour, hasHour := strings.Cut(a.v.Text, "T")
	at := []int{1970, 1, 1, 0, 0, 0}
	read := func(text, sep string, to []int) bool {
		parts := strings.Split(text, sep)
		if len(parts) > len(to) {
			return false
		}
		for i, p := range parts {
			n, err := strconv.ParseUint(p, 10, 16)
			if err != nil {
				return false
			}
			to[i] = int(n)
		}
		return true
	}
	if !read(day, "-", at[:3]) || hasHour && (strings.Count(day, "-") != 2 || !read(hour, ":", at[3:])) {
		return "", bad
	}
	t := time.Date(at[0], time.Month(at[1]), at[2], at[3], at[4], at[5], 0, time.UTC)
	same := t.Year() == at[0] && int(t.Month()) == at[1] && t.Day() == at[2] && t.Hour() == at[3] && t.Minute() == at[4] && t.Second() == at[5]
	if !same || t.Unix() < 0 || t.Unix() > math.MaxInt32 {
		return "", bad.withHelp("a date is between 1970-01-01 and %s", lastDate)
	}
	return t.Format("2006-01-02T15:04:05"), nil
}

// lastDate is what iptables prints if no end is given, and firstDate what it does
// not print as a beginning.
const (
	firstDate = "1970-01-01T00:00:00"
	lastDate  = "2038-01-19T03:14:07"
)

var weekDayNames = []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// weekDays reads names, at least their first two letters, or numbers from Monday
// on; the negation is printed as the other days.
func weekDays(_ *parser, a *arg) (string, *Error) {
	seen := make([]bool, len(weekDayNames))
	for part := range strings.SplitSeq(a.v.Text, ",") {
		i := slices.IndexFunc(weekDayNames, func(s string) bool {
			return len(part) >= 2 && strings.HasPrefix(part, s[:2]) && len(part) <= 3 && strings.HasPrefix(s, part)
		})
		if n, ok := decimal(part); ok && n >= 1 && n <= 7 {
			i = int(n) - 1
		}
		if i < 0 {
			return "", errorAt(a.v, diag.InvalidValue, "%s is no day of the week", Quote(part)).
				withHelp("write Mon, Tue, Wed, Thu, Fri, Sat, Sun or 1 to 7")
		}
		seen[i] = true
	}
	return chosen(a, seen, func(i int) string { return weekDayNames[i] })
}

func monthDays(_ *parser, a *arg) (string, *Error) {
	seen := make([]bool, 31)
	for part := range strings.SplitSeq(a.v.Text, ",") {
		n, err := number(a.v, part, 1, 31)
		if err != nil {
			return "", err
		}
		seen[n-1] = true
	}
	return chosen(a, seen, func(i int) string { return strconv.Itoa(i + 1) })
}

// chosen lists the chosen of some days, or for a negation the others. All of them
// are not printed.
func chosen(a *arg, seen []bool, name func(int) string) (string, *Error) {
	var out []string
	for i, s := range seen {
		if s != a.not {
			out = append(out, name(i))
		}
	}
	if len(out) == 0 {
		return "", errorAt(a.at, diag.Inverted, "--%s leaves no day", a.opt.name)
	}
	a.not = false
	a.drop = len(out) == len(seen)
	return strings.Join(out, ","), nil
}

// finishTime fills in what the tool prints without being told.
func finishTime(_ *parser, x *instance) *Error {
	if g := x.get("localtz"); g != nil {
		x.rename(g, "kerneltz")
	}
	if g := x.get("utc"); g != nil {
		x.drop(g)
	}
	start, stop := "00:00:00", "23:59:59"
	if g := x.get("timestart"); g != nil {
		start = g.value
	}
	if g := x.get("timestop"); g != nil {
		stop = g.value
	}
	if start == "00:00:00" && stop == "23:59:59" {
		x.dropDefault("timestart", start)
		x.dropDefault("timestop", stop)
	} else {
		x.put("timestart", start)
		x.put("timestop", stop)
	}
	x.dropDefault("datestart", firstDate)
	x.put("datestop", lastDate)
	if x.has("contiguous") && start <= stop {
		return errorAt(x.at, diag.RuleText, "--contiguous needs a time that goes past midnight")
	}
	return nil
}
