package redact

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Redactor gives addresses pseudonyms. Learn is called with every text, then
// Solve once, then Text with the same texts.
type Redactor struct {
	tries map[netip.Prefix]*trie
	// seen are the addresses that get a pseudonym.
	seen map[netip.Addr]bool
	macs map[[6]byte][6]byte
	// order in which MAC addresses were met.
	order [][6]byte
	// names that get another one, in pairs.
	names []string
}

// New makes a Redactor that knows no address.
func New() *Redactor {
	return &Redactor{
		tries: map[netip.Prefix]*trie{}, seen: map[netip.Addr]bool{}, macs: map[[6]byte][6]byte{},
	}
}

// Name has a word of the texts written as another one, where it stands by itself.
func (r *Redactor) Name(word, pseudonym string) { r.names = append(r.names, word, pseudonym) }

// Learn takes in the addresses of a text.
func (r *Redactor) Learn(text string) {
	scan(text, func(t token) {
		if t.kind == isMAC {
			r.learnMAC(t.mac)
			return
		}
		r.learn(t)
	})
}

func (r *Redactor) learnMAC(m [6]byte) {
	if _, ok := r.macs[m]; ok || plainMAC(m) {
		return
	}
	r.macs[m] = m
	r.order = append(r.order, m)
}

func (r *Redactor) learn(t token) {
	if v4, ok := embedded(t.addr); ok {
		inner := t
		inner.addr, inner.bits, inner.maskAddr = v4, max(-1, t.bits-96), netip.Addr{}
		r.learn(inner)
		return
	}
	if m, ok := hardware(t.addr); ok {
		r.learnMAC(m)
		return
	}
	it, ok := itemOf(t)
	if stays(t.addr) || !ok {
		return
	}
	b := blockOf(t.addr)
	if !b.IsValid() {
		b = netip.PrefixFrom(t.addr, 0).Masked()
	}
	if r.tries[b] == nil {
		r.tries[b] = newTrie(b)
	}
	r.tries[b].add(it)
	if t.bits > b.Bits() && it.bits > t.bits {
		// An interface's address: its network is one of the networks, too.
		r.tries[b].add(item{addr: netip.PrefixFrom(t.addr, t.bits).Masked().Addr(), bits: t.bits})
	}
	if !it.pinned {
		r.seen[it.addr] = true
		r.seen[t.addr] = true
	}
}

// itemOf is what of a token has to be told apart: an address, or the leading bits
// of a prefix.
func itemOf(t token) (item, bool) {
	bits := t.bits
	if n, ok := ones(t.maskAddr); ok {
		bits = n
	}
	if bits < 0 {
		return item{addr: t.addr, bits: t.addr.BitLen()}, true
	}
	p := netip.PrefixFrom(t.addr, bits)
	if p.Masked() != p {
		// An interface's address is written with the length of its network.
		return item{addr: t.addr, bits: t.addr.BitLen()}, true
	}
	return item{addr: t.addr, bits: bits, pinned: known(p)}, true
}

// ones is the length of a mask of ones, then zeros.
func ones(mask netip.Addr) (int, bool) {
	if !mask.IsValid() {
		return 0, false
	}
	n := 0
	for n < mask.BitLen() && bit(mask, n) == 1 {
		n++
	}
	for i := n; i < mask.BitLen(); i++ {
		if bit(mask, i) == 1 {
			return 0, false
		}
	}
	return n, true
}

// Solve finds the pseudonyms.
func (r *Redactor) Solve() error {
	for _, t := range r.tries {
		if err := t.solve(r.seen); err != nil {
			return err
		}
	}
	next := 0
	for _, m := range r.order {
		for {
			next++
			p := [6]byte{0x02, 0, 0, byte(next >> 16), byte(next >> 8), byte(next)}
			if _, taken := r.macs[p]; !taken {
				r.macs[m] = p
				break
			}
		}
	}
	return nil
}

// Text is a text with pseudonyms.
func (r *Redactor) Text(text string) string {
	var out strings.Builder
	at := 0
	scan(text, func(t token) {
		out.WriteString(text[at:t.start])
		out.WriteString(r.token(t, text[t.start:t.end]))
		at = t.end
	})
	out.WriteString(text[at:])
	return r.words(r.dashes(out.String()))
}

