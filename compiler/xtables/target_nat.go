package xtables

import (
	"net/netip"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

func natTargets() []*module {
	nat := func(name, to string, dest bool, extra ...option) *module {
		options := []option{
			{name: to, words: 1, must: true, set: setNAT},
			{name: "random", set: setNATFlag},
			{name: "persistent", set: setNATFlag},
		}
		return &module{
			name: name, fresh: func() any { return &ir.NAT{Dest: dest} }, finish: finishNAT,
			options: append(options, extra...),
		}
	}
	return []*module{
		nat("DNAT", "to-destination", true),
		nat("SNAT", "to-source", false, option{name: "random-fully", set: setNATFlag}),
		{
			name: "MASQUERADE", fresh: func() any { return &ir.Masquerade{} }, finish: finishMasquerade,
			options: []option{
				{name: "to-ports", words: 1, set: setMasqueradePorts},
				{name: "random", set: setMasqueradeFlag},
				{name: "random-fully", set: setMasqueradeFlag},
			},
		},
		{
			name: "REDIRECT", fresh: func() any { return &ir.Redirect{} }, finish: finishRedirect,
			options: []option{
				{name: "to-ports", words: 1, set: setRedirectPorts},
				{name: "random", set: setRedirectRandom},
			},
		},
		{
			name: "TPROXY", protocols: []uint8{protoTCP, protoUDP}, fresh: func() any { return &ir.TProxy{} },
			finish: finishTProxy,
			options: []option{
				{name: "on-port", words: 1, must: true, set: setTProxy},
				{name: "on-ip", words: 1, set: setTProxy},
				{name: "tproxy-mark", words: 1, set: setTProxy},
			},
		},
	}
}

// natPorts reads PORT, LOW-HIGH and, for DNAT, LOW-HIGH/BASE.
func natPorts(w Word, text string) (r ir.PortRange, base uint16, hasBase bool, err *Error) {
	ports, b, hasBase := strings.Cut(text, "/")
	low, high := ports, ""
	isRange := false
	if _, named := services[ports]; !named {
		low, high, isRange = strings.Cut(ports, "-")
	}
	if isRange && (strings.Trim(low, "0123456789") != "" || strings.Trim(high, "0123456789") != "") {
		return r, 0, false, errorAt(w, diag.InvalidValue, "the ends of a range of ports are numbers, not %s", Quote(ports))
	}
	if r.Low, err = natPort(w, low); err != nil {
		return r, 0, false, err
	}
	r.High = r.Low
	if isRange {
		if r.High, err = natPort(w, high); err != nil {
			return r, 0, false, err
		}
	}
	if r.Low > r.High {
		return r, 0, false, errorAt(w, diag.InvalidValue, "the range %s ends before it begins", ports)
	}
	if hasBase {
		base, err = natPort(w, b)
	}
	return r, base, hasBase, err
}

// natPort is a port that is not 0.
func natPort(w Word, text string) (uint16, *Error) {
	n, err := port(w, text)
	if err == nil && n == 0 {
		return 0, errorAt(w, diag.InvalidValue, "port 0 cannot be translated to")
	}
	return n, err
}

// setNAT reads ADDR[-ADDR][:PORTS]; IPv6 addresses with ports stand in brackets.
func setNAT(p *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.NAT)
	addrs, ports, hasPorts := a.v.Text, "", false
	switch {
	case strings.HasPrefix(addrs, "["):
		end := strings.IndexByte(addrs, ']')
		if end < 0 {
			return errorAt(a.v, diag.InvalidValue, "the bracket is never closed")
		}
		tail := addrs[end+1:]
		addrs = addrs[1:end]
		if ports, hasPorts = strings.CutPrefix(tail, ":"); !hasPorts && tail != "" {
			return errorAt(a.v, diag.InvalidValue, "%s is no port", Quote(tail))
		}
	case p.opt.Family == ir.IPv6 && !strings.HasPrefix(addrs, ":") || strings.HasPrefix(addrs, "::"):
	default:
		addrs, ports, hasPorts = strings.Cut(addrs, ":")
	}
	if hasPorts {
		r, base, hasBase, err := natPorts(a.v, ports)
		if err != nil {
			return err
		}
		t.To.Ports, t.To.HasPorts, t.To.Base, t.To.HasBase = r, true, base, hasBase
		if hasBase && !t.Dest {
			return errorAt(a.v, diag.InvalidValue, "only DNAT has a base port")
		}
	}
	if addrs == "" {
		if !hasPorts {
			return errorAt(a.v, diag.InvalidValue, "neither an address nor a port is given")
		}
		return nil
	}
	low, high, isRange := strings.Cut(addrs, "-")
	var err *Error
	if t.To.Low, err = p.ip(a.v, low); err != nil || !isRange {
		return err
	}
	if t.To.High, err = p.ip(a.v, high); err != nil {
		return err
	}
	if t.To.High == t.To.Low {
		t.To.High = netip.Addr{}
	}
	if t.To.High.IsValid() && t.To.High.Less(t.To.Low) && !p.decoding {
		return errorAt(a.v, diag.InvalidValue, "the range %s ends before it begins", addrs)
	}
	return nil
}

