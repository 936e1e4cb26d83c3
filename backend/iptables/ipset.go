package iptables

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// Numbers of linux/netfilter/ipset/ip_set.h.
const (
	ipsetSubsys   = 6
	ipsetList     = 7
	ipsetProtocol = 7 // since Linux 4.20; before, 6
	ipsetOldest   = 6

	ipsetAttrProtocol = 1
	ipsetAttrName     = 2
	ipsetAttrType     = 3
	ipsetAttrFamily   = 5
	ipsetAttrFlags    = 6
	ipsetAttrData     = 7

	ipsetFlagHeader   = 1 << 2 // list without elements
	ipsetDataElements = 24
	ipsetDataRefs     = 25
)

// readSets fills in the ipsets: every one if the scope asks for all, else those
// that it names. Sets are listed by netlink, which needs no ipset tool; their
// elements are read by it.
func (s *session) readSets(ctx context.Context, scope ir.Scope, state *ir.State) error {
	all := scope.AllSets || everything(scope)
	if !all && len(scope.Sets)+len(scope.SetGlobs) == 0 {
		return nil
	}
	if s.kernel == nil {
		return errors.New("listing the ipsets: no netlink socket to netfilter")
	}
	sets, err := s.kernel.ipsets()
	if err != nil {
		return err
	}
	if !all {
		sets = slices.DeleteFunc(sets, func(x *ir.Set) bool {
			return !slices.Contains(scope.Sets, x.Name) && !slices.ContainsFunc(scope.SetGlobs, func(g string) bool { return ir.MatchGlob(g, x.Name) })
		})
	}
	if sets, err = s.readElements(ctx, sets, scope); err != nil {
		return err
	}
	state.Sets = sets
	// A list of names is read whole: what is not among them does not exist.
	state.SetsRead = all
	return nil
}

// ipsets lists the ipsets of the namespace by name, type and size. A kernel
// without ipset has none.
func (k *kernel) ipsets() ([]*ir.Set, error) {
	answers, err := k.askIpset(ipsetProtocol)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTO) {
		answers, err = k.askIpset(ipsetOldest)
	}
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		// nfnetlink answers so for a subsystem that is not there.
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("listing the ipsets: %w", err)
	}
	var out []*ir.Set
	for _, a := range answers {
		set := &ir.Set{Counted: -1}
		err := nfnetlink.EachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case ipsetAttrName:
				set.Name = string(nfnetlink.Cut(data))
			case ipsetAttrType:
				set.Type = string(nfnetlink.Cut(data))
			case ipsetAttrFamily:
				set.Family = ipsetFamily(data)
			case ipsetAttrData:
				return nfnetlink.EachAttr(data, func(typ uint16, data []byte) error {
					switch typ {
					case ipsetDataElements:
						set.Counted = int(nfnetlink.Uint32(data))
					case ipsetDataRefs:
						set.Refs = int(nfnetlink.Uint32(data))
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the ipsets: %w", err)
		}
		if set.Name != "" {
			out = append(out, set)
		}
	}
	slices.SortFunc(out, func(a, b *ir.Set) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, nil
}

func (k *kernel) askIpset(protocol byte) ([][]byte, error) {
	attrs := nfnetlink.AppendAttr(nil, ipsetAttrProtocol, []byte{protocol})
	attrs = nfnetlink.AppendAttr(attrs, ipsetAttrFlags|unix.NLA_F_NET_BYTEORDER, []byte{0, 0, 0, ipsetFlagHeader})
	return k.Ask(ipsetSubsys, ipsetList, unix.AF_UNSPEC, netlink.Dump, attrs)
}

func ipsetFamily(data []byte) ir.Family {
	if len(data) > 0 {
		switch data[0] {
		case unix.NFPROTO_IPV4:
			return ir.IPv4
		case unix.NFPROTO_IPV6:
			return ir.IPv6
		}
	}
	return 0
}
