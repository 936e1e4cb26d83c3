package nfnetlink

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
)

func (d *describer) compare(a *Attrs) {
	l := d.take(a[unix.NFTA_CMP_SREG])
	op, data := Uint32(a[unix.NFTA_CMP_OP]), Value(a[unix.NFTA_CMP_DATA])
	word := map[uint32]string{
		unix.NFT_CMP_EQ: "", unix.NFT_CMP_NEQ: "!= ", unix.NFT_CMP_LT: "< ", unix.NFT_CMP_LTE: "<= ", unix.NFT_CMP_GT: "> ", unix.NFT_CMP_GTE: ">= ",
	}[op]
	if d.exact && d.compareExact(l, op, data, word) {
		return
	}
	to := valueText(data, l.as)
	switch {
	case l.masked && l.as == valueCTState && op == unix.NFT_CMP_NEQ && isZero(data) && len(l.mask) == 4:
		d.say(nfttext.CTState(hostWord(l.mask)), l.first)
		return
	case l.masked && l.as == valueCTStatus && op == unix.NFT_CMP_NEQ && isZero(data):
		d.say(l.text+" "+valueText(l.mask, l.as), l.first)
		return
	case l.masked && l.as == valueTCPFlags && op == unix.NFT_CMP_NEQ && isZero(data) && len(l.mask) == 1:
		d.say(l.text+" "+tcpFlags(l.mask[0]), l.first)
		return
	case l.masked && (l.as == valueAddress4 || l.as == valueAddress6) && prefixLength(l.mask) >= 0:
		to = fmt.Sprintf("%s/%d", to, prefixLength(l.mask))
	case l.masked:
		mask := valueText(l.mask, l.as)
		if l.as == valueTCPFlags {
			mask = "(" + strings.ReplaceAll(tcpFlags(l.mask[0]), ",", "|") + ")"
		}
		d.say(l.text+" & "+mask+" "+orEqual(word)+to, l.first)
		return
	case strings.Contains(l.text, " & ") || strings.Contains(l.text, " | ") || strings.Contains(l.text, " ^ "):
		word = orEqual(word)
	case l.n > len(data) && l.as == valueInterface:
		to = d.quoted(string(data), "*")
	}
	if op == unix.NFT_CMP_GTE {
		d.regs[d.wordOf(a[unix.NFTA_CMP_SREG])].from = data
	}
	if from := l.from; op == unix.NFT_CMP_LTE && from != nil && len(d.out) > 0 && d.out[len(d.out)-1].Text == l.text+" >= "+valueText(from, l.as) {
		d.out, d.implies = d.out[:len(d.out)-1], d.implies[:len(d.out)-1]
		word, to = "", rangeEnd(from, l.as)+"-"+rangeEnd(data, l.as)
	}
	d.say(l.text+" "+word+to, l.first)
	if op == unix.NFT_CMP_EQ && !l.masked && l.n == len(data) {
		d.learn(l.text, l.as, data)
	}
}

// learn notes what the last statement, a comparison for equality with all of a field,
// says of the packet.
func (d *describer) learn(text string, as valueType, data []byte) {
	last := &d.implies[len(d.implies)-1]
	switch {
	case as == valueProtocol && !strings.HasPrefix(text, "ct "):
		d.proto = data[0]
		if !d.exact || text == "meta l4proto" {
			*last = impliedProtocol
		}
	case as == valueFamily && (data[0] == unix.NFPROTO_IPV4 || data[0] == unix.NFPROTO_IPV6):
		d.net, d.v6, *last = true, data[0] == unix.NFPROTO_IPV6, impliedFamily
	case as == valueEtherType && d.inet && (number(data, binary.BigEndian) == unix.ETH_P_IP || number(data, binary.BigEndian) == unix.ETH_P_IPV6):
		d.net, d.v6, *last = true, number(data, binary.BigEndian) == unix.ETH_P_IPV6, impliedFamily
	case as == valueLinkType && number(data, binary.NativeEndian) == unix.ARPHRD_ETHER:
		d.ether, *last = true, impliedEther
	}
}

func orEqual(word string) string {
	if word == "" {
		return "== "
	}
	return word
}
