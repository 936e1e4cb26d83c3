package nfnetlink

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
	"hookline/compiler/xtables"
)

// payloadField names what stands at a place of a packet. proto is the transport
// protocol that the rule asks for, 0 if none.
func payloadField(v6 bool, proto uint8, base, offset, n uint32) (string, valueType) {
	raw := fmt.Sprintf("@%s,%d,%d", PayloadBase(base), offset*8, n*8)
	switch {
	case base == NetworkHeader && !v6:
		switch {
		case offset == 12 && n <= 4:
			return "ip saddr", valueAddress4
		case offset == 16 && n <= 4:
			return "ip daddr", valueAddress4
		}
		if f, ok := ipFields[[2]uint32{offset, n}]; ok {
			return "ip " + f.name, f.as
		}
	case base == NetworkHeader:
		switch {
		case offset == 8 && n <= 16:
			return "ip6 saddr", valueAddress6
		case offset == 24 && n <= 16:
			return "ip6 daddr", valueAddress6
		}
		if f, ok := ip6Fields[[2]uint32{offset, n}]; ok {
			return "ip6 " + f.name, f.as
		}
	case base == TransportHeader:
		return transportField(proto, offset, n, raw)
	case base == 0 && n == 6 && (offset == 0 || offset == 6):
		return map[uint32]string{0: "ether daddr", 6: "ether saddr"}[offset], valueEther
	case base == 0 && n == 2 && offset == 12:
		return "ether type", valueEtherType
	}
	return raw, valueBytes
}

type fieldName struct {
	name string
	as   valueType
}

// Fields by offset and length in bytes.
var (
	ipFields = map[[2]uint32]fieldName{
		{2, 2}: {"length", valueNetwork}, {4, 2}: {"id", valueNetwork}, {6, 2}: {"frag-off", valueNetwork},
		{8, 1}: {"ttl", valueNetwork}, {9, 1}: {"protocol", valueProtocol},
	}
	ip6Fields = map[[2]uint32]fieldName{
		{4, 2}: {"length", valueNetwork}, {6, 1}: {"nexthdr", valueProtocol}, {7, 1}: {"hoplimit", valueNetwork},
	}
	tcpFields = map[[2]uint32]fieldName{
		{4, 4}: {"sequence", valueNetwork}, {8, 4}: {"ackseq", valueNetwork}, {13, 1}: {"flags", valueTCPFlags},
		{14, 2}: {"window", valueNetwork}, {16, 2}: {"checksum", valueNetwork}, {18, 2}: {"urgptr", valueNetwork},
	}
	udpFields    = map[[2]uint32]fieldName{{4, 2}: {"length", valueNetwork}, {6, 2}: {"checksum", valueNetwork}}
	icmpFields   = map[[2]uint32]fieldName{{0, 1}: {"type", valueICMP}, {1, 1}: {"code", valueICMPCode}, {2, 2}: {"checksum", valueNetwork}}
	icmpv6Fields = map[[2]uint32]fieldName{{0, 1}: {"type", valueICMPv6}, {1, 1}: {"code", valueICMPv6Code}, {2, 2}: {"checksum", valueNetwork}}
)

func transportField(proto uint8, offset, n uint32, raw string) (string, valueType) {
	name, known := xtables.ProtocolName(proto), proto != 0
	at := [2]uint32{offset, n}
	more := map[uint8]map[[2]uint32]fieldName{unix.IPPROTO_TCP: tcpFields, unix.IPPROTO_UDP: udpFields, unix.IPPROTO_ICMP: icmpFields, unix.IPPROTO_ICMPV6: icmpv6Fields}[proto]
	f, isField := more[at]
	switch {
	case isField && proto == unix.IPPROTO_ICMPV6:
		return "icmpv6 " + f.name, f.as
	case isField:
		return name + " " + f.name, f.as
	case proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6 || n != 2 || offset != 0 && offset != 2:
		return raw, valueBytes
	case !known:
		name = "th"
	}
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE:
	default:
		name = "th"
	}
	return name + map[uint32]string{0: " sport", 2: " dport"}[offset], valueNetwork
}

