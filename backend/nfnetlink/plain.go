package nfnetlink

import (
	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
)

// written are the attributes of each expression, as bits, that the text of it says:
// of an expression that has others it would say too little.
var written = map[string]uint16{
	"payload":   bitsOf(unix.NFTA_PAYLOAD_DREG, unix.NFTA_PAYLOAD_BASE, unix.NFTA_PAYLOAD_OFFSET, unix.NFTA_PAYLOAD_LEN),
	"meta":      bitsOf(unix.NFTA_META_DREG, unix.NFTA_META_KEY, unix.NFTA_META_SREG),
	"ct":        bitsOf(unix.NFTA_CT_DREG, unix.NFTA_CT_KEY, unix.NFTA_CT_DIRECTION, unix.NFTA_CT_SREG),
	"bitwise":   bitsOf(unix.NFTA_BITWISE_SREG, unix.NFTA_BITWISE_DREG, unix.NFTA_BITWISE_LEN, unix.NFTA_BITWISE_MASK, unix.NFTA_BITWISE_XOR, BitwiseOp),
	"cmp":       bitsOf(unix.NFTA_CMP_SREG, unix.NFTA_CMP_OP, unix.NFTA_CMP_DATA),
	"range":     bitsOf(unix.NFTA_RANGE_SREG, unix.NFTA_RANGE_OP, unix.NFTA_RANGE_FROM_DATA, unix.NFTA_RANGE_TO_DATA),
	"lookup":    bitsOf(unix.NFTA_LOOKUP_SET, unix.NFTA_LOOKUP_SREG, unix.NFTA_LOOKUP_DREG, unix.NFTA_LOOKUP_FLAGS),
	"immediate": bitsOf(unix.NFTA_IMMEDIATE_DREG, unix.NFTA_IMMEDIATE_DATA),
	"fib":       bitsOf(unix.NFTA_FIB_DREG, unix.NFTA_FIB_RESULT, unix.NFTA_FIB_FLAGS),
	"rt":        bitsOf(unix.NFTA_RT_DREG, unix.NFTA_RT_KEY),
	"byteorder": bitsOf(byteorderSreg, byteorderDreg, byteorderOp, byteorderLen, byteorderWidth),
	"nat": bitsOf(unix.NFTA_NAT_TYPE, unix.NFTA_NAT_FAMILY, unix.NFTA_NAT_REG_ADDR_MIN, unix.NFTA_NAT_REG_ADDR_MAX,
		unix.NFTA_NAT_REG_PROTO_MIN, unix.NFTA_NAT_REG_PROTO_MAX, unix.NFTA_NAT_FLAGS),
	"masq":    bitsOf(unix.NFTA_MASQ_FLAGS, unix.NFTA_MASQ_REG_PROTO_MIN, unix.NFTA_MASQ_REG_PROTO_MAX),
	"redir":   bitsOf(unix.NFTA_REDIR_REG_PROTO_MIN, unix.NFTA_REDIR_REG_PROTO_MAX, unix.NFTA_REDIR_FLAGS),
	"reject":  bitsOf(unix.NFTA_REJECT_TYPE, unix.NFTA_REJECT_ICMP_CODE),
	"tproxy":  bitsOf(tproxyFamily, tproxyAddr, tproxyPort),
	"numgen":  bitsOf(numgenDreg, numgenModulus, numgenType, numgenOffset),
	"counter": bitsOf(unix.NFTA_COUNTER_BYTES, unix.NFTA_COUNTER_PACKETS, unix.NFTA_COUNTER_PAD),
	"limit":   bitsOf(unix.NFTA_LIMIT_RATE, unix.NFTA_LIMIT_UNIT, unix.NFTA_LIMIT_BURST, unix.NFTA_LIMIT_TYPE, unix.NFTA_LIMIT_FLAGS, limitPad),
	"quota":   bitsOf(unix.NFTA_QUOTA_BYTES, unix.NFTA_QUOTA_FLAGS, quotaConsumed, quotaPad),
	"log":     bitsOf(unix.NFTA_LOG_GROUP, unix.NFTA_LOG_PREFIX, unix.NFTA_LOG_SNAPLEN, unix.NFTA_LOG_QTHRESHOLD, unix.NFTA_LOG_LEVEL, unix.NFTA_LOG_FLAGS),
	"notrack": 0,
}

