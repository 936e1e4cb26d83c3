package lower

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// addresses is a source or destination as written.
type addresses struct {
	key    string
	dest   bool
	span   diag.Span
	ranges map[ir.Family][]interval[netip.Addr]
	sets   []setName
	// slot tells that -s (-d) is free for a negated value.
	slot bool
}

// setName is a {set: NAME}. dirs is nil if not given.
type setName struct {
	name string
	dirs []string
	span diag.Span
}

// readAddresses reads source or destination.
func (l *lowering) readAddresses(k Key, not bool) {
	a := &addresses{key: k.Name, dest: k.Name == "destination", span: k.Value.Span, ranges: map[ir.Family][]interval[netip.Addr]{}}
	list := items(k.Value)
	for _, v := range list {
		if v.Kind == Map {
			if s, ok := l.readSet(v, k.Name); ok {
				a.sets = append(a.sets, s)
			}
			continue
		}
		s, ok := l.scalar(v, "an address, a prefix, a range or {set: NAME}")
		if !ok {
			continue
		}
		low, high, msg := addressRange(s)
		if msg != "" {
			l.diags.Errorf(diag.InvalidValue, v.Span, "%s", msg)
			continue
		}
		f := familyOf(low)
		a.ranges[f] = append(a.ranges[f], interval[netip.Addr]{low, high, v.Span})
	}
	for _, f := range ir.Families {
		a.ranges[f] = merge(a.ranges[f], netip.Addr.Compare)
		if r := a.ranges[f]; not && len(r) == 1 && everyAddress(r[0]) {
			l.diags.Errorf(diag.Inverted, r[0].span, "not %s with every %s address can never hold", k.Name, familyName(f))
		}
	}
	a.slot = l.given(k.Name) == nil
	if len(list) == 0 {
		l.addFixed(not, nothing(k.Name, k.Value.Span))
		return
	}
	l.checkSets(a)
	l.add(not, func(f ir.Family) choice { return a.choice(l.ctx, f) })
}

// readSet reads {set: NAME, dirs: [...]}.
func (l *lowering) readSet(v *Value, key string) (setName, bool) {
	m, ok := l.fields(v, key, "set", "dirs")
	if !ok {
		return setName{}, false
	}
	if m["set"] == nil {
		l.diags.Errorf(diag.MissingKey, v.Span, "a mapping here is {set: NAME}")
		return setName{}, false
	}
	name, ok := l.word(m["set"], "a set name", "-_.:@/", 31)
	s := setName{name: name, span: m["set"].Span}
	for _, d := range items(m["dirs"]) {
		dir, good := l.scalar(d, "src or dst")
		if good && dir != "src" && dir != "dst" {
			l.unknown(diag.InvalidValue, d.Span, "direction", dir, []string{"src", "dst"})
			good = false
		}
		ok = ok && good
		s.dirs = append(s.dirs, dir)
	}
	if ok && len(s.dirs) > 0 && s.dirs[0] != setDir(key == "destination") {
		l.diags.Errorf(diag.InvalidValue, m["dirs"].Span, "the first direction of a set under %s is %s", key, setDir(key == "destination"))
		ok = false
	}
	return s, ok
}

func setDir(dest bool) string {
	if dest {
		return "dst"
	}
	return "src"
}

// checkSets reports sets that exist for no family, and directions that do not fit
// a set's dimensions.
func (l *lowering) checkSets(a *addresses) {
	for _, s := range a.sets {
		if t := l.ctx.setType(s.name); t != nil && t[0] != ir.AddressField && t[0] != ir.CIDRField {
			l.diags.Errorf(diag.RuleConflict, s.span, "%s takes a set of addresses, and %q is of type %s", a.key, s.name, t)
			continue
		}
		found, dims := false, 0
		for _, f := range ir.Families {
			if _, n, ok, _ := l.ctx.SetName(s.name, f); ok {
				found, dims = true, max(dims, n)
			}
		}
		switch {
		case !found:
			d := l.diags.Errorf(diag.UnresolvedSet, s.span, "unknown set %q", s.name)
			if near := diag.DidYouMean(s.name, l.ctx.Sets); near != "" {
				d.WithHelp("did you mean %q?", near)
			}
		case dims > 1 && s.dirs == nil:
			l.diags.Errorf(diag.InvalidValue, s.span, "set %q has %d dimensions: say which side each one is", s.name, dims).
				WithHelp("for example {set: %s, dirs: [%s]}", s.name, strings.Join(slices.Repeat([]string{setDir(a.dest)}, dims), ", "))
		case dims > 0 && s.dirs != nil && len(s.dirs) != dims:
			l.diags.Errorf(diag.InvalidValue, s.span, "set %q takes as many directions as it has dimensions: %d, not %d", s.name, dims, len(s.dirs))
		}
	}
}

