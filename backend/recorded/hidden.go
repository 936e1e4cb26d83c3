package recorded

import (
	"maps"
	"path"
	"slices"
	"strings"

	"hookline/backend/redact"
	"hookline/compiler/ir"
)

// hiddenHost is what a redacted snapshot calls its host.
const hiddenHost = "redacted"

// shortestName is how long a host's name has to be to be looked for in texts: a
// shorter one is a word of many other things.
const shortestName = 4

// proseOptions are those of iptables whose value is a text that people wrote. In
// no other word of a rule a host's name is looked for: a host can be called mark,
// state or ACCEPT.
var proseOptions = []string{"--comment", "--log-prefix", "--nflog-prefix", "--ulog-prefix", "--string"}

// hider writes a host's name as another one in what people wrote: comments,
// prefixes of logs, warnings, lines of files. Nothing that a program reads changes.
type hider struct {
	host  string
	words *redact.Redactor
	// values tells that the name means nothing but the host, where it is a value.
	values bool
}

// hideHost is a snapshot that calls its host by another name.
func hideHost(s *ir.Snapshot) *ir.Snapshot {
	host, ok := s.Facts["hostname"].(string)
	if !ok {
		return s
	}
	out := *s
	if len(host) >= shortestName {
		h := &hider{host: host, words: redact.New(), values: !plainWord(host) && !slices.Contains(names(s), host)}
		h.words.Name(host, hiddenHost)
		h.snapshot(&out)
	}
	out.Facts = maps.Clone(out.Facts)
	out.Facts["hostname"] = hiddenHost
	return &out
}

func (h *hider) snapshot(s *ir.Snapshot) {
	s.Why, s.Warnings = h.prose(s.Why), h.all(s.Warnings, h.prose)
	s.State, s.Others = h.state(s.State), h.state(s.Others)
	s.Values, s.FactsText = h.yaml(s.Values), h.yaml(s.FactsText)
	if facts, ok := h.fact(s.Facts).(map[string]any); ok {
		s.Facts = facts
	}
	if s.Host == nil {
		return
	}
	host := *s.Host
	host.NFTTables = slices.Clone(host.NFTTables)
	for i := range host.NFTTables {
		t := &host.NFTTables[i]
		t.Chains = slices.Clone(t.Chains)
		for j := range t.Chains {
			t.Chains[j].Tags = h.all(t.Chains[j].Tags, h.prose)
		}
	}
	host.Settings = slices.Clone(host.Settings)
	for i := range host.Settings {
		x := &host.Settings[i]
		x.Text = h.prose(x.Text)
		if dir, file := path.Split(x.File); h.values {
			x.File = dir + h.prose(file)
		}
	}
	s.Host = &host
}

func (h *hider) state(s *ir.State) *ir.State {
	if s == nil {
		return nil
	}
	out := *s
	out.Tables, out.Sets = slices.Clone(s.Tables), slices.Clone(s.Sets)
	for i, t := range out.Tables {
		t = t.Clone()
		t.Unreadable = h.prose(t.Unreadable)
		for j, c := range t.Chains {
			u := *c
			u.Unreadable = h.prose(u.Unreadable)
			u.Rules, u.Natives = slices.Clone(c.Rules), slices.Clone(c.Natives)
			for k, r := range u.Rules {
				v := *r
				v.Text = h.behind(v.Text, proseOptions)
				v.Native = h.native(v.Native)
				u.Rules[k] = &v
			}
			for k := range u.Natives {
				u.Natives[k].Native = h.native(u.Natives[k].Native)
			}
			t.Chains[j] = &u
		}
		out.Tables[i] = t
	}
	out.Own = slices.Clone(s.Own)
	for i, t := range out.Own {
		out.Own[i] = h.ownTable(t)
	}
	for i, set := range out.Sets {
		u := *set
		u.Elements = h.all(u.Elements, func(e string) string { return h.behind(e, []string{"comment"}) })
		out.Sets[i] = &u
	}
	return &out
}

// ownTable hides the name in the comments of a table of ours, and in what its rules
// have between quotes behind a prefix.
func (h *hider) ownTable(t *ir.OwnTable) *ir.OwnTable {
	out := *t
	out.Chains, out.Sets = slices.Clone(t.Chains), slices.Clone(t.Sets)
	for i, c := range out.Chains {
		u := *c
		u.Rules = slices.Clone(c.Rules)
		for j := range u.Rules {
			r := &u.Rules[j]
			r.Text, r.Comment, r.Tag = h.behind(r.Text, []string{"prefix"}), h.prose(r.Comment), h.prose(r.Tag)
		}
		out.Chains[i] = &u
	}
	for i, s := range out.Sets {
		u := *s
		u.Elements = slices.Clone(s.Elements)
		for j, e := range u.Elements {
			if e.Options != nil {
				o := *e.Options
				o.Comment = h.prose(o.Comment)
				u.Elements[j].Options = &o
			}
		}
		out.Sets[i] = &u
	}
	return &out
}

