package lower

import (
	"maps"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// readSetMark reads {set: VALUE/MASK}: the bits under the mask become the value; or
// {xor: VALUE}: these bits are turned over.
func (l *lowering) readSetMark(a *Action) *action {
	name, v := l.one(a, "set", "xor")
	if v == nil {
		return nil
	}
	if name == "xor" {
		n, ok := l.number(v, "a value of bits", 1<<32-1)
		if ok && n == 0 {
			l.diags.Errorf(diag.InvalidValue, v.Span, "xor with no bits changes nothing")
		}
		return always(&ir.SetMark{Value: uint32(n)}, goesOn, packetMark)
	}
	b, ok := l.readBits(v, "a mark")
	if ok && b.mask == 0 {
		l.diags.Errorf(diag.InvalidValue, v.Span, "a mark with an empty mask changes nothing")
	}
	return always(&ir.SetMark{Value: b.value, Mask: b.mask}, goesOn, packetMark)
}

// readSetConnmark reads {set: VALUE/MASK}, {save: true} or {restore: true}; in
// place of true a mask tells which bits to copy.
func (l *lowering) readSetConnmark(a *Action) *action {
	name, v := l.one(a, "set", "save", "restore")
	if v == nil {
		return nil
	}
	if name == "set" {
		b, ok := l.readBits(v, "a mark")
		if ok && b.mask == 0 {
			l.diags.Errorf(diag.InvalidValue, v.Span, "a mark with an empty mask changes nothing")
		}
		return always(&ir.SetConnmark{Op: "set", Value: b.value, Mask: b.mask}, goesOn, connMark)
	}
	s, ok := l.scalar(v, "true, or a mask")
	if !ok {
		return nil
	}
	mask := uint64(1<<32 - 1)
	if s != "true" {
		if mask, ok = number(s, 1<<32-1); !ok || mask == 0 {
			l.diags.Errorf(diag.InvalidValue, v.Span, "%s is true, or a mask of the bits to copy, not %q", name, s)
			return nil
		}
	}
	changes := connMark
	if name == "restore" {
		changes = packetMark
	}
	return always(&ir.SetConnmark{Op: name, NFMask: uint32(mask), CTMask: uint32(mask)}, goesOn, changes)
}

// readCT reads {zone: N}, {notrack: true} or {helper: NAME}.
func (l *lowering) readCT(a *Action) *action {
	name, v := l.one(a, "zone", "notrack", "helper")
	if v == nil {
		return nil
	}
	t := &ir.CT{}
	act := always(t, goesOn, connMark|connHelper)
	switch name {
	case "zone":
		n, _ := l.number(v, "a zone", 65535)
		zone := uint16(n)
		t.Zone = &zone
	case "notrack":
		var ok bool
		if t.NoTrack, ok = l.boolean(v, "notrack"); ok && !t.NoTrack {
			l.diags.Errorf(diag.InvalidValue, v.Span, "notrack: false does nothing")
		}
	case "helper":
		t.Helper, _ = l.word(v, "a conntrack helper", "-_.", 15)
		act.needsProtocol = true
		l.needProtocol("ct with a helper", a.Span)
	}
	return act
}

// readTCPMSS reads {set: N} or {clampToPMTU: true}. The kernel takes it only in a
// rule that looks at SYN.
func (l *lowering) readTCPMSS(a *Action) *action {
	name, v := l.one(a, "set", "clampToPMTU")
	if v == nil {
		return nil
	}
	t := &ir.TCPMSS{}
	if name == "set" {
		n, ok := l.number(v, "a segment size", 65535)
		if ok && n == 0 {
			l.diags.Errorf(diag.InvalidValue, v.Span, "a segment size of 0 is none")
		}
		t.Set = uint16(n)
	} else {
		var ok bool
		if t.Clamp, ok = l.boolean(v, name); ok && !t.Clamp {
			l.diags.Errorf(diag.InvalidValue, v.Span, "clampToPMTU: false does nothing")
		}
	}
	if l.needProtocol("tcpmss", a.Span, protoTCP) && !l.layer4.synOnly() {
		l.diags.Errorf(diag.MissingKey, a.Span, "tcpmss works on SYN packets only, and the rule does not ask for them").
			WithHelp(`match tcpFlags: "SYN,RST SYN"`)
	}
	act := always(t, goesOn, packetLength)
	act.needsProtocol, act.needsSYN = true, true
	return act
}

// readDSCP reads {set: N} or {set: CLASS}.
func (l *lowering) readDSCP(a *Action) *action {
	_, v := l.one(a, "set")
	if v == nil {
		return nil
	}
	s, ok := l.scalar(v, "a DSCP value or class")
	if !ok {
		return nil
	}
	n, ok := dscpClasses[strings.ToUpper(s)]
	if d, isNumber := number(s, 63); isNumber {
		n, ok = uint8(d), true
	}
	if !ok {
		l.unknown(diag.InvalidValue, v.Span, "DSCP class", s, slices.Sorted(maps.Keys(dscpClasses)))
		return nil
	}
	return always(&ir.SetDSCP{Value: n}, goesOn, 0)
}
