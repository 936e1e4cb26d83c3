package lower

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"hookline/dsl/diag"
)

// items are the values of a key: a list's items, lists in it opened, or the one
// value that it is.
func items(v *Value) []*Value {
	if v == nil {
		return nil
	}
	if v.Kind != List {
		return []*Value{v}
	}
	var out []*Value
	for _, x := range v.Items {
		out = append(out, items(x)...)
	}
	return out
}

// scalar is the text of a scalar that is not empty and holds no control
// characters; what says what is expected, e.g. "a port".
func (l *lowering) scalar(v *Value, what string) (string, bool) {
	switch {
	case v == nil:
		return "", false
	case v.Kind != Scalar:
		l.diags.Errorf(diag.WrongType, v.Span, "expected %s", what)
		return "", false
	case v.Text == "":
		l.diags.Errorf(diag.InvalidValue, v.Span, "expected %s, but this is empty", what)
		return "", false
	}
	return v.Text, l.clean(v, what)
}

// clean refuses text that could not be written into one line of rule text.
func (l *lowering) clean(v *Value, what string) bool {
	if !utf8.ValidString(v.Text) {
		l.diags.Errorf(diag.ControlCharacter, v.Span, "%s must be UTF-8 text", what)
		return false
	}
	i := strings.IndexFunc(v.Text, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' })
	if i >= 0 {
		r, _ := utf8.DecodeRuneInString(v.Text[i:])
		l.diags.Errorf(diag.ControlCharacter, v.Span, "%s must not hold the control character %U", what, r)
		return false
	}
	return true
}

// text is a scalar that is written to the host as it is, such as a comment: of at
// most max bytes, and not to be taken for an option.
func (l *lowering) text(v *Value, what string, max int) (string, bool) {
	if v.Kind == Scalar && v.Text == "" {
		return "", true
	}
	s, ok := l.scalar(v, what)
	switch {
	case !ok:
		return "", false
	case len(s) > max:
		l.diags.Errorf(diag.TooLong, v.Span, "%s has %d bytes, at most %d fit", what, len(s), max)
		return "", false
	case s[0] == '-':
		l.diags.Errorf(diag.InvalidValue, v.Span, "%s must not start with a dash", what)
		return "", false
	case s == "!":
		l.diags.Errorf(diag.InvalidValue, v.Span, "%s must not be a lone exclamation mark", what)
		return "", false
	}
	return s, true
}

// word is a text of letters, digits and the given other characters.
func (l *lowering) word(v *Value, what, others string, max int) (string, bool) {
	if _, ok := l.scalar(v, what); !ok {
		return "", false
	}
	s, ok := l.text(v, what, max)
	if !ok {
		return "", false
	}
	for _, r := range s {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune(others, r) {
			continue
		}
		l.diags.Errorf(diag.InvalidValue, v.Span, "%s must not hold %q", what, r)
		return "", false
	}
	return s, true
}

// number reads decimal or 0x digits; a leading zero, an underscore or a sign is
// no number.
func number(s string, max uint64) (uint64, bool) {
	base, digits := 10, s
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		base, digits = 16, s[2:]
	} else if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for _, r := range digits {
		if !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(digits, base, 64)
	return n, err == nil && n <= max
}

// number reads a scalar that is a number.
func (l *lowering) number(v *Value, what string, max uint64) (uint64, bool) {
	s, ok := l.scalar(v, what)
	if !ok {
		return 0, false
	}
	n, ok := number(s, max)
	if !ok {
		l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not %s (0 to %d)", s, what, max)
	}
	return n, ok
}

// boolean reads true or false.
func (l *lowering) boolean(v *Value, what string) (value, ok bool) {
	s, ok := l.scalar(v, "true or false")
	if !ok {
		return false, false
	}
	if s != "true" && s != "false" {
		l.diags.Errorf(diag.InvalidValue, v.Span, "%s is true or false, not %q", what, s)
		return false, false
	}
	return s == "true", true
}

// fields opens a mapping of known keys; what names it, e.g. "limit". Keys that are
// not known are reported and left out; ok is false if there is no mapping.
func (l *lowering) fields(v *Value, what string, known ...string) (m map[string]*Value, ok bool) {
	if v == nil || v.Kind != Map {
		at := l.place()
		if v != nil {
			at = v.Span
		}
		l.diags.Errorf(diag.WrongType, at, "%s takes {%s}", what, strings.Join(known, ", "))
		return nil, false
	}
	m = map[string]*Value{}
	for _, k := range v.Keys {
		switch {
		case !slices.Contains(known, k.Name):
			l.unknown(diag.UnknownKey, k.Span, "key of "+what, k.Name, known)
		case k.Value == nil:
			l.diags.Errorf(diag.InvalidValue, k.Span, "%s has no value", k.Name)
		case m[k.Name] != nil:
			l.diags.Errorf(diag.DuplicateKey, k.Span, "%s is given twice", k.Name)
		default:
			m[k.Name] = k.Value
		}
	}
	return m, true
}

// unknown reports a word that is none of the known ones.
func (l *lowering) unknown(code diag.Code, at diag.Span, what, word string, known []string) {
	d := l.diags.Errorf(code, at, "unknown %s %q", what, word)
	if near := diag.DidYouMean(word, known); near != "" {
		d.WithHelp("did you mean %q?", near)
	} else if len(known) <= 16 {
		d.WithHelp("known: %s", strings.Join(known, ", "))
	}
}