func setNATFlag(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.NAT)
	switch a.opt.name {
	case "random":
		t.Random = true
	case "random-fully":
		t.RandomFully = true
	default:
		t.Persistent = true
	}
	return nil
}

// portProtocols are those with ports that NAT can change.
var portProtocols = []uint8{protoTCP, protoUDP, protoSCTP, protoDCCP, protoICMP}

func (p *parser) needPorts(x *instance) *Error {
	pr := p.spec.Protocol
	if pr != nil && !pr.Not && slices.Contains(portProtocols, pr.Number) {
		return nil
	}
	return errorAt(x.at, diag.RuleText, "%s changes ports and needs -p tcp, udp, sctp or dccp", x.title())
}

func finishNAT(p *parser, x *instance) *Error {
	if x.value.(*ir.NAT).To.HasPorts {
		return p.needPorts(x)
	}
	return nil
}

func setMasqueradePorts(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.Masquerade)
	r, _, hasBase, err := natPorts(a.v, a.v.Text)
	if err == nil && hasBase {
		return errorAt(a.v, diag.InvalidValue, "only DNAT has a base port")
	}
	t.Ports, t.HasPorts = r, true
	return err
}

func setMasqueradeFlag(_ *parser, x *instance, a *arg) *Error {
	if t := x.value.(*ir.Masquerade); a.opt.name == "random" {
		t.Random = true
	} else {
		t.RandomFully = true
	}
	return nil
}

func finishMasquerade(p *parser, x *instance) *Error {
	if x.value.(*ir.Masquerade).HasPorts {
		return p.needPorts(x)
	}
	return nil
}

func setRedirectPorts(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.Redirect)
	r, _, hasBase, err := natPorts(a.v, a.v.Text)
	if err == nil && hasBase {
		return errorAt(a.v, diag.InvalidValue, "the kernel's REDIRECT has no base port").withHelp("DNAT has")
	}
	t.Ports, t.HasPorts = r, true
	return err
}

func setRedirectRandom(_ *parser, x *instance, _ *arg) *Error {
	x.value.(*ir.Redirect).Random = true
	return nil
}

func finishRedirect(p *parser, x *instance) *Error {
	if x.value.(*ir.Redirect).HasPorts {
		return p.needPorts(x)
	}
	return nil
}

func setTProxy(p *parser, x *instance, a *arg) (err *Error) {
	t := x.value.(*ir.TProxy)
	switch a.opt.name {
	case "on-port":
		t.Port, err = port(a.v, a.v.Text)
	case "on-ip":
		t.Addr, err = p.ip(a.v, a.v.Text)
	default:
		t.Value, t.Mask, err = markMask(a.v)
	}
	return err
}

// finishTProxy fills in the address that the tool prints if none was given.
func finishTProxy(p *parser, x *instance) *Error {
	t := x.value.(*ir.TProxy)
	if !t.Addr.IsValid() {
		t.Addr = netip.IPv4Unspecified()
		if p.opt.Family == ir.IPv6 {
			t.Addr = netip.IPv6Unspecified()
		}
	}
	return nil
}
