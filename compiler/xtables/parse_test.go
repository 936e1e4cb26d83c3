package xtables

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name   string
		family ir.Family
		text   string
		want   []string
	}{
		{"empty", ir.IPv4, "", []string{""}},
		{"everything matches", ir.IPv4, "-s 0/0 -d 0.0.0.0/0 -i + -p all", []string{""}},
		{"fixed order", ir.IPv4, "-j DROP -p tcp -o b -i a -d 2.0.0.0/8 -s 1.2.3.4", []string{"-s 1.2.3.4/32 -d 2.0.0.0/8 -i a -o b -p tcp -j DROP"}},
		{"matches keep theirs", ir.IPv4, "-m mark --mark 1 -m comment --comment x", []string{"-m mark --mark 0x1 -m comment --comment x"}},
		{"module implied", ir.IPv4, "-p 6 --dport http -m comment --comment x --syn", []string{"-p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -m comment --comment x"}},
		{"old place of !", ir.IPv4, "-s ! 1.2.3.4 -p tcp --dport ! 80", []string{"! -s 1.2.3.4/32 -p tcp -m tcp ! --dport 80"}},
		{"equals sign", ir.IPv4, "--protocol=tcp --dport=80 --jump=ACCEPT", []string{"-p tcp -m tcp --dport 80 -j ACCEPT"}},
		{"unique beginnings", ir.IPv4, "--proto tcp --dpor 80", []string{"-p tcp -m tcp --dport 80"}},
		{"lists", ir.IPv4, "-s 1.1.1.1,2.2.2.2/24 -d 3.3.3.3,4.4.4.4", []string{
			"-s 1.1.1.1/32 -d 3.3.3.3/32", "-s 1.1.1.1/32 -d 4.4.4.4/32", "-s 2.2.2.0/24 -d 3.3.3.3/32", "-s 2.2.2.0/24 -d 4.4.4.4/32",
		}},
		{"goto", ir.IPv6, "-s fe80::1/10 --goto C", []string{"-s fe80::/10 -g C"}},
		{"chain named like a keyword", ir.IPv4, "-j accept", []string{"-j accept"}},
		{"comment like an option", ir.IPv4, `-m comment --comment -j -j DROP`, []string{"-m comment --comment -j -j DROP"}},
		{"escaped quotes", ir.IPv4, `-m comment --comment "dnat name: \"cbr0\"" -j CNI-DN-1`, []string{`-m comment --comment "dnat name: \"cbr0\"" -j CNI-DN-1`}},
		{"two comments", ir.IPv4, `-m comment --comment a -m comment --comment b`, []string{"-m comment --comment a -m comment --comment b"}},
		{"target known by name only", ir.IPv4, "-p tcp -j TARPIT --honeypot", []string{"-p tcp -j TARPIT --honeypot"}},
		{"shifts stay undecoded", ir.IPv4, "-j CONNMARK --set-mark 1 --left-shift-mark 3", []string{"-j CONNMARK --set-xmark 0x1/0xffffffff --left-shift-mark 3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			specs, err := Parse(tc.text, Options{Family: tc.family})
			if err != nil {
				t.Fatalf("Parse(%q): %v", tc.text, err)
			}
			var got []string
			for _, s := range specs {
				got = append(got, Print(s, tc.family))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("Parse(%q) mismatch (-want +got):\n%s", tc.text, d)
			}
		})
	}
}

