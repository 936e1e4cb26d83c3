package nfnetlink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// Family is a family of nf_tables. Its hooks are numbered in its own way.
type Family struct {
	// Name as nft(8) writes it.
	Name string
	// Proto is its number in nfgenmsg.
	Proto byte
	hooks []string
}

var inetHooks = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

// Families in the order in which nft(8) describes them.
var Families = []Family{
	{"ip", unix.NFPROTO_IPV4, inetHooks},
	{"ip6", unix.NFPROTO_IPV6, inetHooks},
	{"inet", unix.NFPROTO_INET, inetHooks},
	{"arp", unix.NFPROTO_ARP, []string{"input", "output", "forward"}},
	{"bridge", unix.NFPROTO_BRIDGE, inetHooks},
	{"netdev", unix.NFPROTO_NETDEV, []string{"ingress", "egress"}},
}

// Tables reads every table of nftables: its base chains, and how much is in
// it. No tool is asked: nft reads everything to list tables (FIELD M-19), and an
// old nft fails on what a newer one wrote (FIELD T-20).
func (k *Conn) Tables() ([]ir.NFTTable, error) {
	out := []ir.NFTTable{}
	for _, f := range Families {
		tables, err := k.TablesOf(f)
		if err != nil {
			return nil, err
		}
		if len(tables) == 0 {
			continue
		}
		chains, err := k.Chains(f.Proto, f.Name)
		if err != nil {
			return nil, err
		}
		counts, err := k.countRules(f)
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			summary := nftTable(f, t.Name, chains, counts)
			summary.Dormant = t.Dormant()
			out = append(out, summary)
		}
	}
	ir.SortNFTTables(out)
	return out, nil
}

// TableNames lists the tables of every family as nft(8) names them, sorted.
func (k *Conn) TableNames() ([]string, error) {
	out := []string{}
	for _, f := range Families {
		tables, err := k.TablesOf(f)
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			out = append(out, f.Name+" "+t.Name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Table is a table without what is in it.
type Table struct {
	Name string
	// bits are the table's flags, and Owner the netlink port of the process to which it
	// belongs, 0 if to none.
	bits, Owner uint32
}

// tableFlags by linux/netfilter/nf_tables.h, as nft(8) writes them, by bit.
var tableFlags = [...]string{"dormant", "owner", "persist"}

// tableOwner is NFTA_TABLE_OWNER.
const tableOwner = 7

// Dormant tells that no packet enters the table's base chains.
func (t Table) Dormant() bool { return t.bits&1 != 0 }

// Owned tells that only the process that made the table can change it.
func (t Table) Owned() bool { return t.bits&2 != 0 }

// Flags are the table's flags as nft(8) writes them; empty if it has none.
func (t Table) Flags() string {
	var out []string
	for i, name := range tableFlags {
		if t.bits&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	if rest := t.bits &^ (1<<len(tableFlags) - 1); rest != 0 {
		out = append(out, fmt.Sprintf("0x%x", rest))
	}
	return strings.Join(out, ",")
}

// TablesOf lists a family's tables. There are none of a family that the kernel does
// not know.
func (k *Conn) TablesOf(f Family) ([]Table, error) {
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETTABLE, f.Proto, netlink.Dump, nil)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // the kernel was built without the family
	}
	if err != nil {
		return nil, fmt.Errorf("listing the %s tables of nftables: %w", f.Name, err)
	}
	var out []Table
	for _, a := range answers {
		var t Table
		err := EachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_TABLE_NAME:
				t.Name = string(Cut(data))
			case unix.NFTA_TABLE_FLAGS:
				t.bits = Uint32(data)
			case tableOwner:
				t.Owner = Uint32(data)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the %s tables of nftables: %w", f.Name, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// nftChain names a chain inside a family.
type nftChain struct{ table, chain string }

// ruleCount is what a listing says of one chain's rules.
type ruleCount struct {
	rules int
	tags  []string
}

// countRules counts the rules of every chain of a family, and collects the texts
// that programs left with them.
func (k *Conn) countRules(f Family) (map[nftChain]*ruleCount, error) {
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETRULE, f.Proto, netlink.Dump, nil)
	if err != nil {
		return nil, fmt.Errorf("listing the rules of the %s tables: %w", f.Name, err)
	}
	out := map[nftChain]*ruleCount{}
	for _, a := range answers {
		var at nftChain
		var userdata []byte
		err := EachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_RULE_TABLE:
				at.table = string(Cut(data))
			case unix.NFTA_RULE_CHAIN:
				at.chain = string(Cut(data))
			case unix.NFTA_RULE_USERDATA:
				userdata = data
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the rules of the %s tables: %w", f.Name, err)
		}
		c := out[at]
		if c == nil {
			c = &ruleCount{}
			out[at] = c
		}
		c.rules++
		if tag := UserComment(userdata); tag != "" && !slices.Contains(c.tags, tag) && len(c.tags) < maxTags {
			c.tags = append(c.tags, tag)
		}
	}
	return out, nil
}

// maxTags bounds the texts that are kept of one chain's rules: who put them there
// is told by a few.
const maxTags = 64

// Summary is a table by the chains of its family: its base chains with the number of
// their rules. The rules of other chains are not counted, for their number is that of
// the rules and the jumps to them; where there are any, Rules is -1.
func (f Family) Summary(table string, chains []Chain) ir.NFTTable {
	t := ir.NFTTable{Family: f.Name, Name: table}
	for i := range chains {
		c := &chains[i]
		switch {
		case c.Table != table:
		case c.Base:
			t.Chains = append(t.Chains, f.base(c, c.Use, nil))
			t.Rules += c.Use
		default:
			t.Others++
		}
	}
	if t.Others > 0 {
		t.Rules = -1
	}
	return t
}

func (f Family) base(c *Chain, rules int, tags []string) ir.NFTBaseChain {
	b := ir.NFTBaseChain{
		Name: c.Name, Type: c.Type, Hook: f.Hook(c.Hook), Priority: int(c.Priority), Policy: "accept",
		Device: c.Device, Rules: rules, Tags: tags,
	}
	if c.Policy == VerdictDrop {
		b.Policy = "drop"
	}
	slices.Sort(b.Tags)
	return b
}

// nftTable puts a table together. Tags of chains that packets do not enter from a
// hook say nothing about who shares them.
func nftTable(f Family, name string, chains []Chain, counts map[nftChain]*ruleCount) ir.NFTTable {
	t := ir.NFTTable{Family: f.Name, Name: name}
	for i := range chains {
		c := &chains[i]
		if c.Table != name {
			continue
		}
		n := counts[nftChain{name, c.Name}]
		if n == nil {
			n = &ruleCount{}
		}
		t.Rules += n.rules
		if !c.Base {
			t.Others++
			continue
		}
		t.Chains = append(t.Chains, f.base(c, n.rules, n.tags))
	}
	return t
}

// Hook is a hook's name in a family.
func (f Family) Hook(n uint32) string {
	if int(n) < len(f.hooks) {
		return f.hooks[n]
	}
	return fmt.Sprintf("hook %d", n)
}
