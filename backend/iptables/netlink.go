package iptables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// errInterrupted says that the ruleset changed while the kernel was listing it.
var errInterrupted = errors.New("the ruleset changed while it was being listed")

// messageSize is the size of the buffer for answers. The kernel fills as much of
// it as it can, up to 32 KiB, and walks the table from its start for each piece:
// with small pieces a long listing takes minutes.
const messageSize = 64 << 10

// kernel reads nf_tables and ipset state by netlink. It is bound to the network
// namespace in which it was dialled.
type kernel struct{ conn *netlink.Conn }

// dialKernel opens the socket, inside the namespace that around enters.
func dialKernel(around func(func() error) error) (*kernel, error) {
	k := &kernel{}
	err := around(func() error {
		var err error
		k.conn, err = netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{MessageBufferSize: messageSize})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket to netfilter: %w", err)
	}
	return k, nil
}

func (k *kernel) Close() error { return k.conn.Close() }

// nfproto is a family's number in nfgenmsg.
func nfproto(f ir.Family) byte {
	if f == ir.IPv6 {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// ask sends one request to a netfilter subsystem and returns the answers
// without their nfgenmsg.
func (k *kernel) ask(subsys, msg uint16, family byte, flags netlink.HeaderFlags, attrs []byte) ([][]byte, error) {
	answers, err := k.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(subsys<<8 | msg), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil, errInterrupted
		}
		return nil, err
	}
	out := make([][]byte, 0, len(answers))
	for _, a := range answers {
		if a.Header.Flags&netlink.DumpInterrupted != 0 {
			return nil, errInterrupted
		}
		if len(a.Data) >= 4 {
			out = append(out, a.Data[4:])
		}
	}
	return out, nil
}

// generation is the number of commits to nf_tables that this namespace has seen
// (FIELD M-7).
func (k *kernel) generation() (uint32, error) {
	answers, err := k.ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETGEN, unix.AF_UNSPEC, 0, nil)
	if err != nil {
		return 0, fmt.Errorf("reading the ruleset's generation: %w", err)
	}
	for _, a := range answers {
		var gen uint32
		err := eachAttr(a, func(typ uint16, data []byte) error {
			if typ == unix.NFTA_GEN_ID && len(data) == 4 {
				gen = binary.BigEndian.Uint32(data)
			}
			return nil
		})
		if err == nil {
			return gen, nil
		}
	}
	return 0, errors.New("reading the ruleset's generation: the kernel gave none")
}

// kernelChain is a chain as nf_tables has it.
type kernelChain struct {
	table, name    string
	base           bool
	typ            string // of a base chain: filter, nat, route
	hook           uint32
	priority       int32
	policy         uint32 // NF_DROP or NF_ACCEPT
	device         string // of a netdev chain
	packets, bytes uint64
	// use counts the chain's rules and the jumps to it.
	use int
}

// chains lists every chain of a family in every table.
func (k *kernel) chains(f ir.Family) ([]kernelChain, error) {
	return k.chainsOf(nfproto(f), f.String())
}

