package iptables

import (
	"math"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// maxSaveErrors ends the reading of a text that is no save at all.
const maxSaveErrors = 50

// ParseSaveText is ParseSave for those who want to write the text back.
func ParseSaveText(file *diag.File, f ir.Family, opt ParseOptions) (*SaveText, *diag.List) {
	p := saveParser{
		file:   file,
		text:   file.Text(),
		family: f,
		opt:    opt,
		out:    &SaveText{State: &ir.State{Families: []ir.Family{f}}, Frame: &SaveFrame{}},
	}
	p.run()
	return p.out, &p.found
}

// saveParser walks a save text once. The rules of a text share slabs, and their
// texts and the names of chains are pieces of the file's text, so that reading
// costs little more than looking at each byte.
type saveParser struct {
	file   *diag.File
	text   string
	family ir.Family
	opt    ParseOptions
	out    *SaveText
	found  diag.List

	table  *ir.Table // whose block is open
	opened int       // where
	chains map[string]*ir.Chain
	last   *ir.Chain // of the rule before
	frame  []string  // lines since the last block
	slab   []ir.Rule
	sawOne bool // a rule was read
}

func (p *saveParser) run() {
	if n := strings.IndexByte(p.text, 0); n >= 0 {
		p.errorf(n, n+1, "the text holds a NUL byte")
		return
	}
	for pos := 0; pos < len(p.text) && p.found.Len() < maxSaveErrors; {
		end := p.lineEnd(pos)
		pos = p.line(pos, end)
	}
	if p.table != nil && p.found.Len() < maxSaveErrors {
		p.errorf(p.opened, p.lineEnd(p.opened), "the text ends inside table %s: its COMMIT is missing", p.table.Name)
	}
	p.out.Frame.After = p.frame
	p.out.Frame.NoLineEnd = p.text != "" && p.text[len(p.text)-1] != '\n'
}

// lineEnd is the offset of the line end at or behind pos, or of the text's end.
func (p *saveParser) lineEnd(pos int) int {
	if n := strings.IndexByte(p.text[pos:], '\n'); n >= 0 {
		return pos + n
	}
	return len(p.text)
}

func (p *saveParser) errorf(start, end int, format string, args ...any) *diag.Diagnostic {
	return p.found.Errorf(diag.SnapshotText, p.file.Span(start, end), format, args...)
}

// line reads the line at [start, end) and returns where the next one starts.
func (p *saveParser) line(start, end int) int {
	if start == end {
		p.frame = append(p.frame, "")
		return end + 1
	}
	if p.text[end-1] == '\r' {
		p.errorf(end-1, end, "the line ends with a carriage return").WithHelp("save the text with plain line ends")
		return end + 1
	}
	switch p.text[start] {
	case '[', '-':
		return p.rule(start, end)
	case ':':
		p.chain(start, end)
	case '*':
		p.begin(start, end)
	case '#':
		p.comment(p.text[start:end])
	default:
		if p.text[start:end] == "COMMIT" {
			p.commit(start, end)
			break
		}
		p.errorf(start, end, "this is no line of iptables-save")
	}
	return end + 1
}

// comment reads a line that starts with #. A few of them are the tool's way to
// say that something is missing from the text (FIELD M-40).
func (p *saveParser) comment(line string) {
	p.frame = append(p.frame, line)
	switch {
	case strings.HasPrefix(line, "# Warning: "):
		p.out.Warnings = append(p.out.Warnings, line[len("# Warning: "):])
	case strings.HasPrefix(line, "# Table `"):
		name, says, ok := strings.Cut(line[len("# Table `"):], "' ")
		if !ok || !strings.Contains(says, "incompatible") {
			return
		}
		t := p.out.State.Table(p.family, name)
		if t == nil {
			t = &ir.Table{Family: p.family, Name: name}
			p.out.State.Tables = append(p.out.State.Tables, t)
		}
		t.Unreadable = line[len("# "):]
	}
}

// begin reads `*TABLE`.
func (p *saveParser) begin(start, end int) {
	name := p.text[start+1 : end]
	if p.table != nil {
		p.errorf(start, end, "table %s starts before the COMMIT of table %s", name, p.table.Name)
	}
	p.opened, p.last = start, nil
	t := p.out.State.Table(p.family, name)
	switch {
	case t != nil && (t.Unreadable == "" || len(t.Chains) > 0):
		p.errorf(start, end, "table %s stands twice in the text", name)
		t = &ir.Table{Family: p.family, Name: name} // read, and left out
	case t == nil:
		if ir.BuiltinChains(name) == nil {
			p.errorf(start+1, end, "iptables has no table %q", name)
		}
		t = &ir.Table{Family: p.family, Name: name}
		p.out.State.Tables = append(p.out.State.Tables, t)
	}
	p.table = t
	p.chains = map[string]*ir.Chain{}
	p.out.Frame.Before = append(p.out.Frame.Before, FrameLines{name, p.frame})
	p.frame = nil
}

func (p *saveParser) commit(start, end int) {
	if p.table == nil {
		p.errorf(start, end, "COMMIT without a table")
	}
	p.table = nil
}

// chain reads `:NAME POLICY [packets:bytes]`.
func (p *saveParser) chain(start, end int) {
	if p.table == nil {
		p.errorf(start, end, "a chain outside of a table")
		return
	}
	line := p.text[start:end]
	counters := strings.LastIndexByte(line, ' ')
	policy := strings.LastIndexByte(line[:max(counters, 0)], ' ')
	if policy < 2 {
		p.errorf(start, end, "a chain is declared by `:NAME POLICY [PACKETS:BYTES]`")
		return
	}
	c := &ir.Chain{
		Name:   line[1:policy],
		Policy: line[policy+1 : counters],
		Read:   true,
		Refs:   -1,
		Span:   p.file.Span(start, end),
	}
	packets, bytes, n := readCounters(line[counters+1:])
	if n == 0 || counters+1+n != len(line) {
		p.errorf(start+counters+1, end, "the counters of a chain are written [PACKETS:BYTES]")
		return
	}
	c.Packets, c.Bytes = packets, bytes
	switch {
	case strings.ContainsAny(c.Name, " \t"):
		p.errorf(start+1, start+policy, "a chain's name holds no spaces")
		return
	case p.chains[c.Name] != nil:
		p.errorf(start+1, start+policy, "chain %s is declared twice", c.Name).Note(p.chains[c.Name].Span, "here for the first time")
		return
	case c.Policy == "-":
		c.Policy = ""
	case c.Policy != "ACCEPT" && c.Policy != "DROP":
		p.errorf(start+policy+1, start+counters, "%s is no policy", c.Policy)
		return
	case !ir.IsBuiltin(p.table.Name, c.Name):
		p.errorf(start+policy+1, start+counters, "chain %s is no built-in chain of table %s and can have no policy", c.Name, p.table.Name)
		return
	}
	p.chains[c.Name] = c
	p.table.Chains = append(p.table.Chains, c)
}

// rule reads `[packets:bytes] -A CHAIN RULE`, which goes on in the next line
// where a quoted comment holds a line end (FIELD M-38).
func (p *saveParser) rule(start, end int) (next int) {
	at := start
	var packets, bytes uint64
	counted := p.text[at] == '['
	if counted {
		var n int
		packets, bytes, n = readCounters(p.text[at:end])
		if n == 0 || at+n >= end || p.text[at+n] != ' ' {
			p.errorf(start, end, "the counters of a rule are written [PACKETS:BYTES]")
			return end + 1
		}
		at += n + 1
	}
	if !strings.HasPrefix(p.text[at:end], "-A ") {
		p.errorf(at, end, "a rule is written `-A CHAIN ...`")
		return end + 1
	}
	at += len("-A ")
	name := p.chainName(p.text[at:end])
	body := min(at+len(name)+1, end)
	end, closed := p.ruleEnd(body, end)
	if !closed {
		p.errorf(start, p.lineEnd(start), "a quoted word of the rule is not closed")
		return p.lineEnd(start) + 1
	}
	next = end + 1
	switch {
	case p.table == nil:
		p.errorf(start, end, "a rule outside of a table")
		return next
	case p.opt.Counters && !counted:
		p.errorf(start, end, "the rule has no counters")
		return next
	case p.text[end-1] == '\r':
		p.errorf(end-1, end, "the line ends with a carriage return").WithHelp("save the text with plain line ends")
		return next
	}
	c := p.last
	if c == nil || c.Name != name {
		if c = p.chains[name]; c == nil {
			p.errorf(at, at+len(name), "chain %s is not declared in table %s", name, p.table.Name)
			return next
		}
		p.last = c
	}
	if !p.sawOne {
		p.sawOne, p.out.Counters = true, counted
	}
	r := p.newRule()
	r.Text, r.Packets, r.Bytes, r.Origin = p.text[body:end], packets, bytes, p.file.Span(start, end)
	c.Rules = append(c.Rules, r)
	return next
}

// chainName is the name at the start of a text. Rules of a chain stand together,
// so it is most often that of the rule before.
func (p *saveParser) chainName(text string) string {
	if c := p.last; c != nil && strings.HasPrefix(text, c.Name) && (len(text) == len(c.Name) || text[len(c.Name)] == ' ') {
		return c.Name
	}
	name, _, _ := strings.Cut(text, " ")
	return name
}

// slabSize is the number of rules that are allocated at once.
const slabSize = 256

func (p *saveParser) newRule() *ir.Rule {
	if len(p.slab) == 0 {
		p.slab = make([]ir.Rule, slabSize)
	}
	r := &p.slab[0]
	p.slab = p.slab[1:]
	return r
}

// ruleEnd is where the rule ends whose first line is [start, end): at the line's
// end, or further down if a quoted word holds it. closed is false if the text
// ends inside a quoted word.
func (p *saveParser) ruleEnd(start, end int) (int, bool) {
	for at := start; ; {
		n := strings.IndexByte(p.text[at:end], '"')
		if n < 0 {
			return end, true
		}
		at += n
		if !opensQuote(p.text[start:at]) {
			at++
			continue
		}
		at = closingQuote(p.text, at+1)
		if at < 0 {
			return end, false
		}
		at++
		if at > end {
			end = p.lineEnd(at)
		}
	}
}

// opensQuote tells whether a quote behind this piece of a rule opens a quoted
// word. One inside of a word does not, nor does one in the name of a chain or an
// interface, which iptables-save prints as it is (FIELD M-39).
func opensQuote(before string) bool {
	if before == "" {
		return true
	}
	if before[len(before)-1] != ' ' {
		return false
	}
	if len(before) >= 3 && before[len(before)-3] == '-' && (len(before) == 3 || before[len(before)-4] == ' ') {
		switch before[len(before)-2] {
		case 'j', 'g', 'i', 'o':
			return false
		}
	}
	return true
}

// closingQuote is the offset of the quote that ends a quoted word, -1 if there is
// none. A backslash takes the special meaning of the byte behind it.
func closingQuote(text string, at int) int {
	for at < len(text) {
		n := strings.IndexByte(text[at:], '"')
		if n < 0 {
			return -1
		}
		back := at + n
		for back > at && text[back-1] == '\\' {
			back--
		}
		if (at+n-back)%2 == 0 {
			return at + n
		}
		at += n + 1
	}
	return -1
}

// readCounters reads `[packets:bytes]` at the start of a text and says how many
// bytes that took, 0 if it does not stand there.
func readCounters(text string) (packets, bytes uint64, n int) {
	if text == "" || text[0] != '[' {
		return 0, 0, 0
	}
	at := 1
	packets, k := readNumber(text[at:])
	at += k
	if k == 0 || at == len(text) || text[at] != ':' {
		return 0, 0, 0
	}
	at++
	bytes, k = readNumber(text[at:])
	at += k
	if k == 0 || at == len(text) || text[at] != ']' {
		return 0, 0, 0
	}
	return packets, bytes, at + 1
}

// readNumber reads the digits at the start of a text and says how many there are,
// 0 also if the number has more than 64 bits.
func readNumber(text string) (v uint64, n int) {
	for n < len(text) && text[n]-'0' <= 9 {
		d := uint64(text[n] - '0')
		if v > (math.MaxUint64-d)/10 {
			return 0, 0
		}
		v = v*10 + d
		n++
	}
	return v, n
}
