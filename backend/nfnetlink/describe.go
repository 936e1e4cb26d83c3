package nfnetlink

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
	"hookline/compiler/ir"
)

// Statement is a statement of a rule in the words of nft, and the expressions that
// it was made of, by number from 0.
type Statement struct {
	Text        string
	First, Last int
}

// Describe says a rule in the words of nft, as far as its expressions are known.
func Describe(f ir.Family, exprs []byte) ([]Statement, error) {
	d := describer{v6: f == ir.IPv6, regs: map[uint32]*loaded{}}
	err := EachExpr(exprs, func(name string, data []byte) error {
		var a Attrs
		if err := a.Read(data); err != nil {
			return err
		}
		d.step(name, &a)
		d.index++
		return nil
	})
	if err != nil {
		return nil, err
	}
	// What was loaded and never used: a rule can do that, nft never does.
	for _, l := range d.pending() {
		d.say(nfttext.Unknown(l.text), l.first)
	}
	return d.out, nil
}

// describer is a walk over a rule's expressions.
type describer struct {
	v6 bool
	// exact tells that the text must say all that the rule does; see Reader. Else it is
	// for people.
	exact bool
	// inet tells that the table has packets of both families; v6 is then what the rule
	// has found out, and net whether it has.
	inet, net bool
	// ether tells that the rule has made sure of an Ethernet header.
	ether bool
	// anonymous finds a set that is a part of the rule; exact only.
	anonymous func(name string) (*Set, []Range)
	// data are the attributes of the expression at hand.
	data  []byte
	index int
	proto uint8              // the transport protocol that was compared
	regs  map[uint32]*loaded // by 32-bit word
	order []uint32
	out   []Statement
	// implies says of each statement in out what it is besides.
	implies []implied
}

// implied is what a statement says that nft leaves out ahead of a field of the
// header that it names.
type implied uint8

const (
	impliedNone     implied = iota
	impliedFamily           // meta nfproto
	impliedProtocol         // meta l4proto, ip protocol
	impliedEther            // meta iiftype ether
)

// say adds a statement that began with expression first.
func (d *describer) say(text string, first int) {
	d.out = append(d.out, Statement{text, first, d.index})
	d.implies = append(d.implies, impliedNone)
}

// step takes one expression.
func (d *describer) step(name string, a *Attrs) {
	if d.exact && !d.plain(name, a) {
		d.strange(name, a)
		return
	}
	switch name {
	case "payload":
		d.payload(a)
	case "meta":
		d.meta(a)
	case "ct":
		d.ct(a)
	case "bitwise":
		d.bitwise(a)
	case "cmp":
		d.compare(a)
	case "range":
		d.rangeOf(a)
	case "lookup":
		d.lookup(a)
	case "immediate":
		d.immediate(a)
	case "fib":
		d.load(a[unix.NFTA_FIB_DREG], fib(a))
	case "rt":
		d.load(a[unix.NFTA_RT_DREG], rt(a))
	case "exthdr":
		d.exthdr(a)
	case "dynset":
		op := map[uint32]string{unix.NFT_DYNSET_OP_ADD: "add", unix.NFT_DYNSET_OP_UPDATE: "update", 2: "delete"}[Uint32(a[unix.NFTA_DYNSET_OP])]
		key := d.take(a[unix.NFTA_DYNSET_SREG_KEY])
		if d.exact {
			d.say(d.unknown("dynset", append([]byte(key.text+" "), d.data...)), key.first)
			return
		}
		d.say(fmt.Sprintf("%s @%s { %s }", op, Cut(a[unix.NFTA_DYNSET_SET_NAME]), key.text), key.first)
	case "nat":
		d.nat(a)
	case "masq":
		d.natTo("masquerade", d.v6, nil, nil, a[unix.NFTA_MASQ_REG_PROTO_MIN], a[unix.NFTA_MASQ_REG_PROTO_MAX], a[unix.NFTA_MASQ_FLAGS])
	case "redir":
		d.natTo("redirect", d.v6, nil, nil, a[unix.NFTA_REDIR_REG_PROTO_MIN], a[unix.NFTA_REDIR_REG_PROTO_MAX], a[unix.NFTA_REDIR_FLAGS])
	case "byteorder":
		d.byteorder(a)
	case "reject":
		first := d.index
		if Uint32(a[unix.NFTA_REJECT_TYPE]) == unix.NFT_REJECT_TCP_RST {
			first = d.takeBack(impliedProtocol)
		}
		d.say(d.reject(a), first)
	case "tproxy":
		d.tproxy(a)
	case "numgen":
		d.numgen(a)
	case "osf", "xfrm":
		d.load(a[1], &loaded{text: d.unknown(name, d.data), n: 4})
	case "hash":
		d.take(a[1])
		d.load(a[2], &loaded{text: d.unknown(name, d.data), n: 4})
	case "socket", "tunnel":
		d.load(a[2], &loaded{text: d.unknown(name, d.data), n: 4})
	default:
		d.say(d.simpleStatement(name, a), d.index)
	}
}

