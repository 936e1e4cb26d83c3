package lower

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// readStates reads conntrack states; one match holds any of them.
func (l *lowering) readStates(k Key, not bool) {
	names := l.readNames(k, "conntrack state", ctStates)
	if len(names) == 0 {
		l.addFixed(not, nothing(k.Name, k.Value.Span))
		return
	}
	l.addFixed(not, choice{disjoint: true, alts: []alternative{{
		holds: matching(&ir.Conntrack{States: names}),
		fails: matching(&ir.Conntrack{Not: true, States: names}),
	}}})
}

// readNames reads a list of known words, in any letter case, and returns them in
// the order of the known ones.
func (l *lowering) readNames(k Key, what string, known []string) []string {
	seen := map[string]bool{}
	for _, v := range items(k.Value) {
		s, ok := l.scalar(v, "a "+what)
		if !ok {
			continue
		}
		if s = strings.ToUpper(s); !slices.Contains(known, s) {
			l.unknown(diag.InvalidValue, v.Span, what, v.Text, known)
			continue
		}
		seen[s] = true
	}
	var out []string
	for _, s := range known {
		if seen[s] {
			out = append(out, s)
		}
	}
	return out
}

// readAddrTypes reads addrtype's source or destination. IPv6 has no broadcast,
// and ip6tables refuses some other types that it does have.
func (l *lowering) readAddrTypes(k Key, not bool) {
	names := l.readNames(k, "address type", addrTypes)
	if len(items(k.Value)) == 0 {
		l.addFixed(not, nothing("addrtype "+k.Name, k.Value.Span))
		return
	}
	if slices.Contains(l.rule.Families, ir.IPv6) {
		for _, v := range items(k.Value) {
			if slices.Contains(addrTypesRefusedByIPv6, strings.ToUpper(v.Text)) {
				l.diags.Errorf(diag.RuleDialect, v.Span, "ip6tables has no address type %s", strings.ToUpper(v.Text)).
					WithHelp("narrow the rule with families: [ipv4]")
			}
		}
	}
	part := func(list []string, not bool) *ir.Spec {
		if k.Name == "destination" {
			return matching(&ir.AddrType{DestNot: not, Dest: list})
		}
		return matching(&ir.AddrType{SourceNot: not, Source: list})
	}
	l.add(not, func(f ir.Family) choice {
		if f == ir.IPv4 {
			return choice{disjoint: true, alts: []alternative{{part(names, false), part(names, true)}}}
		}
		// xt_addrtype takes several types as "all of them" in IPv6, where a local
		// address is a unicast address, too.
		var c choice
		for _, s := range names {
			if s != "BROADCAST" {
				c.alts = append(c.alts, alternative{part([]string{s}, false), part([]string{s}, true)})
			}
		}
		if len(c.alts) == 0 {
			c.absent = &absence{reason: "there is no broadcast in IPv6", span: k.Value.Span, family: true}
		}
		return c
	})
}

// maskedBits is a value under a mask.
type maskedBits struct{ value, mask uint32 }

// readBits reads VALUE or VALUE/MASK. A value with bits outside its mask could
// never match, and as an action would set bits that the mask spares.
func (l *lowering) readBits(v *Value, what string) (maskedBits, bool) {
	s, ok := l.scalar(v, what)
	if !ok {
		return maskedBits{}, false
	}
	text, maskText, masked := strings.Cut(s, "/")
	value, ok1 := number(text, 1<<32-1)
	mask, ok2 := uint64(1<<32-1), true
	if masked {
		mask, ok2 = number(maskText, 1<<32-1)
	}
	switch {
	case !ok1 || !ok2:
		l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not %s: VALUE or VALUE/MASK, each 0 to 0xffffffff", s, what)
		return maskedBits{}, false
	case value&^mask != 0:
		l.diags.Errorf(diag.InvalidValue, v.Span, "the value of %q has bits outside its mask", s)
		return maskedBits{}, false
	}
	return maskedBits{uint32(value), uint32(mask)}, true
}

