package nft

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

var ownKinds = []ir.TableKind{ir.Inet, ir.IP, ir.IP6}

// ownPrefix begins the names of all tables that hookline makes.
const ownPrefix = "hookline-"

// ownTable reads a table of ours with all that is in it. chains are those of its
// family, wanted the sets that it is to have, as far as anybody said.
func (s *session) ownTable(f nfnetlink.Family, head nfnetlink.Table, chains []nfnetlink.Chain, wanted []*ir.OwnSet) (*ir.OwnTable, error) {
	name := head.Name
	t := &ir.OwnTable{Kind: ir.TableKind(f.Name), Name: name, Flags: head.Flags()}
	sets, err := s.kernel.Sets(f.Proto, f.Name, name)
	if err != nil {
		return nil, err
	}
	for i := range sets {
		if sets[i].Anonymous() {
			continue
		}
		set, err := s.ownSet(f, &sets[i], wanted)
		if err != nil {
			return nil, err
		}
		t.Sets = append(t.Sets, set)
	}
	slices.SortFunc(t.Sets, func(a, b *ir.OwnSet) int { return strings.Compare(a.Name, b.Name) })
	rules, err := s.kernel.Rules(f.Proto, f.Name, name, "")
	if err != nil {
		return nil, err
	}
	byChain := map[string][]ir.OwnRule{}
	reader := nfnetlink.NewReader(s.kernel, t.Kind, f, name, sets)
	for i := range rules {
		r, err := ownRule(reader, &rules[i])
		if err != nil {
			return nil, err
		}
		byChain[rules[i].Chain] = append(byChain[rules[i].Chain], r)
	}
	for i := range chains {
		if c := &chains[i]; c.Table == name {
			t.Chains = append(t.Chains, &ir.OwnChain{Name: c.Name, Base: baseOf(f, c), Rules: byChain[c.Name]})
		}
	}
	return t, nil
}

// baseOf is where a chain hooks in; nil if it does not.
func baseOf(f nfnetlink.Family, c *nfnetlink.Chain) *ir.BaseChain {
	if !c.Base {
		return nil
	}
	b := &ir.BaseChain{Type: c.Type, Hook: f.Hook(c.Hook), Priority: int(c.Priority)}
	if c.Policy != nfnetlink.VerdictAccept {
		b.Policy = "drop"
	}
	return b
}

func ownRule(reader *nfnetlink.Reader, r *nfnetlink.Rule) (ir.OwnRule, error) {
	text, err := reader.Text(r.Exprs)
	if err != nil {
		return ir.OwnRule{}, err
	}
	out := ir.OwnRule{Text: text.Text, Handle: r.Handle, Packets: text.Packets, Bytes: text.Bytes}
	out.Comment, out.Tag = userData(r.UserData)
	return out, nil
}

// userData tells a comment as nft writes one from anything else that a program left
// with a rule.
func userData(data []byte) (comment, tag string) {
	if len(data) == 0 {
		return "", ""
	}
	// One entry of type 0, its length, and a text with a NUL at its end.
	if len(data) > 2 && data[0] == 0 && int(data[1]) == len(data)-2 {
		text := data[2:]
		if n := len(text) - 1; text[n] == 0 && !slices.Contains(text[:n], 0) {
			return string(text[:n]), ""
		}
	}
	text := strings.TrimRight(string(data), "\x00")
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", "0x" + hex.EncodeToString(data)
	}
	return "", text
}
