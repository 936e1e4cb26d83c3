package nftables

import (
	"strings"
	"unicode"

	"hookline/compiler/ir"
)

// The model of a table is ir's, for one that stands on a host is of the same kind.
type (
	Kind  = ir.TableKind
	Table = ir.OwnTable
	Chain = ir.OwnChain
	Base  = ir.BaseChain
	Rule  = ir.OwnRule
)

// The kinds of tables that hold our rules.
const (
	Inet = ir.Inet
	IP   = ir.IP
	IP6  = ir.IP6
)

// KindOf is the kind of a table for some families.
func KindOf(families []ir.Family) Kind {
	if len(families) == 1 {
		return map[ir.Family]Kind{ir.IPv4: IP, ir.IPv6: IP6}[families[0]]
	}
	return Inet
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
