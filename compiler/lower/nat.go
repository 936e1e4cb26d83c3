package lower

import (
	"fmt"
	"net/netip"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// readNAT reads dnat or snat. Its addresses decide the family; `to` may be a list
// with one place for each. iptables has --random-fully for sources only.
func (l *lowering) readNAT(a *Action) *action {
	known := []string{"to"}
	if a.Kind == "snat" {
		known = append(known, "randomFully")
	}
	m, ok := l.fields(a.Args, a.Kind, known...)
	if !ok {
		return nil
	}
	randomFully := false
	if v := m["randomFully"]; v != nil {
		randomFully, _ = l.boolean(v, "randomFully")
	}
	if m["to"] == nil {
		l.diags.Errorf(diag.MissingKey, a.Span, "%s needs to", a.Kind).WithHelp("for example %s: {to: 192.0.2.1}", a.Kind)
		return nil
	}
	byFamily, anyFamily := map[ir.Family]*ir.NATRange{}, (*ir.NATRange)(nil)
	act := &action{flow: ends}
	list := items(m["to"])
	if len(list) == 0 {
		l.diags.Errorf(diag.InvalidValue, m["to"].Span, "%s to is an empty list", a.Kind)
		return nil
	}
	for _, v := range list {
		s, ok := l.scalar(v, "an address, with or without ports")
		if !ok {
			continue
		}
		r, msg := natRange(s)
		if msg != "" {
			l.diags.Errorf(diag.InvalidValue, v.Span, "%s", msg)
			continue
		}
		if r.HasPorts && !act.needsProtocol {
			act.needsProtocol = true
			l.needProtocol(a.Kind+" with ports", v.Span, protoTCP, protoUDP, protoSCTP, protoDCCP)
		}
		f := ir.Family(0)
		if r.Low.IsValid() {
			f = familyOf(r.Low)
		}
		if f == 0 && len(list) > 1 || byFamily[f] != nil {
			l.diags.Errorf(diag.RuleConflict, v.Span, "%s goes to one place for each family", a.Kind)
			continue
		}
		if byFamily[f] = &r; f == 0 {
			anyFamily = &r
		}
	}
	act.absent = func(f ir.Family) *absence {
		if anyFamily != nil || byFamily[f] != nil {
			return nil
		}
		return &absence{reason: fmt.Sprintf("%s has no %s address", a.Kind, familyName(f)), span: m["to"].Span, family: true}
	}
	act.target = func(f ir.Family) ir.Target {
		r := anyFamily
		if r == nil {
			r = byFamily[f]
		}
		return &ir.NAT{Dest: a.Kind == "dnat", To: *r, RandomFully: randomFully}
	}
	return act
}

// natRange reads ADDR, ADDR-ADDR, each with :PORT or :PORT-PORT behind (an IPv6
// address then stands in brackets), or :PORT alone.
func natRange(s string) (ir.NATRange, string) {
	var r ir.NATRange
	addr, ports, hasPorts := s, "", false
	if rest, ok := strings.CutPrefix(s, "["); ok {
		inner, tail, closed := strings.Cut(rest, "]")
		if !closed || tail != "" && tail[0] != ':' {
			return r, fmt.Sprintf("%q is not an address: [ADDRESS]:PORT", s)
		}
		addr = inner
		if tail != "" {
			ports, hasPorts = tail[1:], true
		}
	} else if strings.Count(s, ":") == 1 {
		addr, ports, hasPorts = strings.Cut(s, ":")
	}
	if addr != "" || !hasPorts {
		if strings.Contains(addr, "/") {
			return r, fmt.Sprintf("%q is a prefix: write a range of addresses", s)
		}
		low, high, msg := addressRange(addr)
		if msg != "" {
			return r, fmt.Sprintf("%q is not an address or a range of addresses, with or without ports", s)
		}
		if r.Low = low; low != high {
			r.High = high
		}
	}
	if hasPorts {
		p, ok := natPorts(ports)
		if !ok {
			return r, fmt.Sprintf("%q is not a port or a range of ports (1 to 65535)", ports)
		}
		r.HasPorts, r.Ports = true, p
	}
	return r, ""
}

// natPorts reads PORT, PORT-PORT or PORT:PORT.
func natPorts(s string) (ir.PortRange, bool) {
	from, to, ranged := strings.Cut(strings.Replace(s, ":", "-", 1), "-")
	low, ok := number(from, 65535)
	high := low
	if ok && ranged {
		high, ok = number(to, 65535)
	}
	return ir.PortRange{Low: uint16(low), High: uint16(high)}, ok && low > 0 && low <= high
}

func (l *lowering) readMasquerade(a *Action) *action {
	t := &ir.Masquerade{}
	if a.Args == nil {
		return always(t, ends, 0)
	}
	m, ok := l.fields(a.Args, a.Kind, "randomFully")
	if !ok {
		return nil
	}
	if v := m["randomFully"]; v != nil {
		t.RandomFully, _ = l.boolean(v, "randomFully")
	}
	return always(t, ends, 0)
}

func (l *lowering) readRedirect(a *Action) *action {
	t := &ir.Redirect{}
	if a.Args == nil {
		return always(t, ends, 0)
	}
	m, ok := l.fields(a.Args, a.Kind, "to")
	if !ok {
		return nil
	}
	act := always(t, ends, 0)
	if v := m["to"]; v != nil {
		s, ok := l.scalar(v, "a port or a range of ports")
		if !ok {
			return nil
		}
		if t.Ports, ok = natPorts(s); !ok {
			l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not a port or a range of ports (1 to 65535)", s)
			return nil
		}
		t.HasPorts, act.needsProtocol = true, true
		l.needProtocol("redirect to a port", v.Span, protoTCP, protoUDP, protoSCTP, protoDCCP)
	}
	return act
}

// readTProxy reads {port, address, mark}; the address decides the family.
func (l *lowering) readTProxy(a *Action) *action {
	m, ok := l.fields(a.Args, a.Kind, "port", "address", "mark")
	if !ok {
		return nil
	}
	l.needProtocol("tproxy", a.Span, protoTCP, protoUDP)
	t := ir.TProxy{}
	if m["port"] == nil {
		l.diags.Errorf(diag.MissingKey, a.Span, "tproxy needs a port")
	} else if n, ok := l.number(m["port"], "a port", 65535); ok {
		t.Port = uint16(n)
	}
	if v := m["mark"]; v != nil {
		b, _ := l.readBits(v, "a mark")
		t.Value, t.Mask = b.value, b.mask
	}
	act := &action{flow: ends, needsProtocol: true}
	if v := m["address"]; v != nil {
		s, ok := l.scalar(v, "an address")
		if !ok {
			return nil
		}
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not an address", s)
			return nil
		}
		t.Addr = addr
		act.absent = func(f ir.Family) *absence {
			if familyOf(addr) == f {
				return nil
			}
			return &absence{reason: fmt.Sprintf("tproxy has no %s address", familyName(f)), span: v.Span, family: true}
		}
	}
	act.target = func(f ir.Family) ir.Target {
		x := t
		if !x.Addr.IsValid() {
			// iptables-save prints the address of "any" where none was given.
			x.Addr = map[ir.Family]netip.Addr{ir.IPv4: netip.IPv4Unspecified(), ir.IPv6: netip.IPv6Unspecified()}[f]
		}
		return &x
	}
	return act
}
