package nftables

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// RawPart is a piece of text that somebody wrote for nft: literal, or the value of
// an expression, which stands for one word, or for a part of one.
type RawPart struct {
	Text    string
	IsValue bool
}

// Raw reads the statements of one rule as they were written for nft. They are
// checked for their shape: that they are the statements of one rule, and that what
// they jump to is there. chain gives the name in our table of a chain that may be
// jumped to; ok is false if there is none of that name.
//
// set does the same for a set that may be asked.
//
// What the statements mean is nft's to judge, when it loads them.
func Raw(parts []RawPart, chain, set func(name string) (inTable string, ok bool)) (Body, error) {
	r := &rawText{}
	for _, p := range parts {
		for _, c := range p.Text {
			if err := r.read(c, p.IsValue); err != nil {
				return Body{}, err
			}
		}
	}
	r.end()
	switch {
	case r.quoted:
		return Body{}, fmt.Errorf("a quote is not closed")
	case len(r.open) > 0:
		return Body{}, fmt.Errorf("%q is not closed", r.open[len(r.open)-1])
	case len(r.words) == 0:
		return Body{}, fmt.Errorf("the text is empty")
	}
	words, err := r.check(chain, set)
	if err != nil {
		return Body{}, err
	}
	return Body{statements: []string{joined(words)}}, nil
}

// rawText splits text into words: what stands between blanks, and each quoted text,
// brace and comma by itself.
type rawText struct {
	words  []string
	word   strings.Builder
	quoted bool
	open   []rune
}

// wordChars are what a word is made of, besides letters and digits. A value has
// none of the others: it is a word, or a part of one.
const (
	wordChars    = "_-.:/*+"
	literalChars = wordChars + "=!<>&|^()[]@~%"
)

func letter(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func (r *rawText) end() {
	if r.word.Len() > 0 {
		r.words = append(r.words, r.word.String())
		r.word.Reset()
	}
}

func (r *rawText) read(c rune, value bool) error {
	switch {
	case unicode.IsControl(c) || c == unicode.ReplacementChar:
		return fmt.Errorf("control characters and line ends cannot stand in a rule")
	case c == '$':
		return fmt.Errorf("nft takes $ for one of its variables")
	case r.quoted:
		return r.inQuotes(c, value)
	case value && !letter(c) && !strings.ContainsRune(wordChars, c):
		return fmt.Errorf("a value is one word, and %q cannot stand in it", c)
	case c == '"':
		r.end()
		r.quoted = true
		r.word.WriteRune(c)
	case c == ' ':
		r.end()
	case c == ',':
		r.end()
		r.words = append(r.words, ",")
	case c == '{' || c == '}':
		r.end()
		r.words = append(r.words, string(c))
		return r.bracket(c)
	case letter(c) || strings.ContainsRune(literalChars, c):
		r.word.WriteRune(c)
		return r.bracket(c)
	default:
		return fmt.Errorf("%q cannot stand in a rule", c)
	}
	return nil
}

func (r *rawText) inQuotes(c rune, value bool) error {
	if value && c == '"' {
		return fmt.Errorf("a value inside quotes cannot hold a quote")
	}
	r.word.WriteRune(c)
	if c == '"' {
		r.quoted = false
		r.end()
	}
	return nil
}

var closing = map[rune]rune{'}': '{', ')': '(', ']': '['}

// bracket keeps account of what is open.
func (r *rawText) bracket(c rune) error {
	switch c {
	case '{', '(', '[':
		r.open = append(r.open, c)
	case '}', ')', ']':
		n := len(r.open)
		if n == 0 || r.open[n-1] != closing[c] {
			return fmt.Errorf("%q closes nothing", c)
		}
		r.open = r.open[:n-1]
	}
	return nil
}

// elsewhere are words that at the beginning of a rule say where it is to stand.
var elsewhere = []string{"handle", "position", "index"}

// payloads are what may stand behind @: parts of a packet. Else it is a set.
var payloads = []string{"@ll", "@nh", "@th", "@ih"}

// check looks at the words and puts in the names of chains.
func (r *rawText) check(chain, set func(name string) (string, bool)) ([]string, error) {
	if slices.Contains(elsewhere, r.words[0]) {
		return nil, fmt.Errorf("%s says where a rule is to stand: the order of the ruleset does", r.words[0])
	}
	words := slices.Clone(r.words)
	for i, w := range words {
		switch {
		case w == "comment":
			return nil, fmt.Errorf("a comment is written as comment: beside the text")
		case strings.HasPrefix(w, "@") && !slices.Contains(payloads, w):
			name, ok := set(strings.TrimPrefix(w, "@"))
			if !ok {
				return nil, fmt.Errorf("the set %s is not declared", strings.TrimPrefix(w, "@"))
			}
			words[i] = "@" + name
		case strings.Contains(w, "@") && w[0] != '"' && w[0] != '@':
			return nil, fmt.Errorf("@ begins a word")
		case w != "jump" && w != "goto":
		case i+1 == len(words):
			return nil, fmt.Errorf("%s does not say where to", w)
		default:
			name, ok := chain(words[i+1])
			if !ok {
				return nil, fmt.Errorf("chain %s is not declared in this table", words[i+1])
			}
			words[i+1] = name
		}
	}
	if err := stale(words); err != nil {
		return nil, err
	}
	if err := joinedNegations(words); err != nil {
		return nil, err
	}
	return words, nil
}

// joined puts blanks between words, but none ahead of a comma.
func joined(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w != "," {
			b.WriteByte(' ')
		}
		b.WriteString(w)
	}
	return b.String()
}
