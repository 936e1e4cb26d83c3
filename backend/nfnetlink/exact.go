package nfnetlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
	"hookline/compiler/ir"
)

// compareExact says the comparisons that an exact text has words of its own for, and
// tells whether it did.
func (d *describer) compareExact(l *loaded, op uint32, data []byte, word string) bool {
	equal, other := op == unix.NFT_CMP_EQ, op == unix.NFT_CMP_NEQ
	switch {
	case l.n != len(data) && !l.partly(data), l.masked && len(l.mask) != l.n:
		d.say(l.text+" "+d.unknown("cmp", fmt.Appendf(nil, "%x %v %s %x", l.mask, l.masked, word, data)), l.first)
	case l.masked && (equal || other) && isZero(data) && l.maskNames() != "":
		not := ""
		if equal {
			not = "! "
		}
		d.say(l.text+" "+not+l.maskNames(), l.first)
	case l.masked && (equal || other) && l.as == valueTCPFlags && len(l.mask) == 1 && bits.OnesCount8(l.mask[0]) > 1:
		d.say(l.text+" "+word+tcpFlags(data[0])+" / "+tcpFlags(l.mask[0]), l.first)
	case l.masked && (equal || other) && l.as == valueTCPFlags && len(l.mask) == 1:
		d.say(l.text+" & "+tcpFlags(l.mask[0])+" "+orEqual(word)+tcpFlags(data[0]), l.first)
	case equal && !l.masked && l.payload && l.as == valueBytes && len(data) == l.n:
		return d.compareFields(l, data)
	default:
		return false
	}
	return true
}

// partly tells that a comparison with the beginning of what was loaded has words: the
// beginning of a name, and a prefix of whole bytes.
func (l *loaded) partly(data []byte) bool {
	return len(data) < l.n && !l.masked && (l.as == valueInterface || l.as == valueAddress4 || l.as == valueAddress6)
}

// maskNames are the names of a mask's bits, where nft has them.
func (l *loaded) maskNames() string {
	switch {
	case l.as == valueCTState && len(l.mask) == 4:
		if s := nfttext.CTState(hostWord(l.mask)); !strings.Contains(s, "&") {
			return strings.TrimPrefix(s, "ct state ")
		}
	case l.as == valueCTStatus && len(l.mask) == 4:
		if s := ctStatusNames(hostWord(l.mask)); s != "" {
			return s
		}
	case l.as == valueTCPFlags && len(l.mask) == 1 && l.mask[0] != 0:
		return tcpFlags(l.mask[0])
	}
	return ""
}

var ctStatusBits = [...]string{0: "expected", 1: "seen-reply", 2: "assured", 3: "confirmed", 4: "snat", 5: "dnat", 9: "dying"}

// ctStatusNames are the names of bits of a connection's status; empty if one has none.
func ctStatusNames(status uint32) string {
	var out []string
	for i := range 32 {
		if status&(1<<i) == 0 {
			continue
		}
		if i >= len(ctStatusBits) || ctStatusBits[i] == "" {
			return ""
		}
		out = append(out, ctStatusBits[i])
	}
	return strings.Join(out, ",")
}

// compareFields says one comparison of several fields side by side, as nft makes one
// of them, field by field.
func (d *describer) compareFields(l *loaded, data []byte) bool {
	type piece struct {
		text string
		as   valueType
		data []byte
	}
	var out []piece
	for at := 0; at < len(data); {
		found := false
		for n := 1; at+n <= len(data) && n < len(data); n++ {
			text, as := d.field(l.base, l.offset+uint32(at), uint32(n))
			if strings.HasPrefix(text, "@") {
				continue
			}
			out = append(out, piece{text, as, data[at : at+n]})
			at, found = at+n, true
			break
		}
		if !found {
			return false
		}
	}
	first := l.first
	if l.base == TransportHeader {
		first = min(first, d.takeBack(impliedProtocol))
		if d.inet && (d.proto == unix.IPPROTO_ICMP || d.proto == unix.IPPROTO_ICMPV6) {
			first = min(first, d.takeBack(impliedFamily))
		}
	} else if l.base == NetworkHeader {
		first = min(first, d.takeBack(impliedFamily))
	} else {
		first = min(first, d.takeBack(impliedEther))
	}
	for _, p := range out {
		d.say(p.text+" "+valueText(p.data, p.as), first)
		d.learn(p.text, p.as, p.data)
	}
	return true
}

