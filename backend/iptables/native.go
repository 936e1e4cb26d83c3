package iptables

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// examine walks a rule's expressions. It notes the counter and the jump, and
// decides whether the rule is native: whether an expression stands in it that
// iptables-nft does not write, or in an order in which iptables-nft does not
// write it, so that what it prints of the rule cannot be trusted (FIELD M-26:
// it drops what it does not know and exits 0).
//
// What iptables-nft writes is, in this order: conditions, a counter, one action.
// A condition is a load (payload or meta), perhaps a bitwise mask, and a
// comparison; or an xt match; or a limit. Forms that it does not write but has
// always read back with their meaning count as its own: interfaces by index,
// the protocol as a byte of the IP header, a rule without a counter.
func (r *kernelRule) examine(f ir.Family) error {
	w := walker{rule: r, v6: f == ir.IPv6}
	err := nfnetlink.EachExpr(r.exprs, func(name string, data []byte) error {
		err := w.step(name, data)
		w.index++
		return err
	})
	w.end()
	return err
}

// field is what a load put into the register.
type field uint8

const (
	fieldNone field = iota
	fieldSource
	fieldDest
	fieldIn
	fieldOut
	fieldProto
	fieldFragment
	fieldMark
	fieldSport
	fieldDport
	fieldPorts // both at once: --sport N --dport M is one comparison
	fieldTCPFlags
	fieldValue // an immediate value, for the meta expression behind TRACE
)

var fieldNames = [...]string{
	fieldSource: "saddr", fieldDest: "daddr", fieldIn: "iifname", fieldOut: "oifname", fieldProto: "l4proto",
	fieldFragment: "frag-off", fieldMark: "mark", fieldSport: "sport", fieldDport: "dport", fieldPorts: "ports", fieldTCPFlags: "tcp flags",
}

// walker is the state of one walk over a rule.
type walker struct {
	rule    *kernelRule
	v6      bool
	index   int // number of the expression
	loaded  field
	masked  bool
	one     bool // the immediate value is 1
	seen    [fieldValue]bool
	counted bool
	acted   bool
}

// native marks the rule, if it is not marked yet.
func (w *walker) native(format string, args ...any) {
	if w.rule.native == "" {
		w.rule.native, w.rule.nativeAt = fmt.Sprintf(format, args...), w.index
	}
}

func (w *walker) step(name string, data []byte) error {
	var a nfnetlink.Attrs
	if err := a.Read(data); err != nil {
		return err
	}
	if w.acted {
		w.native("%s behind the action", name)
	}
	switch name {
	case "payload":
		w.load(w.payload(&a))
	case "meta":
		w.meta(&a)
	case "bitwise":
		w.bitwise(&a)
	case "cmp":
		w.compare(&a)
	case "range":
		if w.loaded != fieldSport && w.loaded != fieldDport || w.masked {
			w.native("%s range", fieldNames[w.loaded])
		}
		w.condition()
	case "lookup":
		w.native("%s @%s", fieldNames[w.loaded%fieldValue], nfnetlink.Cut(a[unix.NFTA_LOOKUP_SET]))
		w.loaded = fieldNone
	case "counter":
		if w.counted {
			w.native("second counter")
		}
		w.counted = true
		w.rule.packets, w.rule.bytes = nfnetlink.Uint64(a[unix.NFTA_COUNTER_PACKETS]), nfnetlink.Uint64(a[unix.NFTA_COUNTER_BYTES])
	case "limit":
		if nfnetlink.Uint32(a[unix.NFTA_LIMIT_TYPE]) != unix.NFT_LIMIT_PKTS || nfnetlink.Uint32(a[unix.NFTA_LIMIT_FLAGS]) != 0 {
			w.native("limit")
		}
		w.condition()
	case "match":
		w.condition()
	case "target":
		w.acted = true
	case "log":
		if a[unix.NFTA_LOG_GROUP] == nil {
			w.native("log")
		}
		w.acted = true
	case "immediate":
		return w.immediate(&a)
	case "ct":
		w.native("ct %s", nfnetlink.CTKey(nfnetlink.Uint32(a[unix.NFTA_CT_KEY])))
	default:
		w.native("%s", name)
	}
	return nil
}

