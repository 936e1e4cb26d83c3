package nfnetlink

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Numbers of linux/netfilter/nf_tables.h; verdicts as 32 bits.
const (
	NetworkHeader   = 1
	TransportHeader = 2
	VerdictRegister = 0
	BitwiseOp       = 6

	VerdictDrop   = 0
	VerdictAccept = 1
	VerdictJump   = 0xfffffffd
	VerdictGoto   = 0xfffffffc
	VerdictReturn = 0xfffffffb
)

// Keys of ct by linux/netfilter/nf_tables.h.
const (
	ctSrc4 = 19
	ctDst4 = 20
	ctSrc6 = 21
	ctDst6 = 22
)

// EachExpr calls f with the name and the attributes of each expression of a rule.
func EachExpr(exprs []byte, f func(name string, data []byte) error) error {
	return EachAttr(exprs, func(_ uint16, elem []byte) error {
		var name, data []byte
		err := EachAttr(elem, func(typ uint16, b []byte) error {
			switch typ {
			case unix.NFTA_EXPR_NAME:
				name = Cut(b)
			case unix.NFTA_EXPR_DATA:
				data = b
			}
			return nil
		})
		if err != nil {
			return err
		}
		return f(string(name), data)
	})
}

// MetaKey is the name of a key of `meta` as nft(8) writes it.
func MetaKey(key uint32) string { return named(metaKeys, key) }

// CTKey is the name of a key of `ct`.
func CTKey(key uint32) string { return named(ctKeys, key) }

// PayloadBase is the name of the header that an offset into a packet counts from.
func PayloadBase(base uint32) string { return named(payloadBases, base) }

// named is the name of a key as nft(8) writes it.
func named(names []string, key uint32) string {
	if int(key) < len(names) && names[key] != "" {
		return names[key]
	}
	return fmt.Sprintf("key %d", key)
}

var metaKeys = []string{
	unix.NFT_META_LEN: "length", unix.NFT_META_PROTOCOL: "protocol", unix.NFT_META_PRIORITY: "priority",
	unix.NFT_META_MARK: "mark", unix.NFT_META_IIF: "iif", unix.NFT_META_OIF: "oif", unix.NFT_META_IIFNAME: "iifname",
	unix.NFT_META_OIFNAME: "oifname", unix.NFT_META_IIFTYPE: "iiftype", unix.NFT_META_OIFTYPE: "oiftype",
	unix.NFT_META_SKUID: "skuid", unix.NFT_META_SKGID: "skgid", unix.NFT_META_NFTRACE: "nftrace",
	unix.NFT_META_RTCLASSID: "rtclassid", unix.NFT_META_SECMARK: "secmark", unix.NFT_META_NFPROTO: "nfproto",
	unix.NFT_META_L4PROTO: "l4proto", unix.NFT_META_BRI_IIFNAME: "ibrname", unix.NFT_META_BRI_OIFNAME: "obrname",
	unix.NFT_META_PKTTYPE: "pkttype", unix.NFT_META_CPU: "cpu", unix.NFT_META_IIFGROUP: "iifgroup",
	unix.NFT_META_OIFGROUP: "oifgroup", unix.NFT_META_CGROUP: "cgroup", unix.NFT_META_PRANDOM: "random",
}

var payloadBases = []string{"ll", NetworkHeader: "nh", TransportHeader: "th"}

var ctKeys = []string{
	unix.NFT_CT_STATE: "state", unix.NFT_CT_DIRECTION: "direction", unix.NFT_CT_STATUS: "status", unix.NFT_CT_MARK: "mark",
	unix.NFT_CT_SECMARK: "secmark", unix.NFT_CT_EXPIRATION: "expiration", unix.NFT_CT_HELPER: "helper",
	unix.NFT_CT_L3PROTOCOL: "l3proto", unix.NFT_CT_SRC: "saddr", unix.NFT_CT_DST: "daddr", unix.NFT_CT_PROTOCOL: "protocol",
	unix.NFT_CT_PROTO_SRC: "proto-src", unix.NFT_CT_PROTO_DST: "proto-dst", unix.NFT_CT_LABELS: "label",
	unix.NFT_CT_PKTS: "packets", unix.NFT_CT_BYTES: "bytes", unix.NFT_CT_AVGPKT: "avgpkt", unix.NFT_CT_ZONE: "zone",
	unix.NFT_CT_EVENTMASK: "event", ctSrc4: "ip saddr", ctDst4: "ip daddr", ctSrc6: "ip6 saddr", ctDst6: "ip6 daddr",
}
