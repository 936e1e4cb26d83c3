package redact

import (
	"cmp"
	"errors"
	"hash/fnv"
	"net/netip"
	"slices"
)

// item is an address, or the leading bits of a prefix.
type item struct {
	addr netip.Addr
	bits int
	// pinned items keep their bits.
	pinned bool
}

// trie gives the items of one block their pseudonyms. They form a tree by their
// bits. Where it branches, a pseudonym keeps the bit, or both sides change theirs;
// where it does not, it gets one that depends on nothing but the pseudonym so far.
type trie struct {
	block     netip.Prefix
	items     []item
	known     map[item]bool
	pseudonym map[item]netip.Addr
	taken     map[netip.Addr]bool
	// steps that are left for finding bits that lead nowhere forbidden.
	steps int
}

func newTrie(block netip.Prefix) *trie {
	return &trie{block: block, known: map[item]bool{}, pseudonym: map[item]netip.Addr{}}
}

func (t *trie) add(it item) {
	if !t.known[it] {
		t.known[it] = true
		t.items = append(t.items, it)
	}
}

var errFull = errors.New("the addresses cannot be redacted: they fill a whole block, so that no other ones are left for them")

// solve finds pseudonyms, none of which is one of the taken addresses.
func (t *trie) solve(taken map[netip.Addr]bool) error {
	slices.SortFunc(t.items, func(a, b item) int { return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.bits, b.bits)) })
	t.taken = taken
	t.steps = 1<<20 + 1024*len(t.items)
	if !t.descend(t.items, 0, netip.PrefixFrom(t.block.Addr(), 0).Masked().Addr(), -1) {
		return errFull
	}
	return nil
}

// descend assigns the pseudonyms of items that share their first bits, which
// became the first bits of path. network is the length of the longest prefix above
// them that is itself an item, or -1. It is false if a pseudonym would be forbidden.
func (t *trie) descend(items []item, depth int, path netip.Addr, network int) bool {
	if t.steps--; t.steps < 0 || !t.allowed(items, depth, path) {
		return false
	}
	for len(items) > 0 && items[0].bits == depth {
		if !t.assign(items[0], path, network) {
			return false
		}
		network = depth
		items = items[1:]
	}
	if len(items) == 0 {
		return true
	}
	one, _ := slices.BinarySearchFunc(items, byte(1), func(it item, want byte) int { return cmp.Compare(bit(it.addr, depth), want) })
	switch {
	case one > 0 && one < len(items):
		low, high := items[:one], items[one:]
		if t.descend(low, depth+1, path, network) && t.descend(high, depth+1, with(path, depth), network) {
			return true
		}
		// Where a short prefix has no bit to spare, the order of two halves is given up.
		return !t.keeps(items, depth, -1) && t.descend(low, depth+1, with(path, depth), network) && t.descend(high, depth+1, path, network)
	case t.keeps(items, depth, network):
		return t.descend(items, depth+1, withBit(path, depth, bit(items[0].addr, depth)), network)
	}
	first := fill(path, depth)
	return t.descend(items, depth+1, withBit(path, depth, first), network) ||
		t.descend(items, depth+1, withBit(path, depth, 1-first), network)
}

// keeps tells whether the items keep a bit in which they do not differ: inside
// the block's own bits, above a prefix that is written as it is, and in the zeros by
// which a network's own address ends.
func (t *trie) keeps(items []item, depth, network int) bool {
	if depth < t.block.Bits() {
		return true
	}
	for _, it := range items {
		if it.pinned {
			return true
		}
	}
	return network >= 0 && starts(items[0].addr, depth)
}

// allowed tells whether pseudonyms may begin with a path: it may not lead into a
// block, or to addresses that stay as they are, where the items are not.
func (t *trie) allowed(items []item, depth int, path netip.Addr) bool {
	for _, list := range [][]netip.Prefix{kept, blocks, embeds} {
		for _, b := range list {
			if b.Bits() == depth && depth > 0 && b.Addr() == path && !b.Contains(items[0].addr) {
				return false
			}
		}
	}
	return true
}

func (t *trie) assign(it item, path netip.Addr, network int) bool {
	if it.pinned {
		t.pseudonym[it] = it.addr
		return path == it.addr
	}
	if t.taken[path] || netmask(path) || it.bits < path.BitLen() && known(netip.PrefixFrom(path, it.bits)) {
		return false
	}
	// A network's own address is one, and no other is.
	if network >= 0 && starts(it.addr, network) != starts(path, network) {
		return false
	}
	t.pseudonym[it] = path
	return true
}

// starts tells whether an address is the first of its network.
func starts(a netip.Addr, bits int) bool { return netip.PrefixFrom(a, bits).Masked().Addr() == a }

// fill is the bit that a pseudonym gets behind a path.
func fill(path netip.Addr, depth int) byte {
	h := fnv.New64a()
	b := path.As16()
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte{byte(depth), byte(path.BitLen())})
	n := h.Sum64()
	// The low bits of FNV follow its last byte alone.
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	n ^= n >> 29
	return byte(n & 1)
}

// bit is a bit of an address, counted from its first.
func bit(a netip.Addr, n int) byte {
	b := a.AsSlice()
	return b[n/8] >> (7 - n%8) & 1
}

// with is an address with a bit set.
func with(a netip.Addr, n int) netip.Addr { return withBit(a, n, 1) }

func withBit(a netip.Addr, n int, v byte) netip.Addr {
	b := a.AsSlice()
	mask := byte(1) << (7 - n%8)
	b[n/8] &^= mask
	if v == 1 {
		b[n/8] |= mask
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}

// and is an address under a mask.
func and(a, mask netip.Addr) netip.Addr {
	b, m := a.AsSlice(), mask.AsSlice()
	for i := range b {
		b[i] &= m[i]
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}
