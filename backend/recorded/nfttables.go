package recorded

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// listedTool is the head of a listing.
type listedTool struct {
	Version string `json:"version"`
	Release string `json:"release_name"`
}

// String is the version as the tool prints it for --version.
func (t listedTool) String() string {
	if t.Release == "" {
		return "nftables v" + t.Version
	}
	return fmt.Sprintf("nftables v%s (%s)", t.Version, t.Release)
}

// listedChain is one chain of a listing; a base chain has a hook.
type listedChain struct {
	Family, Table, Name, Type, Hook, Policy string
	Prio                                    int
	Dev                                     json.RawMessage
}

// find is a table of the listing, which is made if a chain or a rule names it
// before it was declared.
func (n *listing) find(family, name string) *ir.NFTTable {
	for i := range n.all {
		if n.all[i].Family == family && n.all[i].Name == name {
			return &n.all[i]
		}
	}
	n.all = append(n.all, ir.NFTTable{Family: family, Name: name})
	return &n.all[len(n.all)-1]
}

func (n *listing) chain(c *listedChain) {
	if key, ok := tableKey(c.Family, c.Table); ok {
		n.chains[key] = append(n.chains[key], c.Name)
	}
	t := n.find(c.Family, c.Table)
	if c.Hook == "" {
		t.Others++
		return
	}
	b := ir.NFTBaseChain{Name: c.Name, Type: c.Type, Hook: c.Hook, Priority: c.Prio, Policy: c.Policy, Device: strings.Join(oneOrMore(c.Dev), ",")}
	if b.Policy == "" {
		b.Policy = "accept"
	}
	t.Chains = append(t.Chains, b)
}

// oneOrMore are the texts of a key that holds one, or a list of them.
func oneOrMore(text json.RawMessage) []string {
	var one string
	if json.Unmarshal(text, &one) == nil && one != "" {
		return []string{one}
	}
	var many []string
	_ = json.Unmarshal(text, &many)
	return many
}

func (n *listing) count(family, table, chain, comment string) {
	t := n.find(family, table)
	t.Rules++
	for i := range t.Chains {
		c := &t.Chains[i]
		if c.Name != chain {
			continue
		}
		c.Rules++
		if at, known := slices.BinarySearch(c.Tags, comment); comment != "" && !known {
			c.Tags = slices.Insert(c.Tags, at, comment)
		}
	}
}

// listingOnly is the reason for which rules in tables of iptables are not known
// from a listing alone (FIELD M-15, M-28).
const listingOnly = "nft shows the rules of iptables without comments, matches and some targets; an iptables-nft-save beside the listing has them"

// addListing takes over what a listing says beyond iptables' own tables. Where no
// save says it, the names of iptables' chains are kept: they tell who is there.
func (l *loader) addListing(n *listing) {
	l.snap.Host = &ir.Host{NFTTables: n.all}
	if n.tool != "" {
		if l.snap.Tools == nil {
			l.snap.Tools = map[string]string{}
		}
		l.snap.Tools["nft"] = n.tool
	}
}

// listingAlone makes a snapshot of nothing but a listing: no family's save is
// known, so nothing can be planned against it.
func (l *loader) listingAlone(path string, n *listing) {
	if l.snap.Variant == ir.NFT {
		l.addListing(n)
		l.listedState(path, n)
		return
	}
	l.snap.Variant = ir.IptablesNFT
	l.addListing(n)
	l.snap.State = n.chainNames()
	l.warnf("%s is an nft listing alone: what stands in the tables of iptables is known by the names of chains only", path)
}

// chainNames are the tables of iptables as far as a listing tells of them. No
// family of them counts as read.
func (n *listing) chainNames() *ir.State {
	state := &ir.State{}
	for _, f := range ir.Families {
		for _, name := range ir.TableNames {
			key := ir.TableKey{Family: f, Name: name}
			if !n.tables[key] {
				continue
			}
			t := &ir.Table{Family: f, Name: name, Unreadable: listingOnly}
			n.unreadable(t)
			for _, c := range t.Chains {
				c.Unreadable = listingOnly
			}
			state.Tables = append(state.Tables, t)
		}
	}
	return state
}

// listingFile reads a file that is a listing.
func (l *loader) listingFile(path, text string) {
	file := diag.NewFile(path, text)
	if l.snap.Variant == ir.IptablesLegacy {
		l.list.Errorf(diag.SnapshotText, file.Span(0, 1), "this is an nft listing, which says nothing about legacy tables")
		return
	}
	n, err := parseListing(text)
	if err != nil {
		at := 0
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = min(int(syntax.Offset), len(text)-1)
		}
		l.list.Errorf(diag.SnapshotText, file.Span(at, at+1), "%v", err)
		return
	}
	l.listingAlone(path, n)
	l.finish()
}
