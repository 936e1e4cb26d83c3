package differential

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// packet is one that a machine sends, of IPv4 or IPv6.
type packet struct {
	from     int // index of the machine
	src, dst netip.Addr
	proto    uint8
	sport    uint16 // the id of an echo
	dport    uint16
	flags    uint8 // of TCP
	icmp     uint8 // type
	code     uint8
	ttl      uint8
	dscp     uint8
	mark     uint32 // of the sending socket: seen on the machine itself only
	number   uint32 // tells packets apart
	size     int    // of the payload
	// fragment: 1 is a first fragment, 2 a later one. IPv4 only.
	fragment int
}

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoGRE    = 47
	protoICMPv6 = 58
)

// ourWindow tells packets that a test sent from those of a kernel.
const ourWindow = 8191

func (p *packet) v6() bool { return p.src.Is6() }

func (p *packet) String() string {
	s := fmt.Sprintf("%s > %s ", p.src, p.dst)
	switch p.proto {
	case protoTCP:
		s += fmt.Sprintf("tcp %d > %d flags %s", p.sport, p.dport, flagText(p.flags))
	case protoUDP:
		s += fmt.Sprintf("udp %d > %d", p.sport, p.dport)
	case protoICMP, protoICMPv6:
		s += fmt.Sprintf("icmp %d/%d id %d", p.icmp, p.code, p.sport)
	default:
		s += fmt.Sprintf("protocol %d", p.proto)
	}
	s += fmt.Sprintf(" ttl %d dscp %d size %d", p.ttl, p.dscp, p.size)
	if p.mark != 0 {
		s += fmt.Sprintf(" mark %#x", p.mark)
	}
	if p.fragment > 0 {
		s += fmt.Sprintf(" fragment %d", p.fragment)
	}
	return s + " sent by " + machineNames[p.from]
}

func flagText(bits uint8) string {
	var out []string
	for i, n := range []string{"fin", "syn", "rst", "psh", "ack", "urg"} {
		if bits&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return strings.Join(out, "+")
}

// bytes is the packet with its network header.
func (p *packet) bytes() []byte {
	body := p.transport()
	if p.v6() {
		h := make([]byte, 40)
		h[0], h[1] = 0x60|p.dscp>>2, p.dscp<<6
		binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
		h[6], h[7] = p.proto, p.ttl
		src, dst := p.src.As16(), p.dst.As16()
		copy(h[8:], src[:])
		copy(h[24:], dst[:])
		return append(h, body...)
	}
	h := make([]byte, 20)
	h[0], h[1] = 0x45, p.dscp<<2
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(body)))
	binary.BigEndian.PutUint16(h[4:], uint16(p.number)|1)
	switch p.fragment {
	case 1:
		h[6] = 0x20 // more follow
	case 2:
		h[7] = 64 // 512 bytes in
	}
	h[8], h[9] = p.ttl, p.proto
	src, dst := p.src.As4(), p.dst.As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	binary.BigEndian.PutUint16(h[10:], checksum(0, h))
	return append(h, body...)
}

// transport is the header of the protocol with a payload.
func (p *packet) transport() []byte {
	payload := make([]byte, max(8, p.size)&^7)
	binary.BigEndian.PutUint32(payload, p.number)
	var h []byte
	var at int
	switch p.proto {
	case protoTCP:
		h, at = make([]byte, 24), 16
		binary.BigEndian.PutUint16(h, p.sport)
		binary.BigEndian.PutUint16(h[2:], p.dport)
		binary.BigEndian.PutUint32(h[4:], p.number<<12)
		binary.BigEndian.PutUint32(h[8:], 0x01000000|p.number)
		h[12], h[13] = 6<<4, p.flags
		binary.BigEndian.PutUint16(h[14:], ourWindow)
		copy(h[20:], []byte{2, 4, 1460 >> 8, 1460 & 0xff}) // the largest segment
		payload = nil
	case protoUDP:
		h, at = make([]byte, 8), 6
		binary.BigEndian.PutUint16(h, p.sport)
		binary.BigEndian.PutUint16(h[2:], p.dport)
		binary.BigEndian.PutUint16(h[4:], uint16(8+len(payload)))
	case protoICMP, protoICMPv6:
		h, at = make([]byte, 8), 2
		h[0], h[1] = p.icmp, p.code
		binary.BigEndian.PutUint16(h[4:], p.sport)
		binary.BigEndian.PutUint16(h[6:], uint16(p.number))
	default:
		return payload
	}
	b := append(h, payload...)
	sum := checksum(p.pseudo(len(b)), b)
	if p.proto == protoICMP {
		sum = checksum(0, b)
	}
	if sum == 0 && p.proto == protoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], sum)
	return b
}

