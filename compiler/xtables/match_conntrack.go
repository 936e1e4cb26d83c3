package xtables

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// ctStates are in iptables' order of printing; the last two only with
// --ctstate.
var ctStates = []string{"INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"}

var ctStatuses = []string{"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"}

func conntrackMatches() []*module {
	return []*module{
		{
			name: "conntrack", fresh: func() any { return &ir.Conntrack{} }, finish: finishConntrack,
			// The order of the options is the order of printing.
			options: []option{
				{name: "ctstate", words: 1, not: true, set: setCTState},
				{name: "ctproto", words: 1, not: true, set: setCTProto},
				{name: "ctorigsrc", words: 1, not: true, set: setCTAddr},
				{name: "ctorigdst", words: 1, not: true, set: setCTAddr},
				{name: "ctreplsrc", words: 1, not: true, set: setCTAddr},
				{name: "ctrepldst", words: 1, not: true, set: setCTAddr},
				{name: "ctorigsrcport", words: 1, not: true, set: setCTPort},
				{name: "ctorigdstport", words: 1, not: true, set: setCTPort},
				{name: "ctreplsrcport", words: 1, not: true, set: setCTPort},
				{name: "ctrepldstport", words: 1, not: true, set: setCTPort},
				{name: "ctstatus", words: 1, not: true, set: setCTStatus},
				{name: "ctexpire", words: 1, not: true, set: setCTExpire},
				{name: "ctdir", words: 1, set: setCTDir},
			},
		},
		{
			name: "state", fresh: func() any { return &ir.StateMatch{} },
			options: []option{{name: "state", words: 1, not: true, must: true, set: setState}},
		},
		{
			name: "mark", fresh: func() any { return &ir.Mark{} },
			options: []option{{name: "mark", words: 1, not: true, must: true, set: setMarkMatch}},
		},
		{
			name: "connmark", fresh: func() any { return &ir.Connmark{} },
			options: []option{{name: "mark", words: 1, not: true, must: true, set: setConnmarkMatch}},
		},
		{
			name: "helper", fresh: func() any { return &ir.Helper{} },
			options: []option{{name: "helper", words: 1, not: true, must: true, set: setHelper}},
		},
	}
}

func setCTState(_ *parser, x *instance, a *arg) (err *Error) {
	m := x.value.(*ir.Conntrack)
	m.Not = a.not
	m.States, err = states(a.v, ctStates)
	return err
}

func setState(_ *parser, x *instance, a *arg) (err *Error) {
	m := x.value.(*ir.StateMatch)
	m.Not = a.not
	m.States, err = states(a.v, ctStates[:5])
	return err
}

// statesSeen are the lists that nearly every rule uses, so that decoding does not
// make them again. Nobody changes them.
var statesSeen = map[string][]string{
	"NEW":                 {"NEW"},
	"INVALID":             {"INVALID"},
	"RELATED,ESTABLISHED": {"RELATED", "ESTABLISHED"},
	"ESTABLISHED":         {"ESTABLISHED"},
	"DNAT":                {"DNAT"},
}

func states(w Word, list []string) ([]string, *Error) {
	if s, ok := statesSeen[w.Text]; ok && slices.Contains(list, s[0]) {
		return s, nil
	}
	return inOrder(w, list, "connection state")
}

// setCTProto prints the number, as iptables-save does.
func setCTProto(_ *parser, x *instance, a *arg) *Error {
	n, ok := protocolNumber(a.v.Text)
	if !ok || n == 0 {
		return errorAt(a.v, diag.InvalidValue, "unknown protocol %s", Quote(a.v.Text))
	}
	return x.ctRest(a, strconv.Itoa(int(n)))
}

// ctRest keeps an option of conntrack that is printed with its value.
func (x *instance) ctRest(a *arg, value string) *Error {
	x.given = append(x.given, given{opt: a.opt, not: a.not, value: value})
	return nil
}

// ctAddr spells an address as conntrack does: host bits stay, a full prefix is
// not printed. A mask that is no prefix is refused, because the tool forgets it.
var ctAddr = hostPrefix(false, false)

func setCTAddr(p *parser, x *instance, a *arg) *Error {
	v, err := ctAddr(p, a)
	if err != nil {
		return err
	}
	return x.ctRest(a, v)
}

func setCTPort(_ *parser, x *instance, a *arg) *Error {
	r, err := portRange(a.v, a.v.Text)
	if err != nil {
		return err
	}
	return x.ctRest(a, string(appendPorts(nil, r, ':')))
}

func setCTStatus(_ *parser, x *instance, a *arg) *Error {
	list, err := inOrder(a.v, append([]string{"NONE"}, ctStatuses...), "connection status")
	if err != nil {
		return err
	}
	if len(list) > 1 && list[0] == "NONE" {
		list = list[1:] // NONE adds no bit
	}
	return x.ctRest(a, strings.Join(list, ","))
}

func setCTExpire(_ *parser, x *instance, a *arg) *Error {
	v, err := numberRange(a.v, a.v.Text, math.MaxUint32)
	if err != nil {
		return err
	}
	return x.ctRest(a, v)
}

func setCTDir(_ *parser, x *instance, a *arg) *Error {
	d, ok := oneOf(a.v.Text, []string{"ORIGINAL", "REPLY"})
	if !ok {
		return errorAt(a.v, diag.InvalidValue, "a direction is ORIGINAL or REPLY, not %s", Quote(a.v.Text))
	}
	return x.ctRest(a, d)
}

// finishConntrack writes the further options in the tool's order.
func finishConntrack(_ *parser, x *instance) *Error {
	if x.seen == 0 {
		return errorAt(x.at, diag.RuleText, "-m conntrack needs at least one option")
	}
	m := x.value.(*ir.Conntrack)
	for i := range x.mod.options {
		for k := range x.given {
			if g := &x.given[k]; g.opt == &x.mod.options[i] {
				m.Rest = rest(m.Rest, &arg{opt: g.opt, not: g.not}, g.value)
			}
		}
	}
	return nil
}

func setMarkMatch(_ *parser, x *instance, a *arg) (err *Error) {
	m := x.value.(*ir.Mark)
	m.Not = a.not
	m.Value, m.Mask, err = markMask(a.v)
	return err
}

func setConnmarkMatch(_ *parser, x *instance, a *arg) (err *Error) {
	m := x.value.(*ir.Connmark)
	m.Not = a.not
	m.Value, m.Mask, err = markMask(a.v)
	return err
}

func setHelper(_ *parser, x *instance, a *arg) *Error {
	if err := fits(a.v, "the name of a helper", 29); err != nil {
		return err
	}
	*x.value.(*ir.Helper) = ir.Helper{Not: a.not, Name: a.v.Text}
	return nil
}

// numberRange reads N, N:M, :M, N: with both ends included, and spells it as
// iptables does.
func numberRange(w Word, text string, limit uint64) (string, *Error) {
	low, high, isRange := strings.Cut(text, ":")
	lo, hi := uint64(0), limit
	var err *Error
	if low != "" || !isRange {
		if lo, err = number(w, low, 0, limit); err != nil {
			return "", err
		}
	}
	if !isRange {
		return strconv.FormatUint(lo, 10), nil
	}
	if high != "" {
		if hi, err = number(w, high, 0, limit); err != nil {
			return "", err
		}
	}
	if lo == hi {
		return strconv.FormatUint(lo, 10), nil
	}
	return strconv.FormatUint(lo, 10) + ":" + strconv.FormatUint(hi, 10), nil
}