// simpleStatement is an expression that is a statement by itself.
func (d *describer) simpleStatement(name string, a *Attrs) string {
	switch name {
	case "counter", "notrack":
		return name
	case "match", "target":
		if !d.exact {
			return "xt " + name + " " + string(Cut(a[1]))
		}
	case "limit":
		return limit(a)
	case "quota":
		return quota(a)
	case "log":
		return logText(a)
	}
	return d.unknown(name, still(name, d.data))
}

func (d *describer) payload(a *Attrs) {
	base, offset, n := Uint32(a[unix.NFTA_PAYLOAD_BASE]), Uint32(a[unix.NFTA_PAYLOAD_OFFSET]), Uint32(a[unix.NFTA_PAYLOAD_LEN])
	text, as := d.field(base, offset, n)
	if reg := a[unix.NFTA_PAYLOAD_SREG]; reg != nil {
		d.payloadSet(a, reg, text, as)
		return
	}
	l := &loaded{text: text, as: as, n: int(n), base: base, offset: offset, payload: true}
	first := d.index
	switch {
	case strings.HasPrefix(text, "@"):
	case base == TransportHeader:
		first = d.takeBack(impliedProtocol)
		if d.exact && d.inet && (as == valueICMP || as == valueICMPCode || as == valueICMPv6 || as == valueICMPv6Code) {
			first = min(first, d.takeBack(impliedFamily))
		}
	case d.exact && base == NetworkHeader:
		first = d.takeBack(impliedFamily)
	case d.exact:
		first = d.takeBack(impliedEther)
	}
	d.load(a[unix.NFTA_PAYLOAD_DREG], l)
	l.first = first
}

// field names what stands at a place of a packet. An exact text uses a name only
// where the rule has made sure of the header that it is of.
func (d *describer) field(base, offset, n uint32) (string, valueType) {
	text, as := payloadField(d.v6, d.proto, base, offset, n)
	if !d.exact {
		return text, as
	}
	sure := true
	switch {
	case base == 0:
		sure = d.ether
	case base == NetworkHeader:
		sure = d.net || !d.inet
	case d.proto == unix.IPPROTO_ICMP:
		sure = !d.v6 && (d.net || !d.inet)
	case d.proto == unix.IPPROTO_ICMPV6:
		sure = d.v6
	}
	if !sure {
		return fmt.Sprintf("@%s,%d,%d", PayloadBase(base), offset*8, n*8), valueBytes
	}
	return text, as
}

// takeBack takes back what was just said, if a field says as much: nft says `tcp
// dport 80` alone. It returns the expression at which that began.
func (d *describer) takeBack(what implied) int {
	n := len(d.out) - 1
	if what == impliedFamily && n > 0 && (d.implies[n] == impliedEther || d.implies[n] == impliedProtocol) && d.is(what, n-1) {
		// Of a concatenation: the look at the link's kind, or at the protocol, is taken back
		// by a later part.
		first := d.out[n-1].First
		d.out, d.implies = slices.Delete(d.out, n-1, n), slices.Delete(d.implies, n-1, n)
		return first
	}
	if n < 0 || !d.is(what, n) {
		return d.index
	}
	first := d.out[n].First
	d.out, d.implies = d.out[:n], d.implies[:n]
	return first
}

// is tells that statement n is what nft writes by itself. Behind a field of the
// Ethernet header it finds out the family there, and not by the packet's own.
func (d *describer) is(what implied, n int) bool {
	ether := func(s Statement) bool { return strings.HasPrefix(s.Text, "ether ") }
	return d.implies[n] == what && (!d.exact || what != impliedFamily || ether(d.out[n]) == slices.ContainsFunc(d.out[:n], ether))
}

func (d *describer) meta(a *Attrs) {
	key := Uint32(a[unix.NFTA_META_KEY])
	text, as := MetaKey(key), valueHost
	if int(key) < len(metaTypes) {
		as = metaTypes[key]
	}
	switch key {
	case unix.NFT_META_IIF, unix.NFT_META_OIF, unix.NFT_META_IIFNAME, unix.NFT_META_OIFNAME, unix.NFT_META_IIFGROUP, unix.NFT_META_OIFGROUP:
	default:
		text = "meta " + text
	}
	if reg := a[unix.NFTA_META_SREG]; reg != nil {
		from := d.take(reg)
		d.say(text+" set "+from.value(as), from.first)
		return
	}
	d.load(a[unix.NFTA_META_DREG], &loaded{text: text, as: as, n: metaSize(key, as)})
}

func (d *describer) ct(a *Attrs) {
	key := Uint32(a[unix.NFTA_CT_KEY])
	text, as := "ct ", valueHost
	if dir := a[unix.NFTA_CT_DIRECTION]; len(dir) == 1 {
		text += [...]string{"original ", "reply "}[dir[0]&1]
	}
	text += CTKey(key)
	if int(key) < len(ctTypes) {
		as = ctTypes[key]
	}
	if reg := a[unix.NFTA_CT_SREG]; reg != nil {
		from := d.take(reg)
		d.say(text+" set "+from.value(as), from.first)
		return
	}
	d.load(a[unix.NFTA_CT_DREG], &loaded{text: text, as: as, n: ctSize(key, as)})
}

