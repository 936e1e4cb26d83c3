package xtables

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// hostile are texts that try to become more than one word or line.
var hostile = []string{
	"", " ", "a b", `"`, `" -j ACCEPT`, `\`, `a\`, `\"`, "'", "a\nCOMMIT", "a\r\nb", "-j", "-A INPUT -j ACCEPT", "!", "#", "é", "\x00", "a\tb",
	`" -m comment --comment "x`, "--comment", "|", "{}",
}

// TestPrintKeepsWords puts hostile texts everywhere: the words of the printed line
// are those that were put in, and it is one line.
func TestPrintKeepsWords(t *testing.T) {
	for _, h := range hostile {
		for name, tc := range map[string]struct {
			spec *ir.Spec
			want []string
		}{
			"comment":    {&ir.Spec{Matches: []ir.Match{&ir.Comment{Text: h}}}, []string{"-m", "comment", "--comment", h}},
			"helper":     {&ir.Spec{Matches: []ir.Match{&ir.Helper{Name: h}}}, []string{"-m", "helper", "--helper", h}},
			"interface":  {&ir.Spec{In: &ir.Interface{Name: h}}, []string{"-i", h}},
			"chain":      {&ir.Spec{Target: &ir.Jump{Chain: h}}, []string{"-j", h}},
			"log prefix": {&ir.Spec{Target: &ir.Log{Level: 4, Prefix: h}}, []string{"-j", "LOG", "--log-prefix", h}},
			"nflog":      {&ir.Spec{Target: &ir.NFLog{Size: -1, Prefix: h}}, []string{"-j", "NFLOG", "--nflog-prefix", h}},
			"set":        {&ir.Spec{Matches: []ir.Match{&ir.SetMatch{Name: h, Dirs: []string{"src"}}}}, []string{"-m", "set", "--match-set", h, "src"}},
			"ct helper":  {&ir.Spec{Target: &ir.CT{Helper: h}}, []string{"-j", "CT", "--helper", h}},
			"raw match":  {&ir.Spec{Matches: []ir.Match{&ir.RawMatch{Module: "x", Args: []string{h, "y"}}}}, []string{"-m", "x", h, "y"}},
			"raw target": {&ir.Spec{Target: &ir.RawTarget{Name: "X", Args: []string{h}}}, []string{"-j", "X", h}},
			"rest":       {&ir.Spec{Matches: []ir.Match{&ir.Conntrack{Rest: []string{"--x", h}}}}, []string{"-m", "conntrack", "--x", h}},
		} {
			printed := Print(tc.spec, ir.IPv4)
			want := tc.want
			if h == "" && (name == "log prefix" || name == "nflog" || name == "ct helper") {
				want = want[:2] // an empty one is none
			}
			// What would end a line becomes a blank, and the rule is refused.
			fold := strings.NewReplacer("\n", " ", "\r", " ", "\x00", " ")
			for i := range want {
				want[i] = fold.Replace(want[i])
			}
			if strings.ContainsAny(printed, "\n\r\x00") {
				t.Errorf("%s %q: %q is more than a line", name, h, printed)
			}
			words, err := Words(printed)
			var got []string
			for _, w := range words {
				got = append(got, w.Text)
			}
			if err != nil || strings.Join(got, "\x01") != strings.Join(want, "\x01") {
				t.Errorf("%s: Print gives %q, which splits into %q, want %q (%v)", name, printed, got, want, err)
			}
			if strings.ContainsAny(h, "\n\r\x00\t") && len(Check(tc.spec, "", "", ir.IPv4)) == 0 {
				t.Errorf("%s: Check takes %q", name, h)
			}
		}
	}
}

// TestDecodeForeign: nothing is lost of what is not understood, and the rest is
// decoded.
func TestDecodeForeign(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       string // kinds of the parts
		roundTrips bool
	}{
		{"empty", "", "", true},
		{"jump", "-j X", "*ir.Jump", true},
		{"accounting", `-s 1.2.3.4/32 -m comment --comment "a,b"`, "*ir.Comment", true},
		{"unsupported revision", "-m conntrack [unsupported revision] -j ACCEPT", "*ir.RawMatch *ir.Verdict", false},
		{"unknown match", "-p tcp -m geoip --source-country CN -m tcp --dport 80 -j DROP", "*ir.RawMatch *ir.L4 *ir.Verdict", false},
		{"unknown option", "-m mark --mark 0x1 --future 5 -j X", "*ir.RawMatch *ir.Jump", false},
		{"unknown target option", "-m mark --mark 0x1 -j LOG --future 5", "*ir.Mark *ir.RawTarget", false},
		{"unknown target", "-j FUTURE --x 1", "*ir.RawTarget", false},
		{"interface with a blank", "-i my if0 -p tcp -j DROP", "*ir.RawMatch *ir.Verdict", false},
		{"protocol by number", "-p 47 -j ACCEPT", "*ir.Verdict", true},
		{"protocol by another name", "-p icmpv6 -j ACCEPT", "*ir.Verdict", true},
		{"older quoting", `-m comment --comment "foo" -j ACCEPT`, "*ir.Comment *ir.Verdict", false},
		{"older blanks", `-m comment  --comment foo  -j ACCEPT`, "*ir.Comment *ir.Verdict", false},
		{"older hardware address", `-m mac --mac-source 00:AA:00:00:00:01 -j ACCEPT`, "*ir.RawMatch *ir.Verdict", false},
		{"inverted", "-p tcp -m tcp ! --dport 0:65535 -j DROP", "*ir.L4 *ir.Verdict", true},
		{"native accept", "-j ACCEPT", "*ir.Verdict", true},
		{"loose words", "foo bar -j X", "*ir.RawMatch *ir.Jump", false},
		{"two targets", "-j X -j Y", "*ir.RawTarget", false},
		{"canonical but undecoded", "-m statistic --mode random --probability 0.29999999981 -j X", "*ir.RawMatch *ir.Jump", true},
		{"not canonical", "-m statistic --mode random --probability 0.3 -j X", "*ir.RawMatch *ir.Jump", false},
		{"text with quotes", `-m string --string "a'b c" --algo bm`, "*ir.RawMatch", true},
		{"newline in a comment", "-m comment --comment \"a\nb\" -j X", "*ir.Comment *ir.Jump", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, ok := Decode(tc.text, ir.IPv4)
			if !ok {
				t.Fatalf("Decode(%q) is not ok", tc.text)
			}
			var kinds []string
			for _, m := range s.Matches {
				kinds = append(kinds, fmt.Sprintf("%T", m))
			}
			if s.Target != nil {
				kinds = append(kinds, fmt.Sprintf("%T", s.Target))
			}
			if got := strings.Join(kinds, " "); got != tc.want {
				t.Errorf("Decode(%q) has the parts %s, want %s", tc.text, got, tc.want)
			}
			if got := RoundTrips(tc.text, ir.IPv4); got != tc.roundTrips {
				t.Errorf("RoundTrips(%q) = %v, want %v", tc.text, got, tc.roundTrips)
			}
			if got := Print(s, ir.IPv4); tc.roundTrips && got != tc.text {
				t.Errorf("Print(Decode(%q)) = %q", tc.text, got)
			}
		})
	}
	if _, ok := Decode(`-m comment --comment "open`, ir.IPv4); ok {
		t.Error("a text that does not split is ok")
	}
}
