package redact

import (
	"encoding/binary"
	"net/netip"
)

// kept are the blocks whose addresses stay as they are: they mean the same on
// every machine.
var kept = prefixes(
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/3",
	"::/127", "100::/64", "2001:db8::/32", "3fff::/20", "fe80::/10", "ff00::/8",
)

// embeds are the ranges whose addresses hold an IPv4 address in their last four
// bytes.
var embeds = prefixes("::ffff:0:0/96", "64:ff9b::/96")

// blocks are known ranges: that an address is in one may be told, which one it is
// may not. Of a block an address keeps the leading bits.
var blocks = prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/8", "fd00::/8", "2000::/3")

// wide is how long a prefix has to be to say anything of a site: 0.0.0.0/1 is half
// of the world.
const wideV4, wideV6 = 8, 16

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func wide(a netip.Addr) int {
	if a.Is4() {
		return wideV4
	}
	return wideV6
}

// stays tells whether an address is written as it is.
func stays(a netip.Addr) bool {
	if netmask(a) {
		return true
	}
	for _, p := range kept {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// known tells whether a prefix is written as it is: it is as wide as the world, is
// one of the blocks, or holds one whole.
func known(p netip.Prefix) bool {
	if p.Bits() < wide(p.Addr()) {
		return true
	}
	for _, list := range [][]netip.Prefix{kept, blocks} {
		for _, b := range list {
			if b.Bits() >= p.Bits() && p.Contains(b.Addr()) {
				return true
			}
		}
	}
	return false
}

// blockOf is the block that an address is in; not valid if it is in none.
func blockOf(a netip.Addr) netip.Prefix {
	for _, b := range blocks {
		if b.Contains(a) {
			return b
		}
	}
	return netip.Prefix{}
}

// netmask tells whether an address is a mask: ones, then zeros. Only such as begin
// with eight ones are meant, 128.0.0.0 is an address.
func netmask(a netip.Addr) bool {
	b := a.As16()
	if a.Is4() {
		v4 := a.As4()
		n := binary.BigEndian.Uint32(v4[:])
		return n>>24 == 0xff && ^n&(^n+1) == 0
	}
	if b[0] != 0xff || b[1] != 0xff {
		return false
	}
	ones := true
	for _, x := range b {
		switch {
		case ones && x == 0xff:
		case ones && ^x&(^x+1) == 0:
			ones = false
		case x != 0:
			return false
		default:
			ones = false
		}
	}
	return true
}