// choice is the key for one family.
func (a *addresses) choice(ctx Context, f ir.Family) choice {
	c := choice{disjoint: true}
	slot := a.slot
	for _, r := range a.ranges[f] {
		if everyAddress(r) {
			return choice{always: true, alts: []alternative{{holds: &ir.Spec{}}}, disjoint: true}
		}
		alt := alternative{holds: a.holds(r), fails: matching(a.rangeMatch(r, true))}
		if slot && len(alt.holds.Matches) == 0 {
			alt.fails, slot = a.slotSpec(r, true), false
		}
		c.alts = append(c.alts, alt)
	}
	byFamily := len(a.ranges[f]) < len(a.ranges[ir.IPv4])+len(a.ranges[ir.IPv6])
	empty := ""
	for i, s := range a.sets {
		kernel, _, ok, isEmpty := ctx.SetName(s.name, f)
		switch {
		case !ok:
			byFamily = true
			continue
		case isEmpty:
			empty = s.name
			continue
		case slices.ContainsFunc(a.sets[:i], func(t setName) bool { return t.name == s.name && slices.Equal(t.dirs, s.dirs) }):
			continue
		}
		dirs := s.dirs
		if dirs == nil {
			dirs = []string{setDir(a.dest)}
		}
		c.alts = append(c.alts, alternative{
			holds: matching(&ir.SetMatch{Name: kernel, Dirs: dirs}),
			fails: matching(&ir.SetMatch{Not: true, Name: kernel, Dirs: dirs}),
		})
		c.disjoint, c.depends = false, setElements
	}
	if len(c.alts) > 0 {
		if len(c.alts) == 1 {
			c.disjoint = true
		}
		return c
	}
	c.absent = &absence{span: a.span}
	switch {
	case empty != "" && byFamily:
		c.absent.reason = fmt.Sprintf("%s has nothing for %s: set %s is empty", a.key, familyName(f), empty)
	case empty != "":
		c.absent.reason = fmt.Sprintf("%s: set %s is empty", a.key, empty)
	default:
		c.absent.reason, c.absent.family = fmt.Sprintf("%s has no %s address", a.key, familyName(f)), true
	}
	return c
}

// holds is the part of a rule for a range: -s or -d if it is a prefix.
func (a *addresses) holds(r interval[netip.Addr]) *ir.Spec {
	if _, ok := prefixOf(r); ok {
		return a.slotSpec(r, false)
	}
	return matching(a.rangeMatch(r, false))
}

func (a *addresses) slotSpec(r interval[netip.Addr], not bool) *ir.Spec {
	p, _ := prefixOf(r)
	if a.dest {
		return &ir.Spec{Destination: &ir.Address{Not: not, Prefix: p}}
	}
	return &ir.Spec{Source: &ir.Address{Not: not, Prefix: p}}
}

func (a *addresses) rangeMatch(r interval[netip.Addr], not bool) *ir.IPRange {
	x := &ir.AddrRange{Low: r.low, High: r.high}
	if a.dest {
		return &ir.IPRange{DestNot: not, Dest: x}
	}
	return &ir.IPRange{SourceNot: not, Source: x}
}

// addressRange reads an address, a prefix or a range a-b; the message says what
// is wrong.
func addressRange(s string) (low, high netip.Addr, message string) {
	none := netip.Addr{}
	if from, to, ok := strings.Cut(s, "-"); ok {
		a, err1 := netip.ParseAddr(strings.TrimSpace(from))
		b, err2 := netip.ParseAddr(strings.TrimSpace(to))
		switch {
		case err1 != nil || err2 != nil || a.Zone() != "" || b.Zone() != "":
			return none, none, fmt.Sprintf("%q is not an address, a prefix or a range of addresses", s)
		case familyOf(a) != familyOf(b):
			return none, none, fmt.Sprintf("the range %q starts in one family and ends in the other", s)
		case b.Less(a):
			return none, none, fmt.Sprintf("the range %q ends before it starts", s)
		}
		return a, b, ""
	}
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return none, none, fmt.Sprintf("%q is not a prefix such as 10.0.0.0/8", s)
		}
		p = p.Masked()
		return p.Addr(), lastOf(p), ""
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return none, none, fmt.Sprintf("%q is not an address, a prefix or a range of addresses", s)
	}
	return a, a, ""
}

// familyOf is an address's family; ::ffff:1.2.3.4 is IPv6.
func familyOf(a netip.Addr) ir.Family {
	if a.Is4() {
		return ir.IPv4
	}
	return ir.IPv6
}

// familyName is the family's name in sentences.
func familyName(f ir.Family) string {
	if f == ir.IPv4 {
		return "IPv4"
	}
	return "IPv6"
}

// lastOf is the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// prefixOf is the prefix that a range is, if it is one.
func prefixOf(r interval[netip.Addr]) (netip.Prefix, bool) {
	low, high := r.low.As16(), r.high.As16()
	shared := 0
	for i := range low {
		n := bits.LeadingZeros8(low[i] ^ high[i])
		if shared += n; n < 8 {
			break
		}
	}
	if r.low.Is4() {
		shared -= 96
	}
	p := netip.PrefixFrom(r.low, shared)
	return p, p.Masked() == p && lastOf(p) == r.high
}

// everyAddress tells that a range is a whole family.
func everyAddress(r interval[netip.Addr]) bool {
	p, ok := prefixOf(r)
	return ok && p.Bits() == 0
}
