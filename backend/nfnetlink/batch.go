package nfnetlink

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Change is one change of nf_tables in a batch.
type Change struct {
	// Type is unix.NFT_MSG_NEWRULE ...
	Type uint16
	// Family is one of nf_tables' (unix.NFPROTO_INET ...).
	Family byte
	Flags  netlink.HeaderFlags
	// Attrs of the message, without its nfgenmsg.
	Attrs []byte
}

// Commit sends changes as one transaction: all of them or, with an error, none.
func (k *Conn) Commit(changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	batch := []netlink.Message{batchEdge(unix.NFNL_MSG_BATCH_BEGIN)}
	for _, c := range changes {
		batch = append(batch, netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | c.Type), Flags: netlink.Request | c.Flags},
			Data:   append([]byte{c.Family, unix.NFNETLINK_V0, 0, 0}, c.Attrs...),
		})
	}
	// The kernel answers what it refuses, and what asks for it: the last change does,
	// whose answer comes last.
	batch[len(batch)-1].Header.Flags |= netlink.Acknowledge
	batch = append(batch, batchEdge(unix.NFNL_MSG_BATCH_END))
	if _, err := k.conn.SendMessages(batch); err != nil {
		return err
	}
	if _, err := k.conn.Receive(); err != nil {
		k.drain(len(changes))
		return err
	}
	return nil
}

// drain throws away the answers that are left of a refused batch, most of them at most: the kernel has
// given all of them by the time that a batch is sent.
func (k *Conn) drain(most int) {
	if k.conn.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return
	}
	for range most {
		if _, err := k.conn.Receive(); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	_ = k.conn.SetReadDeadline(time.Time{})
}

const drainTime = 20 * time.Millisecond

// batchEdge is the message before or behind a batch's changes.
func batchEdge(typ uint16) netlink.Message {
	data := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request},
		Data:   binary.BigEndian.AppendUint16(data, unix.NFNL_SUBSYS_NFTABLES),
	}
}
