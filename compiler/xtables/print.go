package xtables

import (
	"strconv"

	"hookline/compiler/ir"
)

// Print writes a rule as iptables-save 1.8.9 does, without "-A CHAIN ". The zero
// Spec is the empty text. The text is always one line: what would end a line
// becomes a blank. Parse and Check refuse such text, only a foreign comment can
// hold it.
func Print(s *ir.Spec, f ir.Family) string {
	b := appendSpec(make([]byte, 0, 160), s, f, 0)
	if len(b) == 0 {
		return ""
	}
	for i, c := range b {
		if c == '\n' || c == '\r' || c == 0 {
			b[i] = ' '
		}
	}
	return string(b[1:])
}

// style changes what is printed.
type style uint8

const (
	// styleKey writes what a rule means and nothing of how a tool spelled it.
	styleKey style = 1 << iota
	// styleNoComment leaves out comments.
	styleNoComment
	// styleNoRaw leaves out the words of what is not decoded.
	styleNoRaw
)

// appendSpec writes every part with a blank before it.
func appendSpec(b []byte, s *ir.Spec, f ir.Family, st style) []byte {
	b = appendAddress(b, 's', s.Source)
	b = appendAddress(b, 'd', s.Destination)
	b = appendIface(b, " -i ", s.In)
	b = appendIface(b, " -o ", s.Out)
	if p := s.Protocol; p != nil && (p.Number != 0 || p.Not) {
		b = append(not(b, p.Not), " -p "...)
		if p.Spelling != "" && st&styleKey == 0 {
			b = appendArg(b, p.Spelling)
		} else {
			b = append(b, protocolName(p.Number)...)
		}
	}
	if s.Fragment != 0 {
		b = append(not(b, s.Fragment < 0), " -f"...)
	}
	if st&styleKey != 0 {
		b = appendConditions(b, s, st)
	} else {
		for _, m := range s.Matches {
			b = appendMatch(b, m, st)
		}
	}
	if s.Target != nil {
		b = appendTarget(b, s.Target, st)
	}
	return b
}

func not(b []byte, negated bool) []byte {
	if negated {
		return append(b, " !"...)
	}
	return b
}

// appendArg writes a word that the tool prints without quotes. It is quoted only
// if it would fall apart, so that nothing can break out of its place.
func appendArg(b []byte, s string) []byte {
	if bare(s) {
		return append(b, s...)
	}
	return appendQuoted(b, s)
}

// appendString writes a word as xtables_save_string does.
func appendString(b []byte, s string) []byte {
	if plain(s) {
		return append(b, s...)
	}
	return appendQuoted(b, s)
}

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }

func appendHex(b []byte, n uint32) []byte {
	return strconv.AppendUint(append(b, "0x"...), uint64(n), 16)
}

func appendAddress(b []byte, letter byte, a *ir.Address) []byte {
	if a == nil || anyAddress(*a) {
		return b
	}
	b = append(not(b, a.Not), ' ', '-', letter, ' ')
	b = append(appendAddr(b, a.Prefix.Addr()), '/')
	if a.Mask.IsValid() {
		return appendAddr(b, a.Mask)
	}
	return strconv.AppendInt(b, int64(a.Prefix.Bits()), 10)
}

func appendIface(b []byte, option string, i *ir.Interface) []byte {
	if i == nil || i.Name == "+" && !i.Not && option[2] != '-' {
		return b
	}
	return appendArg(append(not(b, i.Not), option...), i.Name)
}

// appendPorts writes LOW or LOW:HIGH.
func appendPorts(b []byte, r ir.PortRange, sep byte) []byte {
	b = appendUint(b, uint64(r.Low))
	if r.High != r.Low {
		b = appendUint(append(b, sep), uint64(r.High))
	}
	return b
}

