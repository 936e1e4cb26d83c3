package dsl

import (
	"fmt"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// Kinds of names and words. Lengths are those of the kernel.
const (
	maxChainName = 28
	maxSetName   = 31
	maxName      = 63
)

// The texts of the language that are not free.
var (
	metadataName = text(TextShape{
		What: "a ruleset name", Pattern: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, MaxBytes: maxName, Code: diag.InvalidName, Free: true,
		Hint: "use lower-case letters, digits and dashes between them",
	})
	versionText = text(TextShape{
		What: "a version", Free: true, MaxBytes: 128,
		Pattern: `(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?`,
		Hint:    "write three numbers as in semantic versioning, for example 1.2.0",
	})
	proseText  = text(TextShape{Kind: ProseText, What: "a text", Free: true})
	familyWord = text(TextShape{What: "a family", Enum: []string{"ipv4", "ipv6"}})
	boolWord   = text(TextShape{What: "true or false", Enum: []string{"true", "false"}})
	celText    = text(TextShape{Kind: CELText, What: "an expression", Free: true})
	ruleText   = text(TextShape{Kind: RuleText, What: "a rule text", Template: true})
	typeText   = text(TextShape{What: "a type", Problem: typeProblem, MaxBytes: 256})
	chainName  = text(TextShape{
		What: "a chain name", Pattern: plainName, MaxBytes: maxChainName, Code: diag.InvalidName, Problem: nameProblem, Free: true,
	})
	setName = text(TextShape{
		What: "a set name", Pattern: plainName, MaxBytes: maxSetName, Code: diag.InvalidName, Problem: nameProblem, Free: true,
	})
	refName = text(TextShape{
		What: "a participant or a chain", Pattern: plainName, MaxBytes: maxName + len("/tail"), Code: diag.InvalidName, Problem: nameProblem, Free: true,
	})
	participantName = text(TextShape{
		What: "a participant name", Pattern: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, MaxBytes: maxName, Code: diag.InvalidName, Free: true,
		Hint: "use lower-case letters, digits and dashes between them",
	})
	chainGlob = text(TextShape{
		What: "a glob of chain names", Pattern: plainGlob, MaxBytes: maxChainName, Code: diag.InvalidName, Problem: globProblem,
	})
	setGlob = text(TextShape{
		What: "a glob of set names", Pattern: plainGlob, MaxBytes: maxSetName, Code: diag.InvalidName, Problem: globProblem,
	})
	textGlob  = text(TextShape{What: "a glob", Free: true})
	refGlob   = text(TextShape{What: "a glob", Template: true, Free: true})
	nftTable  = text(TextShape{What: "an nftables table", Pattern: `(ip|ip6|inet|arp|bridge|netdev) [!-~]+`, Hint: `write family and name, for example "inet site"`})
	localName = text(TextShape{
		What: "a name", Pattern: `[A-Za-z0-9_][A-Za-z0-9_.:/@+ -]*`, MaxBytes: maxName, Code: diag.InvalidName, Free: true,
		Hint: "use letters, digits, blanks and _ . : / @ + -, and begin with a letter, a digit or _",
	})
	variableName = text(TextShape{
		What: "a name in expressions", Pattern: `[A-Za-z_][A-Za-z0-9_]*`, MaxBytes: maxName, Code: diag.InvalidName, Problem: variableProblem,
		Hint: "use letters, digits and _, and begin with a letter or _",
	})
	factName = text(TextShape{What: "a name", Code: diag.InvalidName, MaxBytes: maxName, Free: true})
	// A scalar of the language whose type depends on the place.
	argument  = text(TextShape{What: "a value", Template: true, Free: true, Empty: true})
	literalOf = text(TextShape{What: "a value", Free: true, Empty: true})
)

// plainName is the pattern of names that every tool prints and reads unquoted:
// printable ASCII without blanks, quotes, backslashes and braces, and not like an
// option. In globs the star stands for anything.
const (
	nameBytes = `#$%&()+,./0-9:;<=>?@A-Z\[\]^_a-z|~`
	plainName = `[` + nameBytes + `][!\-` + nameBytes + `]*`
	plainGlob = `[*` + nameBytes + `][!\-*` + nameBytes + `]*`
)

// nameProblem says why a name cannot be written into rules.
func nameProblem(s string) string {
	switch i := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'`\\{}*", r) }); {
	case s != "" && (s[0] == '-' || s[0] == '!'):
		return fmt.Sprintf("begins with %q, which tools read as an option", s[:1])
	case i >= 0:
		return fmt.Sprintf("holds the character %q", []rune(s[i:])[0])
	}
	return ""
}

