package nfnetlink

import (
	"crypto/sha256"
	"encoding/hex"

	"golang.org/x/sys/unix"

	"hookline/backend/nfttext"
)

// unknown is what stands for a part of a rule that is not understood: in an exact
// text with a digest of what it is made of.
func (d *describer) unknown(name string, data []byte) string {
	if !d.exact {
		return nfttext.Unknown(name)
	}
	sum := sha256.Sum256(append(append([]byte(name), 0), data...))
	return name + "(0x" + hex.EncodeToString(sum[:digestSize]) + ")"
}

// digestSize is how many bytes of a digest are shown: two expressions that differ
// shall not read the same by chance.
const digestSize = 8

// running are the attributes of expressions that change while a rule stands.
var running = map[string][]uint16{
	"counter": {unix.NFTA_COUNTER_BYTES, unix.NFTA_COUNTER_PACKETS},
	"quota":   {quotaConsumed},
	"last":    {lastSet, lastMsecs},
}

// Attributes by linux/netfilter/nf_tables.h.
const (
	quotaConsumed = 4
	lastSet       = 1
	lastMsecs     = 2
)

// still is the expression at hand without what it has counted.
func still(name string, data []byte) []byte {
	drop := running[name]
	if len(drop) == 0 {
		return data
	}
	var out []byte
	_ = EachAttr(data, func(typ uint16, b []byte) error {
		for _, t := range drop {
			if t == typ {
				return nil
			}
		}
		out = AppendAttr(out, typ, b)
		return nil
	})
	return out
}
