package xtables

import (
	"slices"
	"strings"
	"sync"

	"hookline/compiler/ir"
)

// scratch is the memory that decoding a rule needs while it runs. Decoding is
// done for every rule of a host, and would else spend most of its time on
// allocating this.
type scratch struct {
	parser parser
	words  [40]Word
	again  [40]Word
	out    [256]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (sc *scratch) free() {
	sc.parser = parser{}
	scratches.Put(sc)
}

// Decode reads the text of one rule as iptables-save printed it. Nothing is lost:
// a part that is not understood, or that would not be printed back with the same
// words, becomes a RawMatch or a RawTarget. ok is false if the text does not even
// split into words.
func Decode(text string, f ir.Family) (s *ir.Spec, ok bool) {
	sc := scratches.Get().(*scratch)
	defer sc.free()
	words, err := split(sc.words[:0], text, 0)
	if err != nil {
		return nil, false
	}
	if s := sc.whole(text, words, f); s != nil {
		return s, true
	}
	return sc.parts(text, words, f), true
}

// DecodeRule gives the decoded rule and keeps it in r.Spec. A native rule has no
// meaning that rule text could carry; its spec is one raw match.
func DecodeRule(r *ir.Rule, f ir.Family) *ir.Spec {
	if r.Spec != nil {
		return r.Spec
	}
	if r.Native == nil {
		if s, ok := Decode(r.Text, f); ok {
			r.Spec = s
			return s
		}
	}
	r.Spec = &ir.Spec{Matches: []ir.Match{&ir.RawMatch{Args: []string{r.Text}, Text: r.Text}}}
	return r.Spec
}

// RoundTrips tells that every part of the text is understood and that Print gives
// back the same bytes. Only such a text may be sent back to the tool, to delete a
// rule or to guard a transaction.
func RoundTrips(text string, f ir.Family) bool {
	sc := scratches.Get().(*scratch)
	defer sc.free()
	words, err := split(sc.words[:0], text, 0)
	if err != nil {
		return false
	}
	for _, w := range words {
		if _, _, bad := controlCharacter(w.Text, false); bad {
			return false
		}
	}
	s := sc.whole(text, words, f)
	if s == nil {
		return false
	}
	if t, isRaw := s.Target.(*ir.RawTarget); isRaw && extraTargets[t.Name] {
		return false
	}
	return Print(s, f) == text
}

// DeleteKey is a text that two rules share if a tool takes the one for the other
// when it deletes: of `-m helper` and `-m connlabel` both variants compare nothing
// but the name of the match, and delete the first rule that is otherwise the same.
// It is no rule text.
func DeleteKey(text string, f ir.Family) string {
	if !strings.Contains(text, "-m helper ") && !strings.Contains(text, "-m connlabel ") {
		return text
	}
	decoded, ok := Decode(text, f)
	if !ok {
		return text
	}
	s := *decoded
	s.Matches = slices.Clone(s.Matches)
	blank := false
	for i, m := range s.Matches {
		switch m := m.(type) {
		case *ir.Helper:
			s.Matches[i], blank = &ir.Helper{}, true
		case *ir.RawMatch:
			if m.Module == "connlabel" {
				s.Matches[i], blank = &ir.RawMatch{Module: m.Module}, true
			}
		}
	}
	if !blank {
		return text
	}
	return Print(&s, f)
}

// read parses words that a tool printed, for a rule of the given protocol.
func (sc *scratch) read(words []Word, protocol *ir.Protocol, f ir.Family) *parser {
	sc.parser = parser{
		opt: Options{Family: f}, words: words, decoding: true,
		implied: protocol != nil, spec: &ir.Spec{Protocol: protocol},
	}
	p := &sc.parser
	p.insts = p.room[:0]
	for p.pos < len(p.words) {
		if p.option() != nil {
			return nil
		}
	}
	if p.finish() != nil || p.srcs != nil || p.dsts != nil {
		return nil
	}
	return p
}

// whole reads a text that is understood in full, or gives nil.
func (sc *scratch) whole(text string, words []Word, f ir.Family) *ir.Spec {
	p := sc.read(words, nil, f)
	if p == nil || !sc.printsBack(p.spec, text, words, f) {
		return nil
	}
	return p.spec
}

// printsBack tells that a spec is printed with the same words as a text. Quotes
// and blanks may differ: older versions of the tool quoted more.
func (sc *scratch) printsBack(s *ir.Spec, text string, words []Word, f ir.Family) bool {
	b := appendSpec(sc.out[:0], s, f, 0)
	if len(b) == 0 {
		return len(words) == 0
	}
	if string(b[1:]) == text {
		return true
	}
	printed, err := split(sc.again[:0], string(b), 0)
	if err != nil || len(printed) != len(words) {
		return false
	}
	for i := range printed {
		if printed[i].Text != words[i].Text {
			return false
		}
	}
	return true
}

// parts reads each part by itself and keeps the ones that fail as they are.
func (sc *scratch) parts(text string, words []Word, f ir.Family) *ir.Spec {
	end := 0
	if len(words) > 0 && !startsPart(words, 0) {
		end = nextPart(words, 0, f)
	}
	s := sc.core(text, words[:end], f)
	protocol := s.Protocol
	for end < len(words) {
		start := end
		end = nextPart(words, start, f)
		part := words[start:end]
		if words[start].Text == "-m" {
			s.Matches = append(s.Matches, sc.match(text, part, protocol, f))
			continue
		}
		end = len(words)
		if s.Target = sc.target(text, words[start:], protocol, f); s.Target == nil {
			s.Matches = append(s.Matches, rawMatch(text, "", words[start:]))
		}
	}
	return s
}

// nextPart is the index of the next -m, -j or -g behind i. The arguments of known
// options are stepped over, whatever they look like.
func nextPart(words []Word, i int, f ir.Family) int {
	var m *module
	if i < len(words) && startsPart(words, i) {
		m, _ = find(matchModules, words[i+1].Text, f)
		if words[i].Text != "-m" {
			m, _ = find(targetModules, words[i+1].Text, f)
		}
		i += 2
	}
	for i < len(words) && !startsPart(words, i) {
		w := words[i]
		i++
		if m == nil || len(w.Text) < 3 || w.Text[:2] != "--" {
			continue
		}
		if k := m.lookup(w.Text[2:]); k >= 0 {
			i = min(i+m.options[k].words, len(words))
		}
	}
	return i
}

func startsPart(words []Word, i int) bool {
	w := words[i]
	return !w.Quoted && i+1 < len(words) && (w.Text == "-m" || w.Text == "-j" || w.Text == "-g")
}

// span is the text of some words as it stands.
func span(text string, words []Word) string {
	if len(words) == 0 {
		return ""
	}
	return text[words[0].Start:words[len(words)-1].End]
}

// core reads the options before the first match. What follows the first one that
// is not understood is kept undecoded, in front of the matches.
func (sc *scratch) core(text string, words []Word, f ir.Family) *ir.Spec {
	for n := len(words); n > 0; n-- {
		if s := sc.whole(span(text, words[:n]), words[:n], f); s != nil {
			if n < len(words) {
				s.Matches = append(s.Matches, rawMatch(text, "", words[n:]))
			}
			return s
		}
	}
	s := &ir.Spec{}
	if len(words) > 0 {
		s.Matches = append(s.Matches, rawMatch(text, "", words))
	}
	return s
}

// match reads `-m MODULE ...`.
func (sc *scratch) match(text string, words []Word, protocol *ir.Protocol, f ir.Family) ir.Match {
	if s := sc.part(text, words, protocol, f); s != nil && len(s.Matches) == 1 && s.Target == nil {
		return s.Matches[0]
	}
	if words[1].Text == "" {
		return rawMatch(text, "", words)
	}
	return rawMatch(text, words[1].Text, words[2:])
}

// target reads `-j TARGET ...` or `-g CHAIN`; nil if not even a raw target can be
// made of it.
func (sc *scratch) target(text string, words []Word, protocol *ir.Protocol, f ir.Family) ir.Target {
	if s := sc.part(text, words, protocol, f); s != nil && len(s.Matches) == 0 && s.Target != nil {
		return s.Target
	}
	if words[0].Text != "-j" || words[1].Text == "" {
		return nil
	}
	args, printed := rawWords(text, words[2:])
	return &ir.RawTarget{Name: words[1].Text, Args: args, Text: printed}
}

// part reads one match or the target.
func (sc *scratch) part(text string, words []Word, protocol *ir.Protocol, f ir.Family) *ir.Spec {
	p := sc.read(words, protocol, f)
	if p == nil || p.seen&^seenTarget != 0 {
		return nil
	}
	s := p.spec
	s.Protocol = nil
	if !sc.printsBack(s, span(text, words), words, f) {
		return nil
	}
	return s
}

func rawMatch(text, module string, words []Word) *ir.RawMatch {
	args, printed := rawWords(text, words)
	return &ir.RawMatch{Module: module, Args: args, Text: printed}
}

// rawWords are words as they are, and their text if it is not the usual one.
func rawWords(text string, words []Word) (args []string, printed string) {
	for _, w := range words {
		args = append(args, w.Text)
	}
	if s := span(text, words); s != string(trimBlank(appendRest(nil, args))) {
		return args, s
	}
	return args, ""
}

func trimBlank(b []byte) []byte {
	if len(b) > 0 {
		return b[1:]
	}
	return b
}