func appendMatch(b []byte, m ir.Match, st style) []byte {
	switch m := m.(type) {
	case *ir.Comment:
		if st&styleNoComment != 0 {
			return b
		}
		return appendString(append(b, " -m comment --comment "...), m.Text)
	case *ir.L4:
		return appendL4(b, m, st)
	case *ir.Multiport:
		b = append(not(append(b, " -m multiport"...), m.Not), " --"...)
		b = append(append(b, m.Kind...), ' ')
		for i, r := range m.Ports {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendPorts(b, r, ':')
		}
		return b
	case *ir.Conntrack:
		b = append(b, " -m conntrack"...)
		if len(m.States) > 0 {
			b = appendList(append(not(b, m.Not), " --ctstate "...), m.States)
		}
		return appendRest(b, m.Rest)
	case *ir.StateMatch:
		return appendList(append(not(append(b, " -m state"...), m.Not), " --state "...), m.States)
	case *ir.Mark:
		return appendMarkMask(append(not(append(b, " -m mark"...), m.Not), " --mark "...), m.Value, m.Mask)
	case *ir.Connmark:
		return appendMarkMask(append(not(append(b, " -m connmark"...), m.Not), " --mark "...), m.Value, m.Mask)
	case *ir.ICMP:
		return appendICMP(b, m)
	case *ir.AddrType:
		return appendAddrType(b, m)
	case *ir.Limit:
		b = append(append(b, " -m limit --limit "...), m.Rate...)
		if m.Burst != 5 {
			b = appendUint(append(b, " --limit-burst "...), uint64(m.Burst))
		}
		return b
	case *ir.Hashlimit:
		return appendRest(append(b, " -m hashlimit"...), m.Options)
	case *ir.Owner:
		return appendOwner(b, m)
	case *ir.MAC:
		b = append(not(append(b, " -m mac"...), m.Not), " --mac-source "...)
		return appendMAC(b, m.Addr)
	case *ir.Physdev:
		return appendPhysdev(b, m)
	case *ir.SetMatch:
		b = appendArg(append(not(append(b, " -m set"...), m.Not), " --match-set "...), m.Name)
		return appendRest(appendList(append(b, ' '), m.Dirs), m.Rest)
	case *ir.IPRange:
		b = append(b, " -m iprange"...)
		if m.Source != nil {
			b = appendRange(append(not(b, m.SourceNot), " --src-range "...), m.Source)
		}
		if m.Dest != nil {
			b = appendRange(append(not(b, m.DestNot), " --dst-range "...), m.Dest)
		}
		return b
	case *ir.Length:
		b = append(not(append(b, " -m length"...), m.Not), " --length "...)
		return appendPorts(b, ir.PortRange{Low: m.Low, High: m.High}, ':')
	case *ir.TTL:
		name := "ttl"
		if m.V6 {
			name = "hl"
		}
		b = append(append(b, " -m "...), name...)
		b = append(append(append(not(b, m.Not), " --"...), name...), '-')
		return appendUint(append(append(b, m.Op...), ' '), uint64(m.Value))
	case *ir.Helper:
		return appendString(append(not(append(b, " -m helper"...), m.Not), " --helper "...), m.Name)
	case *ir.PktType:
		return append(append(not(append(b, " -m pkttype"...), m.Not), " --pkt-type "...), m.Type...)
	case *ir.RawMatch:
		return appendRaw(b, " -m ", m.Module, m.Args, m.Text, st)
	}
	return b
}

// appendRaw writes what is not decoded: as the tool spelled it, or for a key each
// word so that no two lists of words look the same.
func appendRaw(b []byte, option, name string, args []string, text string, st style) []byte {
	if name != "" {
		b = appendArg(append(b, option...), name)
	}
	switch {
	case st&styleNoRaw != 0:
		return append(b, " ?"...)
	case st&styleKey != 0:
		for _, a := range args {
			b = appendQuoted(append(b, ' '), a)
		}
		return b
	case text != "":
		return append(append(b, ' '), text...)
	}
	return appendRest(b, args)
}

// appendRest writes words that the tool prints without quotes.
func appendRest(b []byte, words []string) []byte {
	for _, w := range words {
		b = appendArg(append(b, ' '), w)
	}
	return b
}

// appendList writes words with commas between.
func appendList(b []byte, words []string) []byte {
	for i, w := range words {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, w...)
	}
	return b
}

func appendMarkMask(b []byte, value, mask uint32) []byte {
	b = appendHex(b, value)
	if mask != 0xffffffff {
		b = appendHex(append(b, '/'), mask)
	}
	return b
}

