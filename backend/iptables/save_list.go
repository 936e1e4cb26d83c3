package iptables

import (
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// ParseChainList reads the output of `iptables -t TABLE -S` or `-S CHAIN`, with
// or without counters (-v): `-P CHAIN POLICY`, `-N CHAIN` and `-A CHAIN RULE`
// lines. The table holds the chains that are listed, in their order; nothing is
// known of others. Counters stand between a rule's matches and its target here,
// so that a counted rule's text is not always a piece of the file's text.
func ParseChainList(file *diag.File, table ir.TableKey, opt ParseOptions) (*ir.Table, []string, *diag.List) {
	p := listParser{saveParser{
		file:   file,
		text:   file.Text(),
		family: table.Family,
		opt:    opt,
		out:    &SaveText{State: &ir.State{}, Frame: &SaveFrame{}},
		table:  &ir.Table{Family: table.Family, Name: table.Name},
		chains: map[string]*ir.Chain{},
	}}
	for pos := 0; pos < len(p.text) && p.found.Len() < maxSaveErrors; {
		pos = p.line(pos, p.lineEnd(pos))
	}
	return p.table, p.out.Warnings, &p.found
}

// listParser shares the reading of rules and names with saveParser.
type listParser struct{ saveParser }

func (p *listParser) line(start, end int) (next int) {
	line := p.text[start:end]
	switch {
	case strings.HasPrefix(line, "# "):
		p.comment(line)
		if p.out.State.Table(p.family, p.table.Name) != nil {
			p.table.Unreadable = line[len("# "):]
		}
	case strings.HasPrefix(line, "-A "):
		return p.listed(start, end)
	case strings.HasPrefix(line, "-P "):
		p.policy(start, end)
	case strings.HasPrefix(line, "-N "):
		p.declare(&ir.Chain{Name: line[len("-N "):], Span: p.file.Span(start, end)})
	default:
		p.errorf(start, end, "this is no line of iptables -S")
	}
	return end + 1
}

// policy reads `-P CHAIN POLICY [-c PACKETS BYTES]`.
func (p *listParser) policy(start, end int) {
	text, packets, bytes, counted := cutCounters(p.text[start+len("-P ") : end])
	name, policy, _ := strings.Cut(text, " ")
	switch {
	case policy != "ACCEPT" && policy != "DROP":
		p.errorf(start, end, "a policy is listed as `-P CHAIN ACCEPT` or `-P CHAIN DROP`")
		return
	case p.opt.Counters && !counted:
		p.errorf(start, end, "the policy has no counters")
		return
	}
	p.declare(&ir.Chain{Name: name, Policy: policy, Packets: packets, Bytes: bytes, Span: p.file.Span(start, end)})
}

func (p *listParser) declare(c *ir.Chain) {
	switch {
	case c.Name == "" || strings.ContainsAny(c.Name, " \t\r"):
		p.found.Errorf(diag.SnapshotText, c.Span, "%q is no name of a chain", c.Name)
		return
	case p.chains[c.Name] != nil:
		p.found.Errorf(diag.SnapshotText, c.Span, "chain %s is listed twice", c.Name).Note(p.chains[c.Name].Span, "here for the first time")
		return
	}
	c.Read, c.Refs = true, -1
	p.chains[c.Name] = c
	p.table.Chains = append(p.table.Chains, c)
}

// listed reads `-A CHAIN RULE` with the counters inside of it.
func (p *listParser) listed(start, end int) (next int) {
	opt := p.opt
	p.opt.Counters = false // they are no prefix here
	before := p.found.Len()
	next = p.rule(start, end)
	p.opt = opt
	if p.found.Len() > before || p.last == nil {
		return next
	}
	r := p.last.Rules[len(p.last.Rules)-1]
	text, packets, bytes, counted := cutCounters(r.Text)
	if opt.Counters && !counted {
		p.errorf(start, end, "the rule has no counters")
		return next
	}
	r.Text, r.Packets, r.Bytes = text, packets, bytes
	return next
}

// cutCounters takes `-c PACKETS BYTES` out of a listed rule or policy. It stands
// ahead of the target, or at the end.
func cutCounters(text string) (rest string, packets, bytes uint64, found bool) {
	for at := 0; at < len(text); {
		switch {
		case text[at] == ' ':
			at++
			continue
		case text[at] == '"' && opensQuote(text[:at]):
			end := closingQuote(text, at+1)
			if end < 0 {
				return text, 0, 0, false
			}
			at = end + 1
			continue
		case strings.HasPrefix(text[at:], "-c "):
			if packets, bytes, n := twoNumbers(text[at+len("-c "):]); n > 0 {
				tail := strings.TrimPrefix(text[at+len("-c ")+n:], " ")
				head := strings.TrimSuffix(text[:at], " ")
				switch {
				case head == "":
					return tail, packets, bytes, true
				case tail == "":
					return head, packets, bytes, true
				}
				return head + " " + tail, packets, bytes, true
			}
		}
		n := strings.IndexByte(text[at:], ' ')
		if n < 0 {
			break
		}
		at += n
	}
	return text, 0, 0, false
}

// twoNumbers reads two numbers at the start of a text and says how many bytes
// they take, 0 if they do not stand there as whole words.
func twoNumbers(text string) (a, b uint64, n int) {
	a, n = readNumber(text)
	if n == 0 || n == len(text) || text[n] != ' ' {
		return 0, 0, 0
	}
	b, m := readNumber(text[n+1:])
	n += 1 + m
	if m == 0 || n < len(text) && text[n] != ' ' {
		return 0, 0, 0
	}
	return a, b, n
}
