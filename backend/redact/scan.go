package redact

import (
	"net/netip"
	"strconv"
	"strings"
)

// kind of what stands in a text.
type kind uint8

const (
	isAddress kind = iota
	isMAC
)

// token is an address in a text.
type token struct {
	kind       kind
	start, end int // bytes; the end includes the length or mask of a prefix
	addr       netip.Addr
	mac        [6]byte
	// bits is the length of the prefix, or -1 if the address stands alone.
	bits int
	// mask is what stands behind the slash, as it stands there.
	mask string
	// maskAddr is a mask written as an address, else invalid.
	maskAddr netip.Addr
}

// longest is how long an address in a text can be: IPv6 with IPv4 at its end.
const longest = 45

// scan calls f with every address in a text, from left to right. Letters around
// an address do not hide it: in "ip10.0.0.1" there is one.
func scan(text string, f func(token)) {
	for i := 0; i < len(text); {
		if !addressByte(text[i]) {
			i++
			continue
		}
		end := i
		for end < len(text) && addressByte(text[end]) {
			end++
		}
		i = scanRun(text, i, end, f)
	}
}

// addressByte tells whether a byte can stand in an address.
func addressByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == ':' || c == '.'
}

// scanRun finds the addresses in a run of bytes that could be of one: at each
// place the longest. It returns where to go on: behind the run, or behind the mask
// of the run's last address.
func scanRun(text string, start, end int, f func(token)) int {
	i := start
	for i < end {
		t, ok := tokenAt(text, i, end)
		if !ok {
			i++
			continue
		}
		f(t)
		i = t.end
	}
	return i
}

// tokenAt is the longest address that begins at a place.
func tokenAt(text string, i, end int) (token, bool) {
	last := min(end, i+longest)
	// Most runs are no addresses: numbers, letters of words.
	if !strings.ContainsAny(text[i:last], ":.") {
		return token{}, false
	}
	// The middle of a number begins nothing: 110.0.0.1 is not 10.0.0.1.
	if i > 0 && digit(text[i]) && digit(text[i-1]) {
		return token{}, false
	}
	if n := macLength(text[i:last]); n > 0 {
		t := token{kind: isMAC, start: i, end: i + n, bits: -1}
		for k := range t.mac {
			b, _ := strconv.ParseUint(text[i+3*k:i+3*k+2], 16, 8)
			t.mac[k] = byte(b)
		}
		return t, true
	}
	for j := last; j > i+1; j-- {
		if j < end && digit(text[j-1]) && digit(text[j]) {
			continue
		}
		if a, ok := parse(text[i:j]); ok && (j == end || !stays(a)) {
			// What stays and goes on, as in 0.10.1.2.3, may hide another one.
			t := token{kind: isAddress, start: i, end: j, addr: a, bits: -1}
			t.prefix(text)
			return t, true
		}
	}
	return token{}, false
}

// masklike tells a mask from a second address behind a slash: it is one of ones,
// then zeros, or of whole bytes; of whole groups in IPv6.
func masklike(a netip.Addr) bool {
	if _, ok := ones(a); ok {
		return true
	}
	bytes := a.AsSlice()
	for i, b := range bytes {
		if b != 0 && b != 0xff || a.Is6() && b != bytes[i&^1] {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func hexDigit(c byte) bool { return addressByte(c) && c != ':' && c != '.' }

// macLength is the length of a MAC address at the start of a text, or 0: six
// pairs, and no seventh.
func macLength(s string) int {
	const n = 17
	if len(s) < n {
		return 0
	}
	for i := range n {
		if i%3 == 2 && s[i] != ':' || i%3 != 2 && !hexDigit(s[i]) {
			return 0
		}
	}
	if len(s) > n && (hexDigit(s[n]) || s[n] == ':' && len(s) > n+1 && hexDigit(s[n+1])) {
		return 0
	}
	return n
}

// parse reads an address. Unlike netip it takes leading zeros of IPv4.
func parse(s string) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		if strings.Count(s, ":") < 2 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(s)
		return a, err == nil
	}
	var b [4]byte
	parts := strings.Split(s, ".")
	if len(parts) != len(b) {
		return netip.Addr{}, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil || len(p) > 3 {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// prefix takes in the length or the mask behind an address.
func (t *token) prefix(text string) {
	rest := text[t.end:]
	if len(rest) < 2 || rest[0] != '/' {
		return
	}
	n := 1
	for n < len(rest) && n <= longest && addressByte(rest[n]) {
		n++
	}
	word := strings.TrimRight(rest[1:n], ".")
	for _, w := range []string{word, strings.TrimRight(word, ".:")} {
		if mask, ok := parse(w); ok && mask.BitLen() == t.addr.BitLen() && masklike(mask) {
			t.mask, t.maskAddr = w, mask
			t.end += 1 + len(w)
			return
		}
	}
	digits := 0
	for digits < len(word) && digit(word[digits]) {
		digits++
	}
	bits, err := strconv.Atoi(word[:digits])
	behind := rest[1+digits:]
	longer := behind != "" && wordByte(behind[0]) && behind[0] != '-' || len(behind) > 1 && addressByte(behind[0]) && addressByte(behind[1])
	if err != nil || strconv.Itoa(bits) != word[:digits] || longer || bits > t.addr.BitLen() {
		return
	}
	t.bits, t.mask = bits, word[:digits]
	t.end += 1 + digits
}
