package xtables

import (
	"math"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

func markTargets() []*module {
	return []*module{
		{
			name: "MARK", fresh: func() any { return &ir.SetMark{} }, finish: finishMark,
			options: []option{
				{name: "set-xmark", words: 1, group: 'm', set: setMark},
				{name: "set-mark", words: 1, group: 'm', set: setMark},
				{name: "and-mark", words: 1, group: 'm', set: setMark},
				{name: "or-mark", words: 1, group: 'm', set: setMark},
				{name: "xor-mark", words: 1, group: 'm', set: setMark},
			},
		},
		{
			name: "CONNMARK", fresh: func() any { return &ir.SetConnmark{} }, finish: finishConnmark,
			options: []option{
				{name: "set-xmark", words: 1, group: 'm', set: setConnmark},
				{name: "set-mark", words: 1, group: 'm', set: setConnmark},
				{name: "and-mark", words: 1, group: 'm', set: setConnmark},
				{name: "or-mark", words: 1, group: 'm', set: setConnmark},
				{name: "xor-mark", words: 1, group: 'm', set: setConnmark},
				{name: "save-mark", group: 'm', set: setConnmarkMove},
				{name: "restore-mark", group: 'm', set: setConnmarkMove},
				{name: "mask", words: 1, set: setConnmarkMask},
				{name: "nfmask", words: 1, set: setConnmarkMask},
				{name: "ctmask", words: 1, set: setConnmarkMask},
				{name: "left-shift-mark", words: 1, group: 's', set: setConnmarkShift},
				{name: "right-shift-mark", words: 1, group: 's', set: setConnmarkShift},
			},
		},
		{
			name: "CT", fresh: func() any { return &ir.CT{} }, finish: finishCT,
			// The order of the options is the order of printing.
			options: []option{
				{name: "notrack", set: setCTNoTrack},
				{name: "helper", words: 1, set: setCTHelper},
				{name: "timeout", words: 1, set: setCTTimeout},
				{name: "ctevents", words: 1, set: setCTEvents},
				{name: "expevents", words: 1, set: setCTEvents},
				{name: "zone", words: 1, group: 'z', set: setCTZone},
				{name: "zone-orig", words: 1, group: 'z', set: setCTZone},
				{name: "zone-reply", words: 1, group: 'z', set: setCTZone},
			},
		},
		{name: "NOTRACK", fresh: func() any { return &ir.CT{NoTrack: true, Alias: true} }},
	}
}

// markBits gives what --set-xmark says for each of the options that set a mark.
func markBits(a *arg) (value, mask uint32, err *Error) {
	switch a.opt.name {
	case "set-xmark":
		return markMask(a.v)
	case "set-mark":
		value, mask, err = markMask(a.v)
		return value, mask | value, err
	}
	n, err := number(a.v, a.v.Text, 0, math.MaxUint32)
	switch v := uint32(n); a.opt.name {
	case "and-mark":
		return 0, ^v, err
	case "or-mark":
		return v, v, err
	default: // xor-mark
		return v, 0, err
	}
}

func setMark(_ *parser, x *instance, a *arg) (err *Error) {
	t := x.value.(*ir.SetMark)
	t.Value, t.Mask, err = markBits(a)
	return err
}

func finishMark(_ *parser, x *instance) *Error {
	if x.seen == 0 {
		return errorAt(x.at, diag.RuleText, "-j MARK needs --set-mark, --set-xmark, --and-mark, --or-mark or --xor-mark")
	}
	return nil
}

func setConnmark(_ *parser, x *instance, a *arg) (err *Error) {
	t := x.value.(*ir.SetConnmark)
	t.Op = "set"
	t.Value, t.Mask, err = markBits(a)
	return err
}

func setConnmarkMove(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.SetConnmark)
	t.Op = strings.TrimSuffix(a.opt.name, "-mark")
	t.NFMask, t.CTMask = math.MaxUint32, math.MaxUint32
	return nil
}