// token is what is written for an address that stands as text.
func (r *Redactor) token(t token, text string) string {
	if t.kind == isMAC {
		m, ok := r.macs[t.mac]
		if !ok {
			return text
		}
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
	}
	a, ok := r.address(t)
	if !ok {
		return text
	}
	if t.mask != "" {
		return a.String() + "/" + t.mask
	}
	return a.String()
}

// address is a token's pseudonym; false if it is written as it stands.
func (r *Redactor) address(t token) (netip.Addr, bool) {
	if v4, ok := embedded(t.addr); ok {
		inner := t
		inner.addr, inner.bits, inner.maskAddr = v4, max(-1, t.bits-96), netip.Addr{}
		a, ok := r.address(inner)
		if !ok {
			return t.addr, false
		}
		b, last := t.addr.As16(), a.As4()
		copy(b[12:], last[:])
		return netip.AddrFrom16(b), true
	}
	if m, ok := hardware(t.addr); ok {
		p, ok := r.macs[m]
		if !ok {
			return t.addr, false
		}
		b := t.addr.As16()
		copy(b[8:], []byte{p[0] ^ 2, p[1], p[2], 0xff, 0xfe, p[3], p[4], p[5]})
		return netip.AddrFrom16(b), true
	}
	it, _ := itemOf(t)
	if stays(t.addr) || it.pinned {
		return t.addr, false
	}
	b := blockOf(t.addr)
	if !b.IsValid() {
		b = netip.PrefixFrom(t.addr, 0).Masked()
	}
	if r.tries[b] == nil {
		return t.addr, false
	}
	a, ok := r.tries[b].pseudonym[it]
	if ok && t.maskAddr.IsValid() {
		a = and(a, t.maskAddr)
	}
	return a, ok
}

// embedded is the IPv4 address in an IPv6 address.
func embedded(a netip.Addr) (netip.Addr, bool) {
	for _, p := range embeds {
		if a.Is6() && p.Addr().As16() == netip.PrefixFrom(netip.AddrFrom16(a.As16()), 96).Masked().Addr().As16() {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[12:])), true
		}
	}
	return netip.Addr{}, false
}

// hardware is the MAC address that a link-local address was made of.
func hardware(a netip.Addr) ([6]byte, bool) {
	b := a.As16()
	if !a.Is6() || !a.IsLinkLocalUnicast() || b[11] != 0xff || b[12] != 0xfe {
		return [6]byte{}, false
	}
	return [6]byte{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}, true
}

// plainMAC tells whether a MAC address is written as it is: none, a group's, or
// the one that Calico gives to every interface of a pod.
func plainMAC(m [6]byte) bool {
	return m == [6]byte{} || m[0]&1 == 1 || m == [6]byte{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
}

// dashed is an IPv4 address as names of machines hold it: ip-10-0-0-1.
var dashed = regexp.MustCompile(`\d{1,3}(?:-\d{1,3}){3}`)

// dashes replaces addresses in that form, if they occur as addresses too.
func (r *Redactor) dashes(text string) string {
	return dashed.ReplaceAllStringFunc(text, func(s string) string {
		a, ok := parse(strings.ReplaceAll(s, "-", "."))
		if !ok || !r.seen[a] {
			return s
		}
		p, ok := r.address(token{addr: a, bits: -1})
		if !ok {
			return s
		}
		return strings.ReplaceAll(p.String(), ".", "-")
	})
}

// words replaces names where they stand by themselves.
func (r *Redactor) words(text string) string {
	for n := 0; n < len(r.names); n += 2 {
		name, pseudonym := r.names[n], r.names[n+1]
		var out strings.Builder
		for {
			i := strings.Index(text, name)
			if i < 0 {
				break
			}
			end := i + len(name)
			alone := (i == 0 || !wordByte(text[i-1])) && (end == len(text) || !wordByte(text[end]))
			out.WriteString(text[:i])
			if alone {
				out.WriteString(pseudonym)
			} else {
				out.WriteString(name)
			}
			text = text[end:]
		}
		text = out.String() + text
	}
	return text
}

func wordByte(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-'
}