// end looks at what is left over: a loaded register that nothing compared.
func (w *walker) end() {
	if w.loaded != fieldNone {
		w.native("%s without a comparison", fieldNames[w.loaded%fieldValue])
	}
}

// load notes what stands in the register now.
func (w *walker) load(to field) {
	if w.loaded != fieldNone {
		w.native("%s without a comparison", fieldNames[w.loaded%fieldValue])
	}
	w.loaded, w.masked = to, false
}

// payload names what a payload expression loads.
func (w *walker) payload(a *nfnetlink.Attrs) field {
	base, offset, n := nfnetlink.Uint32(a[unix.NFTA_PAYLOAD_BASE]), nfnetlink.Uint32(a[unix.NFTA_PAYLOAD_OFFSET]), nfnetlink.Uint32(a[unix.NFTA_PAYLOAD_LEN])
	if a[unix.NFTA_PAYLOAD_SREG] != nil {
		w.native("payload write")
		return fieldNone
	}
	size, source, dest := uint32(4), uint32(12), uint32(16)
	if w.v6 {
		size, source, dest = 16, 8, 24
	}
	switch {
	case base == nfnetlink.NetworkHeader && offset == source && n <= size:
		return fieldSource
	case base == nfnetlink.NetworkHeader && offset == dest && n <= size:
		return fieldDest
	case base == nfnetlink.NetworkHeader && !w.v6 && offset == 9 && n == 1:
		return fieldProto
	case base == nfnetlink.NetworkHeader && !w.v6 && offset == 6 && n == 2:
		return fieldFragment
	case base == nfnetlink.TransportHeader && w.ports() && offset == 0 && n == 2:
		return fieldSport
	case base == nfnetlink.TransportHeader && w.ports() && offset == 2 && n == 2:
		return fieldDport
	case base == nfnetlink.TransportHeader && w.ports() && offset == 0 && n == 4:
		return fieldPorts
	case base == nfnetlink.TransportHeader && w.rule.proto == unix.IPPROTO_TCP && offset == 13 && n == 1:
		return fieldTCPFlags
	}
	w.native("@%s,%d,%d", nfnetlink.PayloadBase(base), offset*8, n*8)
	return fieldNone
}

// ports tells whether the rule has asked for a protocol whose ports iptables
// compares by itself; those of the others are xt matches.
func (w *walker) ports() bool {
	return w.rule.proto == unix.IPPROTO_TCP || w.rule.proto == unix.IPPROTO_UDP
}

func (w *walker) meta(a *nfnetlink.Attrs) {
	key := nfnetlink.Uint32(a[unix.NFTA_META_KEY])
	if a[unix.NFTA_META_SREG] != nil {
		if key != unix.NFT_META_NFTRACE || w.loaded != fieldValue || !w.one {
			w.native("meta %s set", nfnetlink.MetaKey(key))
		}
		w.loaded, w.acted = fieldNone, true
		return
	}
	switch key {
	case unix.NFT_META_IIFNAME, unix.NFT_META_IIF:
		w.load(fieldIn)
	case unix.NFT_META_OIFNAME, unix.NFT_META_OIF:
		w.load(fieldOut)
	case unix.NFT_META_L4PROTO:
		w.load(fieldProto)
	case unix.NFT_META_MARK:
		w.load(fieldMark)
	default:
		w.native("meta %s", nfnetlink.MetaKey(key))
	}
}