// native hides the name in a native rule's comment, and in what it has between
// quotes behind a prefix; where its statement stands is kept.
func (h *hider) native(n *ir.Native) *ir.Native {
	if n == nil {
		return nil
	}
	u := *n
	u.Comment = h.prose(u.Comment)
	if n.Start < 0 || n.Start > n.End || n.End > len(n.Text) {
		return &u
	}
	options := []string{"prefix", "comment"}
	before, inside, behind := h.behind(n.Text[:n.Start], options), h.behind(n.Text[n.Start:n.End], options), h.behind(n.Text[n.End:], options)
	u.Text, u.Start, u.End = before+inside+behind, len(before), len(before)+len(inside)
	if n.Start == n.End {
		u.Start, u.End = n.Start, n.End
	}
	return &u
}

// prose is a text of people. A first word with a colon is a program's mark: the
// comments of Calico and of our own jumps begin so.
func (h *hider) prose(s string) string {
	if rest, ok := strings.CutPrefix(s, h.host+":"); ok && !strings.HasPrefix(rest, " ") {
		return h.host + ":" + h.words.Text(rest)
	}
	return h.words.Text(s)
}

func (h *hider) all(list []string, f func(string) string) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = f(out[i])
	}
	return out
}

// behind hides the name in the words that stand behind one of some options.
func (h *hider) behind(text string, options []string) string {
	var out strings.Builder
	last := ""
	for at := 0; at < len(text); {
		end := wordEnd(text, at)
		word := text[at:end]
		switch {
		case word == " ":
			out.WriteString(word)
			at = end
			continue
		case !slices.Contains(options, last):
			out.WriteString(word)
		case word[0] == '"' && len(word) > 1:
			out.WriteString(`"` + h.prose(word[1:len(word)-1]) + word[len(word)-1:])
		default:
			out.WriteString(h.prose(word))
		}
		if slices.Contains(options, last) {
			last = "" // a value is no option, whatever it says
		} else {
			last = word
		}
		at = end
	}
	return out.String()
}

// wordEnd is the end of the word that begins at a byte: a space, what stands
// between quotes, or what reaches to the next space.
func wordEnd(text string, at int) int {
	if text[at] == ' ' {
		return at + 1
	}
	quoted := false
	for i := at; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\' && i+1 < len(text):
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ' ' && !quoted:
			return i
		}
	}
	return len(text)
}

// fact hides the name in the values of facts, never in their keys.
func (h *hider) fact(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, v := range x {
			out[k] = h.fact(v)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, v := range x {
			out[i] = h.fact(v)
		}
		return out
	case string:
		if h.values {
			return h.words.Text(x)
		}
	}
	return v
}

// yaml hides the name in comments of a file, and in its values if it can mean
// nothing else there; a key stays.
func (h *hider) yaml(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		comment := len(line)
		if n := strings.Index(" "+line, " #"); n >= 0 {
			comment = n
		}
		value := line[:comment]
		if h.values {
			key := ""
			if k, v, ok := strings.Cut(value, ":"); ok && !strings.ContainsAny(k, "{[") {
				key, value = k+":", v
			}
			value = key + h.words.Text(value)
		}
		lines[i] = value + h.words.Text(line[comment:])
	}
	return strings.Join(lines, "")
}

// plainWord tells whether a name is of letters alone, as the words of all formats
// are.
func plainWord(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') })
}

// names are those of a snapshot by which rules and rulesets refer to something. If
// the host is called like one of them, its name stays where it means that.
func names(s *ir.Snapshot) []string {
	var out []string
	for _, state := range []*ir.State{s.State, s.Others} {
		if state == nil {
			continue
		}
		for _, t := range state.Tables {
			out = append(out, t.Name)
			for _, c := range t.Chains {
				out = append(out, c.Name)
			}
		}
		for _, set := range state.Sets {
			out = append(out, set.Name)
		}
		for _, t := range state.Own {
			out = append(out, t.Name)
			for _, c := range t.Chains {
				out = append(out, c.Name)
			}
			for _, set := range t.Sets {
				out = append(out, set.Name)
			}
		}
	}
	if interfaces, ok := s.Facts["interfaces"].(map[string]any); ok {
		for name := range interfaces {
			out = append(out, name)
		}
	}
	return out
}
