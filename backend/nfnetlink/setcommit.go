package nfnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// commitBatch sends messages, whose sequence numbers count from 1, as one
// transaction. at is the index of the first message that was refused, or -1.
//
// The kernel takes a transaction in one piece, which has to fit into the socket's
// buffer. It answers each message that it refuses, and the last one.
func (k *Conn) commitBatch(messages []byte) (at int, err error) {
	batch := make([]byte, 0, len(messages)+2*batchEdgeSize)
	batch = appendEdge(batch, unix.NFNL_MSG_BATCH_BEGIN, 0)
	last := 0
	for at := 0; at < len(messages); at += int(binary.NativeEndian.Uint32(messages[at:])) {
		last = at
	}
	batch = append(batch, messages...)
	flags := batch[batchEdgeSize+last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	final := int(binary.NativeEndian.Uint32(messages[last+8:]))
	batch = appendEdge(batch, unix.NFNL_MSG_BATCH_END, final+1)
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	if err := sendWhole(raw, batch); err != nil {
		return -1, err
	}
	return receiveAnswers(raw, final)
}

const batchEdgeSize = 20

func appendEdge(b []byte, typ uint16, seq int) []byte {
	start := len(b)
	b = appendHeader(b, typ, 0, seq, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// sendWhole sends a batch, with a buffer that is large enough.
func sendWhole(raw syscall.RawConn, batch []byte) error {
	var fail error
	err := raw.Control(func(fd uintptr) {
		have, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		if err != nil || have > len(batch)+sendSlack {
			fail = err
			return
		}
		// The kernel doubles the size. Without the right to go beyond its limit, as much as
		// that allows has to do.
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, len(batch)+sendSlack) != nil {
			fail = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, len(batch)+sendSlack)
		}
	})
	if err == nil {
		err = fail
	}
	if err != nil {
		return fmt.Errorf("asking for a buffer of %d bytes: %w", len(batch), err)
	}
	err = raw.Write(func(fd uintptr) bool {
		fail = unix.Sendto(int(fd), batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return !errors.Is(fail, unix.EAGAIN)
	})
	if err == nil {
		err = fail
	}
	switch {
	case errors.Is(err, unix.EMSGSIZE):
		return fmt.Errorf("a transaction of %d bytes is more than the kernel takes at once here: raise net.core.wmem_max, or run with CAP_NET_ADMIN: %w", len(batch), err)
	case err != nil:
		return fmt.Errorf("sending a transaction of %d bytes: %w", len(batch), err)
	}
	return nil
}

const sendSlack = 64 << 10

// receiveAnswers reads what the kernel says of a batch, up to the answer to the
// message with the sequence number last. What it refuses first is why.
func receiveAnswers(raw syscall.RawConn, last int) (at int, refused error) {
	at = -1
	buf := make([]byte, 64<<10)
	for {
		n, err := receive(raw, buf)
		if err != nil {
			if at >= 0 {
				return at, refused
			}
			return -1, err
		}
		for b := buf[:n]; len(b) >= 20; {
			size, seq := int(binary.NativeEndian.Uint32(b)), int(binary.NativeEndian.Uint32(b[8:]))
			if size < 20 || size > len(b) {
				break
			}
			if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR {
				if code := int32(binary.NativeEndian.Uint32(b[16:])); code != 0 {
					if seq == 0 {
						return -1, syscall.Errno(-code) // the transaction as a whole
					}
					if at < 0 {
						at, refused = seq-1, syscall.Errno(-code)
					}
				}
				if seq >= last {
					return at, refused
				}
			}
			b = b[min(padded(size), len(b)):]
		}
	}
}

// receive waits for a piece of what the kernel sends.
func receive(raw syscall.RawConn, buf []byte) (n int, err error) {
	var fail error
	err = raw.Read(func(fd uintptr) bool {
		n, _, fail = unix.Recvfrom(int(fd), buf, 0)
		return !errors.Is(fail, unix.EAGAIN)
	})
	if err == nil {
		err = fail
	}
	if err == nil && n == 0 {
		err = errNoAnswer
	}
	return n, err
}
