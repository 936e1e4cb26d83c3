package nftables

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// limit translates -m limit: both keep a bucket of `burst` packets, full at first,
// into which one comes back at each interval.
func (t *translation) limit(m *ir.Limit) {
	n, unit, ok := strings.Cut(m.Rate, "/")
	word := map[string]string{"sec": "second", "min": "minute", "hour": "hour", "day": "day"}[unit]
	if !ok || word == "" || m.Burst == 0 {
		t.refuse("-m limit --limit %s --limit-burst %d is not understood", m.Rate, m.Burst)
		return
	}
	s := "limit rate " + n + "/" + word
	if m.Burst != 5 { // the default of both, and not listed
		s += fmt.Sprintf(" burst %d packets", m.Burst)
	}
	t.ask(s)
}

// statisticScale is what iptables keeps a probability as a fraction of.
const statisticScale = 1 << 31

// statistic translates -m statistic: one packet of several, or each with a
// probability.
func (t *translation) statistic(m *ir.RawMatch) {
	args := slices.Clone(m.Args)
	not := false
	if i := slices.Index(args, "!"); i >= 0 {
		not, args = true, slices.Delete(args, i, i+1)
	}
	value := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		value[args[i]] = args[i+1]
	}
	every, err1 := strconv.ParseUint(value["--every"], 10, 32)
	packet, err2 := strconv.ParseUint("0"+value["--packet"], 10, 32)
	p, err3 := strconv.ParseFloat(value["--probability"], 64)
	switch {
	case len(args)%2 != 0:
		t.refuse("-m statistic %s is not understood", strings.Join(m.Args, " "))
	case value["--mode"] == "nth" && err1 == nil && err2 == nil && every > 1:
		t.ask(fmt.Sprintf("numgen inc mod %d%s%d", every, is(not), packet))
	case value["--mode"] == "random" && err3 == nil && p > 0 && p < 1:
		op := " < "
		if not {
			op = " >= "
		}
		t.ask(fmt.Sprintf("numgen random mod %d%s%d", uint64(statisticScale), op, uint64(p*statisticScale+0.5)))
	default:
		t.refuse("-m statistic %s has no equal", strings.Join(m.Args, " "))
	}
}
