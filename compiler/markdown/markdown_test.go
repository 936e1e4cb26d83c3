package markdown_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"hookline/compiler/markdown"
)

func TestEscape(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"plain text, 10.0.0.0/8: yes.", "plain text, 10.0.0.0/8: yes."},
		{`\[x\](u)`, `\\\[x\\\](u)`},
		{"``` <img src=//e/x> `", "\\`\\`\\` &lt;img src=//e/x&gt; \\`"},
		{"@org/t", "&#64;&#8203;org/t"},
		{"&lt;", "&amp;lt;"},
		{"a|b_c*d~e", `a\|b\_c\*d\~e`},
		{"http://e www.e", `http:\//e www\.e`},
		{"a\nb\x1b", `a\\nb\\x1b`},
	} {
		if got := markdown.Escape(c.text); got != c.want {
			t.Errorf("Escape(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestCode(t *testing.T) {
	for _, c := range []struct{ text, code, cell string }{
		{"x", "`x`", "`x`"}, {"", "` `", "` `"}, {"a`b|", "`a'b|`", "`a'b\\|`"}, {"a\nb", "`a\\nb`", "`a\\nb`"},
	} {
		if code, cell := markdown.Code(c.text), markdown.CodeCell(c.text); code != c.code || cell != c.cell {
			t.Errorf("%q is %q and %q, want %q and %q", c.text, code, cell, c.code, c.cell)
		}
	}
}

func TestFence(t *testing.T) {
	var b strings.Builder
	markdown.Fence(&b, "diff", []string{"+ a", "````", "b\nc"})
	if want := "`````diff\n+ a\n````\nb\\nc\n`````\n"; b.String() != want {
		t.Errorf("Fence = %q, want %q", b.String(), want)
	}
}

// TestCut: whatever is open where the text ends is closed, so that the sentence
// about the rest is seen.
func TestCut(t *testing.T) {
	var b strings.Builder
	b.WriteString("<details><summary>x</summary>\n\n")
	markdown.Fence(&b, "", append([]string{"```", "</details>"}, strings.Split(strings.Repeat("line\n", 200), "\n")...))
	b.WriteString("\n</details>\n")
	for limit := range 600 {
		got := markdown.Cut(b.String(), limit+1, "hookline doctor")
		if n := utf8.RuneCountInString(got); n > limit+1 {
			t.Fatalf("limit %d: %d characters", limit+1, n)
		}
		if limit > 300 && !strings.HasSuffix(got, "line\n````\n\n</details>\n\n_The rest does not fit into a comment and is left out; `hookline doctor` prints all of it._\n") {
			t.Fatalf("limit %d: %q", limit+1, got)
		}
	}
	if short := "a\n"; markdown.Cut(short, 0, "x") != short {
		t.Errorf("a text that fits is cut")
	}
}

// TestFit: the longest part loses detail first, and no more than it has to.
func TestFit(t *testing.T) {
	part := func(name string, size int) markdown.Part {
		return func(detail int) string {
			return fmt.Sprintf("%s%d %s\n", name, detail, strings.Repeat("x", size*detail))
		}
	}
	got := markdown.Fit("head\n", []markdown.Part{part("a", 10), part("b", 100), part("c", 20)}, 2, 200, "x")
	if want := "head\na2 " + strings.Repeat("x", 20) + "\n\nb1 " + strings.Repeat("x", 100) + "\n\nc2 " + strings.Repeat("x", 40) + "\n"; got != want {
		t.Errorf("Fit = %q, want %q", got, want)
	}
}
