package nfnetlink

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
	"hookline/compiler/xtables"
)

// valueType is how the bytes of a value are written.
type valueType uint8

const (
	valueBytes     valueType = iota // hexadecimal digits
	valueNetwork                    // a number, most significant byte first
	valueHost                       // a number in the host's order
	valueMark                       // a number in the host's order, in hexadecimal digits
	valueInterface                  // a name
	valueString
	valueAddress4
	valueAddress6
	valueProtocol
	valueEther
	valueTCPFlags
	valueCTState
	valueCTStatus
	valueDirection
	valuePacketType
	valueICMP
	valueICMPv6
	valueAddrType
	valueFamily
	valueLinkType
	valueICMPCode
	valueICMPv6Code
	valueExists
	valueDSCP
	valueEtherType
)

// size is how many bytes a load of the type has where the expression does not say.
func (v valueType) size() int {
	switch v {
	case valueInterface:
		return unix.IFNAMSIZ
	case valueProtocol, valueDirection, valuePacketType, valueFamily:
		return 1
	case valueLinkType:
		return 2
	case valueAddress6:
		return 16
	default:
		return 4
	}
}

// metaSize is how many bytes a key of meta has.
func metaSize(key uint32, as valueType) int {
	if key == unix.NFT_META_PROTOCOL {
		return 2
	}
	return as.size()
}

// ctSize is how many bytes a key of ct has.
func ctSize(key uint32, as valueType) int {
	switch key {
	case unix.NFT_CT_PROTO_SRC, unix.NFT_CT_PROTO_DST, unix.NFT_CT_ZONE:
		return 2
	case unix.NFT_CT_PKTS, unix.NFT_CT_BYTES, unix.NFT_CT_AVGPKT:
		return 8
	case unix.NFT_CT_HELPER, unix.NFT_CT_LABELS:
		return 16
	case unix.NFT_CT_L3PROTOCOL:
		return 1
	}
	return as.size()
}

// valueText writes a value as nft does.
func valueText(b []byte, as valueType) string {
	if len(b) == 0 {
		return nfttext.Unknown("value")
	}
	switch as {
	case valueNetwork:
		return strconv.FormatUint(number(b, binary.BigEndian), 10)
	case valueHost:
		return strconv.FormatUint(number(b, binary.NativeEndian), 10)
	case valueMark:
		return nfttext.Mark(hostWord(b))
	case valueInterface, valueString:
		return nameText(b)
	case valueAddress4, valueAddress6:
		return addressText(b, as)
	case valueProtocol:
		return xtables.ProtocolName(b[0])
	case valueEther:
		return net.HardwareAddr(b).String()
	case valueTCPFlags:
		return tcpFlags(b[0])
	case valueCTState:
		return strings.TrimPrefix(nfttext.CTState(hostWord(b)), "ct state ")
	case valueDirection:
		return [...]string{"original", "reply"}[b[0]&1]
	case valuePacketType:
		return nameOr(packetTypes, b[0])
	case valueICMP:
		return nameOr(icmpTypes, b[0])
	case valueICMPv6:
		return nameOr(icmpv6Types, b[0])
	case valueAddrType:
		return nameOr(addrTypes, byte(hostWord(b)))
	case valueCTStatus:
		return ctStatus(hostWord(b))
	case valueExists:
		return map[bool]string{false: "missing", true: "exists"}[b[0] != 0]
	case valueDSCP:
		return nameOr(dscpNames, b[0])
	case valueFamily:
		return nameOr(familyNames, b[0])
	case valueEtherType:
		if name := etherTypes[number(b, binary.BigEndian)]; name != "" {
			return name
		}
		return "0x" + hex.EncodeToString(b)
	case valueLinkType:
		n := number(b, binary.NativeEndian)
		if n == unix.ARPHRD_ETHER {
			return "ether"
		}
		return strconv.FormatUint(n, 10)
	case valueICMPCode:
		return nameOr(icmpCodeNames, b[0])
	case valueICMPv6Code:
		return nameOr(icmpv6CodeNames, b[0])
	default:
		return "0x" + hex.EncodeToString(b)
	}
}

