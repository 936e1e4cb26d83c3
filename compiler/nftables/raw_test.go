package nftables

import (
	"strings"
	"testing"
)

func declared(name string) (string, bool) { return "filter-" + name, name == "SITE" }

func declaredSet(name string) (string, bool) { return name + "-4", name == "admins" }

func TestRaw(t *testing.T) {
	for _, tt := range []struct{ text, want, problem string }{
		{`tcp  dport { 22,80-90 } counter accept`, `tcp dport { 22, 80-90 } counter accept`, ""},
		{`iifname "a b" jump SITE`, `iifname "a b" jump filter-SITE`, ""},
		{`tcp dport vmap { 22 : accept, 23 : goto SITE }`, `tcp dport vmap { 22 : accept, 23 : goto filter-SITE }`, ""},
		{`@th,16,16 22 drop`, `@th, 16, 16 22 drop`, ""},
		{`tcp flags & (syn | ack) == syn drop`, `tcp flags & (syn | ack) == syn drop`, ""},
		{`log prefix "jump; x" accept`, `log prefix "jump; x" accept`, ""},
		{`ip saddr @admins accept`, `ip saddr @admins-4 accept`, ""},
		{`tcp dport 22 meter ssh { ip saddr limit rate 5/minute } accept`, `tcp dport 22 meter ssh { ip saddr limit rate 5/minute } accept`, ""},
		{`ip saddr example.org meter ssh { ip saddr limit rate 5/minute } accept`, "", "host"},
		{`tcp sport != 1 tcp dport != 2-2 drop`, `tcp sport != 1 tcp dport != 2-2 drop`, ""},
		{`tcp sport != { 1, 5 } tcp dport != 2 drop`, `tcp sport != { 1, 5 } tcp dport != 2 drop`, ""},
		{`tcp sport != 1 tcp dport != 2 drop`, "", "for one comparison"},
		{`icmp code != 3 meta mark 1 icmp type != echo-request drop`, "", "for one comparison"},
		{``, "", "empty"},
		{`   `, "", "empty"},
		{`accept; drop`, "", "cannot stand"},
		{"accept\nadd table ip x", "", "line ends"},
		{`accept # x`, "", "cannot stand"},
		{`accept \`, "", "cannot stand"},
		{`accept }`, "", "closes nothing"},
		{`tcp dport { 22 accept`, "", "not closed"},
		{`tcp dport ( 22 ] accept`, "", "closes nothing"},
		{`log prefix "x`, "", "not closed"},
		{`ip saddr $x accept`, "", "variables"},
		{`log prefix "$x" accept`, "", "variables"},
		{`index 3 accept`, "", "where a rule is to stand"},
		{`handle 3 accept`, "", "where a rule is to stand"},
		{`accept comment "x"`, "", "comment:"},
		{`jump OTHER`, "", "not declared"},
		{`jump`, "", "where to"},
		{`jump { accept }`, "", "not declared"},
		{`ip saddr @x accept`, "", "not declared"},
		{`ip saddr x@y accept`, "", "begins a word"},
		{"accept \x1b[1m", "", "control"},
		{"log prefix \"\u009b1m\"", "", "control"},
		{"log prefix \"\xff\"", "", "control"},
	} {
		b, err := Raw([]RawPart{{Text: tt.text}}, declared, declaredSet)
		switch {
		case tt.problem == "" && (err != nil || b.Text() != tt.want):
			t.Errorf("Raw(%q) = %q, %v; want %q", tt.text, b.Text(), err, tt.want)
		case tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)):
			t.Errorf("Raw(%q) = %q, %v; want an error with %q", tt.text, b.Text(), err, tt.problem)
		}
	}
}

// A value is one word, whatever is in it.
func TestRawValues(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{"22", "tcp dport 22 accept"},
		{"22-80", "tcp dport 22-80 accept"},
		{"22 accept", ""},
		{"{ 22 }", ""},
		{"22,80", ""},
		{"@x", ""},
		{`"x"`, ""},
		{"!=", ""},
	} {
		b, err := Raw([]RawPart{{Text: "tcp dport "}, {Text: tt.value, IsValue: true}, {Text: " accept"}}, declared, declaredSet)
		if got := b.Text(); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("Raw with %q = %q, %v; want %q", tt.value, got, err, tt.want)
		}
	}
	if b, err := Raw([]RawPart{{Text: `log prefix "`}, {Text: "a b; {", IsValue: true}, {Text: `"`}}, declared, declaredSet); err != nil || b.Text() != `log prefix "a b; {"` {
		t.Errorf("a value in quotes gives %q, %v", b.Text(), err)
	}
	if b, err := Raw([]RawPart{{Text: `log prefix "`}, {Text: `a" accept`, IsValue: true}, {Text: `"`}}, declared, declaredSet); err == nil {
		t.Errorf("a quote in a value gives %q", b.Text())
	}
}

// FuzzRaw: what is taken has no line ends and no separators outside of quotes, and
// reading it again gives the same.
func FuzzRaw(f *testing.F) {
	for _, s := range []string{`tcp dport { 22, 80 } accept`, `iifname "a;b" jump SITE`, `@th,16,16 22`, `a"b;c"d`, `x } ; { y`} {
		f.Add(s)
	}
	any := func(name string) (string, bool) { return name, true }
	f.Fuzz(func(t *testing.T, text string) {
		b, err := Raw([]RawPart{{Text: text}}, any, any)
		if err != nil {
			return
		}
		quoted, depth := false, 0
		for _, c := range b.Text() {
			switch {
			case c < ' ' || c == '$':
				t.Errorf("%q became %q", text, b.Text())
			case c == '"':
				quoted = !quoted
			case quoted:
			case strings.ContainsRune(";#\\'`", c):
				t.Errorf("%q became %q", text, b.Text())
			case c == '{':
				depth++
			case c == '}':
				if depth--; depth < 0 {
					t.Errorf("%q became %q", text, b.Text())
				}
			}
		}
		if quoted || depth != 0 {
			t.Errorf("%q became %q, which is not closed", text, b.Text())
		}
		if again, err := Raw([]RawPart{{Text: b.Text()}}, any, any); err != nil || again.Text() != b.Text() {
			t.Errorf("%q became %q, and that %q, %v", text, b.Text(), again.Text(), err)
		}
	})
}