// TestParseErrors marks the bytes that are wrong between « and ».
func TestParseErrors(t *testing.T) {
	for _, tc := range []struct {
		family  ir.Family
		text    string
		code    diag.Code
		message string // a part of message and help
	}{
		{ir.IPv4, "«-A INPUT» -j DROP", diag.RuleText, "no command"},
		{ir.IPv4, "«-I INPUT» 1 -j DROP", diag.RuleText, "no command"},
		{ir.IPv4, "-j DROP «-t» nat", diag.RuleText, "table"},
		{ir.IPv4, "«--table» nat", diag.RuleText, "table"},
		{ir.IPv4, "«--tab» nat", diag.RuleText, "table"},
		{ir.IPv4, "«-c» 1 2", diag.RuleText, "counters"},
		{ir.IPv4, "«--set-counters» 1 2", diag.RuleText, "counters"},
		{ir.IPv4, "«--modprobe=x»", diag.RuleText, "tool itself"},
		{ir.IPv4, "«-w»", diag.RuleText, "tool itself"},
		{ir.IPv4, "«-6» -j DROP", diag.RuleText, "families"},
		{ir.IPv4, "«DROP»", diag.RuleText, "no option"},
		{ir.IPv4, "-m comment --comment 'a «b'»", diag.RuleText, "double quotes"},
		{ir.IPv4, "-j DROP «-j» ACCEPT", diag.RuleText, "only one target"},
		{ir.IPv4, "-j DROP «-g» X", diag.RuleText, "only one target"},
		{ir.IPv4, "-s 1.2.3.4 «--source» 1.2.3.4", diag.RuleText, "twice"},
		{ir.IPv4, "-p tcp --dport 1 «--destination-port» 2", diag.RuleText, "twice"},
		{ir.IPv4, "-j MARK --set-mark 1 «--or-mark» 2", diag.RuleText, "together"},
		{ir.IPv4, "-p tcp «--dprot» 80", diag.RuleText, "did you mean --dport"},
		{ir.IPv4, "«--dport» 80 -p tcp", diag.RuleText, "-p tcp has to stand before"},
		{ir.IPv4, "-m «conntrak» --ctstate NEW", diag.RuleText, "did you mean conntrack"},
		{ir.IPv4, "-m conntrack --ctstate «RELATED,ESTABLISHD»", diag.InvalidValue, "did you mean ESTABLISHED"},
		{ir.IPv4, "-p «tpc»", diag.InvalidValue, "did you mean tcp"},
		{ir.IPv4, "-ptcp", diag.RuleText, "write -p tcp"},
		{ir.IPv4, "-m «tcp» --dport 80", diag.RuleText, "needs -p tcp"},
		{ir.IPv4, "-s «2001:db8::1»", diag.FamilyMismatch, "families"},
		{ir.IPv6, "-s «1.2.3.4»", diag.FamilyMismatch, "families"},
		{ir.IPv4, "-s «example.org»", diag.InvalidValue, "not looked up"},
		{ir.IPv4, "-s 1.2.3.4,«x»", diag.InvalidValue, "ipv4"},
		{ir.IPv4, "! -s «1.2.3.4,5.6.7.8»", diag.RuleText, "negated"},
		{ir.IPv4, "-s «1.2.3.4/33»", diag.InvalidValue, "32 bits"},
		{ir.IPv4, "-p tcp --dport «080»", diag.AmbiguousNumber, "octal"},
		{ir.IPv4, "-p tcp --dport «90:80»", diag.InvalidValue, "before it begins"},
		{ir.IPv4, "-p tcp --dport «htpp»", diag.InvalidValue, "did you mean http"},
		{ir.IPv4, "-p tcp --dport", diag.RuleText, "needs an argument"},
		{ir.IPv4, "-j DROP «!»", diag.RuleText, "nothing stands behind"},
		{ir.IPv4, "! «!» -i lo", diag.RuleText, "in a row"},
		{ir.IPv4, "«! -j» DROP", diag.RuleText, "cannot be negated"},
		{ir.IPv4, "«! --limit» 5/s", diag.RuleText, "unknown option"},
		{ir.IPv4, "-m limit «! --limit» 5/s", diag.RuleText, "cannot be negated"},
		{ir.IPv6, "«-f»", diag.FamilyMismatch, "-m frag"},
		{ir.IPv6, "-m «ttl» --ttl-eq 5", diag.FamilyMismatch, "ipv6"},
		{ir.IPv6, "-j REJECT --reject-with «icmp-port-unreachable»", diag.FamilyMismatch, "belongs to ipv4"},
		{ir.IPv4, "-g «LOG»", diag.BadTarget, "-j LOG"},
		{ir.IPv4, "-m «DROP»", diag.RuleText, "unknown match"},
		{ir.IPv4, "-m «MARK»", diag.RuleText, "-j MARK"},
		{ir.IPv4, "-j «" + strings.Repeat("x", 29) + "»", diag.TooLong, "28 bytes"},
		{ir.IPv4, "-i «a-very-long-interface»", diag.TooLong, "15 bytes"},
		{ir.IPv4, "-i «a/b»", diag.InvalidValue, "interface"},
		{ir.IPv4, "-m comment --comment «" + strings.Repeat("x", 256) + "»", diag.TooLong, "255 bytes"},
		{ir.IPv4, "-j LOG --log-prefix «" + strings.Repeat("x", 30) + "»", diag.TooLong, "29 bytes"},
		{ir.IPv4, "-j NFLOG --nflog-prefix «" + strings.Repeat("x", 64) + "»", diag.TooLong, "63 bytes"},
		{ir.IPv4, "-p tcp -m «multiport» --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", diag.TooLong, "15 ports"},
		{ir.IPv4, "-m comment --comment \"a«\n»-A X\"", diag.ControlCharacter, "one line"},
		{ir.IPv4, "-m comment --comment \"a«\x00»b\"", diag.ControlCharacter, "control"},
		{ir.IPv4, "-m comment --comment \"a«\x1b»b\"", diag.ControlCharacter, "control"},
		{ir.IPv4, "-m comment --comment «\"a\tb\"»", diag.ControlCharacter, "control"},
		{ir.IPv4, "-m comment --comment \"a«\xff»b\"", diag.ControlCharacter, "UTF-8"},
		{ir.IPv4, "-m comment --comment «\"a»", diag.RuleText, "never closed"},
	} {
		start, end := strings.Index(tc.text, "«"), strings.Index(tc.text, "»")-len("«")
		text := strings.NewReplacer("«", "", "»", "").Replace(tc.text)
		_, err := Parse(text, Options{Family: tc.family})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%q) is no error", text)
			continue
		}
		if !strings.Contains(e.Message+" | "+e.Help, tc.message) || e.Code != tc.code {
			t.Errorf("Parse(%q): %s | %s [%s], want %q [%s]", text, e.Message, e.Help, e.Code, tc.message, tc.code)
		}
		if start >= 0 && (e.Start != start || e.End != end) {
			t.Errorf("Parse(%q): %q is wrong in %q, want %q", text, e.Message, text[e.Start:min(e.End, len(text))], text[start:end])
		}
		if e.Start < 0 || e.End > len(text) || e.Start >= e.End {
			t.Errorf("Parse(%q): no bytes in [%d, %d)", text, e.Start, e.End)
		}
	}
}