// meant is how a key writes ports: iptables-nft prints the negation of 0:80 as
// 81:65535.
func meant(p *ir.Ports, st style) *ir.Ports {
	if st&styleKey == 0 || p == nil || !p.Not || p.Low != 0 || p.High == 0 || p.High == maxPort {
		return p
	}
	return &ir.Ports{PortRange: ir.PortRange{Low: p.High + 1, High: maxPort}}
}

func appendL4(b []byte, m *ir.L4, st style) []byte {
	b = append(append(b, " -m "...), m.Module...)
	if p := meant(m.Source, st); p != nil {
		b = appendPorts(append(not(b, p.Not), " --sport "...), p.PortRange, ':')
	}
	if p := meant(m.Dest, st); p != nil {
		b = appendPorts(append(not(b, p.Not), " --dport "...), p.PortRange, ':')
	}
	if m.Option != nil {
		b = appendUint(append(not(b, m.OptionNot), " --tcp-option "...), uint64(*m.Option))
	}
	if f := m.Flags; f != nil {
		b = appendFlags(append(not(b, f.Not), " --tcp-flags "...), f.Mask)
		b = appendFlags(append(b, ' '), f.Comp)
	}
	return appendRest(b, m.Rest)
}

func appendFlags(b []byte, bits uint8) []byte {
	if bits == 0 {
		return append(b, "NONE"...)
	}
	first := true
	for i, name := range tcpFlagNames {
		if bits&(1<<i) != 0 {
			if !first {
				b = append(b, ',')
			}
			b = append(b, name...)
			first = false
		}
	}
	return b
}

func appendICMP(b []byte, m *ir.ICMP) []byte {
	if m.V6 {
		b = append(not(append(b, " -m icmp6"...), m.Not), " --icmpv6-type "...)
	} else {
		b = append(not(append(b, " -m icmp"...), m.Not), " --icmp-type "...)
	}
	if m.Any {
		return append(b, "any"...)
	}
	b = appendUint(b, uint64(m.Type))
	if m.CodeLow != 0 || m.CodeHigh != 0xff {
		b = appendUint(append(b, '/'), uint64(m.CodeLow))
	}
	return b
}

func appendAddrType(b []byte, m *ir.AddrType) []byte {
	b = append(b, " -m addrtype"...)
	if m.Source != nil {
		b = appendList(append(not(b, m.SourceNot), " --src-type "...), m.Source)
	}
	if m.Dest != nil {
		b = appendList(append(not(b, m.DestNot), " --dst-type "...), m.Dest)
	}
	if m.LimitIfaceIn {
		b = append(b, " --limit-iface-in"...)
	}
	if m.LimitIfaceOut {
		b = append(b, " --limit-iface-out"...)
	}
	return b
}

func appendOwner(b []byte, m *ir.Owner) []byte {
	id := func(name string, negated bool, r *ir.IDRange) {
		if r == nil {
			return
		}
		b = appendUint(append(append(not(b, negated), name...), ' '), uint64(r.Low))
		if r.High != r.Low {
			b = appendUint(append(b, '-'), uint64(r.High))
		}
	}
	b = append(b, " -m owner"...)
	if m.SocketExists {
		b = append(not(b, m.SocketNot), " --socket-exists"...)
	}
	id(" --uid-owner", m.UIDNot, m.UID)
	id(" --gid-owner", m.GIDNot, m.GID)
	if m.SupplGroups {
		b = append(b, " --suppl-groups"...)
	}
	return b
}

func appendMAC(b []byte, mac [6]byte) []byte {
	const digits = "0123456789abcdef"
	for i, c := range mac {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[c>>4], digits[c&15])
	}
	return b
}

func appendPhysdev(b []byte, m *ir.Physdev) []byte {
	is := func(name string, yes, no bool) {
		if yes || no {
			b = append(not(b, no), name...)
		}
	}
	b = append(b, " -m physdev"...)
	is(" --physdev-is-in", m.IsIn, m.NotIsIn)
	b = appendIface(b, " --physdev-in ", m.In)
	is(" --physdev-is-out", m.IsOut, m.NotIsOut)
	b = appendIface(b, " --physdev-out ", m.Out)
	is(" --physdev-is-bridged", m.IsBridged, m.NotIsBridged)
	return b
}

func appendRange(b []byte, r *ir.AddrRange) []byte {
	return appendAddr(append(appendAddr(b, r.Low), '-'), r.High)
}