// rangeEnd is a value at an end of a range. Types and codes are numbers there: names
// have hyphens of their own.
func rangeEnd(b []byte, as valueType) string {
	switch as {
	case valueICMP, valueICMPCode, valueICMPv6, valueICMPv6Code:
		return valueText(b, valueNetwork)
	default:
		return valueText(b, as)
	}
}

// addressText is an address, or a prefix of whole bytes, which is loaded without
// the rest.
func addressText(b []byte, as valueType) string {
	size := 4
	if as == valueAddress6 {
		size = 16
	}
	if len(b) > size {
		return "0x" + hex.EncodeToString(b)
	}
	whole := make([]byte, size)
	copy(whole, b)
	a, _ := netip.AddrFromSlice(whole)
	if len(b) < size {
		return fmt.Sprintf("%s/%d", address(a), 8*len(b))
	}
	return address(a)
}

// address is an address as the C library of nft writes it.
func address(a netip.Addr) string {
	if !a.Is6() {
		return a.String()
	}
	b := a.As16()
	tail := netip.AddrFrom4([4]byte(b[12:])).String()
	switch {
	case a.Is4In6():
		return "::ffff:" + tail
	case [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0):
		return "::" + tail
	}
	return a.String()
}

func number(b []byte, order binary.ByteOrder) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(order.Uint16(b))
	case 4:
		return uint64(order.Uint32(b))
	case 8:
		return order.Uint64(b)
	}
	return binary.BigEndian.Uint64(append(make([]byte, 8), b...)[len(b):])
}

func hostWord(b []byte) uint32 {
	if len(b) < 4 {
		return uint32(number(b, binary.NativeEndian))
	}
	return binary.NativeEndian.Uint32(b)
}

func isZero(b []byte) bool { return strings.Trim(string(b), "\x00") == "" }

// prefixLength is the number of leading ones of a mask that has no others, or -1.
func prefixLength(mask []byte) int {
	ones, bits := net.IPMask(mask).Size()
	if bits == 0 {
		return -1
	}
	return ones
}

func nameOr(names map[byte]string, n byte) string {
	if s, ok := names[n]; ok {
		return s
	}
	return strconv.Itoa(int(n))
}

var familyNames = map[byte]string{unix.NFPROTO_IPV4: "ipv4", unix.NFPROTO_IPV6: "ipv6"}

var etherTypes = map[uint64]string{unix.ETH_P_IP: "ip", unix.ETH_P_IPV6: "ip6", unix.ETH_P_ARP: "arp", unix.ETH_P_8021Q: "8021q", unix.ETH_P_8021AD: "8021ad"}

var packetTypes = map[byte]string{0: "host", 1: "broadcast", 2: "multicast", 3: "other"}

var icmpTypes = map[byte]string{
	0: "echo-reply", 3: "destination-unreachable", 4: "source-quench", 5: "redirect", 8: "echo-request", 9: "router-advertisement",
	10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem", 13: "timestamp-request", 14: "timestamp-reply",
	15: "info-request", 16: "info-reply", 17: "address-mask-request", 18: "address-mask-reply",
}

var icmpv6Types = map[byte]string{
	1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem", 128: "echo-request",
	129: "echo-reply", 130: "mld-listener-query", 131: "mld-listener-report", 132: "mld-listener-done", 133: "nd-router-solicit", 134: "nd-router-advert", 135: "nd-neighbor-solicit", 136: "nd-neighbor-advert",
	137: "nd-redirect", 138: "router-renumbering", 141: "ind-neighbor-solicit", 142: "ind-neighbor-advert", 143: "mld2-listener-report",
}

