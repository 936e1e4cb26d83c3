package iptables

import (
	"errors"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// RestoreOptions are the options of the restore that a text is for.
type RestoreOptions struct {
	// NoFlush is --noflush: what the text does not name stays.
	NoFlush bool
	// Counters is --counters: counters are taken from the text.
	Counters bool
	// Table is --table: blocks of other tables are left out. Empty means all.
	Table string
}

// ParseRestore reads restore text: what iptables-restore or ip6tables-restore
// takes, not just what Render writes. Rules are spelled as iptables-save prints
// them. A line that the tool would refuse is a diagnostic. The transaction holds
// the blocks ahead of the first one, which is what the tool would have committed
// by then.
func ParseRestore(file *diag.File, f ir.Family, opt RestoreOptions) (ir.Transaction, *diag.List) {
	p := restoreParser{file: file, family: f, opt: opt}
	text := file.Text()
	for start := 0; start < len(text); {
		end, next := len(text), len(text)
		if n := strings.IndexByte(text[start:], '\n'); n >= 0 {
			end, next = start+n, start+n+1
		}
		p.line(start, end)
		start = next
	}
	if p.block != nil {
		p.errorf(p.opened, p.openedEnd, "the text ends inside table %s: its COMMIT is missing", p.block.Table)
	}
	return p.tx, &p.found
}

type restoreParser struct {
	file   *diag.File
	family ir.Family
	opt    RestoreOptions
	tx     ir.Transaction
	found  diag.List

	block             *ir.Block // that is open
	opened, openedEnd int
}

func (p *restoreParser) errorf(start, end int, format string, args ...any) *diag.Diagnostic {
	return p.found.Errorf(diag.SnapshotText, p.file.Span(start, end), format, args...)
}

// line reads one line of restore text (iptables-restore(8) has no grammar; this
// is what iptables/iptables-restore.c of 1.8.9 does).
func (p *restoreParser) line(start, end int) {
	line := p.file.Text()[start:end]
	switch {
	case line == "" || line[0] == '#':
	case line[end-start-1] == '\r':
		p.errorf(end-1, end, "the line ends with a carriage return").WithHelp("save the text with plain line ends")
	case line[0] == '*' && p.block == nil:
		p.begin(start, end)
	case p.block == nil:
		p.errorf(start, end, "the line stands outside of a table")
	case line == "COMMIT":
		p.commit()
	case line[0] == ':':
		p.chain(start, end)
	default:
		p.command(start, end)
	}
}

func (p *restoreParser) begin(start, end int) {
	name := strings.TrimRight(p.file.Text()[start+1:end], " \t")
	if ir.BuiltinChains(name) == nil {
		p.errorf(start+1, end, "iptables has no table %q", name)
	}
	p.block = &ir.Block{Family: p.family, Table: name, NoFlush: p.opt.NoFlush, Counters: p.opt.Counters}
	p.opened, p.openedEnd = start, end
}

func (p *restoreParser) commit() {
	if !p.found.HasErrors() && (p.opt.Table == "" || p.opt.Table == p.block.Table) {
		p.tx.Blocks = append(p.tx.Blocks, *p.block)
	}
	p.block = nil
}

// chain reads `:NAME POLICY [packets:bytes]`.
func (p *restoreParser) chain(start, end int) {
	text := p.file.Text()[start:end]
	fields := strings.FieldsFunc(text[1:], func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) < 2 {
		p.errorf(start, end, "a chain is declared by `:NAME POLICY [PACKETS:BYTES]`")
		return
	}
	o := ir.Op{Chain: fields[0], Origin: p.file.Span(start, end)}
	builtin := ir.IsBuiltin(p.block.Table, o.Chain)
	if fields[1] == "-" && !builtin {
		o.Kind = ir.OpEnsure
		p.add(o)
		return
	}
	o.Kind = ir.OpPolicy
	if fields[1] != "-" {
		o.Policy = fields[1]
	}
	if p.opt.Counters {
		n := 0
		if len(fields) > 2 {
			o.Packets, o.Bytes, n = readCounters(fields[2])
		}
		if n == 0 && o.Policy != "" {
			p.errorf(start, end, "chain %s has no counters", o.Chain)
			return
		}
	}
	p.add(o)
}

func (p *restoreParser) add(o ir.Op) { p.block.Ops = append(p.block.Ops, o) }

// command reads one command line: counters, a command and a rule.
func (p *restoreParser) command(start, end int) {
	text := p.file.Text()[start:end]
	c := command{parser: p, start: start, end: end}
	if text[0] == '[' {
		var n int
		if c.packets, c.bytes, n = readCounters(text); n == 0 {
			p.errorf(start, end, "the counters of a rule are written [PACKETS:BYTES]")
			return
		}
		c.counted = p.opt.Counters
		c.start, text = start+n, text[n:]
	}
	words, err := xtables.Words(text)
	if err != nil {
		c.refuse(err)
		return
	}
	c.words = words
	c.read()
}

// refuse reports what is wrong with the command.
func (c *command) refuse(err error) {
	at, code, help := c.parser.file.Span(c.start, c.end), diag.RuleText, ""
	var e *xtables.Error
	if errors.As(err, &e) {
		code, help = e.Code, e.Help
		if e.End > e.Start {
			at = c.parser.file.Span(c.start+e.Start, c.start+e.End)
		}
	}
	c.parser.found.Errorf(code, at, "%v", err).Help = help
}