func setConnmarkMask(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.SetConnmark)
	if t.Op != "save" && t.Op != "restore" {
		return errorAt(a.at, diag.RuleText, "--%s has to stand behind --save-mark or --restore-mark", a.opt.name)
	}
	n, err := number(a.v, a.v.Text, 0, math.MaxUint32)
	if a.opt.name != "ctmask" {
		t.NFMask = uint32(n)
	}
	if a.opt.name != "nfmask" {
		t.CTMask = uint32(n)
	}
	return err
}

func setConnmarkShift(_ *parser, x *instance, a *arg) *Error {
	n, err := number(a.v, a.v.Text, 0, 32)
	x.given = append(x.given, given{opt: a.opt, value: strconv.FormatUint(n, 10)})
	return err
}

// finishConnmark keeps a target with shifts undecoded: package ir has no place
// for them, and nobody may overlook them.
func finishConnmark(_ *parser, x *instance) *Error {
	t := x.value.(*ir.SetConnmark)
	if t.Op == "" {
		return errorAt(x.at, diag.RuleText, "-j CONNMARK needs --set-mark, --save-mark, --restore-mark or the like")
	}
	if len(x.given) == 0 || x.given[0].value == "0" {
		return nil
	}
	words := string(appendTarget(nil, t, 0))
	raw := &ir.RawTarget{Name: "CONNMARK", Args: strings.Fields(words)[2:]}
	raw.Args = append(raw.Args, "--"+x.given[0].opt.name, x.given[0].value)
	x.value = raw
	return nil
}

func setCTNoTrack(_ *parser, x *instance, _ *arg) *Error {
	x.value.(*ir.CT).NoTrack = true
	return nil
}

func setCTHelper(_ *parser, x *instance, a *arg) *Error {
	x.value.(*ir.CT).Helper = a.v.Text
	if err := nonEmpty(a.v, "the name of a helper"); err != nil {
		return err
	}
	return nameLike(a.v, "the name of a helper", 15)
}

// nameLike refuses what the tool prints without quotes and could not read back.
func nameLike(w Word, what string, limit int) *Error {
	if !bare(w.Text) || w.Text[0] == '-' || w.Text[0] == '!' {
		return errorAt(w, diag.InvalidValue, "%s is not fit for %s", Quote(w.Text), what)
	}
	return fits(w, what, limit)
}

func setCTTimeout(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.CT)
	t.Rest = append(t.Rest, "--timeout", a.v.Text)
	return nameLike(a.v, "the name of a timeout policy", 31)
}

var ctEvents = []string{"new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo", "secmark"}

func setCTEvents(_ *parser, x *instance, a *arg) *Error {
	list := ctEvents
	if a.opt.name == "expevents" {
		list = ctEvents[:1]
	}
	events, err := inOrder(a.v, list, "event")
	if err != nil {
		return err
	}
	x.given = append(x.given, given{opt: a.opt, value: strings.Join(events, ",")})
	return nil
}

func setCTZone(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.CT)
	t.ZoneDir = strings.TrimPrefix(strings.TrimPrefix(a.opt.name, "zone"), "-")
	if a.v.Text == "mark" {
		x.given = append(x.given, given{opt: a.opt, value: "mark"})
		return nil
	}
	n, err := number(a.v, a.v.Text, 0, math.MaxUint16)
	z := uint16(n)
	t.Zone = &z
	return err
}

// finishCT writes further options in the tool's order. A zone from the mark is
// one of them, and then ZoneDir says nothing.
func finishCT(_ *parser, x *instance) *Error {
	t := x.value.(*ir.CT)
	if t.Zone == nil {
		t.ZoneDir = ""
	}
	if t.Zone != nil && *t.Zone == 0 {
		t.Zone, t.ZoneDir = nil, "" // zone 0 is none
	}
	for i := range x.mod.options {
		for k := range x.given {
			if g := &x.given[k]; g.opt == &x.mod.options[i] {
				t.Rest = append(t.Rest, "--"+g.opt.name, g.value)
			}
		}
	}
	return nil
}
