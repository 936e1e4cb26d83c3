package recorded

import (
	"encoding/json"
	"slices"
	"strings"

	"hookline/backend/nfttext"
	"hookline/compiler/ir"
)

// isOwn tells whether a table of nftables is one that a ruleset may own.
func isOwn(family, name string) bool {
	kind := ir.TableKind(family)
	return (kind == ir.Inet || kind == ir.IP || kind == ir.IP6) && strings.HasPrefix(name, ir.OwnTablePrefix) && len(name) > len(ir.OwnTablePrefix)
}

// OwnNames are the names of the tables of nftables that rulesets may own, of those
// that stand, each once and sorted: what ir.Scope.Own asks for to have them all.
func OwnNames(tables []ir.NFTTable) []string {
	var out []string
	for _, t := range tables {
		if isOwn(t.Family, t.Name) {
			out = append(out, t.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// OwnTables are the tables of our name in an `nft -j list ruleset`, with their
// rules in the spelling of nfttext. What such a listing does not show is not there:
// user data of other programs, and that a set is filled by rules.
func OwnTables(text string) ([]*ir.OwnTable, error) {
	n, err := parseListing(text)
	if err != nil {
		return nil, err
	}
	return n.own, nil
}

// listedRule is one rule of a listing.
type listedRule struct {
	Family, Table, Chain, Comment string
	Handle                        uint64
	Expr                          []nfttext.Statement
}

// ownTable finds a table of ours in the listing, or makes it; nil if a table of
// that name is none.
func (n *listing) ownTable(family, name string) *ir.OwnTable {
	if !isOwn(family, name) {
		return nil
	}
	i := slices.IndexFunc(n.own, func(t *ir.OwnTable) bool { return string(t.Kind) == family && t.Name == name })
	if i < 0 {
		i = len(n.own)
		n.own = append(n.own, &ir.OwnTable{Kind: ir.TableKind(family), Name: name})
	}
	return n.own[i]
}

func (n *listing) ownChain(c *listedChain) {
	t := n.ownTable(c.Family, c.Table)
	if t == nil {
		return
	}
	out := t.Chain(c.Name)
	if out == nil {
		out = &ir.OwnChain{Name: c.Name}
		t.Chains = append(t.Chains, out)
	}
	if c.Hook != "" {
		out.Base = &ir.BaseChain{Type: c.Type, Hook: c.Hook, Priority: c.Prio}
		if c.Policy != "accept" {
			out.Base.Policy = c.Policy
		}
	}
}

func (n *listing) ownRule(r *listedRule) {
	t := n.ownTable(r.Family, r.Table)
	if t == nil {
		return
	}
	c := t.Chain(r.Chain)
	if c == nil {
		c = &ir.OwnChain{Name: r.Chain}
		t.Chains = append(t.Chains, c)
	}
	out := ir.OwnRule{Comment: r.Comment, Handle: r.Handle}
	var words []string
	for _, s := range r.Expr {
		words = append(words, s.Text())
		out.Packets, out.Bytes = max(out.Packets, counted(s, "packets")), max(out.Bytes, counted(s, "bytes"))
	}
	out.Text = strings.Join(words, " ")
	c.Rules = append(c.Rules, out)
}

// counted is a number of a rule's counter; 0 if the statement is none.
func counted(s nfttext.Statement, what string) uint64 {
	var numbers map[string]json.RawMessage
	var n uint64
	if json.Unmarshal(s["counter"], &numbers) == nil {
		_ = json.Unmarshal(numbers[what], &n)
	}
	return n
}

// listedSet is one set of a listing, or a map.
type listedSet struct {
	Family, Table, Name string
	Type, Map           json.RawMessage
	Flags               []string
	Timeout             uint32
	Elem                []json.RawMessage
}

// kernelTypes are the types of nft(8) by which sets of ours are declared.
var kernelTypes = map[string]ir.SetField{
	"ipv4_addr": ir.AddressField, "ipv6_addr": ir.AddressField, "inet_service": ir.PortField,
	"ifname": ir.InterfaceField, "ether_addr": ir.MACField, "mark": ir.MarkField,
}

// protocolType stands ahead of a port in a concatenation.
const protocolType = "inet_proto"

func (n *listing) ownSet(s *listedSet) {
	t := n.ownTable(s.Family, s.Table)
	if t == nil || t.Set(s.Name) != nil {
		return
	}
	out := &ir.OwnSet{
		Name: s.Name, Counted: -1, Timeout: s.Timeout,
		Interval: slices.Contains(s.Flags, "interval"), Timeouts: slices.Contains(s.Flags, "timeout"),
	}
	t.Sets = append(t.Sets, out)
	words := typeWords(s.Type)
	var ok bool
	if out.Type, out.Family, ok = setType(words, s.Flags); !ok || s.Map != nil {
		out.Type, out.Family, out.Foreign, out.Counted = nil, 0, describe(words, s), len(s.Elem)
		return
	}
	for _, e := range s.Elem {
		x, ok := readElement(out, words, e)
		if !ok {
			out.Type, out.Family, out.Elements, out.Counted = nil, 0, nil, len(s.Elem)
			out.Foreign = describe(words, s) + " with elements that a ruleset cannot declare"
			return
		}
		out.Elements = append(out.Elements, x)
	}
	slices.SortFunc(out.Elements, ir.Element.Compare)
}

// typeWords are the types of a set's fields.
func typeWords(text json.RawMessage) []string {
	var one string
	if json.Unmarshal(text, &one) == nil {
		return []string{one}
	}
	var many []string
	_ = json.Unmarshal(text, &many)
	return many
}
