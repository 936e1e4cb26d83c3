package compiler

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hookline/compiler/ipsets"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// setPrefix begins the names of sets that are filled before they take their place.
const setPrefix = "hookline."

// DeclaredSet is a set of a ruleset for one family.
type DeclaredSet struct {
	*ir.NamedSet
	// Image is the ipset that holds it; nil if the backend has no ipsets.
	Image *ipsets.Image
}

// TemporarySets is the glob of the names under which a ruleset's ipsets are filled.
// What stands of these is left over from an apply that did not come to its end.
func TemporarySets(ruleset string) string { return setPrefix + shortHash(ruleset) + ".*" }

// temporarySet is the name under which one of them is filled: of at most 31 bytes,
// whatever the set's own name is.
func temporarySet(ruleset, set string) string {
	return setPrefix + shortHash(ruleset) + "." + shortHash(set)
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// Set finds a declared set by its name in the ruleset, or by its kernel name; nil if
// there is none for the family.
func (p *Program) Set(name string, f ir.Family) *DeclaredSet {
	for _, s := range p.Sets {
		if s.Family == f && (s.Declared == name || s.Name == name) {
			return s
		}
	}
	return nil
}

// OwnsSet tells whether a set's kernel name is the ruleset's.
func (p *Program) OwnsSet(name string) bool {
	return p.Owns.Set(name) || slices.ContainsFunc(p.Sets, func(s *DeclaredSet) bool { return s.Name == name })
}

// Set tells whether a set's kernel name is ours.
func (o Owns) Set(name string) bool {
	return slices.ContainsFunc(o.Sets, func(g string) bool { return ir.MatchGlob(g, name) })
}

// DeclaredSetNames are the kernel names of the declared sets, sorted.
func (p *Program) DeclaredSetNames() []string {
	var out []string
	for _, s := range p.Sets {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

// sets compiles the declared sets. They are known to rules even if something is
// wrong with them, which is then said once.
func (c *compilation) sets() {
	for _, d := range c.doc.Sets {
		if d.Type == nil || !c.mayOwnSet(d) {
			continue
		}
		s := &setReader{compilation: c, doc: d, kind: setTypeOf(d), seen: map[*ir.ElementOptions]diag.Span{}}
		s.declare()
	}
}

func setTypeOf(d *dsl.Set) ir.SetType {
	var t ir.SetType
	for _, w := range strings.Split(literal(d.Type), dsl.SetTypeSeparator) {
		t = append(t, ir.SetField(w))
	}
	return t
}

// setNames are the names of the declared sets.
func (c *compilation) setNames() []string {
	var out []string
	for _, d := range c.doc.Sets {
		out = append(out, literal(d.Name))
	}
	return out
}

// mayOwnSet tells whether a declared name may be ours, and reports if not.
func (c *compilation) mayOwnSet(d *dsl.Set) bool {
	name := literal(d.Name)
	if strings.HasPrefix(name, setPrefix) {
		c.diags.Errorf(diag.ReservedName, d.Name.Span, "names that begin with %q are those of sets that hookline fills", setPrefix)
		return false
	}
	if who, reserved := c.prog.Catalogue.ReservedSet(name); reserved && !slices.Contains(c.prog.Owns.Replaces, who) {
		c.diags.Errorf(diag.ReservedName, d.Name.Span, "%q is a set of %s", name, who)
		return false
	}
	o := c.doc.Owns
	if o == nil || !o.HasSets {
		return true
	}
	names := []string{name}
	if len(c.setFamilies(d)) > 1 {
		names = append(names, kernelName(name, ir.IPv4), kernelName(name, ir.IPv6))
	}
	for _, g := range o.Sets {
		if slices.ContainsFunc(names, func(n string) bool { return ir.MatchGlob(g.Literal(), n) }) {
			return true
		}
	}
	c.diags.Errorf(diag.NotOwned, d.Name.Span, "set %s is declared, but no entry of owns.sets matches it", name)
	return false
}

// setFamilies are the families that a set is declared for, whichever of them this
// run works on.
func (c *compilation) setFamilies(d *dsl.Set) []ir.Family {
	return c.narrow(c.narrow(ir.Families, c.doc.Families), d.Families)
}

func kernelName(name string, f ir.Family) string {
	if f == ir.IPv6 {
		return name + "-6"
	}
	return name + "-4"
}

// setReader compiles one declared set.
type setReader struct {
	*compilation
	doc  *dsl.Set
	kind ir.SetType
	// lists are the elements as written, by family.
	lists [2][]ir.Element
	// seen are the places of the elements that say something besides.
	seen     map[*ir.ElementOptions]diag.Span
	timeout  uint32
	timeouts bool
	comments bool
	mistakes int
}

func (s *setReader) declare() {
	if s.doc.Timeout != nil {
		if text, ok := s.eval.string(s.doc.Timeout); ok {
			s.timeout, s.timeouts = s.seconds(text, s.doc.Timeout.Span)
		}
	}
	for _, v := range s.doc.Elements {
		s.value(v)
	}
	if s.doc.File != nil {
		s.file()
	}
	families := s.setFamilies(s.doc)
	for _, f := range families {
		if !slices.Contains(s.prog.Families, f) {
			continue
		}
		name := literal(s.doc.Name)
		n := &ir.NamedSet{Family: f, Name: name, Declared: name, Type: s.kind, Span: s.doc.Name.Span, Timeouts: s.timeouts, Timeout: s.timeout, Comments: s.comments}
		if len(families) > 1 {
			n.Name = kernelName(name, f)
		}
		if other := s.prog.named(n.Name); other != nil {
			s.diags.Errorf(diag.DuplicateName, s.doc.Name.Span, "set %s has the name %s in the kernel, as another one has", name, n.Name).
				Note(other.Span, "the other one is here")
			continue
		}
		var conflict []ir.Element
		n.Elements, conflict = ir.MergeElements(s.kind, s.lists[f-1])
		if conflict != nil {
			s.conflict(conflict)
		}
		d := &DeclaredSet{NamedSet: n}
		if s.prog.Backend != string(ir.NFT) {
			s.image(d)
		}
		s.prog.Sets = append(s.prog.Sets, d)
		s.prog.Owns.Sets = append(s.prog.Owns.Sets, n.Name)
	}
	if n := len(s.lists[0]) + len(s.lists[1]); len(families) == 1 && s.kind.HasFamily() {
		if out := n - len(s.lists[families[0]-1]); out > 0 {
			s.note(diag.FamilyMismatch, s.doc.Name.Span, "set %s is for %s only: %s of %s left out", literal(s.doc.Name), families[0], are(count(out, "element"), out), other(families[0]))
		}
	}
}

func are(what string, n int) string {
	if n == 1 {
		return what + " is"
	}
	return what + " are"
}

// named finds a declared set by its kernel name.
func (p *Program) named(kernel string) *DeclaredSet {
	for _, s := range p.Sets {
		if s.Name == kernel {
			return s
		}
	}
	return nil
}

// image makes the ipset. What ipset cannot hold is refused here, for the backends
// that have nothing else.
func (s *setReader) image(d *DeclaredSet) {
	im, problem := ipsets.New(d.NamedSet)
	if problem == "" {
		d.Image = im
		return
	}
	s.diags.Errorf(diag.UnsupportedBackend, s.doc.Type.Span, "set %s cannot stand on the iptables backends: %s", d.Declared, problem)
}

// conflict reports two elements that overlap and say different things besides.
func (s *setReader) conflict(pair []ir.Element) {
	at, other := s.seen[pair[1].Options], s.seen[pair[0].Options]
	if at.IsZero() {
		at, other = other, at
	}
	d := s.diags.Errorf(diag.InvalidValue, at, "another element of set %s overlaps this one and has another comment or timeout: an element is in a set once", literal(s.doc.Name))
	if !other.IsZero() {
		d.Note(other, "it is here")
	}
}

// value takes one entry of elements.
func (s *setReader) value(v *dsl.Value) {
	if v.Kind != dsl.Mapping {
		s.scalar(v, nil)
		return
	}
	element := v.Entry("element")
	if element == nil {
		return // reported when the file was read
	}
	o := &ir.ElementOptions{}
	s.seen[o] = v.Span
	if c := v.Entry("comment"); c != nil && c.Text != nil {
		if text, ok := s.eval.string(c.Text); ok && s.comment(text, c.Span) {
			o.Comment, s.comments = text, s.comments || text != ""
		}
	}
	if t := v.Entry("timeout"); t != nil && t.Text != nil {
		if text, ok := s.eval.string(t.Text); ok {
			o.Timeout, o.HasTimeout = s.seconds(text, t.Span)
			s.timeouts = s.timeouts || o.HasTimeout
		}
	}
	if *o == (ir.ElementOptions{}) {
		o = nil
	}
	s.scalar(element, o)
}

func (s *setReader) scalar(v *dsl.Value, o *ir.ElementOptions) {
	if v.Kind != dsl.Scalar {
		return // reported when the file was read
	}
	if !v.Text.HasExpr() {
		s.element(literal(v.Text), o, func() diag.Span { return v.Span })
		return
	}
	x, ok := s.eval.value(v)
	if !ok {
		return
	}
	s.computed(x, o)
}

// maxComment is the number of bytes of a comment that the kernel keeps.
const maxComment = 255

func (s *setReader) comment(text string, at diag.Span) bool {
	switch {
	case len(text) > maxComment:
		s.diags.Errorf(diag.InvalidValue, at, "the comment has %d bytes, and the kernel keeps %d", len(text), maxComment)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' }):
		s.diags.Errorf(diag.InvalidValue, at, "a comment of an element holds no quotes, backslashes and control characters")
	default:
		return true
	}
	return false
}

// maxTimeout is the longest timeout of an element in seconds: what ipset takes, and
// less than nftables does.
const maxTimeout = 2147483

// seconds reads a duration: a number of seconds, or one with a unit.
func (s *setReader) seconds(text string, at diag.Span) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		days, isDays := strings.CutSuffix(text, "d")
		if n, err = strconv.ParseUint(days, 10, 16); isDays && err == nil {
			n *= 24 * 60 * 60
		} else {
			var d time.Duration
			if d, err = time.ParseDuration(text); err == nil && (d%time.Second != 0 || d < 0) {
				err = fmt.Errorf("no whole seconds")
			}
			n = uint64(d / time.Second)
		}
	}
	switch {
	case err != nil:
		s.diags.Errorf(diag.InvalidValue, at, "%q is not a duration: a number of seconds, or one such as 90s, 12h or 7d", text)
		return 0, false
	case n == 0 || n > maxTimeout:
		s.diags.Errorf(diag.InvalidValue, at, "a timeout is between 1 second and %d seconds (24 days)", maxTimeout)
		return 0, false
	}
	return uint32(n), true
}

// file takes the elements of the set's file, one a line.
func (s *setReader) file() {
	at := s.doc.File.Span
	if s.opt.ReadFile == nil {
		s.diags.Errorf(diag.SetFile, at, "there are no files beside this ruleset: %q cannot be read", literal(s.doc.File))
		return
	}
	file, err := s.opt.ReadFile(s.compilation.doc.File, literal(s.doc.File))
	if err != nil {
		s.diags.Errorf(diag.SetFile, at, "%v", err)
		return
	}
	text := file.Text()
	if lines := strings.Count(text, "\n") + 1; !s.kind.HasFamily() {
		s.lists[0], s.lists[1] = slices.Grow(s.lists[0], lines), slices.Grow(s.lists[1], lines)
	} else {
		s.lists[0] = slices.Grow(s.lists[0], lines)
	}
	for pos := 0; pos < len(text); {
		end := len(text)
		if n := strings.IndexByte(text[pos:], '\n'); n >= 0 {
			end = pos + n
		}
		line, _, _ := strings.Cut(text[pos:end], "#")
		word := strings.TrimSpace(line)
		if word != "" {
			start := pos + strings.Index(line, word)
			s.element(word, nil, func() diag.Span { return file.Span(start, start+len(word)) })
		}
		pos = end + 1
	}
	if s.mistakes > maxMistakes {
		s.diags.Errorf(diag.InvalidValue, at, "%d elements of the file are wrong, of which the first %d are shown", s.mistakes, maxMistakes)
	}
}

// maxMistakes bounds the wrong elements of one set that are reported.
const maxMistakes = 20
