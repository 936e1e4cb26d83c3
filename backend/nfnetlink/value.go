package nfnetlink

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
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
)

// size is how many bytes a load of the type has where the expression does not say.
func (v valueType) size() int {
	switch v {
	case valueInterface:
		return unix.IFNAMSIZ
	case valueProtocol, valueDirection, valuePacketType:
		return 1
	case valueAddress6:
		return 16
	default:
		return 4
	}
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
		return nfttext.Quote(string(Cut(b)))
	case valueAddress4, valueAddress6:
		return addressText(b, as)
	case valueProtocol:
		return nameOr(protocolNames, b[0])
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
	default:
		return "0x" + hex.EncodeToString(b)
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
		return fmt.Sprintf("%s/%d", a, 8*len(b))
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

var protocolNames = map[byte]string{
	1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 41: "ipv6", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp",
	108: "comp", 132: "sctp", 136: "udplite",
}

var packetTypes = map[byte]string{0: "host", 1: "broadcast", 2: "multicast", 3: "other"}

var icmpTypes = map[byte]string{
	0: "echo-reply", 3: "destination-unreachable", 4: "source-quench", 5: "redirect", 8: "echo-request", 9: "router-advertisement",
	10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem", 13: "timestamp-request", 14: "timestamp-reply",
}

var icmpv6Types = map[byte]string{
	1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem", 128: "echo-request",
	129: "echo-reply", 133: "nd-router-solicit", 134: "nd-router-advert", 135: "nd-neighbor-solicit", 136: "nd-neighbor-advert",
	137: "nd-redirect",
}

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

func ctStatus(bits uint32) string {
	var out []string
	for i, name := range map[int]string{0: "expected", 1: "seen-reply", 2: "assured", 3: "confirmed", 4: "snat", 5: "dnat", 9: "dying"} {
		if bits == 1<<i {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("0x%x", bits)
	}
	return out[0]
}

var metaTypes = [...]valueType{
	unix.NFT_META_LEN: valueHost, unix.NFT_META_PROTOCOL: valueBytes, unix.NFT_META_MARK: valueMark,
	unix.NFT_META_IIF: valueHost, unix.NFT_META_OIF: valueHost, unix.NFT_META_IIFNAME: valueInterface,
	unix.NFT_META_OIFNAME: valueInterface, unix.NFT_META_SKUID: valueHost, unix.NFT_META_SKGID: valueHost,
	unix.NFT_META_L4PROTO: valueProtocol, unix.NFT_META_PKTTYPE: valuePacketType, unix.NFT_META_CPU: valueHost,
	unix.NFT_META_IIFGROUP: valueHost, unix.NFT_META_OIFGROUP: valueHost, unix.NFT_META_CGROUP: valueHost,
	unix.NFT_META_PRANDOM: valueHost, unix.NFT_META_NFTRACE: valueHost,
}

var ctTypes = [...]valueType{
	unix.NFT_CT_STATE: valueCTState, unix.NFT_CT_DIRECTION: valueDirection, unix.NFT_CT_STATUS: valueCTStatus,
	unix.NFT_CT_MARK: valueMark, unix.NFT_CT_HELPER: valueString, unix.NFT_CT_PROTOCOL: valueProtocol, unix.NFT_CT_PKTS: valueHost,
	unix.NFT_CT_BYTES: valueHost, unix.NFT_CT_AVGPKT: valueHost, unix.NFT_CT_ZONE: valueHost, unix.NFT_CT_EVENTMASK: valueBytes,
}
