package xtables

import "strings"

// TargetOf finds the jump or goto in the text of a rule as iptables-save prints
// it, without decoding the rule. The target is empty for a rule that only counts.
func TargetOf(text string) (target string, isGoto bool) {
	argument := false // the word belongs to the option before it
	for i := 0; i < len(text); {
		c := text[i]
		if c == ' ' {
			i++
			continue
		}
		if c == '"' {
			i = skipQuoted(text, i)
			argument = false
			continue
		}
		start := i
		for i < len(text) && text[i] != ' ' && text[i] != '"' {
			i++
		}
		if argument {
			argument = false
			continue
		}
		if text[start] != '-' {
			continue
		}
		switch word := text[start:i]; word {
		case "-j", "-g":
			return firstWord(text[i:]), word == "-g"
		case "--comment", "--helper":
			argument = true
		}
	}
	return "", false
}

// skipQuoted is the index behind the quoted word that begins at i.
func skipQuoted(text string, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// firstWord is the first word of a text, without its quotes.
func firstWord(text string) string {
	text = strings.TrimLeft(text, " ")
	if strings.HasPrefix(text, `"`) {
		if words, err := split(nil, text[:skipQuoted(text, 0)], 0); err == nil && len(words) == 1 {
			return words[0].Text
		}
		return ""
	}
	if end := strings.IndexByte(text, ' '); end >= 0 {
		return text[:end]
	}
	return text
}

// CommentsOf lists the comments in the text of a rule in order, without decoding
// the rule.
func CommentsOf(text string) []string {
	var out []string
	for i := 0; i < len(text); {
		switch {
		case text[i] == '"':
			i = skipQuoted(text, i)
		case strings.HasPrefix(text[i:], "--comment ") && (i == 0 || text[i-1] == ' '):
			i += len("--comment ")
			out = append(out, firstWord(text[i:]))
			if i < len(text) && text[i] == '"' {
				i = skipQuoted(text, i)
			} else {
				for i < len(text) && text[i] != ' ' {
					i++
				}
			}
		case text[i] == '-' && (i == 0 || text[i-1] == ' ') && (strings.HasPrefix(text[i:], "-j ") || strings.HasPrefix(text[i:], "-g ")):
			return out
		default:
			i++
		}
	}
	return out
}
