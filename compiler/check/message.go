package check

import (
	"slices"
	"strings"
	"unicode"

	"github.com/google/cel-go/common"

	"hookline/dsl/diag"
)

// maxFindings of one expression are reported; what follows is seldom news.
const maxFindings = 5

// reservedWords are the words that CEL keeps for itself. true, false, null and in
// cannot even be fields.
const reservedWords = ` as break const continue else false for function if import in let loop
 namespace null package return true var void while `

// IsReserved tells that a name cannot be a variable of an expression, and is
// better not the name of a param.
func IsReserved(name string) bool {
	return name != "" && strings.Contains(strings.ReplaceAll(reservedWords, "\n", " "), " "+name+" ")
}

// syntaxMessages are what the parser says, and what we say: the first whose
// pattern is found wins.
var syntaxMessages = []struct{ theirs, ours, help string }{
	{"invalid int literal", "the number does not fit into 64 bits", ""},
	{"invalid uint literal", "the number does not fit into 64 bits", ""},
	{"invalid double literal", "the number cannot be read", ""},
	{"invalid argument to has() macro", "has() needs a field here", "write it like has(facts.rack)"},
	{"argument must be a simple name", "a name for the items is needed here", ""},
	{"unsupported syntax", "optional fields and items are not part of the language here", "write has(x.y) ? x.y : OTHER"},
	{"argument is not an identifier", "a name for the items is needed here", ""},
}

// reportSyntax reports the first syntax error; the others follow from it.
func (e *Env) reportSyntax(src Source, errs []*common.Error, list *diag.List) {
	whole := src.at(0, len(src.Text))
	if strings.TrimSpace(src.Text) == "" {
		list.Errorf(diag.CELSyntax, whole, "the expression is empty")
		return
	}
	err := errs[0]
	msg := strings.TrimPrefix(err.Message, "Syntax error: ")
	if strings.Contains(msg, "recursion") || strings.Contains(msg, "exceeds") {
		list.Errorf(diag.CELCost, whole, "the expression is too large or nests too deeply")
		return
	}
	at := src.offset(err.Location.Line(), err.Location.Column())
	start, end := src.tokenAt(at)
	word, span := src.Text[start:end], src.at(start, end)
	for _, m := range syntaxMessages {
		if strings.Contains(msg, m.theirs) {
			list.Errorf(diag.CELSyntax, span, "%s", m.ours).WithHelp("%s", m.help)
			return
		}
	}
	switch {
	case IsReserved(word):
		d := list.Errorf(diag.CELSyntax, span, "%q is a reserved word and cannot stand here", word)
		if word == "in" && start > 0 && strings.HasSuffix(strings.TrimRight(src.Text[:start], " \t\r\n"), ".") {
			d.WithHelp("use rule.iface")
		}
	case start == end:
		reportEnd(src, msg, end, list)
	case word == "=":
		list.Errorf(diag.CELSyntax, span, `"=" is no operator here`).WithHelp("compare with ==")
	case word == "&" || word == "|":
		list.Errorf(diag.CELSyntax, span, "%q is no operator here", word).WithHelp("write %s%s", word, word)
	case word == "and" || word == "or" || word == "not":
		list.Errorf(diag.CELSyntax, span, "%q is no operator here", word).
			WithHelp("write %s", map[string]string{"and": "&&", "or": "||", "not": "!"}[word])
	case isFunction(word):
		list.Errorf(diag.CELSyntax, span, "%q is not expected here", word).WithHelp("functions are called like x.%s(y)", word)
	case word[0] == '"' || word[0] == '\'':
		reportQuote(src, start, end, msg, list)
	default:
		list.Errorf(diag.CELSyntax, span, "%q is not expected here", clip(word))
	}
}

// reportEnd reports an expression that is not finished.
func reportEnd(src Source, msg string, end int, list *diag.List) {
	what := "a value"
	expected := msg
	if _, list, found := strings.Cut(msg, "expecting "); found {
		expected = list
	}
	if !strings.Contains(expected, "IDENTIFIER") {
		for _, closing := range []string{")", "]", "}", ":"} {
			if strings.Contains(expected, "'"+closing+"'") {
				what = closing
				break
			}
		}
	}
	list.Errorf(diag.CELSyntax, src.at(end, end), "the expression ends where %s is needed", what)
}

func reportQuote(src Source, start, end int, msg string, list *diag.List) {
	text := src.Text[start:end]
	closed := len(text) > 1 && text[len(text)-1] == text[0]
	switch {
	case !strings.HasPrefix(msg, "token recognition error"):
		list.Errorf(diag.CELSyntax, src.at(start, end), "the string %s is not expected here", clip(text))
	case !closed:
		list.Errorf(diag.CELSyntax, src.at(start, end), "the string is not closed").WithHelp("strings end on their line with %c", text[0])
	default:
		list.Errorf(diag.CELSyntax, src.at(start, end), "the string holds an unknown escape").
			WithHelp(`write \\ for a backslash, or r"..." for a string without escapes`)
	}
}

// printable shows control characters, so that a message stays a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '�'
		}
		return r
	}, s)
}

// holes are the texts between the separators of a message, the first of which
// begins it. It is false for another message.
func holes(msg string, separators ...string) ([]string, bool) {
	rest, found := strings.CutPrefix(msg, separators[0])
	if !found {
		return nil, false
	}
	var out []string
	for _, s := range separators[1:] {
		var hole string
		if hole, rest, found = strings.Cut(rest, s); !found {
			return nil, false
		}
		out = append(out, hole)
	}
	return out, true
}

// typeWord says a type in the words of rulesets.
func typeWord(s string) string {
	s = strings.ReplaceAll(s, typePrefix, "")
	s = strings.ReplaceAll(s, "map(string, ", "map(")
	for _, r := range []struct{ theirs, ours string }{
		{"google.protobuf.Duration", "duration"}, {"google.protobuf.Timestamp", "timestamp"}, {"null_type", "null"},
	} {
		s = strings.ReplaceAll(s, r.theirs, r.ours)
	}
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	if slices.Contains(words, "dyn") {
		s = strings.ReplaceAll(s, "dyn", "any")
	}
	return s
}
