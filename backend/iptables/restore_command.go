package iptables

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// command is one command line of a restore text.
type command struct {
	parser         *restoreParser
	start, end     int // of the text that words' offsets count from
	words          []xtables.Word
	counted        bool
	packets, bytes uint64
}

// commandKinds are iptables' commands that change a table, and how many words
// besides the chain each takes at most.
var commandKinds = map[string]ir.OpKind{
	"-A": ir.OpAppend, "--append": ir.OpAppend,
	"-I": ir.OpInsert, "--insert": ir.OpInsert,
	"-D": ir.OpDelete, "--delete": ir.OpDelete,
	"-R": ir.OpReplace, "--replace": ir.OpReplace,
	"-C": ir.OpRequire, "--check": ir.OpRequire,
	"-F": ir.OpFlush, "--flush": ir.OpFlush,
	"-X": ir.OpDrop, "--delete-chain": ir.OpDrop,
	"-N": ir.OpNew, "--new-chain": ir.OpNew, "--new": ir.OpNew,
	"-P": ir.OpPolicy, "--policy": ir.OpPolicy,
	"-E": ir.OpRename, "--rename-chain": ir.OpRename, "--rename": ir.OpRename,
	"-Z": ir.OpZero, "--zero": ir.OpZero,
}

// readOnly are the commands that only print.
var readOnly = []string{"-L", "--list", "-S", "--list-rules"}

func (c *command) read() {
	if len(c.words) == 0 {
		c.refuse(errors.New("the line is empty"))
		return
	}
	if c.otherFamily() {
		return
	}
	at := slices.IndexFunc(c.words, func(w xtables.Word) bool {
		return !w.Quoted && (commandKinds[w.Text] != 0 || slices.Contains(readOnly, w.Text))
	})
	if at < 0 {
		c.refuse(errors.New("the line has no command"))
		return
	}
	if slices.Contains(readOnly, c.words[at].Text) {
		return
	}
	o := ir.Op{Kind: commandKinds[c.words[at].Text], Origin: c.parser.file.Span(c.start, c.end)}
	head, rest := c.words[:at], c.words[at+1:]
	values := 0
	for values < len(rest) && values < 2 && isValue(rest[values]) {
		values++
	}
	args := rest[:values]
	rest = slices.Concat(head, rest[values:])
	if err := c.arguments(&o, args); err != nil {
		c.refuse(err)
		return
	}
	c.finish(o, rest)
}

// isValue tells whether a word is an argument of a command, not the next option.
func isValue(w xtables.Word) bool {
	return w.Quoted || w.Text != "" && w.Text[0] != '-' && w.Text[0] != '!'
}

// otherFamily removes -4 and -6 from the words and tells whether they keep the
// line from this family.
func (c *command) otherFamily() bool {
	skip := false
	c.words = slices.DeleteFunc(c.words, func(w xtables.Word) bool {
		switch w.Text {
		case "-4", "--ipv4":
			skip = skip || c.parser.family == ir.IPv6
		case "-6", "--ipv6":
			skip = skip || c.parser.family == ir.IPv4
		default:
			return false
		}
		return !w.Quoted
	})
	return skip
}

// arguments gives an op the words behind its command: CHAIN, and a number, a
// policy or a name.
func (c *command) arguments(o *ir.Op, args []xtables.Word) error {
	if len(args) > 0 {
		o.Chain = args[0].Text
	}
	second := ""
	if len(args) > 1 {
		second = args[1].Text
	}
	needs := func(n int, what string) error {
		if len(args) != n {
			return fmt.Errorf("the command needs %s", what)
		}
		return nil
	}
	var err error
	switch o.Kind {
	case ir.OpAppend, ir.OpRequire, ir.OpNew:
		err = needs(1, "a chain and nothing else")
	case ir.OpFlush, ir.OpDrop:
		if len(args) > 1 {
			return errors.New("the command takes one chain")
		}
		switch {
		case len(args) == 0 && o.Kind == ir.OpFlush:
			o.Kind = ir.OpFlushAll
		case len(args) == 0:
			o.Kind = ir.OpDropAll
		}
	case ir.OpInsert, ir.OpDelete, ir.OpReplace, ir.OpZero:
		if len(args) == 0 && o.Kind != ir.OpZero {
			return errors.New("the command needs a chain")
		}
		if o.Kind == ir.OpReplace && len(args) < 2 {
			return errors.New("the command needs a chain and the rule's number")
		}
		err = ruleNumber(o, second)
	case ir.OpPolicy:
		o.Policy = second
		err = needs(2, "a chain and a policy")
		if err == nil && c.parser.block.Table == "nat" && second == "DROP" {
			// -P refuses what `:CHAIN DROP` takes.
			err = errors.New("the nat table is not for filtering")
		}
	case ir.OpRename:
		o.NewName = second
		err = needs(2, "a chain and its new name")
	default:
		panic(fmt.Sprintf("iptables: no command has kind %d", o.Kind))
	}
	return err
}

