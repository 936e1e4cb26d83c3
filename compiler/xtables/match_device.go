package xtables

import (
	"math"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

func deviceMatches() []*module {
	return []*module{
		{
			name: "mac", fresh: func() any { return &ir.MAC{} },
			options: []option{{name: "mac-source", words: 1, not: true, must: true, set: setMAC}},
		},
		{
			name: "physdev", fresh: func() any { return &ir.Physdev{} }, finish: finishPhysdev,
			options: []option{
				{name: "physdev-in", words: 1, not: true, set: setPhysdev},
				{name: "physdev-out", words: 1, not: true, set: setPhysdev},
				{name: "physdev-is-in", not: true, set: setPhysdevIs},
				{name: "physdev-is-out", not: true, set: setPhysdevIs},
				{name: "physdev-is-bridged", not: true, set: setPhysdevIs},
			},
		},
		{
			name: "owner", fresh: func() any { return &ir.Owner{} }, finish: finishOwner,
			options: []option{
				{name: "uid-owner", words: 1, not: true, set: setOwnerID},
				{name: "gid-owner", words: 1, not: true, set: setOwnerID},
				{name: "socket-exists", not: true, set: setOwnerSocket},
				{name: "suppl-groups", set: setOwnerGroups},
			},
		},
	}
}

// setMAC reads six hexadecimal bytes of one or two digits with colons between.
func setMAC(_ *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.MAC)
	m.Not = a.not
	parts := strings.Split(a.v.Text, ":")
	ok := len(parts) == 6
	for i := 0; ok && i < 6; i++ {
		n, err := strconv.ParseUint(parts[i], 16, 8)
		ok = err == nil && len(parts[i]) <= 2
		m.Addr[i] = byte(n)
	}
	if !ok {
		return errorAt(a.v, diag.InvalidValue, "%s is no hardware address", Quote(a.v.Text)).
			withHelp("write it as 00:16:3e:12:34:56")
	}
	return nil
}

func setPhysdev(p *parser, x *instance, a *arg) *Error {
	i, err := p.iface(a)
	if err != nil {
		return err
	}
	if i == nil {
		i = &ir.Interface{Name: "+"}
	}
	if m := x.value.(*ir.Physdev); a.opt.name == "physdev-in" {
		m.In = i
	} else {
		m.Out = i
	}
	return nil
}

func setPhysdevIs(_ *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.Physdev)
	switch a.opt.name {
	case "physdev-is-in":
		m.IsIn, m.NotIsIn = !a.not, a.not
	case "physdev-is-out":
		m.IsOut, m.NotIsOut = !a.not, a.not
	default:
		m.IsBridged, m.NotIsBridged = !a.not, a.not
	}
	return nil
}

func finishPhysdev(_ *parser, x *instance) *Error {
	if x.seen == 0 {
		return errorAt(x.at, diag.RuleText, "-m physdev needs at least one option")
	}
	return nil
}

// setOwnerID reads N, N-M or the name of an account that has the same number
// everywhere.
func setOwnerID(_ *parser, x *instance, a *arg) *Error {
	var r ir.IDRange
	if a.v.Text == "root" {
		r = ir.IDRange{}
	} else {
		low, high, isRange := strings.Cut(a.v.Text, "-")
		if low != "" && strings.IndexFunc(low, isLetter) == 0 {
			return errorAt(a.v, diag.InvalidValue, "the account %s has another number on another host", Quote(a.v.Text)).
				withHelp("give the number")
		}
		lo, err := number(a.v, low, 0, math.MaxUint32-1)
		if err != nil {
			return err
		}
		hi := lo
		if isRange {
			if hi, err = number(a.v, high, 0, math.MaxUint32-1); err != nil {
				return err
			}
		}
		if lo > hi {
			return errorAt(a.v, diag.InvalidValue, "the range %s ends before it begins", a.v.Text)
		}
		r = ir.IDRange{Low: uint32(lo), High: uint32(hi)}
	}
	if m := x.value.(*ir.Owner); a.opt.name == "uid-owner" {
		m.UID, m.UIDNot = &r, a.not
	} else {
		m.GID, m.GIDNot = &r, a.not
	}
	return nil
}

func setOwnerSocket(_ *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.Owner)
	m.SocketExists, m.SocketNot = true, a.not
	return nil
}

func setOwnerGroups(_ *parser, x *instance, a *arg) *Error {
	m := x.value.(*ir.Owner)
	if m.GID == nil {
		return errorAt(a.at, diag.RuleText, "--suppl-groups has to stand behind --gid-owner")
	}
	m.SupplGroups = true
	return nil
}

func finishOwner(_ *parser, x *instance) *Error {
	if x.seen == 0 {
		return errorAt(x.at, diag.RuleText, "-m owner needs --uid-owner, --gid-owner or --socket-exists")
	}
	return nil
}