// Names of codes: one each, whatever the type.
var (
	icmpCodeNames = map[byte]string{
		0: "net-unreachable", 1: "host-unreachable", 2: "prot-unreachable", 3: "port-unreachable", 4: "frag-needed",
		9: "net-prohibited", 10: "host-prohibited", 13: "admin-prohibited",
	}
	icmpv6CodeNames = map[byte]string{
		0: "no-route", 1: "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable", 5: "policy-fail", 6: "reject-route",
	}
)

var addrTypes = map[byte]string{
	0: "unspec", 1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable", 8: "prohibit",
}

func tcpFlags(bits byte) string {
	var out []string
	for i, name := range [...]string{"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"} {
		if bits&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return "0"
	}
	return strings.Join(out, ",")
}

func ctStatus(status uint32) string {
	if s := ctStatusNames(status); s != "" {
		return s
	}
	return fmt.Sprintf("0x%x", status)
}

var metaTypes = [...]valueType{
	unix.NFT_META_LEN: valueHost, unix.NFT_META_PROTOCOL: valueBytes, unix.NFT_META_MARK: valueMark,
	unix.NFT_META_IIF: valueHost, unix.NFT_META_OIF: valueHost, unix.NFT_META_IIFNAME: valueInterface,
	unix.NFT_META_OIFNAME: valueInterface, unix.NFT_META_SKUID: valueHost, unix.NFT_META_SKGID: valueHost,
	unix.NFT_META_L4PROTO: valueProtocol, unix.NFT_META_PKTTYPE: valuePacketType, unix.NFT_META_CPU: valueHost,
	unix.NFT_META_IIFGROUP: valueHost, unix.NFT_META_OIFGROUP: valueHost, unix.NFT_META_CGROUP: valueHost,
	unix.NFT_META_PRANDOM: valueHost, unix.NFT_META_NFPROTO: valueFamily, unix.NFT_META_IIFTYPE: valueLinkType, unix.NFT_META_OIFTYPE: valueLinkType, unix.NFT_META_NFTRACE: valueHost,
}

var ctTypes = [...]valueType{
	unix.NFT_CT_STATE: valueCTState, unix.NFT_CT_DIRECTION: valueDirection, unix.NFT_CT_STATUS: valueCTStatus,
	unix.NFT_CT_MARK: valueMark, unix.NFT_CT_HELPER: valueString, unix.NFT_CT_PROTOCOL: valueProtocol, unix.NFT_CT_PKTS: valueHost,
	unix.NFT_CT_BYTES: valueHost, ctSrc4: valueAddress4, ctDst4: valueAddress4, ctSrc6: valueAddress6, ctDst6: valueAddress6, unix.NFT_CT_PROTO_SRC: valueNetwork, unix.NFT_CT_PROTO_DST: valueNetwork, unix.NFT_CT_AVGPKT: valueHost, unix.NFT_CT_ZONE: valueHost, unix.NFT_CT_EVENTMASK: valueBytes,
}

var dscpNames = map[byte]string{
	0: "cs0", 1: "lephb", 8: "cs1", 10: "af11", 12: "af12", 14: "af13", 16: "cs2", 18: "af21", 20: "af22", 22: "af23", 24: "cs3",
	26: "af31", 28: "af32", 30: "af33", 32: "cs4", 34: "af41", 36: "af42", 38: "af43", 40: "cs5", 44: "va", 46: "ef", 48: "cs6", 56: "cs7",
}

// nameText is a name in quotes. nft knows none for a quote, and what is not text it
// does not write: those are bytes.
func nameText(b []byte) string {
	name := string(Cut(b))
	if !isText(name) || !isZero(b[len(name):]) {
		return "0x" + hex.EncodeToString(b)
	}
	if strings.HasSuffix(name, "*") {
		name = strings.TrimSuffix(name, "*") + `\*`
	}
	return nfttext.Quote(name)
}

// isText tells that a text can stand in quotes as it is.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r == '"' || unicode.IsControl(r) })
}