// fib is a look-up in the routing table.
func fib(a *Attrs) *loaded {
	var flags []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{unix.NFTA_FIB_F_SADDR, "saddr"},
		{unix.NFTA_FIB_F_DADDR, "daddr"},
		{unix.NFTA_FIB_F_MARK, "mark"},
		{unix.NFTA_FIB_F_IIF, "iif"},
		{unix.NFTA_FIB_F_OIF, "oif"},
	} {
		if Uint32(a[unix.NFTA_FIB_FLAGS])&f.bit != 0 {
			flags = append(flags, f.name)
		}
	}
	l := &loaded{text: "fib " + strings.Join(flags, " . "), n: 4}
	switch Uint32(a[unix.NFTA_FIB_RESULT]) {
	case unix.NFT_FIB_RESULT_OIF:
		l.text, l.as = l.text+" oif", valueHost
	case unix.NFT_FIB_RESULT_OIFNAME:
		l.text, l.as, l.n = l.text+" oifname", valueInterface, unix.IFNAMSIZ
	case unix.NFT_FIB_RESULT_ADDRTYPE:
		l.text, l.as = l.text+" type", valueAddrType
	}
	return l
}

func rt(a *Attrs) *loaded {
	switch Uint32(a[unix.NFTA_RT_KEY]) {
	case unix.NFT_RT_CLASSID:
		return &loaded{text: "rt classid", as: valueHost, n: 4}
	case unix.NFT_RT_NEXTHOP4:
		return &loaded{text: "rt ip nexthop", as: valueAddress4, n: 4}
	case unix.NFT_RT_NEXTHOP6:
		return &loaded{text: "rt ip6 nexthop", as: valueAddress6, n: 16}
	case unix.NFT_RT_TCPMSS:
		return &loaded{text: "rt mtu", as: valueHost, n: 2}
	}
	return &loaded{text: nfttext.Unknown("rt"), n: 4}
}

// tcpOptions are the options of TCP by their numbers.
var tcpOptions = map[byte]string{
	0: "eol", 1: "nop", 2: "maxseg", 3: "window", 4: "sack-perm", 5: "sack", 8: "timestamp", 19: "md5sig", 30: "mptcp", 34: "fastopen",
}

const tcpMaxSegment = 2

func (d *describer) exthdr(a *Attrs) {
	kind, flags, as := a[unix.NFTA_EXTHDR_TYPE], Uint32(a[unix.NFTA_EXTHDR_FLAGS]), valueNetwork
	offset, n := Uint32(a[unix.NFTA_EXTHDR_OFFSET]), Uint32(a[unix.NFTA_EXTHDR_LEN])
	text := d.unknown("exthdr", d.data)
	if Uint32(a[unix.NFTA_EXTHDR_OP]) == unix.NFT_EXTHDR_OP_TCPOPT && len(kind) == 1 {
		switch {
		case flags == unix.NFT_EXTHDR_F_PRESENT && offset == 0 && n == 1 && a[unix.NFTA_EXTHDR_SREG] == nil:
			text, as = "tcp option "+nameOr(tcpOptions, kind[0]), valueExists
		case kind[0] == tcpMaxSegment && flags == 0 && offset == 2 && n == 2:
			text = "tcp option maxseg size"
		}
	}
	first := d.index
	if d.proto == unix.IPPROTO_TCP && strings.HasPrefix(text, "tcp") {
		first = d.takeBack(impliedProtocol)
	}
	if reg := a[unix.NFTA_EXTHDR_SREG]; reg != nil {
		from := d.take(reg)
		d.say(text+" set "+from.value(valueNetwork), min(first, from.first))
		return
	}
	l := &loaded{text: text, as: as, n: int(n)}
	d.load(a[unix.NFTA_EXTHDR_DREG], l)
	l.first = first
}

func (d *describer) nat(a *Attrs) {
	kind := "snat"
	if Uint32(a[unix.NFTA_NAT_TYPE]) == unix.NFT_NAT_DNAT {
		kind = "dnat"
	}
	v6 := d.v6
	if d.exact {
		// A table of both families says which one the address is of.
		family := Uint32(a[unix.NFTA_NAT_FAMILY])
		v6 = family == unix.NFPROTO_IPV6
		if d.inet && family != unix.NFPROTO_INET {
			kind += map[bool]string{false: " ip", true: " ip6"}[v6]
		}
	}
	d.natTo(kind, v6, a[unix.NFTA_NAT_REG_ADDR_MIN], a[unix.NFTA_NAT_REG_ADDR_MAX], a[unix.NFTA_NAT_REG_PROTO_MIN], a[unix.NFTA_NAT_REG_PROTO_MAX], a[unix.NFTA_NAT_FLAGS])
}

