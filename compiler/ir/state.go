package ir

import (
	"fmt"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// Family is an address family of netfilter's tables.
type Family uint8

// The families of iptables and ip6tables.
const (
	IPv4 Family = iota + 1
	IPv6
	// BothFamilies stands for the two at once where a table of nftables holds them: it is
	// in no list of families.
	BothFamilies
)

// Families is both, in the order in which they are always shown.
var Families = []Family{IPv4, IPv6}

func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	case BothFamilies:
		return "inet"
	}
	return fmt.Sprintf("family(%d)", uint8(f))
}

// ParseFamily reads "ipv4" or "ipv6".
func ParseFamily(s string) (Family, bool) {
	switch s {
	case "ipv4":
		return IPv4, true
	case "ipv6":
		return IPv6, true
	}
	return 0, false
}

// Variant is a kind of backend.
type Variant string

// The variants of CONTRACT 2, `spec.backend`.
const (
	IptablesNFT    Variant = "iptables-nft"
	IptablesLegacy Variant = "iptables-legacy"
	NFT            Variant = "nft"
)

// Other is the other variant of iptables.
func (v Variant) Other() Variant {
	if v == IptablesLegacy {
		return IptablesNFT
	}
	return IptablesLegacy
}

// TableKey names a table.
type TableKey struct {
	Family Family
	Name   string
}

func (k TableKey) String() string { return k.Family.String() + " " + k.Name }

// ChainKey names a chain.
type ChainKey struct {
	Family Family
	Table  string
	Chain  string
}

func (k ChainKey) String() string { return k.Family.String() + " " + k.Table + " " + k.Chain }

// TableKey is the key of the chain's table.
func (k ChainKey) TableKey() TableKey { return TableKey{k.Family, k.Table} }

