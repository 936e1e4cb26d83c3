package xtables

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestWords(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []Word
		why        string
	}{
		{"none", "  \t ", nil, ""},
		{"plain", "-p tcp", []Word{{Text: "-p", Start: 0, End: 2}, {Text: "tcp", Start: 3, End: 6}}, ""},
		{"quoted", `--comment "a b" -j`, []Word{
			{Text: "--comment", Start: 0, End: 9}, {Text: "a b", Start: 10, End: 15, Quoted: true}, {Text: "-j", Start: 16, End: 18},
		}, ""},
		{"escapes", `"a\"b\\c\'d"`, []Word{{Text: `a"b\c'd`, Start: 0, End: 12, Quoted: true}}, "a backslash takes any character"},
		{"empty", `"" x`, []Word{{Text: "", Start: 0, End: 2, Quoted: true}, {Text: "x", Start: 3, End: 4}}, ""},
		{"backslash outside", `a\b`, []Word{{Text: `a\b`, Start: 0, End: 3}}, "it means something in quotes only"},
		{"quote ends the word", `"a"b`, []Word{{Text: "a", Start: 0, End: 3, Quoted: true}, {Text: "b", Start: 3, End: 4}}, "as in iptables-restore"},
		{"quote in the middle", `a"b c" d`, []Word{{Text: "ab c", Start: 0, End: 6, Quoted: true}, {Text: "d", Start: 7, End: 8}}, ""},
		{"single quotes", `'a b'`, []Word{{Text: "'a", Start: 0, End: 2}, {Text: "b'", Start: 3, End: 5}}, "mean nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Words(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(Word{}), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("Words(%q) mismatch (-want +got):\n%s%s", tc.text, d, tc.why)
			}
		})
	}
}

func TestWordsUnclosed(t *testing.T) {
	for _, text := range []string{`-m "a b`, `"a\"`, `"`, `a "\`} {
		_, err := Words(text)
		var e *Error
		if !errors.As(err, &e) || text[e.Start] != '"' || e.End != len(text) {
			t.Errorf("Words(%q) = %v, want an error from the quote on", text, err)
		}
	}
}

func TestSplitTemplate(t *testing.T) {
	lit := func(s string) TemplatePart { return TemplatePart{Text: s} }
	val := func(s string, width int) TemplatePart { return TemplatePart{Text: s, IsValue: true, Width: width} }
	for _, tc := range []struct {
		name  string
		parts []TemplatePart
		want  []Word
	}{
		{"one argument", []TemplatePart{lit("-s "), val("a b -j X", 7), lit(" -j DROP")}, []Word{
			{Text: "-s", Start: 0, End: 2},
			{Text: "a b -j X", Start: 3, End: 10, Literal: true},
			{Text: "-j", Start: 11, End: 13},
			{Text: "DROP", Start: 14, End: 18},
		}},
		{"inside a word", []TemplatePart{lit("--dport "), val("1", 4), lit(":"), val("2", 4)}, []Word{
			{Text: "--dport", Start: 0, End: 7}, {Text: "1:2", Start: 8, End: 17, Literal: true},
		}},
		{"inside quotes", []TemplatePart{lit(`"a `), val(`x" -j "y`, 4), lit(` b" c`)}, []Word{
			{Text: `a x" -j "y b`, Start: 0, End: 10, Quoted: true, Literal: true}, {Text: "c", Start: 11, End: 12},
		}},
		{"empty value", []TemplatePart{lit("-i "), val("", 4), lit(" x")}, []Word{
			{Text: "-i", Start: 0, End: 2}, {Text: "", Start: 3, End: 7, Literal: true}, {Text: "x", Start: 8, End: 9},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := SplitTemplate(tc.parts)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(Word{})); d != "" {
				t.Errorf("mismatch (-want +got):\n%s", d)
			}
		})
	}
	if _, err := SplitTemplate([]TemplatePart{lit(`"a `), val("b", 4)}); err == nil {
		t.Error("a quote that a value would have to close is taken")
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"abc_-9": "abc_-9", "": `""`, "a b": `"a b"`, "a.b": `"a.b"`, `a"b`: `"a\"b"`, `a\b`: `"a\\b"`, "it's": `"it\'s"`,
		"-j": "-j", "é": `"é"`, "!": `"!"`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
		if words, err := Words(Quote(in)); err != nil || len(words) != 1 || words[0].Text != in {
			t.Errorf("Words(Quote(%q)) = %v, %v", in, words, err)
		}
	}
}