func globProblem(s string) string {
	if i := strings.IndexAny(s, "?["); i >= 0 {
		return fmt.Sprintf("holds %q, but * is the only wildcard", s[i:i+1])
	}
	return nameProblem(strings.ReplaceAll(s, "*", "x"))
}

// celReserved are the words that CEL does not read as a name behind a dot.
var celReserved = []string{
	"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "namespace",
	"null", "package", "return", "true", "var", "void", "while",
}

// variables are the names that every expression knows.
var variables = []string{"params", "facts", "live", "planned", "rule"}

func variableProblem(s string) string {
	switch {
	case slices.Contains(celReserved, s):
		return "is a reserved word of CEL"
	case slices.Contains(variables, s):
		return "is already a variable of every expression"
	}
	return ""
}

// typeWords are the types without a parameter.
var typeWords = []string{"string", "bool", "int", "port", "address", "cidr", "interface", "mark", "duration"}

// maxTypeDepth bounds list(list(...)).
const maxTypeDepth = 8

// typeProblem says what is wrong with a type expression.
func typeProblem(s string) string {
	for range maxTypeDepth {
		s = strings.TrimSpace(s)
		word, inner, generic := strings.Cut(s, "(")
		word = strings.TrimSpace(word)
		switch {
		case !generic && slices.Contains(typeWords, s):
			return ""
		case !generic && (s == "list" || s == "map"):
			return fmt.Sprintf("needs the type of its values: %s(string)", s)
		case generic && (word == "list" || word == "map"):
			body, closed := strings.CutSuffix(inner, ")")
			if !closed {
				return "has no closing parenthesis"
			}
			s = body
			continue
		case generic && slices.Contains(typeWords, word):
			return fmt.Sprintf("gives %s a parameter, which it does not take", word)
		}
		if near := diag.DidYouMean(word, append([]string{"list", "map"}, typeWords...)); near != "" {
			return fmt.Sprintf("names the unknown type %q; did you mean %q?", word, near)
		}
		return fmt.Sprintf("names the unknown type %q; there are %s, list(T) and map(T)", word, strings.Join(typeWords, ", "))
	}
	return "is nested too deep"
}

// SetFieldWords are what an element of a set can be made of.
var SetFieldWords = []string{"address", "cidr", "port", "interface", "mac", "mark"}

// SetTypeSeparator stands between the parts of a set's type and of its elements.
const SetTypeSeparator = " . "

// maxSetFields is the number of parts that the kernel's sets can hold at most.
const maxSetFields = 4

// setTypeProblem says what is wrong with the type of a set.
func setTypeProblem(s string) string {
	parts := strings.Split(s, SetTypeSeparator)
	for _, w := range parts {
		if slices.Contains(SetFieldWords, w) {
			continue
		}
		if near := diag.DidYouMean(w, SetFieldWords); near != "" {
			return fmt.Sprintf("names the unknown type %q; did you mean %q?", w, near)
		}
		return fmt.Sprintf("names the unknown type %q; there are %s, and several of them with %q between", w, strings.Join(SetFieldWords, ", "), SetTypeSeparator)
	}
	if len(parts) > maxSetFields {
		return fmt.Sprintf("has %d parts, and there can be %d", len(parts), maxSetFields)
	}
	return ""
}

// fileProblem says why a name is not that of a file beside the ruleset.
func fileProblem(s string) string {
	switch {
	case strings.HasPrefix(s, "/"):
		return "is not beside the ruleset: write the name without the folder in front"
	case slices.Contains(strings.Split(s, "/"), ".."):
		return "leads out of the ruleset's folder"
	}
	return ""
}