// TestParseValues: a value of an expression is one argument and nothing else.
func TestParseValues(t *testing.T) {
	lit := func(s string) TemplatePart { return TemplatePart{Text: s} }
	val := func(s string) TemplatePart { return TemplatePart{Text: s, IsValue: true, Width: 4} }
	for _, tc := range []struct {
		name  string
		parts []TemplatePart
		want  string // empty: refused
	}{
		{"address", []TemplatePart{lit("-s "), val("10.0.0.0/8"), lit(" -j DROP")}, "-s 10.0.0.0/8 -j DROP"},
		{"comment", []TemplatePart{lit("-m comment --comment "), val(`x" -j ACCEPT`)}, `-m comment --comment "x\" -j ACCEPT"`},
		{"comment like an option", []TemplatePart{lit("-m comment --comment "), val("-j"), lit(" -j DROP")}, "-m comment --comment -j -j DROP"},
		{"exclamation mark", []TemplatePart{lit("-m comment --comment "), val("!")}, `-m comment --comment "!"`},
		{"behind an equals sign", []TemplatePart{lit("-p tcp --dport="), val("80")}, "-p tcp -m tcp --dport 80"},
		{"as an option", []TemplatePart{val("-j"), lit(" ACCEPT")}, ""},
		{"as a negation", []TemplatePart{val("!"), lit(" -i lo")}, ""},
		{"as the end of an option", []TemplatePart{lit("-p tcp --"), val("dport"), lit(" 80")}, ""},
		{"as several words", []TemplatePart{lit("-s "), val("1.2.3.4 -j ACCEPT")}, ""},
		{"as a list", []TemplatePart{lit("-s "), val("1.2.3.4,0.0.0.0/0")}, ""},
		{"negation in a value", []TemplatePart{lit("-s "), val("!"), lit(" 1.2.3.4")}, ""},
		{"newline", []TemplatePart{lit("-m comment --comment "), val("a\n-A INPUT -j ACCEPT")}, ""},
		{"chain", []TemplatePart{lit("-j "), val("-A")}, ""},
		{"set", []TemplatePart{lit("-m set --match-set "), val("a b"), lit(" src")}, ""},
		{"interface", []TemplatePart{lit("-i "), val("eth0 -j ACCEPT")}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			words, err := SplitTemplate(tc.parts)
			if err != nil {
				t.Fatal(err)
			}
			specs, err := ParseWords(words, Options{Family: ir.IPv4})
			switch {
			case tc.want == "" && err == nil:
				t.Errorf("taken as %q", Print(specs[0], ir.IPv4))
			case tc.want != "" && err != nil:
				t.Errorf("refused: %v", err)
			case err == nil && (len(specs) != 1 || Print(specs[0], ir.IPv4) != tc.want):
				t.Errorf("got %q, want %q", Print(specs[0], ir.IPv4), tc.want)
			}
		})
	}
}