// payloadSet is a write into the packet.
func (d *describer) payloadSet(a *Attrs, reg []byte, text string, as valueType) {
	from := d.take(reg)
	if s, ok := d.dscp(a, from); ok {
		d.say(s, from.first)
		return
	}
	if d.exact {
		d.say(d.unknown("payload", append([]byte(from.text+" "), d.data...)), from.first)
		return
	}
	d.say(text+" set "+from.value(as), from.first)
}

// dscp is the statement that sets the class of a packet: six bits of two bytes.
func (d *describer) dscp(a *Attrs, from *loaded) (string, bool) {
	base, offset, n := Uint32(a[unix.NFTA_PAYLOAD_BASE]), Uint32(a[unix.NFTA_PAYLOAD_OFFSET]), Uint32(a[unix.NFTA_PAYLOAD_LEN])
	if base != NetworkHeader || offset != 0 || n != 2 || d.inet && !d.net || len(from.set) != 2 || len(from.mask) != 2 || !from.payload || from.base != base || from.offset != offset || from.n != 2 {
		return "", false
	}
	name, keep, shift := "ip", uint16(0xff03), 2
	if d.v6 {
		name, keep, shift = "ip6", 0xf03f, 6
	}
	mask, set := uint16(number(from.mask, binary.BigEndian)), uint16(number(from.set, binary.BigEndian))
	checksum := Uint32(a[unix.NFTA_PAYLOAD_CSUM_TYPE])
	sums := d.v6 && checksum == unix.NFT_PAYLOAD_CSUM_NONE || !d.v6 && checksum == unix.NFT_PAYLOAD_CSUM_INET && Uint32(a[unix.NFTA_PAYLOAD_CSUM_OFFSET]) == 10
	if mask != keep || set&keep != 0 || !sums || Uint32(a[unix.NFTA_PAYLOAD_CSUM_FLAGS]) != 0 {
		return "", false
	}
	return name + " dscp set " + valueText([]byte{byte(set >> shift)}, valueDSCP), true
}

// setText is the set that a rule looks into: its name, or its elements if it is a
// part of the rule.
func (d *describer) setText(l *loaded, name string) string {
	set, ranges := d.anonymous(name)
	if set == nil && !ir.NFTName(name) {
		return d.unknown("set", []byte(name))
	}
	if set == nil {
		return "@" + name
	}
	// What is written is one field, as ours are, and perhaps a verdict.
	var out []string
	for _, r := range ranges {
		if l.as == valueBytes || l.masked || len(r.From) != l.n || set.Exprs || set.Timeout != 0 {
			return d.rawSet(set, ranges)
		}
		text := rangeText(r, l.as)
		if r.Data != nil {
			code, chain := verdictText(r.Data)
			if code == nfttext.Unknown("verdict") || chain != "" && !ir.NFTName(chain) {
				return d.rawSet(set, ranges)
			}
			text += " : " + strings.TrimSpace(code+" "+chain)
		}
		out = append(out, text)
	}
	return "{ " + strings.Join(out, ", ") + " }"
}

// rawSet is a set that is a part of a rule and not written by us.
func (d *describer) rawSet(set *Set, ranges []Range) string {
	data := []byte(fmt.Sprint(set.Flags, set.KeyType, set.DataType, set.Exprs, set.Timeout))
	for _, r := range ranges {
		data = append(data, fmt.Sprintf(" %x-%x:%x", r.From, r.To, r.Data)...)
	}
	return d.unknown("set", data)
}

// rangeText is an element as nft lists it: a value, a prefix or a range.
func rangeText(r Range, as valueType) string {
	from := valueText(r.From, as)
	if bytes.Equal(r.From, r.To) {
		return from
	}
	if as == valueAddress4 || as == valueAddress6 {
		if n, ok := prefixOf(r); ok {
			return fmt.Sprintf("%s/%d", from, n)
		}
	}
	return rangeEnd(r.From, as) + "-" + rangeEnd(r.To, as)
}

// prefixOf is the length of the prefix that a range is.
func prefixOf(r Range) (int, bool) {
	ones := 0
	for ones < 8*len(r.From) && (r.From[ones/8]^r.To[ones/8])&(0x80>>(ones%8)) == 0 {
		ones++
	}
	for i := ones; i < 8*len(r.From); i++ {
		bit := byte(0x80 >> (i % 8))
		if r.From[i/8]&bit != 0 || r.To[i/8]&bit == 0 {
			return 0, false
		}
	}
	return ones, true
}
