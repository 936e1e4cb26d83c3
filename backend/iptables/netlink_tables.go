package iptables

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// nftFamily is a family of nf_tables. Its hooks are numbered in its own way.
type nftFamily struct {
	name  string
	proto byte
	hooks []string
}

var inetHooks = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

// nftFamilies in the order in which nft(8) describes them.
var nftFamilies = []nftFamily{
	{"ip", unix.NFPROTO_IPV4, inetHooks},
	{"ip6", unix.NFPROTO_IPV6, inetHooks},
	{"inet", unix.NFPROTO_INET, inetHooks},
	{"arp", unix.NFPROTO_ARP, []string{"input", "output", "forward"}},
	{"bridge", unix.NFPROTO_BRIDGE, inetHooks},
	{"netdev", unix.NFPROTO_NETDEV, []string{"ingress", "egress"}},
}

// nftTables reads every table of nftables: its base chains, and how much is in
// it. No tool is asked: nft reads everything to list tables (FIELD M-19), and an
// old nft fails on what a newer one wrote (FIELD T-20).
func (k *kernel) nftTables() ([]ir.NFTTable, error) {
	out := []ir.NFTTable{}
	for _, f := range nftFamilies {
		names, err := k.tableNames(f)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			continue
		}
		chains, err := k.chainsOf(f.proto, f.name)
		if err != nil {
			return nil, err
		}
		counts, err := k.countRules(f)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			out = append(out, nftTable(f, name, chains, counts))
		}
	}
	ir.SortNFTTables(out)
	return out, nil
}

// allTableNames lists the tables of every family as nft(8) names them, sorted.
func (k *kernel) allTableNames() ([]string, error) {
	out := []string{}
	for _, f := range nftFamilies {
		names, err := k.tableNames(f)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			out = append(out, f.name+" "+name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// tableNames lists the tables of a family.
func (k *kernel) tableNames(f nftFamily) ([]string, error) {
	answers, err := k.ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETTABLE, f.proto, netlink.Dump, nil)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // the kernel was built without the family
	}
	if err != nil {
		return nil, fmt.Errorf("listing the %s tables of nftables: %w", f.name, err)
	}
	var out []string
	for _, a := range answers {
		err := eachAttr(a, func(typ uint16, data []byte) error {
			if typ == unix.NFTA_TABLE_NAME {
				out = append(out, string(cut(data)))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the %s tables of nftables: %w", f.name, err)
		}
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
func (k *kernel) countRules(f nftFamily) (map[nftChain]*ruleCount, error) {
	answers, err := k.ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETRULE, f.proto, netlink.Dump, nil)
	if err != nil {
		return nil, fmt.Errorf("listing the rules of the %s tables: %w", f.name, err)
	}
	out := map[nftChain]*ruleCount{}
	for _, a := range answers {
		var at nftChain
		var userdata []byte
		err := eachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_RULE_TABLE:
				at.table = string(cut(data))
			case unix.NFTA_RULE_CHAIN:
				at.chain = string(cut(data))
			case unix.NFTA_RULE_USERDATA:
				userdata = data
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the rules of the %s tables: %w", f.name, err)
		}
		c := out[at]
		if c == nil {
			c = &ruleCount{}
			out[at] = c
		}
		c.rules++
		if tag := userComment(userdata); tag != "" && !slices.Contains(c.tags, tag) && len(c.tags) < maxTags {
			c.tags = append(c.tags, tag)
		}
	}
	return out, nil
}

// maxTags bounds the texts that are kept of one chain's rules: who put them there
// is told by a few.
const maxTags = 64

// nftTable puts a table together. Tags of chains that packets do not enter from a
// hook say nothing about who shares them.
func nftTable(f nftFamily, name string, chains []kernelChain, counts map[nftChain]*ruleCount) ir.NFTTable {
	t := ir.NFTTable{Family: f.name, Name: name}
	for i := range chains {
		c := &chains[i]
		if c.table != name {
			continue
		}
		n := counts[nftChain{name, c.name}]
		if n == nil {
			n = &ruleCount{}
		}
		t.Rules += n.rules
		if !c.base {
			t.Others++
			continue
		}
		b := ir.NFTBaseChain{
			Name: c.name, Type: c.typ, Hook: f.hook(c.hook), Priority: int(c.priority), Policy: "accept",
			Device: c.device, Rules: n.rules, Tags: n.tags,
		}
		if c.policy == verdictDrop {
			b.Policy = "drop"
		}
		slices.Sort(b.Tags)
		t.Chains = append(t.Chains, b)
	}
	return t
}

// hook is a hook's name in a family.
func (f nftFamily) hook(n uint32) string {
	if int(n) < len(f.hooks) {
		return f.hooks[n]
	}
	return fmt.Sprintf("hook %d", n)
}
