package machine

import (
	"path"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// nftConf are the files that distributions' nftables.service loads, for a machine
// whose unit does not say.
var nftConf = []string{"/etc/nftables.conf", "/etc/sysconfig/nftables.conf"}

// nftables looks at nftables.service: whether it starts at boot, and whether what
// it runs or loads flushes the tables of everybody.
func nftables(t *tree) []ir.Setting {
	const unit = "nftables.service"
	var out []ir.Setting
	if link := t.enabled(unit); link != "" {
		out = append(out, ir.Setting{Name: ir.SettingNFTService, File: link})
	}
	var files []string
	for _, c := range t.commands(unit) {
		if flushes(commandWords(c.text)) {
			out = append(out, ir.Setting{Name: ir.SettingFlushRuleset, File: c.file, Line: c.line, Text: c.key + "=" + c.text})
		}
		if c.key == "ExecStart" || c.key == "ExecReload" {
			files = append(files, loaded(c.text)...)
		}
	}
	if len(files) == 0 {
		files = nftConf
	}
	n := nftFiles{tree: t, seen: map[string]bool{}}
	for _, f := range files {
		n.file(f, 0)
	}
	return append(out, n.found...)
}

// commandWords are the words of a command line of nft. It takes statements as one
// word or as several, so that quotes do not matter.
func commandWords(text string) []token {
	return tokens(strings.NewReplacer(`"`, " ", `'`, " ").Replace(text))
}

// loaded are the files that a command line of nft loads, by -f or by an include
// in its words.
func loaded(text string) []string {
	var out []string
	words := commandWords(text)
	for i, w := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1].text
		}
		switch {
		case (w.text == "-f" || w.text == "--file" || w.text == "include") && next != "" && next != "-":
			out = append(out, next)
		case strings.HasPrefix(w.text, "--file="):
			out = append(out, strings.TrimPrefix(w.text, "--file="))
		}
	}
	return out
}

// nftFiles walks over files of nft and what they include.
type nftFiles struct {
	*tree
	seen  map[string]bool
	found []ir.Setting
}

// maxDepth is how deep nft itself follows includes.
const maxDepth = 16

func (n *nftFiles) file(p string, depth int) {
	if depth > maxDepth || n.seen[p] {
		return
	}
	n.seen[p] = true
	text, ok := n.read(p)
	if !ok {
		return
	}
	words := tokens(text)
	for i, w := range words {
		switch {
		case flushAt(words, i):
			line := w.line
			n.found = append(n.found, ir.Setting{Name: ir.SettingFlushRuleset, File: p, Line: line, Text: flushText(words, i)})
		case w.text == "include" && !w.quoted && i+1 < len(words) && words[i+1].line == w.line:
			for _, f := range n.glob(words[i+1].text) {
				n.file(f, depth+1)
			}
		}
	}
}

// glob is the files that an include names: relative names are looked for in
// nft's own folder, /etc, and those that begin with a dot in the working folder of
// a service, which is the root.
func (n *nftFiles) glob(p string) []string {
	switch {
	case path.IsAbs(p):
	case strings.HasPrefix(p, "./"), strings.HasPrefix(p, "../"):
		p = path.Join("/", p)
	default:
		p = path.Join("/etc", p)
	}
	if !strings.ContainsAny(p, "*?[") {
		return []string{p}
	}
	dir, pattern := path.Split(path.Clean(p))
	var out []string
	for _, f := range n.list(path.Clean(dir)) {
		if ok, err := path.Match(pattern, f); err == nil && ok && !strings.HasPrefix(f, ".") {
			out = append(out, path.Join(dir, f))
		}
	}
	slices.Sort(out)
	return out
}

// token is one word of nft's language, with its line.
type token struct {
	text   string
	line   int
	quoted bool
}

// tokens splits a text of nft into words: quoted ones are whole, comments go, and
// what separates statements is a word.
func tokens(text string) []token {
	var out []token
	line := 1
	word := func(i int) int {
		end := i
		for end < len(text) && strings.IndexByte(" \t\r\n;{}#\"", text[end]) < 0 {
			end++
		}
		return end
	}
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '\n':
			out = append(out, token{"\n", line, false})
			line++
			i++
		case ' ', '\t', '\r':
			i++
		case '\\':
			// The statement goes on in the next line.
			if i+1 < len(text) && text[i+1] == '\n' {
				line++
				i++
			}
			i++
		case '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case ';', '{', '}':
			out = append(out, token{string(c), line, false})
			i++
		case '"':
			end := strings.IndexByte(text[i+1:], '"')
			if end < 0 {
				return out
			}
			quoted := text[i+1 : i+1+end]
			out = append(out, token{quoted, line, true})
			line += strings.Count(quoted, "\n")
			i += end + 2
		default:
			end := max(word(i), i+1)
			out = append(out, token{text[i:end], line, false})
			i = end
		}
	}
	return out
}

// flushAt tells whether `flush ruleset` stands at a word.
func flushAt(words []token, i int) bool {
	return words[i].text == "flush" && !words[i].quoted && i+1 < len(words) && words[i+1].text == "ruleset"
}

// flushText is the statement with the family behind it, if one is named.
func flushText(words []token, i int) string {
	if i+2 < len(words) && slices.Contains([]string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}, words[i+2].text) {
		return "flush ruleset " + words[i+2].text
	}
	return "flush ruleset"
}

// flushes tells whether words hold a `flush ruleset`.
func flushes(words []token) bool {
	for i := range words {
		if flushAt(words, i) {
			return true
		}
	}
	return false
}
