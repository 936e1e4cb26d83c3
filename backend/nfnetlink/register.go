package nfnetlink

import (
	"golang.org/x/sys/unix"
)

// loaded is what stands in a register: an expression of nft, not yet compared.
type loaded struct {
	text   string
	as     valueType
	first  int    // number of the expression that loaded it
	n      int    // bytes
	mask   []byte // of the last bitwise expression
	masked bool
	set    []byte // of the last bitwise expression: the bits that it turns over
	used   bool
	data   []byte // of an immediate value
	from   []byte // `>= from` was said of it
	// A piece of a packet as it came, and where it stands.
	payload      bool
	base, offset uint32
}

// word is the number of the 32-bit word that a register begins with: 1 to 4 are
// 16 bytes each, 8 and up are words.
func word(reg uint32) uint32 {
	if reg >= unix.NFT_REG32_00 {
		return reg - unix.NFT_REG32_00
	}
	return (reg - 1) * 4
}

func (d *describer) load(reg []byte, l *loaded) {
	l.first = d.index
	w := word(Uint32(reg))
	if d.regs[w] == nil {
		d.order = append(d.order, w)
	}
	d.regs[w] = l
}

// pending are the loads that nothing used yet.
func (d *describer) pending() []*loaded {
	var out []*loaded
	for _, w := range d.order {
		if l := d.regs[w]; !l.used && l.data == nil {
			out = append(out, l)
		}
	}
	return out
}

// take is what a register holds; several loads side by side are one concatenation.
func (d *describer) take(reg []byte) *loaded {
	w := word(Uint32(reg))
	l := d.regs[w]
	if l == nil {
		return &loaded{text: d.unknown("register", reg), first: d.index}
	}
	fresh := !l.used
	l.used = true
	whole := *l
	for next := d.regs[w+uint32(l.n+3)/4]; fresh && next != nil && !next.used && next.data == nil && l.n > 0; next = d.regs[w+uint32(whole.n+3)/4] {
		next.used = true
		whole.text += " . " + next.text
		whole.n = (whole.n+3)&^3 + next.n
		whole.as = valueBytes
	}
	return &whole
}

func (d *describer) wordOf(reg []byte) uint32 {
	w := word(Uint32(reg))
	if d.regs[w] == nil {
		d.regs[w] = &loaded{used: true}
	}
	return w
}

// value is what an immediate value, or an expression, is when it is put into
// something of a type.
func (l *loaded) value(as valueType) string {
	if l.data != nil {
		return valueText(l.data, as)
	}
	if l.masked {
		return l.text + " & " + valueText(l.mask, l.as)
	}
	return l.text
}
