package nftables

import (
	"strings"
	"unicode"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Kind is the family of a table of nftables. A table of Inet sees both families
// of packets.
type Kind string

// The kinds of tables that hold our rules.
const (
	Inet Kind = "inet"
	IP   Kind = "ip"
	IP6  Kind = "ip6"
)

// KindOf is the kind of a table for some families.
func KindOf(families []ir.Family) Kind {
	if len(families) == 1 {
		return map[ir.Family]Kind{ir.IPv4: IP, ir.IPv6: IP6}[families[0]]
	}
	return Inet
}

// Table is a table with all that it is to hold.
type Table struct {
	Kind   Kind
	Name   string
	Chains []*Chain
}

// Chain is a base chain, or a regular chain if Base is nil.
type Chain struct {
	Name  string
	Base  *Base
	Rules []Rule
}

// Base is where a base chain hooks in. Its policy is always accept: a packet that
// we say nothing about is not ours.
type Base struct {
	Type, Hook string
	Priority   int
}

// Rule is a rule as text, without its comment.
type Rule struct {
	Text string
	// Comment is kept with the rule in the kernel; empty if there is none.
	Comment string
	// Origin is the place of the rule in its ruleset.
	Origin diag.Span
}

// String is the rule behind `add rule TABLE CHAIN`.
func (r Rule) String() string {
	if r.Comment == "" {
		return r.Text
	}
	return r.Text + ` comment "` + r.Comment + `"`
}

// MaxComment is how many bytes of comment nft keeps with a rule.
const MaxComment = 128

// CommentProblem says why a text cannot be a rule's comment; empty if it can.
func CommentProblem(text string) string {
	switch {
	case len(text) > MaxComment:
		return "a comment of nft has at most 128 bytes"
	case strings.Contains(text, `"`):
		return "nft cannot write a quote in a comment"
	case !plainText(text):
		return "a comment of nft cannot hold control characters"
	}
	return ""
}

// plainText tells that a text has nothing in it that ends a line or a terminal's
// patience.
func plainText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) < 0
}