// pseudo is the sum of the header that checksums of transport protocols take in.
func (p *packet) pseudo(n int) uint32 {
	sum := uint32(p.proto) + uint32(n)
	for _, a := range [][]byte{p.src.AsSlice(), p.dst.AsSlice()} {
		for i := 0; i < len(a); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(a[i:]))
		}
	}
	return sum
}

func checksum(sum uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// eyes know the ports of the packets that were sent. A kernel that translates
// addresses and finds a port taken chooses another one by chance.
type eyes map[uint16]bool

// port is a port as it is, or a sign for one that nobody sent.
func (e eyes) port(n uint16) string {
	if e[n] {
		return strconv.Itoa(int(n))
	}
	return "?"
}

// seen is what a packet says that arrived somewhere, without what differs between
// two runs: numbers that a kernel chooses, checksums. It is empty for packets of no
// interest: neighbour discovery and the like.
func (e eyes) seen(b []byte) string {
	if len(b) < 20 {
		return "short"
	}
	var src, dst netip.Addr
	var proto, ttl, dscp uint8
	var body []byte
	frag := ""
	switch b[0] >> 4 {
	case 4:
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		proto, ttl, dscp, body = b[9], b[8], b[1]>>2, b[int(b[0]&15)*4:]
		if at := binary.BigEndian.Uint16(b[6:]) & 0x3fff; at != 0 {
			frag = fmt.Sprintf(" fragment %#x", at)
		}
		if at := binary.BigEndian.Uint16(b[6:]) & 0x1fff; at != 0 {
			return fmt.Sprintf("%s > %s protocol %d ttl %d dscp %d%s", src, dst, proto, ttl, dscp, frag)
		}
	case 6:
		if len(b) < 40 {
			return "short"
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		proto, ttl, dscp, body = b[6], b[7], (b[0]&15)<<2|b[1]>>6, b[40:]
	default:
		return "" // no packet of IP
	}
	if proto == protoICMPv6 && len(body) > 0 && body[0] >= 130 || proto == 0 {
		return ""
	}
	return fmt.Sprintf("%s > %s %s ttl %d dscp %d%s", src, dst, e.seenTransport(proto, body), ttl, dscp, frag)
}

func (e eyes) seenTransport(proto uint8, b []byte) string {
	if len(b) < 8 {
		return fmt.Sprintf("protocol %d", proto)
	}
	sport, dport := e.port(binary.BigEndian.Uint16(b)), e.port(binary.BigEndian.Uint16(b[2:]))
	switch proto {
	case protoTCP:
		if len(b) < 20 {
			return fmt.Sprintf("tcp %s > %s", sport, dport)
		}
		s := fmt.Sprintf("tcp %s > %s %s ack %d", sport, dport, flagText(b[13]), binary.BigEndian.Uint32(b[8:]))
		if b[13]&0x10 == 0 || binary.BigEndian.Uint16(b[14:]) == ourWindow { // who listens chooses numbers of its own
			s += fmt.Sprintf(" seq %d", binary.BigEndian.Uint32(b[4:]))
		}
		if n := int(b[12]>>4) * 4; n >= 24 && len(b) >= n && b[20] == 2 {
			s += fmt.Sprintf(" mss %d", binary.BigEndian.Uint16(b[22:]))
		}
		return s
	case protoUDP:
		s := fmt.Sprintf("udp %s > %s", sport, dport)
		if len(b) >= 12 {
			s += fmt.Sprintf(" number %d", binary.BigEndian.Uint32(b[8:]))
		}
		return s
	case protoICMP, protoICMPv6:
		s := fmt.Sprintf("icmp %d/%d", b[0], b[1])
		echo := proto == protoICMP && (b[0] == 0 || b[0] == 8) || proto == protoICMPv6 && b[0] >= 128
		if echo {
			return s + fmt.Sprintf(" id %s seq %d", e.port(binary.BigEndian.Uint16(b[4:])), binary.BigEndian.Uint16(b[6:]))
		}
		if len(b) > 28 {
			s += " about (" + e.seen(b[8:]) + ")"
		}
		return s
	}
	return fmt.Sprintf("protocol %d", proto)
}
