package ipsets

import (
	"slices"
	"strconv"

	"hookline/compiler/ir"
)

// Difference is what an ipset that stands lacks and has too much, as ipset writes
// the elements.
type Difference struct {
	// Add are elements that are missing or say something else besides, Remove those
	// that are to go.
	Add, Remove []string
	// Rewrite says why the ipset cannot be changed element by element, else empty.
	Rewrite string
	// Unread tells that the elements of the one that stands are not known.
	Unread bool

	all []ir.Element
	im  *Image
	// fresh tells that none stands, so that all elements are added; strange that one
	// that stands holds what we never write, which no command of ours takes out.
	fresh, strange bool
}

// Empty tells that the ipset is as it is to be.
func (d *Difference) Empty() bool {
	return len(d.Add)+len(d.Remove) == 0 && d.Rewrite == "" && !d.Unread
}

// InPlace tells that one command makes the difference, which is all or nothing by
// itself. Every other difference is made by filling another ipset.
func (d *Difference) InPlace() bool {
	return d.Rewrite == "" && !d.Unread && !d.strange && len(d.Add)+len(d.Remove) == 1
}

// All are the elements of the ipset as it is to be. One that stands already keeps
// the time that it has left.
func (d *Difference) All() []string {
	if d.fresh {
		return d.Add
	}
	return d.im.texts(d.all)
}

// SameType tells whether an ipset that stands can hold what is to be in it, so that
// a swap is possible.
func (im *Image) SameType(live *ir.Set) bool {
	return swaps(live.Type, im.Type) && (live.Family == im.Family || im.layout.noFamily)
}

// Compare compares the ipset with one that stands, of the same type, or with none.
func (im *Image) Compare(live *ir.Set) *Difference {
	d := &Difference{im: im, all: im.Elements}
	switch {
	case live == nil:
		d.Add, d.fresh = im.texts(im.Elements), true
		return d
	case live.Counted > 0 && live.Elements == nil:
		d.Unread = true
		return d
	}
	d.Rewrite = im.rewrite(live)
	stands, strange := im.read(live.Elements)
	if d.Rewrite == "" && len(strange) == 0 && im.sameRanges(stands) {
		return d
	}
	d.walk(stands)
	d.Remove = append(d.Remove, strange...)
	d.strange = len(strange) > 0
	return d
}

// rewrite says which property of an ipset that stands cannot be changed.
func (im *Image) rewrite(live *ir.Set) string {
	if live.Header == "" {
		return "" // not recorded
	}
	h := parseHeader(live.Header)
	switch {
	case h.timeouts != im.Timeouts:
		return "timeouts come or go"
	case h.timeout != uint64(im.Timeout):
		return "the timeout changes to " + strconv.FormatUint(uint64(im.Timeout), 10) + " seconds"
	case h.comments != im.Comments:
		return "comments come or go"
	case h.maxElem > 0 && h.maxElem < uint64(len(im.Elements)):
		return "there is no room in it for so many elements"
	case h.ports != "" && h.ports != "0-65535":
		return "it holds the ports " + h.ports + " only"
	case h.others:
		return "it has properties that hookline never gives"
	}
	return ""
}

// read parses the elements of an ipset that stands; strange are those that we would
// never write.
func (im *Image) read(texts []string) (list []ir.Element, strange []string) {
	list = make([]ir.Element, 0, len(texts))
	for _, t := range texts {
		if e, ok := im.parse(t); ok {
			list = append(list, e)
		} else {
			strange = append(strange, t)
		}
	}
	slices.SortFunc(list, ir.Element.Compare)
	return list, strange
}

// sameRanges tells whether a set of plain ranges matches the same, however it is cut
// into networks.
func (im *Image) sameRanges(stands []ir.Element) bool {
	if len(im.kernel) > 1 || im.Timeouts || im.Comments || im.kernel[0] != ir.CIDRField {
		return false
	}
	// Of most sets one is as the other already.
	if slices.EqualFunc(stands, im.Elements, func(a, b ir.Element) bool { return a.Interval == b.Interval && a.Options == nil }) {
		return true
	}
	a, _ := ir.MergeElements(im.kernel, slices.Clone(stands))
	b, _ := ir.MergeElements(im.kernel, slices.Clone(im.Elements))
	return slices.EqualFunc(a, b, func(a, b ir.Element) bool { return a.Interval == b.Interval && a.Options == nil && b.Options == nil })
}

// walk goes through both lists in order.
func (d *Difference) walk(stands []ir.Element) {
	im := d.im
	var add, remove []ir.Element
	i := 0
	for n, e := range im.Elements {
		for i < len(stands) && stands[i].Compare(e) < 0 {
			remove = append(remove, stands[i])
			i++
		}
		if i == len(stands) || stands[i].Compare(e) != 0 {
			add = append(add, e)
			continue
		}
		if im.sameOptions(stands[i], e) {
			if o := stands[i].Options; im.Timeouts && o != nil && o.Timeout > 0 {
				if &d.all[0] == &im.Elements[0] {
					d.all = slices.Clone(im.Elements)
				}
				d.all[n].Options = &ir.ElementOptions{Comment: o.Comment, Timeout: o.Timeout, HasTimeout: true}
			}
		} else {
			add, remove = append(add, e), append(remove, stands[i])
		}
		i++
	}
	remove = append(remove, stands[i:]...)
	d.Add, d.Remove = im.texts(add), im.standing(remove)
}

// standing prints elements that stand, without what they say besides.
func (im *Image) standing(list []ir.Element) []string {
	bare := *im
	bare.Timeouts = false
	for i := range list {
		list[i].Options = nil
	}
	return bare.texts(list)
}

// sameOptions compares what elements say besides: time runs, so that any time left
// is as good as the whole.
func (im *Image) sameOptions(stands, wanted ir.Element) bool {
	var left uint32
	comment := ""
	if o := stands.Options; o != nil {
		left, comment = o.Timeout, o.Comment
	}
	timeout, want := im.options(wanted)
	if o := stands.Options; im.Timeouts && timeout > 0 && (o == nil || !o.HasTimeout) {
		return comment == want // recorded without the time that is left
	}
	return comment == want && (timeout == 0) == (left == 0) && left <= timeout
}

// Equal tells whether two ipsets that stand hold the same, whatever the order of
// their elements and the time that these have left.
func Equal(a, b *ir.Set) bool {
	return a.Type == b.Type && a.Family == b.Family && properties(a) == properties(b) && slices.Equal(bare(a.Elements), bare(b.Elements))
}

func properties(s *ir.Set) header {
	h := parseHeader(s.Header)
	h.maxElem = 0
	return h
}

// bare are elements without the time that they have left, sorted.
func bare(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = withoutTimeout(s)
	}
	slices.Sort(out)
	return out
}