// natTo is a statement that translates, with the registers of its addresses and
// ports, nil if there are none.
func (d *describer) natTo(s string, v6 bool, addrMin, addrMax, portMin, portMax, flags []byte) {
	first := d.index
	address := valueAddress4
	if v6 {
		address = valueAddress6
	}
	take := func(low, high []byte, as valueType) string {
		l := d.take(low)
		first = min(first, l.first)
		text := l.value(as)
		if high != nil && Uint32(high) != Uint32(low) {
			text += "-" + d.take(high).value(as)
		}
		return text
	}
	if addrMin != nil {
		addr := take(addrMin, addrMax, address)
		if v6 && portMin != nil {
			addr = "[" + strings.ReplaceAll(addr, "-", "]-[") + "]"
		}
		s += " to " + addr
	}
	if portMin != nil {
		if addrMin == nil {
			s += " to "
		}
		s += ":" + take(portMin, portMax, valueNetwork)
	}
	var names []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{{4, "random"}, {16, "fully-random"}, {8, "persistent"}} {
		if Uint32(flags)&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	d.say(strings.TrimSpace(s+" "+strings.Join(names, ",")), first)
}

// verdictText is what an immediate verdict says, and the chain that it names.
func verdictText(data []byte) (code, chain string) {
	code = nfttext.Unknown("verdict")
	_ = EachAttr(data, func(typ uint16, data []byte) error {
		if typ != unix.NFTA_DATA_VERDICT {
			return nil
		}
		return EachAttr(data, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_VERDICT_CHAIN:
				chain = string(Cut(data))
			case unix.NFTA_VERDICT_CODE:
				if name, ok := verdicts[Uint32(data)]; ok {
					code = name
				}
			}
			return nil
		})
	})
	return code, chain
}

var verdicts = map[uint32]string{
	VerdictAccept: "accept", VerdictDrop: "drop", VerdictJump: "jump", VerdictGoto: "goto", VerdictReturn: "return", 0xffffffff: "continue",
}

func limit(a *Attrs) string {
	rate, burst := Uint64(a[unix.NFTA_LIMIT_RATE]), uint64(Uint32(a[unix.NFTA_LIMIT_BURST]))
	unit := map[uint64]string{1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}[Uint64(a[unix.NFTA_LIMIT_UNIT])]
	if unit == "" {
		return nfttext.Unknown("limit")
	}
	over, usual, burstUnit := Uint32(a[unix.NFTA_LIMIT_FLAGS])&unix.NFT_LIMIT_F_INV != 0, uint64(5), "packets"
	if Uint32(a[unix.NFTA_LIMIT_TYPE]) == unix.NFT_LIMIT_PKT_BYTES {
		size := byteUnit(rate)
		rate, unit, usual, burstUnit = rate/size.n, size.name+"/"+unit, 0, "bytes"
	}
	return nfttext.Limit(over, rate, unit, burst, burstUnit, burst == usual)
}

type byteSize struct {
	n    uint64
	name string
}

// byteUnit is the biggest unit that a number of bytes is a multiple of.
func byteUnit(n uint64) byteSize {
	switch {
	case n != 0 && n%(1<<20) == 0:
		return byteSize{1 << 20, "mbytes"}
	case n != 0 && n%(1<<10) == 0:
		return byteSize{1 << 10, "kbytes"}
	}
	return byteSize{1, "bytes"}
}

func quota(a *Attrs) string {
	n := Uint64(a[unix.NFTA_QUOTA_BYTES])
	size, over := byteUnit(n), ""
	if Uint32(a[unix.NFTA_QUOTA_FLAGS])&unix.NFT_QUOTA_F_INV != 0 {
		over = "over "
	}
	return fmt.Sprintf("quota %s%d %s", over, n/size.n, size.name)
}

var logLevels = [...]string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}

// logDefault is the level that nft leaves out, and logAll every flag that there is.
const (
	logDefault = 4
	logAll     = 0x2f
)

func logText(a *Attrs) string {
	s := "log"
	if p := Cut(a[unix.NFTA_LOG_PREFIX]); len(p) > 0 {
		s += " prefix " + nfttext.Quote(string(p))
	}
	if g := a[unix.NFTA_LOG_GROUP]; len(g) == 2 {
		s += " group " + valueText(g, valueNetwork)
	}
	if n := a[unix.NFTA_LOG_SNAPLEN]; n != nil {
		s += " snaplen " + strconv.Itoa(int(Uint32(n)))
	}
	if n := a[unix.NFTA_LOG_QTHRESHOLD]; len(n) == 2 {
		s += " queue-threshold " + valueText(n, valueNetwork)
	}
	if l := a[unix.NFTA_LOG_LEVEL]; l != nil && Uint32(l) != logDefault && int(Uint32(l)) < len(logLevels) {
		s += " level " + logLevels[Uint32(l)]
	}
	return s + logFlags(Uint32(a[unix.NFTA_LOG_FLAGS]))
}

