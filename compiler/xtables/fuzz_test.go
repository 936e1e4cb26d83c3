package xtables

import (
	"errors"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// FuzzParse: what is taken is printed as one line that Decode and Parse read as the
// same rule; what is refused is refused at bytes of the text.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"typed.txt", "refused.txt", "stricter.txt"} {
		for _, r := range typedRules(f, name) {
			f.Add(r.text, r.family == ir.IPv6)
		}
	}
	for _, h := range hostile {
		f.Add(`-m comment --comment "`+h+`" -j X`, false)
	}
	f.Fuzz(func(t *testing.T, text string, v6 bool) {
		fam := ir.IPv4
		if v6 {
			fam = ir.IPv6
		}
		specs, err := Parse(text, Options{Family: fam})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Start < 0 || e.End > len(text) || e.Start > e.End || e.Message == "" || e.Code == "" {
				t.Fatalf("Parse(%q): bad error %#v", text, err)
			}
			return
		}
		for _, s := range specs {
			printed := Print(s, fam)
			if _, _, bad := controlCharacter(printed, false); bad {
				t.Fatalf("Parse(%q) is printed with a control character: %q", text, printed)
			}
			back, ok := Decode(printed, fam)
			if !ok {
				t.Fatalf("Parse(%q) is printed as %q, which does not split", text, printed)
			}
			if again := Print(back, fam); again != printed {
				t.Fatalf("Parse(%q) is printed as %q, and that as %q", text, printed, again)
			}
			if Key(back, fam) != Key(s, fam) {
				t.Fatalf("Parse(%q) is printed as %q, which means %q, not %q", text, printed, Key(back, fam), Key(s, fam))
			}
			typed, err := Parse(printed, Options{Family: fam})
			if err != nil || len(typed) != 1 || Print(typed[0], fam) != printed {
				t.Fatalf("Parse(%q) is printed as %q, which Parse does not read back: %v", text, printed, err)
			}
			target, isGoto := TargetOf(printed)
			if want := s.JumpTarget(); want != "" && target != want {
				t.Fatalf("TargetOf(%q) = %q, %v, want %q", printed, target, isGoto, want)
			}
		}
	})
}

// FuzzDecode: whatever splits is decoded, and keeps its words.
func FuzzDecode(f *testing.F) {
	for _, r := range typedRules(f, "typed.txt") {
		f.Add(r.text, r.family == ir.IPv6)
	}
	f.Add(`-i my if0 -p tcp -m future --x "a b" -j X -j Y`, false)
	f.Fuzz(func(t *testing.T, text string, v6 bool) {
		fam := ir.IPv4
		if v6 {
			fam = ir.IPv6
		}
		words, err := Words(text)
		s, ok := Decode(text, fam)
		if ok != (err == nil) {
			t.Fatalf("Decode(%q) is ok: %v, Words: %v", text, ok, err)
		}
		if !ok {
			return
		}
		printed, err := Words(string(appendSpec(nil, s, fam, 0)))
		if err != nil {
			t.Fatalf("Decode(%q) is printed as %q: %v", text, Print(s, fam), err)
		}
		var want, got []string
		for _, w := range words {
			want = append(want, w.Text)
		}
		for _, w := range printed {
			got = append(got, w.Text)
		}
		if strings.Join(got, "\x01") != strings.Join(want, "\x01") {
			t.Fatalf("Decode(%q) has the words %q, want %q", text, got, want)
		}
	})
}