// byteorder swaps the bytes of a number.
func (d *describer) byteorder(a *Attrs) {
	out := *d.take(a[byteorderSreg])
	out.used = false
	if out.n == 1 && Uint32(a[byteorderLen]) == 1 {
		// nft does this to a protocol in a concatenation with ranges; there are no two bytes
		// to swap.
		first := out.first
		d.load(a[byteorderDreg], &out)
		out.first = first
		return
	}
	switch out.as {
	case valueHost:
		out.as = valueNetwork
	case valueNetwork:
		out.as = valueHost
	default:
	}
	if d.exact && (Uint32(a[byteorderLen]) != uint32(out.n) || Uint32(a[byteorderWidth]) != uint32(out.n)) {
		out.text = d.unknown("byteorder", append([]byte(out.text), d.data...))
	}
	first := out.first
	d.load(a[byteorderDreg], &out)
	out.first = first
}

// Attributes of byteorder, by linux/netfilter/nf_tables.h.
const (
	byteorderSreg  = 1
	byteorderDreg  = 2
	byteorderLen   = 4
	byteorderWidth = 5
)

// bitwise keeps the mask for the comparison that follows, and writes it out where
// what is masked is put somewhere.
func (d *describer) bitwise(a *Attrs) {
	l := d.take(a[unix.NFTA_BITWISE_SREG])
	mask, xor := Value(a[unix.NFTA_BITWISE_MASK]), Value(a[unix.NFTA_BITWISE_XOR])
	out := *l
	out.used = false
	if Uint32(a[BitwiseOp]) != 0 || l.masked || len(mask) == 0 {
		out.text = d.arithmetic(l)
	} else {
		out.mask, out.masked = mask, true
		if l.as == valueMark && len(mask) == 4 && len(xor) == 4 {
			out.text, out.masked = markArithmetic(l.text, hostWord(mask), hostWord(xor)), false
		} else if !isZero(xor) {
			out.set = xor
			out.text, out.masked = d.arithmetic(l), false
		}
	}
	first := l.first
	d.load(a[unix.NFTA_BITWISE_DREG], &out)
	out.first = first
}

// arithmetic is what stands for a computation that has no words.
func (d *describer) arithmetic(l *loaded) string {
	if !d.exact {
		return nfttext.Unknown(l.text + " arithmetic")
	}
	return d.unknown("bitwise", fmt.Appendf(nil, "%s %x %x", l.text, l.mask, d.data))
}

// markArithmetic is (x & mask) ^ xor as nft writes it: bits that are cleared and
// then set are an or.
func markArithmetic(text string, mask, xor uint32) string {
	clear, set, flip := ^mask&^xor, ^mask&xor, mask&xor
	if clear != 0 || set == 0 && flip == 0 {
		text += " & " + nfttext.Mark(^clear)
	}
	if flip != 0 {
		text += " ^ " + nfttext.Mark(flip)
	}
	if set != 0 {
		text += " | " + nfttext.Mark(set)
	}
	return text
}

func (d *describer) rangeOf(a *Attrs) {
	l := d.take(a[unix.NFTA_RANGE_SREG])
	word := ""
	if Uint32(a[unix.NFTA_RANGE_OP]) == unix.NFT_RANGE_NEQ {
		word = "!= "
	}
	from, to := rangeEnd(Value(a[unix.NFTA_RANGE_FROM_DATA]), l.as), rangeEnd(Value(a[unix.NFTA_RANGE_TO_DATA]), l.as)
	d.say(l.text+" "+word+from+"-"+to, l.first)
}

func (d *describer) lookup(a *Attrs) {
	l := d.take(a[unix.NFTA_LOOKUP_SREG])
	set := "@" + string(Cut(a[unix.NFTA_LOOKUP_SET]))
	if d.exact {
		set = d.setText(l, string(Cut(a[unix.NFTA_LOOKUP_SET])))
	}
	switch dreg := a[unix.NFTA_LOOKUP_DREG]; {
	case dreg != nil && Uint32(dreg) == VerdictRegister:
		d.say(l.text+" vmap "+set, l.first)
	case dreg != nil:
		first := l.first
		m := &loaded{text: l.text + " map " + set}
		d.load(dreg, m)
		m.first = first
	case Uint32(a[unix.NFTA_LOOKUP_FLAGS])&unix.NFT_LOOKUP_F_INV != 0:
		d.say(l.text+" != "+set, l.first)
	default:
		d.say(l.text+" "+set, l.first)
	}
}

func (d *describer) immediate(a *Attrs) {
	if Uint32(a[unix.NFTA_IMMEDIATE_DREG]) != VerdictRegister {
		data := Value(a[unix.NFTA_IMMEDIATE_DATA])
		d.load(a[unix.NFTA_IMMEDIATE_DREG], &loaded{data: data, n: len(data)})
		return
	}
	code, chain := verdictText(a[unix.NFTA_IMMEDIATE_DATA])
	if d.exact && (code == nfttext.Unknown("verdict") || chain != "" && !ir.NFTName(chain)) {
		code, chain = d.unknown("verdict", d.data), ""
	}
	d.say(strings.TrimSpace(code+" "+chain), d.index)
}
