package markdown

import (
	"strings"
	"unicode/utf8"
)

// Limit is how many characters a text for a comment has at most: what a comment on
// GitHub holds, 65,536, less room for what a workflow writes around it.
const Limit = 65000

// Part is one of several parts of a comment, written with more or less detail: 0
// is the least.
type Part func(detail int) string

// Fit joins a head and parts to one text of at most limit characters; 0 means
// Limit. All parts begin with the most detail, and while the text is too long the
// longest part loses some. What is too long then is cut, and command is named as
// what prints the rest.
func Fit(head string, parts []Part, most, limit int, command string) string {
	if limit <= 0 {
		limit = Limit
	}
	texts := make([]string, len(parts))
	detail := make([]int, len(parts))
	size := utf8.RuneCountInString(head) + max(0, len(parts)-1)
	for i, p := range parts {
		detail[i] = most
		texts[i] = p(most)
		size += utf8.RuneCountInString(texts[i])
	}
	for size > limit {
		longest := -1
		for i := range parts {
			if detail[i] > 0 && (longest < 0 || len(texts[i]) > len(texts[longest])) {
				longest = i
			}
		}
		if longest < 0 {
			break
		}
		detail[longest]--
		size -= utf8.RuneCountInString(texts[longest])
		texts[longest] = parts[longest](detail[longest])
		size += utf8.RuneCountInString(texts[longest])
	}
	return Cut(head+strings.Join(texts, "\n"), limit, command)
}

// Cut ends a text behind a line so that it has at most limit characters, with the
// sentence that says so; 0 means Limit. What is open there is closed: a code block,
// and folded parts, which would hide the sentence.
func Cut(s string, limit int, command string) string {
	if limit <= 0 {
		limit = Limit
	}
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	note := "\n\n_The rest does not fit into a comment and is left out; `" + command + "` prints all of it._\n"
	for room := limit - utf8.RuneCountInString(note); room > 0; {
		kept := string(runes[:room])
		if i := strings.LastIndexByte(kept, '\n'); i > 0 {
			kept = kept[:i]
		}
		kept += closing(kept)
		over := utf8.RuneCountInString(kept+note) - limit
		if over <= 0 {
			return kept + note
		}
		room -= over
	}
	return string([]rune(strings.TrimLeft(note, "\n"))[:min(limit, len([]rune(strings.TrimLeft(note, "\n"))))])
}

// closing is what ends the code block and the folded parts that a text leaves
// open.
func closing(s string) string {
	mark, folded := "", 0
	for line := range strings.SplitSeq(s, "\n") {
		run := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case mark != "" && line == run && len(run) >= len(mark):
			mark = ""
		case mark != "":
		case len(run) >= len(fenceMark):
			mark = run
		case strings.HasPrefix(line, "<details"):
			folded++
		case line == "</details>":
			folded--
		}
	}
	out := ""
	if mark != "" {
		out = "\n" + mark
	}
	return out + strings.Repeat("\n\n</details>", max(0, folded))
}