// bitwise is a mask: iptables puts one on addresses, marks, tcp flags and the
// fragment offset.
func (w *walker) bitwise(a *nfnetlink.Attrs) {
	switch w.loaded {
	case fieldSource, fieldDest, fieldMark, fieldTCPFlags, fieldFragment:
	default:
		w.native("%s mask", fieldNames[w.loaded%fieldValue])
	}
	if w.masked || nfnetlink.Uint32(a[nfnetlink.BitwiseOp]) != 0 || len(bytes.Trim(nfnetlink.Value(a[unix.NFTA_BITWISE_XOR]), "\x00")) > 0 {
		w.native("%s arithmetic", fieldNames[w.loaded%fieldValue])
	}
	w.masked = true
}

func (w *walker) compare(a *nfnetlink.Attrs) {
	op, data := nfnetlink.Uint32(a[unix.NFTA_CMP_OP]), nfnetlink.Value(a[unix.NFTA_CMP_DATA])
	if w.loaded == fieldNone || w.loaded == fieldValue {
		w.native("comparison of nothing")
		w.loaded = fieldNone
		return
	}
	// `--dport 0:80` and its negation are one comparison each.
	half := (op == unix.NFT_CMP_LTE || op == unix.NFT_CMP_GT) && (w.loaded == fieldSport || w.loaded == fieldDport) && !w.masked
	if op != unix.NFT_CMP_EQ && op != unix.NFT_CMP_NEQ && !half {
		w.native("%s range", fieldNames[w.loaded])
	}
	switch w.loaded {
	case fieldPorts:
		// Also "not equal" is iptables' own, for `! --sport 1 ! --dport 2`, which this
		// comparison does not mean. It reads no mask back.
		if w.masked {
			w.native("ports")
		}
		if w.seen[fieldSport] || w.seen[fieldDport] {
			w.native("second ports")
		}
		w.seen[fieldSport], w.seen[fieldDport] = true, true
	case fieldMark, fieldSport, fieldDport, fieldTCPFlags:
		// Written by matches: -m mark can stand twice; twice the same port is caught
		// below.
	case fieldProto:
		if op == unix.NFT_CMP_EQ && len(data) == 1 {
			w.rule.proto = data[0]
		}
	case fieldFragment:
		if !w.masked {
			w.native("frag-off")
		}
	}
	w.condition()
}

// condition ends a condition. iptables keeps one of each kind, the last, but for
// marks and xt matches.
func (w *walker) condition() {
	if w.counted {
		w.native("condition behind the counter")
	}
	if w.loaded != fieldNone && w.loaded != fieldMark && w.loaded != fieldValue {
		if w.seen[w.loaded] {
			w.native("second %s", fieldNames[w.loaded])
		}
		w.seen[w.loaded] = true
	}
	w.loaded = fieldNone
}

func (w *walker) immediate(a *nfnetlink.Attrs) error {
	if nfnetlink.Uint32(a[unix.NFTA_IMMEDIATE_DREG]) != nfnetlink.VerdictRegister {
		v := nfnetlink.Value(a[unix.NFTA_IMMEDIATE_DATA])
		w.load(fieldValue)
		w.one = len(v) > 0 && v[0] == 1
		return nil
	}
	return nfnetlink.EachAttr(a[unix.NFTA_IMMEDIATE_DATA], func(typ uint16, data []byte) error {
		if typ != unix.NFTA_DATA_VERDICT {
			return nil
		}
		w.acted = true
		return nfnetlink.EachAttr(data, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_VERDICT_CHAIN:
				w.rule.jump = string(nfnetlink.Cut(data))
			case unix.NFTA_VERDICT_CODE:
				switch nfnetlink.Uint32(data) {
				case nfnetlink.VerdictAccept, nfnetlink.VerdictDrop, nfnetlink.VerdictJump, nfnetlink.VerdictGoto, nfnetlink.VerdictReturn:
				default:
					w.native("verdict %d", int32(nfnetlink.Uint32(data)))
				}
			}
			return nil
		})
	})
}