// chainsOf lists every chain of one of nf_tables' families.
func (k *kernel) chainsOf(proto byte, f string) ([]kernelChain, error) {
	answers, err := k.ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETCHAIN, proto, netlink.Dump, nil)
	if err != nil {
		return nil, fmt.Errorf("listing the %s chains: %w", f, err)
	}
	out := make([]kernelChain, 0, len(answers))
	table := ""
	for _, a := range answers {
		c := kernelChain{policy: verdictAccept}
		err := eachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_CHAIN_TABLE:
				// Chains come table by table: keep one copy of the name.
				if string(cut(data)) != table {
					table = string(cut(data))
				}
				c.table = table
			case unix.NFTA_CHAIN_NAME:
				c.name = string(cut(data))
			case unix.NFTA_CHAIN_TYPE:
				c.typ = string(cut(data))
			case unix.NFTA_CHAIN_POLICY:
				c.policy = be32(data)
			case unix.NFTA_CHAIN_USE:
				c.use = int(be32(data))
			case unix.NFTA_CHAIN_HOOK:
				c.base = true
				return eachAttr(data, func(typ uint16, data []byte) error {
					switch typ {
					case unix.NFTA_HOOK_HOOKNUM:
						c.hook = be32(data)
					case unix.NFTA_HOOK_PRIORITY:
						c.priority = int32(be32(data))
					case unix.NFTA_HOOK_DEV:
						c.device = string(cut(data))
					}
					return nil
				})
			case unix.NFTA_CHAIN_COUNTERS:
				return eachAttr(data, func(typ uint16, data []byte) error {
					switch typ {
					case unix.NFTA_COUNTER_PACKETS:
						c.packets = be64(data)
					case unix.NFTA_COUNTER_BYTES:
						c.bytes = be64(data)
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the %s chains: %w", f, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// kernelRule is a rule as nf_tables has it: what iptables would print of it is
// not known, but whether iptables can print it is.
type kernelRule struct {
	chain          string
	handle         uint64
	packets, bytes uint64
	jump           string // the chain that the rule's verdict names
	native         string // the first expression that iptables would not write, or ""
	nativeAt       int    // and its number, from 0
	described      *ir.Native
	proto          uint8  // the transport protocol that the rule asks for, 0 if none
	exprs          []byte // the expressions as they came, in a listing with native rules
}

// rules lists the rules of one chain, or of the whole table if chain is "".
func (k *kernel) rules(f ir.Family, table, chain string) ([]kernelRule, error) {
	attrs := encodeAttr(nil, unix.NFTA_RULE_TABLE, cstring(table))
	what := table
	if chain != "" {
		attrs = encodeAttr(attrs, unix.NFTA_RULE_CHAIN, cstring(chain))
		what += " " + chain
	}
	answers, err := k.ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETRULE, nfproto(f), netlink.Dump, attrs)
	if err != nil {
		return nil, fmt.Errorf("listing the rules of %s %s: %w", f, what, err)
	}
	out := make([]kernelRule, 0, len(answers))
	name, doubted := chain, false
	for _, a := range answers {
		var r kernelRule
		var userdata []byte
		err := eachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_RULE_CHAIN:
				if string(cut(data)) != name {
					name = string(cut(data))
				}
				r.chain = name
			case unix.NFTA_RULE_HANDLE:
				r.handle = be64(data)
			case unix.NFTA_RULE_EXPRESSIONS:
				r.exprs = data
			case unix.NFTA_RULE_USERDATA:
				userdata = data
			}
			return nil
		})
		if err == nil {
			err = r.examine(f)
		}
		if err != nil {
			return nil, fmt.Errorf("listing the rules of %s %s: %w", f, what, err)
		}
		if r.native != "" {
			r.described = &ir.Native{Handle: r.handle, Expr: r.native, Comment: userComment(userdata)}
			if err := describe(r.described, f, r.exprs, r.nativeAt); err != nil {
				return nil, fmt.Errorf("listing the rules of %s %s: %w", f, what, err)
			}
		}
		out = append(out, r)
		doubted = doubted || r.native != ""
	}
	if !doubted {
		// Only a chain with native rules is ever copied; the others' expressions would
		// keep the whole listing in memory.
		for i := range out {
			out[i].exprs = nil
		}
	}
	return out, nil
}

// userComment is the comment that nft keeps in a rule's user data: entries of
// type, length and value, of which type 0 is the comment.
func userComment(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		typ, value := data[0], data[2:2+int(data[1])]
		if typ == 0 {
			return string(cut(value))
		}
		data = data[2+len(value):]
	}
	// Programs that speak netlink themselves put bare text there (NetBird).
	text := string(cut(data))
	if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return ""
	}
	return text
}

// The attribute code below works on the bytes in place: a dump of a hundred
// thousand rules is forty megabytes.

// nlaTypeMask leaves out the flags "nested" and "network byte order".
const nlaTypeMask = 0x3fff

var errShortAttr = errors.New("netlink: an attribute is shorter than it says")

// eachAttr calls f with every attribute in a list.
func eachAttr(b []byte, f func(typ uint16, data []byte) error) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return errShortAttr
		}
		if err := f(binary.NativeEndian.Uint16(b[2:])&nlaTypeMask, b[4:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// encodeAttr appends one attribute.
func encodeAttr(b []byte, typ uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func cstring(s string) []byte { return append([]byte(s), 0) }

// cut is the part of a C string before its NUL.
func cut(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

func be32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func be64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
