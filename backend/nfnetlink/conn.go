package nfnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// ErrInterrupted says that the ruleset changed while the kernel was listing it.
var ErrInterrupted = errors.New("the ruleset changed while it was being listed")

// messageSize is the size of the buffer for answers. The kernel fills as much of
// it as it can, up to 32 KiB, and walks the table from its start for each piece:
// with small pieces a long listing takes minutes.
const messageSize = 64 << 10

// Conn is a netlink socket to netfilter. It is bound to the network namespace in
// which it was dialled, and serves one caller at a time.
type Conn struct {
	conn *netlink.Conn
	// buf is the buffer of stream, and seq the number of its last request.
	buf []byte
	seq uint32
}

// Dial opens the socket, inside the namespace that around enters.
func Dial(around func(func() error) error) (*Conn, error) {
	k := &Conn{}
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

// Close closes the socket.
func (k *Conn) Close() error { return k.conn.Close() }

// Proto is a family's number in nfgenmsg.
func Proto(f ir.Family) byte {
	if f == ir.IPv6 {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// Ask sends one request to a netfilter subsystem and returns the answers without
// their nfgenmsg. ErrInterrupted says that a listing is not to be trusted; ask again.
func (k *Conn) Ask(subsys, msg uint16, family byte, flags netlink.HeaderFlags, attrs []byte) ([][]byte, error) {
	answers, err := k.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(subsys<<8 | msg), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil, ErrInterrupted
		}
		return nil, err
	}
	out := make([][]byte, 0, len(answers))
	for _, a := range answers {
		if a.Header.Flags&netlink.DumpInterrupted != 0 {
			return nil, ErrInterrupted
		}
		if len(a.Data) >= 4 {
			out = append(out, a.Data[4:])
		}
	}
	return out, nil
}

// Generation is the number of commits to nf_tables that this namespace has seen
// (FIELD M-7).
func (k *Conn) Generation() (uint32, error) {
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETGEN, unix.AF_UNSPEC, 0, nil)
	if err != nil {
		return 0, fmt.Errorf("reading the ruleset's generation: %w", err)
	}
	for _, a := range answers {
		var gen uint32
		err := EachAttr(a, func(typ uint16, data []byte) error {
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
