package ir

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// OwnTablePrefix begins the names of all tables of nftables that are ours.
const OwnTablePrefix = "hookline-"

// maxNFTName is the length of the longest name of a table, chain or set of nftables
// that nft writes, maxNFTComment that of a rule's comment.
const (
	maxNFTName    = 255
	maxNFTComment = 128
)

// checkNFTOp says in what a step breaks a promise: it names a table that is not
// ours, or a text in it could mean something else than one step on one line of an
// `nft -f` script.
func checkNFTOp(o *NFTOp) error {
	switch {
	case o.Kind != Inet && o.Kind != IP && o.Kind != IP6:
		return fmt.Errorf("there is no kind %q of our tables", o.Kind)
	case !strings.HasPrefix(o.Table, OwnTablePrefix) || len(o.Table) == len(OwnTablePrefix) || !NFTName(o.Table):
		return fmt.Errorf("a table %q is not ours", o.Table)
	}
	switch o.Do {
	case NFTAddTable, NFTDeleteTable:
		return nil
	case NFTAddSet, NFTDeleteSet, NFTAddElements, NFTDeleteElements:
		if o.Set == nil || !NFTName(o.Set.Name) {
			return fmt.Errorf("the step has no set that nft can name")
		}
		return checkElements(o)
	}
	if !NFTName(o.Chain) {
		return fmt.Errorf("nft cannot write the name of the chain %q", o.Chain)
	}
	switch o.Do {
	case NFTFlushChain, NFTDeleteChain:
		return nil
	case NFTAddChain:
		return checkBase(o.Base)
	case NFTInsertRule, NFTDeleteRule:
		if o.Handle == 0 {
			return fmt.Errorf("the step has no handle")
		}
		if o.Do == NFTDeleteRule {
			return nil
		}
	case NFTAddRule:
	default:
		return fmt.Errorf("a step of kind %d is not ours to send", o.Do)
	}
	if o.Rule == nil {
		return fmt.Errorf("the step has no rule")
	}
	return checkNFTRule(o.Rule)
}

// checkElements makes sure that what a new set or a new element has besides numbers
// stays inside of its quotes.
func checkElements(o *NFTOp) error {
	if (o.Do == NFTAddSet || o.Do == NFTAddElements) && (o.Set.Foreign != "" || len(o.Set.Type) == 0) {
		return fmt.Errorf("the set %s is of no type that is ours to make", o.Set.Name)
	}
	for i := range o.Elements {
		e := &o.Elements[i]
		if len(e.Rest) != len(o.Set.Type)-1 {
			return fmt.Errorf("an element of the set %s does not have its parts", o.Set.Name)
		}
		for n, f := range o.Set.Type {
			if name := e.field(n).Low.Name(); f == InterfaceField && (name == "" || strings.ContainsFunc(name, badInName)) {
				return fmt.Errorf("nft cannot write the interface %q in the set %s", name, o.Set.Name)
			}
		}
		if c := e.Options; c != nil && o.Do == NFTAddElements && (len(c.Comment) > maxNFTComment || strings.Contains(c.Comment, `"`) || strings.ContainsFunc(c.Comment, unicode.IsControl)) {
			return fmt.Errorf("nft cannot write the comment %q", c.Comment)
		}
	}
	return nil
}

func badInName(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"*\\", r) }

func checkBase(b *BaseChain) error {
	if b == nil {
		return nil
	}
	switch {
	case b.Type != "filter" && b.Type != "nat" && b.Type != "route":
		return fmt.Errorf("there is no chain of type %q", b.Type)
	case HookIndex(b.Hook) < 0:
		return fmt.Errorf("there is no hook %q", b.Hook)
	case b.Policy != "" && b.Policy != "accept" && b.Policy != "drop":
		return fmt.Errorf("there is no policy %q", b.Policy)
	}
	return nil
}

// NFTName tells whether nft can write a name: it knows no quotes for those of
// tables, chains and sets. Words of its language can be names of this form too; nft
// refuses those itself.
func NFTName(name string) bool {
	if name == "" || len(name) > maxNFTName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '.':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '/'):
		default:
			return false
		}
	}
	return true
}

// notUnderstood is how backend/nfnetlink says a part of a rule that it has no words
// for.
var notUnderstood = regexp.MustCompile(`\b\w+\(0x[0-9a-f]{16}\)`)

// checkNFTRule makes sure that a rule's text is one statement of nft: the rule, and
// no command, place or comment behind or ahead of it.
func checkNFTRule(r *OwnRule) error {
	first, _, _ := strings.Cut(r.Text, " ")
	parts := strings.Split(r.Text, `"`)
	switch {
	case r.Text == "":
		return fmt.Errorf("the rule is empty")
	case strings.ContainsFunc(r.Text+r.Comment, unicode.IsControl):
		return fmt.Errorf("the rule holds a control character: %q", r.String())
	case first == "handle" || first == "position" || first == "index":
		return fmt.Errorf("the rule begins with a place: %q", r.Text)
	case len(parts)%2 == 0:
		return fmt.Errorf("a quote is open in the rule: %q", r.Text)
	case notUnderstood.MatchString(r.Text):
		return fmt.Errorf("a part of the rule is not understood, so that nft cannot be told to write it: %q", r.Text)
	case len(r.Comment) > maxNFTComment || strings.Contains(r.Comment, `"`):
		return fmt.Errorf("nft cannot write the comment %q", r.Comment)
	}
	depth := 0
	for i, part := range parts {
		if i%2 == 1 {
			// A prefix of log is searched for variables.
			if strings.Contains(part, "$") {
				return fmt.Errorf("nft takes a variable for what stands in quotes: %q", r.Text)
			}
			continue
		}
		for _, c := range part {
			switch c {
			case '{':
				depth++
			case '}':
				depth--
			case ';', '#', '$', '\\':
				return fmt.Errorf("the rule holds a %q outside of quotes: %q", c, r.Text)
			}
			if depth < 0 {
				return fmt.Errorf("a brace closes nothing in the rule: %q", r.Text)
			}
		}
	}
	if depth != 0 {
		return fmt.Errorf("a brace is open in the rule: %q", r.Text)
	}
	return nil
}