const (
	byteorderOp = 3
	limitPad    = 6
	quotaPad    = 3
)

func bitsOf(attrs ...int) uint16 {
	var out uint16
	for _, a := range attrs {
		out |= 1 << a
	}
	return out
}

// targets are the registers into which expressions load, by attribute.
var targets = map[string]int{
	"payload": unix.NFTA_PAYLOAD_DREG, "meta": unix.NFTA_META_DREG, "ct": unix.NFTA_CT_DREG, "bitwise": unix.NFTA_BITWISE_DREG,
	"byteorder": byteorderDreg, "fib": unix.NFTA_FIB_DREG, "rt": unix.NFTA_RT_DREG, "lookup": unix.NFTA_LOOKUP_DREG,
	"immediate": unix.NFTA_IMMEDIATE_DREG, "numgen": numgenDreg,
}

// plain tells that the words which there are for an expression say all of it. What
// it does not list (exthdr, dynset, hash ...) looks after itself, or has no words.
func (d *describer) plain(name string, a *Attrs) bool {
	mask, listed := written[name]
	if !listed || name == "payload" && a[unix.NFTA_PAYLOAD_SREG] != nil {
		return true
	}
	for i, data := range a {
		if data != nil && mask&(1<<i) == 0 {
			return false
		}
	}
	switch name {
	case "fib":
		return Uint32(a[unix.NFTA_FIB_FLAGS])&^0x1f == 0 && Uint32(a[unix.NFTA_FIB_RESULT])-1 < 3
	case "rt":
		return Uint32(a[unix.NFTA_RT_KEY]) <= unix.NFT_RT_TCPMSS
	case "nat":
		return Uint32(a[unix.NFTA_NAT_FLAGS])&^natFlags == 0
	case "masq":
		return Uint32(a[unix.NFTA_MASQ_FLAGS])&^natFlags == 0
	case "redir":
		return Uint32(a[unix.NFTA_REDIR_FLAGS])&^natFlags == 0
	case "log":
		level := a[unix.NFTA_LOG_LEVEL]
		return isText(string(Cut(a[unix.NFTA_LOG_PREFIX]))) && (level == nil || int(Uint32(level)) < len(logLevels))
	case "limit":
		return limit(a) != nfttext.Unknown("limit") && Uint32(a[unix.NFTA_LIMIT_FLAGS])&^unix.NFT_LIMIT_F_INV == 0
	case "quota":
		return Uint32(a[unix.NFTA_QUOTA_FLAGS])&^(unix.NFT_QUOTA_F_INV|quotaDepleted) == 0
	case "numgen":
		return Uint32(a[numgenType]) <= 1
	}
	return true
}

// natFlags are those that a text says, and the two that the kernel adds by itself
// where there is an address and where there is a port.
const natFlags = 1 | 2 | 4 | 8 | 16

// quotaDepleted is a flag that a quota has once it is used up.
const quotaDepleted = 2

// strange is an expression that says more than its words would. Whatever it uses is
// left over, and said as such at the end.
func (d *describer) strange(name string, a *Attrs) {
	text := d.unknown(name, still(name, d.data))
	if at, ok := targets[name]; ok && a[at] != nil && (name != "immediate" || Uint32(a[at]) != VerdictRegister) {
		d.load(a[at], &loaded{text: text, n: 4})
		return
	}
	d.say(text, d.index)
}

// quoted is a name with something behind it, in quotes.
func (d *describer) quoted(name, tail string) string {
	if d.exact && !isText(name) {
		return d.unknown("name", []byte(name))
	}
	return nfttext.Quote(name + tail)
}
