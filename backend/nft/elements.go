package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// ownSet reads a named set of a table of ours.
func (s *session) ownSet(f nfnetlink.Family, set *nfnetlink.Set) (*ir.OwnSet, error) {
	elements, err := s.kernel.Elements(f.Proto, f.Name, set.Table, set.Name)
	if err != nil {
		return nil, err
	}
	return &ir.OwnSet{
		Name: set.Name, Foreign: fmt.Sprintf("type %d flags 0x%x", set.KeyType, set.Flags),
		Interval: set.Flags&unix.NFT_SET_INTERVAL != 0, Timeouts: set.Flags&unix.NFT_SET_TIMEOUT != 0,
		Timeout: uint32(set.Timeout / 1000), Counted: len(elements),
	}, nil
}
