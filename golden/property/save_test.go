package property

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// block is one table of a save text, as text: nothing in here knows what a rule
// means.
type block struct {
	name  string
	decls []string // ":NAME ..."
	rules []string // "[n:m] -A NAME ..."
}

// save is a save text.
type save []*block

// readSave cuts a save text into its tables.
func readSave(text string) save {
	var s save
	var b *block
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			b = &block{name: line[1:]}
			s = append(s, b)
		case b == nil || line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, ":"):
			b.decls = append(b.decls, line)
		case line == "COMMIT":
			b = nil
		default:
			b.rules = append(b.rules, line)
		}
	}
	return s
}

func (s save) table(name string) *block {
	for _, b := range s {
		if b.name == name {
			return b
		}
	}
	return nil
}

// String is the text for a restore.
func (s save) String() string {
	var b strings.Builder
	for _, t := range s {
		b.WriteString("*" + t.name + "\n")
		for _, line := range slices.Concat(t.decls, t.rules) {
			b.WriteString(line + "\n")
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}

// emptyBlock is a table of which only the base chains are there.
func emptyBlock(name string) *block {
	b := &block{name: name}
	for _, c := range ir.BuiltinChains(name) {
		b.decls = append(b.decls, ":"+c+" ACCEPT [0:0]")
	}
	return b
}

// chainOf is the chain of a line of a save.
func chainOf(line string) string {
	if rest, ok := strings.CutPrefix(line, ":"); ok {
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	_, rest, _ := strings.Cut(line, "-A ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// targetOf is the chain that a line jumps or goes to, or what else stands at the
// end of it.
func targetOf(line string) string {
	words := strings.Split(line, " ")
	if n := len(words); n > 2 && (words[n-2] == "-j" || words[n-2] == "-g") {
		return words[n-1]
	}
	return ""
}

// bare is a line without its counters.
func bare(line string) string {
	if strings.HasPrefix(line, ":") {
		head, _, _ := strings.Cut(line, " [")
		return head
	}
	if i := strings.Index(line, "-A "); i >= 0 {
		return line[i:]
	}
	return line
}

// filter keeps the lines for which keep is true, and leaves out the tables that
// equal absent ones: base chains with policy ACCEPT and nothing else.
func (s save) filter(keep func(table, line string) bool) save {
	var out save
	for _, b := range s {
		n := &block{name: b.name}
		for _, line := range b.decls {
			if keep(b.name, line) {
				n.decls = append(n.decls, line)
			}
		}
		for _, line := range b.rules {
			if keep(b.name, line) {
				n.rules = append(n.rules, line)
			}
		}
		says := len(n.rules) > 0 || slices.ContainsFunc(n.decls, func(line string) bool {
			return !ir.IsBuiltin(b.name, chainOf(line)) || !strings.Contains(line, " ACCEPT [0:0]") && !strings.HasSuffix(line, " ACCEPT")
		})
		if says {
			out = append(out, n)
		}
	}
	// The order of tables means nothing (a table is listed when it was made).
	slices.SortFunc(out, func(a, b *block) int { return strings.Compare(a.name, b.name) })
	return out
}

// edit changes each line.
func (s save) edit(change func(line string) string) save {
	var out save
	for _, b := range s {
		n := &block{name: b.name}
		for _, line := range b.decls {
			n.decls = append(n.decls, change(line))
		}
		for _, line := range b.rules {
			n.rules = append(n.rules, change(line))
		}
		out = append(out, n)
	}
	return out
}

// withoutPolicyCounters are what libiptc zeroes with every change of a table
// (docs/decisions/0009).
func (s save) withoutPolicyCounters() save {
	return s.edit(func(line string) string {
		if strings.HasPrefix(line, ":") {
			return bare(line)
		}
		return line
	})
}
