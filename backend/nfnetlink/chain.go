package nfnetlink

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Chain is a chain as nf_tables has it.
type Chain struct {
	Table, Name    string
	Base           bool
	Type           string // of a base chain: filter, nat, route
	Hook           uint32
	Priority       int32
	Policy         uint32 // NF_DROP or NF_ACCEPT
	Device         string // of a netdev chain
	Packets, Bytes uint64
	// Use counts the chain's rules and the jumps to it.
	Use int
}

// Chains lists every chain of one of nf_tables' families, which an error calls f.
func (k *Conn) Chains(proto byte, f string) ([]Chain, error) {
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETCHAIN, proto, netlink.Dump, nil)
	if err != nil {
		return nil, fmt.Errorf("listing the %s chains: %w", f, err)
	}
	out := make([]Chain, 0, len(answers))
	table := ""
	for _, a := range answers {
		c := Chain{Policy: VerdictAccept}
		err := EachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_CHAIN_TABLE:
				// Chains come table by table: keep one copy of the name.
				if string(Cut(data)) != table {
					table = string(Cut(data))
				}
				c.Table = table
			case unix.NFTA_CHAIN_NAME:
				c.Name = string(Cut(data))
			case unix.NFTA_CHAIN_TYPE:
				c.Type = string(Cut(data))
			case unix.NFTA_CHAIN_POLICY:
				c.Policy = Uint32(data)
			case unix.NFTA_CHAIN_USE:
				c.Use = int(Uint32(data))
			case unix.NFTA_CHAIN_HOOK:
				c.Base = true
				return EachAttr(data, func(typ uint16, data []byte) error {
					switch typ {
					case unix.NFTA_HOOK_HOOKNUM:
						c.Hook = Uint32(data)
					case unix.NFTA_HOOK_PRIORITY:
						c.Priority = int32(Uint32(data))
					case unix.NFTA_HOOK_DEV:
						c.Device = string(Cut(data))
					}
					return nil
				})
			case unix.NFTA_CHAIN_COUNTERS:
				return EachAttr(data, func(typ uint16, data []byte) error {
					switch typ {
					case unix.NFTA_COUNTER_PACKETS:
						c.Packets = Uint64(data)
					case unix.NFTA_COUNTER_BYTES:
						c.Bytes = Uint64(data)
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the %s chains: %w", f, err)
		}
		out = append(out, c)
	}
	return out, nil
}
