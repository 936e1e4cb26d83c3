package recorded

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// countComment is the line by which Write keeps the size of a set whose elements
// were not read.
const countComment = "# elements of "

// sets reads the output of `ipset save`, which lists every set of the host.
func (l *loader) sets(file *diag.File) {
	byName := map[string]*ir.Set{}
	pos := 0
	for line := range strings.Lines(file.Text()) {
		span := file.Span(pos, pos+len(strings.TrimRight(line, "\r\n")))
		pos += len(line)
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case strings.HasPrefix(line, countComment):
			name, count, _ := strings.Cut(strings.TrimSpace(line[len(countComment):]), ": ")
			n, err := strconv.Atoi(count)
			if set := byName[name]; err == nil && set != nil {
				set.Counted, set.Elements = n, nil
			}
		case line[0] == '#':
		case words[0] == "create" && len(words) >= 3 && byName[words[1]] == nil:
			set := &ir.Set{Name: words[1], Type: words[2], Family: setFamily(words), Header: header(strings.Join(words[3:], " ")), Counted: -1}
			byName[set.Name] = set
			l.snap.State.Sets = append(l.snap.State.Sets, set)
		case words[0] == "add" && len(words) >= 3 && byName[words[1]] != nil:
			set := byName[words[1]]
			set.Elements = append(set.Elements, strings.Join(words[2:], " "))
		default:
			l.list.Errorf(diag.SnapshotText, span, "no line of an ipset save: expected a create, or an add to a set created above")
			return
		}
	}
	for _, s := range l.snap.State.Sets {
		slices.Sort(s.Elements)
	}
	slices.SortFunc(l.snap.State.Sets, func(a, b *ir.Set) int { return strings.Compare(a.Name, b.Name) })
	l.snap.State.SetsRead = true
}

// setFamily is the family of a created set; 0 for a type without one.
func setFamily(words []string) ir.Family {
	if i := slices.Index(words, "family"); i > 0 && i+1 < len(words) {
		if words[i+1] == "inet6" {
			return ir.IPv6
		}
		return ir.IPv4
	}
	if strings.HasPrefix(words[2], "bitmap:ip") {
		return ir.IPv4
	}
	return 0
}

// moving are words of a header that differ from one copy of a set to the next: the
// seed of its hash.
var moving = regexp.MustCompile(` ?initval 0x[0-9a-f]+`)

func header(s string) string { return strings.TrimSpace(moving.ReplaceAllString(s, "")) }

// left is the time that an element has left.
var left = regexp.MustCompile(`^([^ ]+) timeout [1-9][0-9]*`)

// writeSets prints sets as `ipset save` does, as far as they are known, without what
// moves by itself: the order of a hash, its seed, and time that is left.
func writeSets(sets []*ir.Set) string {
	var b strings.Builder
	for _, s := range sets {
		fmt.Fprintf(&b, "create %s %s", s.Name, s.Type)
		switch {
		case s.Header != "":
			b.WriteString(" " + header(s.Header))
		case strings.HasPrefix(s.Type, "bitmap:"):
		case s.Family == ir.IPv4:
			b.WriteString(" family inet")
		case s.Family == ir.IPv6:
			b.WriteString(" family inet6")
		}
		b.WriteByte('\n')
		elements := make([]string, len(s.Elements))
		for i, e := range s.Elements {
			elements[i] = left.ReplaceAllString(e, "$1")
		}
		slices.Sort(elements)
		for _, e := range elements {
			fmt.Fprintf(&b, "add %s %s\n", s.Name, e)
		}
		if s.Counted >= 0 {
			fmt.Fprintf(&b, "%s%s: %d\n", countComment, s.Name, s.Counted)
		}
	}
	return b.String()
}