// readMarks reads mark or ctmark.
func (l *lowering) readMarks(k Key, not bool) {
	var list []maskedBits
	seen := map[maskedBits]bool{}
	for _, v := range items(k.Value) {
		b, ok := l.readBits(v, "a mark")
		if ok && not && b.mask == 0 {
			l.diags.Errorf(diag.Inverted, v.Span, "not %s with an empty mask can never hold", k.Name)
		}
		if ok && !seen[b] {
			list = append(list, b)
		}
		seen[b] = true
	}
	if len(items(k.Value)) == 0 {
		l.addFixed(not, nothing(k.Name, k.Value.Span))
		return
	}
	c := choice{disjoint: apart(list, func(a, b maskedBits) bool { return (a.value^b.value)&a.mask&b.mask != 0 })}
	for _, b := range list {
		var holds, fails ir.Match = &ir.Mark{Value: b.value, Mask: b.mask}, &ir.Mark{Not: true, Value: b.value, Mask: b.mask}
		c.depends = packetMark
		if k.Name == "ctmark" {
			holds, fails = &ir.Connmark{Value: b.value, Mask: b.mask}, &ir.Connmark{Not: true, Value: b.value, Mask: b.mask}
			c.depends = connMark
		}
		c.alts = append(c.alts, alternative{matching(holds), matching(fails)})
	}
	l.addFixed(not, c)
}

// apart tells whether all pairs of a list exclude each other. Long lists are not
// looked through.
func apart[T any](list []T, exclusive func(a, b T) bool) bool {
	if len(list) > 512 {
		return false
	}
	for i, a := range list {
		for _, b := range list[:i] {
			if !exclusive(a, b) {
				return false
			}
		}
	}
	return true
}

// readOwners reads owner's uid or gid, by number: names differ between hosts.
func (l *lowering) readOwners(k Key, not bool) {
	const highest = 1<<32 - 2 // -1 is no user
	var list []numbers
	for _, v := range items(k.Value) {
		if x, ok := l.readRange(v, "a "+k.Name+" number", highest); ok {
			list = append(list, x)
		}
	}
	l.addFixed(not, l.ranges(k, "owner "+k.Name, not, list, highest, 0, func(x numbers, not bool) ir.Match {
		ids := &ir.IDRange{Low: uint32(x.low), High: uint32(x.high)}
		if k.Name == "gid" {
			return &ir.Owner{GIDNot: not, GID: ids}
		}
		return &ir.Owner{UIDNot: not, UID: ids}
	}))
}

// readLengths reads packet lengths: "0:100" or 0-100 or a number.
func (l *lowering) readLengths(k Key, not bool) {
	var list []numbers
	for _, v := range items(k.Value) {
		if x, ok := l.readRange(v, "a length", 65535); ok {
			list = append(list, x)
		}
	}
	l.addFixed(not, l.ranges(k, k.Name, not, list, 65535, packetLength, func(x numbers, not bool) ir.Match {
		return &ir.Length{Not: not, Low: uint16(x.low), High: uint16(x.high)}
	}))
}

// ranges is the choice of ranges of numbers, each of which one match holds.
func (l *lowering) ranges(k Key, name string, not bool, list []numbers, highest uint64, depends effect, match func(x numbers, not bool) ir.Match) choice {
	if len(items(k.Value)) == 0 {
		return nothing(name, k.Value.Span)
	}
	list = mergeNumbers(list)
	c := choice{disjoint: true, depends: depends}
	if covers(list, highest) {
		if not {
			l.diags.Errorf(diag.Inverted, k.Value.Span, "not %s with every value can never hold", name)
		}
		c.always = len(list) == 1
	}
	for _, x := range list {
		c.alts = append(c.alts, alternative{matching(match(x, false)), matching(match(x, true))})
	}
	return c
}

// readRange reads a number or a range a:b or a-b.
func (l *lowering) readRange(v *Value, what string, highest uint64) (numbers, bool) {
	s, ok := l.scalar(v, what)
	if !ok {
		return numbers{}, false
	}
	from, to, ranged := strings.Cut(s, ":")
	if !ranged {
		from, to, ranged = strings.Cut(s, "-")
	}
	low, ok := number(from, highest)
	high := low
	if ok && ranged {
		high, ok = number(to, highest)
	}
	switch {
	case !ok:
		l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not %s or a range of them (0 to %d)", s, what, highest)
	case high < low:
		l.diags.Errorf(diag.InvalidValue, v.Span, "the range %q ends before it starts", s)
		ok = false
	}
	return numbers{low, high, v.Span}, ok
}