// ruleNumber reads the number of a rule, which counts from 1.
func ruleNumber(o *ir.Op, text string) error {
	if text == "" {
		if o.Kind == ir.OpInsert {
			o.Index = 1
		}
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no number of a rule", text)
	}
	o.Index = n
	if o.Kind == ir.OpDelete {
		o.Kind = ir.OpDeleteIndex
	}
	return nil
}

// finish reads the rule of the op, if it has one, and adds the op. A rule text
// that lists addresses is several rules.
func (c *command) finish(o ir.Op, words []xtables.Word) {
	words, err := c.takeCounters(dropWait(words))
	if err != nil {
		c.refuse(err)
		return
	}
	switch o.Kind {
	case ir.OpAppend, ir.OpInsert, ir.OpReplace, ir.OpDelete, ir.OpRequire:
	default:
		if len(words) > 0 {
			c.refuse(errors.New("the command takes no rule"))
			return
		}
		c.parser.add(o)
		return
	}
	specs, err := xtables.ParseWords(words, xtables.Options{Family: c.parser.family, Table: c.parser.block.Table, Chain: o.Chain})
	if err != nil {
		c.refuse(err)
		return
	}
	if o.Kind == ir.OpReplace && len(specs) > 1 {
		c.refuse(errors.New("a replacement is one rule"))
		return
	}
	for _, s := range specs {
		if err := c.check(s, o.Chain); err != nil {
			c.refuse(err)
			return
		}
		r := &ir.Rule{Text: xtables.Print(s, c.parser.family), Spec: s, Origin: o.Origin}
		if c.counted {
			r.Packets, r.Bytes = c.packets, c.bytes
		}
		o.Rule, o.Counted = r, c.counted && !c.parser.opt.Counters
		c.parser.add(o)
	}
}

// check finds what the tool or the kernel would refuse in a rule. What they take
// and turn into something else is not refused.
func (c *command) check(s *ir.Spec, chain string) error {
	for _, e := range xtables.Check(s, c.parser.block.Table, chain, c.parser.family) {
		if e.Code != diag.Inverted {
			return &e
		}
	}
	return nil
}

// dropWait takes -w [SECONDS] and -v off the words: they change no table.
func dropWait(words []xtables.Word) []xtables.Word {
	var out []xtables.Word
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case w.Quoted:
			out = append(out, w)
		case w.Text == "-v" || w.Text == "--verbose" || w.Text == "-n" || w.Text == "--numeric":
		case w.Text == "-w" || w.Text == "--wait":
			if i+1 < len(words) {
				if _, err := strconv.Atoi(words[i+1].Text); err == nil {
					i++
				}
			}
		default:
			out = append(out, w)
		}
	}
	return out
}

// takeCounters takes -c PACKETS BYTES off the words.
func (c *command) takeCounters(words []xtables.Word) ([]xtables.Word, error) {
	at := slices.IndexFunc(words, func(w xtables.Word) bool {
		return !w.Quoted && (w.Text == "-c" || w.Text == "--set-counters")
	})
	if at < 0 {
		return words, nil
	}
	if at+2 >= len(words) {
		return nil, errors.New("-c takes the number of packets and of bytes")
	}
	var err1, err2 error
	c.packets, err1 = strconv.ParseUint(words[at+1].Text, 10, 64)
	c.bytes, err2 = strconv.ParseUint(words[at+2].Text, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("-c takes the number of packets and of bytes: %w", err)
	}
	c.counted = true
	return slices.Delete(words, at, at+3), nil
}
