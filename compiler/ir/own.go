package ir

import (
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// TableKind is the family of a table of nftables that may be ours. A table of Inet
// sees the packets of both families.
type TableKind string

// The kinds of our tables.
const (
	Inet TableKind = "inet"
	IP   TableKind = "ip"
	IP6  TableKind = "ip6"
)

// Families are those whose packets a table of the kind sees.
func (k TableKind) Families() []Family {
	switch k {
	case IP:
		return []Family{IPv4}
	case IP6:
		return []Family{IPv6}
	case Inet:
	}
	return Families
}

// OwnTable is a table of nftables that is a ruleset's own and nobody else's: as it
// stands on a host, or as it is to be. One that stands in a State is never changed.
type OwnTable struct {
	Kind TableKind
	Name string
	// Flags are those of a standing table, as nft(8) writes them with commas between:
	// dormant, owner, persist. Ours have none.
	Flags string
	Sets  []*OwnSet
	// Chains in the order in which they were made; it means nothing.
	Chains []*OwnChain
}

// Key is the table as nft(8) names it: "inet hookline-node".
func (t *OwnTable) Key() string { return string(t.Kind) + " " + t.Name }

// Chain finds a chain; nil if the table, which may be nil, has none of that name.
func (t *OwnTable) Chain(name string) *OwnChain {
	if t != nil {
		for _, c := range t.Chains {
			if c.Name == name {
				return c
			}
		}
	}
	return nil
}

// Set finds a set; nil if the table, which may be nil, has none of that name.
func (t *OwnTable) Set(name string) *OwnSet {
	if t != nil {
		for _, s := range t.Sets {
			if s.Name == name {
				return s
			}
		}
	}
	return nil
}

// OwnChain is a base chain of a table of ours, or a regular one if Base is nil.
type OwnChain struct {
	Name  string
	Base  *BaseChain
	Rules []OwnRule
}

// BaseChain is where a chain hooks in.
type BaseChain struct {
	// Type is filter, nat or route; Hook as nft(8) writes it: prerouting ...
	Type, Hook string
	Priority   int
	// Policy is empty for accept, which ours always have: a packet that we say nothing
	// about is not ours. Else it is what somebody made of it: drop.
	Policy string
}

// OwnRule is a rule in a table of ours.
type OwnRule struct {
	// Text is the rule without its comment, in the spelling of nfttext.
	Text string
	// Comment is kept with the rule in the kernel; empty if there is none.
	Comment string
	// Printed is the text that a rule of ours is known to read back as, where that is not
	// Text; Label is what it is called in its ruleset. A standing rule has neither.
	Printed, Label string
	// Tag is user data of a standing rule that is no comment as nft writes one: another
	// program left it there.
	Tag string
	// Handle is the kernel's number for a standing rule, 0 for one that is to be.
	Handle uint64
	// Packets and Bytes are what a standing rule has counted.
	Packets, Bytes uint64
	// Origin is the place of the rule in its ruleset.
	Origin diag.Span
}

// String is the rule behind `add rule TABLE CHAIN`.
func (r OwnRule) String() string {
	if r.Comment == "" {
		return r.Text
	}
	return r.Text + ` comment "` + r.Comment + `"`
}

// Jumps are the chains that the rule jumps or goes to.
func (r OwnRule) Jumps() []string {
	var out []string
	for words := r.Words(); len(words) > 1; words = words[1:] {
		if words[0] == "jump" || words[0] == "goto" {
			out = append(out, words[1])
		}
	}
	return out
}

// Sets are the named sets of its table that the rule asks, writes to or maps by.
func (r OwnRule) Sets() []string {
	var out []string
	for _, w := range r.Words() {
		if name, ok := strings.CutPrefix(w, "@"); ok && !strings.Contains(name, "@") {
			out = append(out, name)
		}
	}
	return out
}

// Meters are the dynamic sets that nft makes for the rule's meters.
func (r OwnRule) Meters() []string {
	var out []string
	for words := r.Words(); len(words) > 1; words = words[1:] {
		if words[0] == "meter" {
			out = append(out, words[1])
		}
	}
	return out
}

// Words are those of the rule's text, without what stands in quotes.
func (r OwnRule) Words() []string {
	var out []string
	for i, part := range strings.Split(r.Text, `"`) {
		if i%2 == 0 {
			out = append(out, strings.FieldsFunc(part, func(c rune) bool { return strings.ContainsRune(" ,{}", c) })...)
		}
	}
	return out
}

// OwnSet is a named set in a table of ours.
type OwnSet struct {
	Name string
	// Type of its elements, and their family if that has one, else 0.
	Type   SetType
	Family Family
	// Foreign describes, as nft(8) would, a standing set that no declaration can ask
	// for: another key, or flags that hookline never sets. Type is nil then.
	Foreign string
	// Interval tells that the kernel keeps ranges, Timeouts that elements can end, and
	// Timeout after how many seconds those without a word of their own do; 0: never.
	Interval, Timeouts bool
	Timeout            uint32
	// Elements in the order and the form of NamedSet.Elements. They are shared and never
	// changed.
	Elements []Element
	// Counted is the number of elements if Elements were not read, else -1.
	Counted int
	// Origin is the place of the set in its ruleset.
	Origin diag.Span
}

// Size is the number of elements.
func (s *OwnSet) Size() int {
	if s.Counted >= 0 {
		return s.Counted
	}
	return len(s.Elements)
}

// SameShape tells that two sets can hold the same elements: one need not be made
// anew to become the other. The kernel keeps addresses and prefixes in the same way:
// whether it keeps ranges is Interval.
func (s *OwnSet) SameShape(o *OwnSet) bool {
	same := func(a, b SetField) bool {
		return a == b || (a == AddressField || a == CIDRField) && (b == AddressField || b == CIDRField)
	}
	return s.Foreign == "" && o.Foreign == "" && slices.EqualFunc(s.Type, o.Type, same) && s.Family == o.Family &&
		s.Interval == o.Interval && s.Timeouts == o.Timeouts && s.Timeout == o.Timeout
}

// OwnTable finds one of the tables of ours that were read; nil if it is not there.
func (s *State) OwnTable(kind TableKind, name string) *OwnTable {
	for _, t := range s.Own {
		if t.Kind == kind && t.Name == name {
			return t
		}
	}
	return nil
}