// readHops reads ttl, which in IPv6 is the hop limit: 64, "<5", ">=10".
func (l *lowering) readHops(k Key, not bool) {
	var list []numbers
	for _, v := range items(k.Value) {
		s, ok := l.scalar(v, "a ttl")
		if !ok {
			continue
		}
		if x, ok := hops(s); ok {
			x.span = v.Span
			list = append(list, x)
			continue
		}
		l.diags.Errorf(diag.InvalidValue, v.Span, `%q is not a ttl: a number from 0 to 255, or one behind <, <=, > or >=`, s)
	}
	if len(items(k.Value)) == 0 {
		l.addFixed(not, nothing(k.Name, k.Value.Span))
		return
	}
	list = mergeNumbers(list)
	if covers(list, 255) && not {
		l.diags.Errorf(diag.Inverted, k.Value.Span, "not ttl with every value can never hold")
	}
	l.add(not, func(f ir.Family) choice {
		c := choice{disjoint: true, depends: hopLimit, always: covers(list, 255) && len(list) == 1}
		for _, x := range list {
			c.alts = append(c.alts, alternative{matching(hopMatch(f, x)), matching(hopFails(f, x))})
		}
		return c
	})
}

// hops reads one ttl; the result is one value or reaches 0 or 255, also after
// merging.
func hops(s string) (numbers, bool) {
	for _, op := range []string{"<=", ">=", "<", ">", ""} {
		text, found := strings.CutPrefix(s, op)
		if !found {
			continue
		}
		n, ok := number(strings.TrimSpace(text), 255)
		switch {
		case !ok || op == "<" && n == 0 || op == ">" && n == 255:
			return numbers{}, false
		case op == "<":
			return numbers{high: n - 1}, true
		case op == "<=":
			return numbers{high: n}, true
		case op == ">":
			return numbers{low: n + 1, high: 255}, true
		case op == ">=":
			return numbers{low: n, high: 255}, true
		}
		return numbers{low: n, high: n}, true
	}
	return numbers{}, false
}

func hopMatch(f ir.Family, x numbers) ir.Match {
	m := &ir.TTL{V6: f == ir.IPv6}
	switch {
	case x.low == x.high:
		m.Op, m.Value = "eq", uint8(x.low)
	case x.low == 0 && x.high < 255:
		m.Op, m.Value = "lt", uint8(x.high+1)
	case x.high == 255 && x.low > 0:
		m.Op, m.Value = "gt", uint8(x.low-1)
	case x.low == 0:
		// Every value: never written, the choice always holds.
		m.Op, m.Value = "gt", 0
	default:
		panic(fmt.Sprintf("lower: ttl %d-%d is no single comparison", x.low, x.high))
	}
	return m
}

// hopFails is the negation; iptables has no `! --ttl-lt`.
func hopFails(f ir.Family, x numbers) ir.Match {
	switch {
	case x.low == x.high:
		return &ir.TTL{Not: true, V6: f == ir.IPv6, Op: "eq", Value: uint8(x.low)}
	case x.low == 0:
		return hopMatch(f, numbers{low: min(x.high+1, 255), high: 255})
	}
	return hopMatch(f, numbers{high: x.low - 1})
}

// readMACs reads Ethernet source addresses.
func (l *lowering) readMACs(k Key, not bool) {
	list := items(k.Value)
	if len(list) == 0 {
		l.addFixed(not, nothing(k.Name, k.Value.Span))
		return
	}
	c := choice{disjoint: true}
	seen := map[[6]byte]bool{}
	for _, v := range list {
		s, ok := l.scalar(v, "an Ethernet address")
		if !ok {
			continue
		}
		mac, ok := ethernet(s)
		if !ok {
			l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not an Ethernet address such as 02:00:5e:10:00:01", s)
			continue
		}
		if !seen[mac] {
			c.alts = append(c.alts, alternative{matching(&ir.MAC{Addr: mac}), matching(&ir.MAC{Not: true, Addr: mac})})
		}
		seen[mac] = true
	}
	l.addFixed(not, c)
}

func ethernet(s string) (mac [6]byte, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 6 {
		return mac, false
	}
	for i, p := range parts {
		n, ok := number("0x"+p, 255)
		if len(p) != 2 || !ok {
			return mac, false
		}
		mac[i] = byte(n)
	}
	return mac, true
}

// readHelpers reads names of conntrack helpers. The kernel compares as many bytes
// as the packet's helper has, so that ftp takes part in ftp-2121.
func (l *lowering) readHelpers(k Key, not bool) {
	list := items(k.Value)
	if len(list) == 0 {
		l.addFixed(not, nothing(k.Name, k.Value.Span))
		return
	}
	var names []string
	for _, v := range list {
		if s, ok := l.word(v, "a conntrack helper", "-_.", 29); ok && !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	c := choice{disjoint: len(names) < 2, depends: connHelper}
	for _, s := range names {
		c.alts = append(c.alts, alternative{matching(&ir.Helper{Name: s}), matching(&ir.Helper{Not: true, Name: s})})
	}
	l.addFixed(not, c)
}