// builtinChains lists each iptables table's built-in chains in the order in
// which the kernel traverses them (iptables(8), TABLES).
var builtinChains = map[string][]string{
	"filter":   {"INPUT", "FORWARD", "OUTPUT"},
	"nat":      {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"mangle":   {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"raw":      {"PREROUTING", "OUTPUT"},
	"security": {"INPUT", "FORWARD", "OUTPUT"},
}

// TableNames are the iptables tables in a fixed order: the order in which our
// transactions and plans list them.
var TableNames = []string{"raw", "mangle", "nat", "filter", "security"}

// BuiltinChains lists a table's built-in chains; nil for an unknown table.
func BuiltinChains(table string) []string { return builtinChains[table] }

// IsBuiltin tells whether a chain is a built-in chain of a table.
func IsBuiltin(table, chain string) bool { return slices.Contains(builtinChains[table], chain) }

// State is what a host holds: as read (a snapshot's) or as predicted.
type State struct {
	// Families are the families that were read. Asking about another is an error.
	Families []Family
	// Tables in the order of the save, IPv4 first. A table of a read family that is
	// not listed is absent, which equals empty built-in chains with policy ACCEPT.
	Tables []*Table
	// Sets that were read: ipsets, by name only as far as their elements were not
	// asked for.
	Sets []*Set
	// SetsRead tells that Sets lists every set of the host.
	SetsRead bool
	// Own are the tables of nftables that are ours, NFTTables all tables of nftables
	// with their base chains, those of iptables and ours among them, in the order of
	// SortNFTTables. Both are read for the nft backend only.
	Own       []*OwnTable
	NFTTables []NFTTable
}

// Table is one table of one family.
type Table struct {
	Family Family
	Name   string
	// Unreadable is the tool's own sentence if the table exists but its rules
	// cannot be had (FIELD M-40), else empty.
	Unreadable string
	// Partial tells that only the chains with Read set were read; the others are
	// known to exist and nothing more.
	Partial bool
	// Chains as printed, built-in chains first.
	Chains []*Chain
}

// Key names the table.
func (t *Table) Key() TableKey { return TableKey{t.Family, t.Name} }

// Chain is one chain of a table.
type Chain struct {
	Name string
	// Policy of a built-in chain: ACCEPT or DROP; empty for a user-defined chain.
	Policy         string
	Packets, Bytes uint64 // the policy counters
	// Unreadable says why the chain's rules cannot be had although the table's others
	// can (native rules, FIELD M-48); Read is false then. Else empty.
	Unreadable string
	// Read tells that Rules are the chain's rules; false: only its name is known.
	Read bool
	// Rules in order. Native rules stand among them (Rule.Native), so that
	// positions count them (FIELD M-27).
	Rules []*Rule
	// Natives are the native rules of a chain that was not read because of them, as
	// far as they are known. Those of a chain that was read stand among Rules.
	Natives []NativeAt
	// Refs is the number of references to the chain that the kernel counts, or -1 if
	// that was not asked.
	Refs int
	// Span is the line of a recorded snapshot that declares the chain.
	Span diag.Span
}

// Rule is one rule in a chain. A Rule that stands in a State is never changed.
type Rule struct {
	// Text is the rule behind "-A CHAIN ", byte for byte as the tool printed it, or
	// as we send it: the spelling that iptables-save prints. Empty text is a rule
	// that matches everything and only counts.
	Text           string
	Packets, Bytes uint64
	// Spec is the decoded rule, or nil if nobody decoded it yet (xtables.Decode).
	Spec *Spec
	// Native is set for a rule that iptables did not write and cannot express.
	Native *Native
	// Origin is the YAML value that the rule comes from, or its line in a recorded
	// snapshot.
	Origin diag.Span
}

// Set is an ipset or a named set.
type Set struct {
	// Family is 0 for a set without one (ipset's hash:mac, bitmap:port and list:set).
	Family Family
	Name   string
	Type   string // as the tool names it: hash:net, ...
	// Header are the words behind the type in the tool's own create line, or empty if
	// nobody asked for the elements.
	Header string
	// Elements as the tool prints them, in no order: what matches, then what the element
	// says besides (timeout, comment).
	Elements []string
	// Counted is the number of elements if Elements were not read, else -1.
	Counted int
	// Refs is the number of references that the kernel counts: rules, and sets of sets.
	// It is 0 if there are none or nobody asked.
	Refs int
}

// Table finds a table; nil if the state does not list it.
func (s *State) Table(f Family, name string) *Table {
	for _, t := range s.Tables {
		if t.Family == f && t.Name == name {
			return t
		}
	}
	return nil
}

// Chain finds a chain by name; nil if the table has none of that name. The nil
// table has no chains.
func (t *Table) Chain(name string) *Chain {
	if t == nil {
		return nil
	}
	for _, c := range t.Chains {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// NotReadError says that a state was asked about what was not read.
type NotReadError struct {
	Key    ChainKey // Chain is empty if the whole table is meant
	Reason string
}

func (e *NotReadError) Error() string {
	what := "table " + e.Key.Family.String() + " " + e.Key.Table
	if e.Key.Chain != "" {
		what = "chain " + e.Key.String()
	}
	return what + " was not read: " + e.Reason
}

// Lookup finds a chain and keeps "absent" and "not read" apart: an absent chain
// is nil without an error (for a built-in chain of an absent table, an empty
// chain with policy ACCEPT), an unread one a *NotReadError.
func (s *State) Lookup(k ChainKey) (*Chain, error) {
	if !slices.Contains(s.Families, k.Family) {
		return nil, &NotReadError{k, "the family is unknown"}
	}
	t := s.Table(k.Family, k.Table)
	if t != nil && t.Unreadable != "" {
		return nil, &NotReadError{k, t.Unreadable}
	}
	c := t.Chain(k.Chain)
	switch {
	case c == nil && IsBuiltin(k.Table, k.Chain):
		return &Chain{Name: k.Chain, Policy: "ACCEPT", Read: true}, nil
	case c == nil:
		return nil, nil
	case c.Unreadable != "":
		return nil, &NotReadError{k, c.Unreadable}
	case !c.Read:
		return nil, &NotReadError{k, "only the chain's name was read"}
	}
	return c, nil
}

// Set finds a set by its kernel name; nil if there is none.
func (s *State) Set(name string) *Set {
	for _, x := range s.Sets {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// Clone copies the lists of tables and chains but shares chains' rules, which
// nobody changes.
func (s *State) Clone() *State {
	n := &State{Families: slices.Clone(s.Families), Sets: slices.Clone(s.Sets), SetsRead: s.SetsRead, Own: slices.Clone(s.Own), NFTTables: slices.Clone(s.NFTTables)}
	for _, t := range s.Tables {
		n.Tables = append(n.Tables, t.Clone())
	}
	return n
}

// Clone copies the table's list of chains and shares the chains.
func (t *Table) Clone() *Table {
	c := *t
	c.Chains = slices.Clone(t.Chains)
	return &c
}

// Comments of the rule's text in order of writing, decoded or not; see Spec.
func (r *Rule) Comments() []string {
	if r.Spec == nil {
		return nil
	}
	return r.Spec.Comments()
}

// MatchGlob tells whether a name matches an anchored glob in which `*` stands
// for any text, and nothing else is special.
func MatchGlob(glob, name string) bool {
	head, rest, star := strings.Cut(glob, "*")
	if !star {
		return glob == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, tail, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], tail
	}
}