func logFlags(flags uint32) string {
	switch {
	case flags == logAll:
		return " flags all"
	case flags&^logAll != 0:
		return fmt.Sprintf(" flags 0x%x", flags)
	}
	s := [...]string{"", " flags tcp sequence", " flags tcp options", " flags tcp sequence,options"}[flags&3]
	for _, f := range []struct {
		bit  uint32
		name string
	}{{4, "ip options"}, {8, "skuid"}, {0x20, "ether"}} {
		if flags&f.bit != 0 {
			s += " flags " + f.name
		}
	}
	return s
}

var (
	icmpCodes = [...]string{
		"net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", 9: "net-prohibited", 10: "host-prohibited", 13: "admin-prohibited",
	}
	icmpv6Codes = [...]string{"no-route", "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable", 5: "policy-fail", 6: "reject-route"}
)

// rejectX are the codes of an answer that is said in words for both families.
var rejectX = [...]string{"no-route", "port-unreachable", "host-unreachable", "admin-prohibited"}

func (d *describer) reject(a *Attrs) string {
	kind := Uint32(a[unix.NFTA_REJECT_TYPE])
	text := reject(a, d.v6)
	if d.exact && (kind == unix.NFT_REJECT_ICMP_UNREACH && d.inet && !d.net || text == nfttext.Unknown("reject")) {
		return d.unknown("reject", d.data)
	}
	return text
}

func reject(a *Attrs, v6 bool) string {
	if x := a[unix.NFTA_REJECT_ICMP_CODE]; Uint32(a[unix.NFTA_REJECT_TYPE]) == unix.NFT_REJECT_ICMPX_UNREACH && len(x) == 1 && int(x[0]) < len(rejectX) {
		return "reject with icmpx " + rejectX[x[0]]
	}
	if Uint32(a[unix.NFTA_REJECT_TYPE]) == unix.NFT_REJECT_TCP_RST {
		return "reject with tcp reset"
	}
	code, kind, names := a[unix.NFTA_REJECT_ICMP_CODE], "icmp", icmpCodes[:]
	if v6 {
		kind, names = "icmpv6", icmpv6Codes[:]
	}
	switch {
	case Uint32(a[unix.NFTA_REJECT_TYPE]) != unix.NFT_REJECT_ICMP_UNREACH || len(code) != 1:
		return nfttext.Unknown("reject")
	case int(code[0]) >= len(names) || names[code[0]] == "":
		return fmt.Sprintf("reject with %s %d", kind, code[0])
	case names[code[0]] == "port-unreachable":
		return "reject"
	}
	return "reject with " + kind + " " + names[code[0]]
}

// tproxy sends a packet to a local socket.
func (d *describer) tproxy(a *Attrs) {
	s, first := "tproxy", d.index
	v6 := d.v6
	if family := Uint32(a[tproxyFamily]); family == unix.NFPROTO_IPV4 || family == unix.NFPROTO_IPV6 {
		v6 = family == unix.NFPROTO_IPV6
		if d.inet {
			s += map[bool]string{false: " ip", true: " ip6"}[v6]
		}
	}
	s += " to "
	if reg := a[tproxyAddr]; reg != nil {
		from, as := d.take(reg), valueAddress4
		if v6 {
			as = valueAddress6
		}
		addr := from.value(as)
		if v6 && a[tproxyPort] != nil {
			addr = "[" + addr + "]"
		}
		s, first = s+addr, min(first, from.first)
	}
	if reg := a[tproxyPort]; reg != nil {
		from := d.take(reg)
		s, first = s+":"+from.value(valueNetwork), min(first, from.first)
	}
	d.say(s, first)
}

// Attributes of tproxy by linux/netfilter/nf_tables.h.
const (
	tproxyFamily = 1
	tproxyAddr   = 2
	tproxyPort   = 3
)

// numgen is a number that counts up, or a random one.
func (d *describer) numgen(a *Attrs) {
	kind, ok := map[uint32]string{0: "inc", 1: "random"}[Uint32(a[numgenType])]
	l := &loaded{text: d.unknown("numgen", d.data), as: valueHost, n: 4}
	if ok {
		l.text = fmt.Sprintf("numgen %s mod %d", kind, Uint32(a[numgenModulus]))
		if offset := Uint32(a[numgenOffset]); offset != 0 {
			l.text += fmt.Sprintf(" offset %d", offset)
		}
	}
	d.load(a[numgenDreg], l)
}

// Attributes of numgen by linux/netfilter/nf_tables.h.
const (
	numgenDreg    = 1
	numgenModulus = 2
	numgenType    = 3
	numgenOffset  = 4
)
