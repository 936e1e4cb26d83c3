package check

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/dsl/diag"
)

// raw makes a Raw value of a small notation: [a b] is a list, {k=v l=w} a map, a
// 'text' is quoted; blanks separate. Spans point into the notation.
func raw(t *testing.T, notation string) *Raw {
	t.Helper()
	p := &rawParser{file: diag.NewFile("values", notation), text: notation}
	v := p.value()
	if p.at != len(p.text) {
		t.Fatalf("notation %q: rest %q", notation, p.text[p.at:])
	}
	return v
}

type rawParser struct {
	file *diag.File
	text string
	at   int
}

func (p *rawParser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *rawParser) value() *Raw {
	start := p.at
	r := &Raw{}
	switch p.peek() {
	case '[':
		r.Kind = RawList
		for p.at++; p.peek() != ']'; {
			if p.peek() == ' ' {
				p.at++
				continue
			}
			r.Items = append(r.Items, p.value())
		}
		p.at++
	case '{':
		r.Kind = RawMap
		for p.at++; p.peek() != '}'; {
			if p.peek() == ' ' {
				p.at++
				continue
			}
			k := p.at
			p.at += strings.IndexByte(p.text[p.at:], '=')
			key := Key{Name: p.text[k:p.at], Span: p.file.Span(k, p.at)}
			p.at++
			key.Value = p.value()
			r.Keys = append(r.Keys, key)
		}
		p.at++
	case '\'':
		n := strings.IndexByte(p.text[p.at+1:], '\'')
		r.Quoted, r.Scalar = true, p.text[p.at+1:p.at+1+n]
		p.at += n + 2
	default:
		for p.at < len(p.text) && !strings.ContainsRune(" ]}", rune(p.text[p.at])) {
			p.at++
		}
		r.Scalar = p.text[start:p.at]
	}
	r.Span = p.file.Span(start, p.at)
	return r
}

// lines prints findings as `span text: message [code] (help)`.
func lines(list *diag.List) []string {
	var out []string
	for _, d := range list.All() {
		s := fmt.Sprintf("%d %q: %s [%s]", d.Span.Position().Column, d.Span.Text(), d.Message, d.Code)
		if d.Help != "" {
			s += " (" + d.Help + ")"
		}
		out = append(out, s)
	}
	return out
}

func TestCoerce(t *testing.T) {
	for _, tt := range []struct {
		typ, in string
		want    any
		bad     []string
	}{
		{"string", "yes", "yes", nil},
		{"string", "'a b'", "a b", nil},
		{"string", "''", "", nil},
		{"string", "", nil, []string{`1 "": the value is empty, a string is needed [param-value] (quote it if it is meant as text: "")`}},
		{"string", "null", nil, []string{`1 "null": the value is empty, a string is needed [param-value] (quote it if it is meant as text: "null")`}},
		{"string", "'null'", "null", nil},
		{"string", "[a]", nil, []string{`1 "[a]": a string is needed here, not a list [param-value]`}},
		{"bool", "true", true, nil},
		{"bool", "'false'", false, nil},
		{"bool", "yes", nil, []string{`1 "yes": the bool "yes" is not true or false [param-value] (write true)`}},
		{"bool", "off", nil, []string{`1 "off": the bool "off" is not true or false [param-value] (write false)`}},
		{"int", "-7", int64(-7), nil},
		{"int", "0", int64(0), nil},
		{"int", "9223372036854775807", int64(9223372036854775807), nil},
		{"int", "9223372036854775808", nil, []string{`1 "9223372036854775808": the int "9223372036854775808" does not fit into 64 bits [param-value]`}},
		{"int", "010", nil, []string{`1 "010": the int "010" is not a whole decimal number [param-value]`}},
		{"int", "1e3", nil, []string{`1 "1e3": the int "1e3" is not a whole decimal number [param-value]`}},
		{"int", "1_000", nil, []string{`1 "1_000": the int "1_000" is not a whole decimal number [param-value]`}},
		{"int", "1.0", nil, []string{`1 "1.0": the int "1.0" is not a whole decimal number [param-value]`}},

		{"port", "80", "80", nil},
		{"port", "0", "0", nil},
		{"port", "80:90", "80:90", nil},
		{"port", "80-90", "80:90", nil},
		{"port", "80:80", "80", nil},
		{"port", "1024:", "1024:65535", nil},
		{"port", ":1023", "0:1023", nil},
		{"port", "65536", nil, []string{`1 "65536": the port "65536" is above the highest port, 65535 [param-value]`}},
		{"port", "99999999999999999999", nil, []string{`1 "99999999999999999999": the port "99999999999999999999" is above the highest port, 65535 [param-value]`}},
		{"port", "90:80", nil, []string{`1 "90:80": the port "90:80" begins above its end: write 80:90 [param-value]`}},
		{"port", "ssh", nil, []string{`1 "ssh": the port "ssh" is not a port number or a range like 80:90 [param-value]`}},
		{"port", "080", nil, []string{`1 "080": the port "080" is not a port number or a range like 80:90 [param-value]`}},
		{"port", ":", nil, []string{`1 ":": the port ":" is not a port number or a range like 80:90 [param-value]`}},
		{"port", "-", nil, []string{`1 "-": the port "-" is not a port number or a range like 80:90 [param-value]`}},
		{"port", "1:2:3", nil, []string{`1 "1:2:3": the port "1:2:3" is not a port number or a range like 80:90 [param-value]`}},
		{"port", "-80", nil, []string{`1 "-80": the port "-80" is not a port number or a range like 80:90 [param-value]`}},

		{"address", "10.0.0.1", "10.0.0.1", nil},
		{"address", "FD00:0::1", "fd00::1", nil},
		{"address", "10.0.0.1/8", nil, []string{`1 "10.0.0.1/8": the address "10.0.0.1/8" is a prefix, not an address [param-value] (the type of a prefix is cidr)`}},
		{"address", "010.0.0.1", nil, []string{`1 "010.0.0.1": the address "010.0.0.1" is not an IPv4 or IPv6 address [param-value]`}},
		{"address", "fe80::1%eth0", nil, []string{`1 "fe80::1%eth0": the address "fe80::1%eth0" has a zone, which no rule can match [param-value]`}},

		{"cidr", "10.1.2.3/8", "10.0.0.0/8", nil},
		{"cidr", "10.1.2.3", "10.1.2.3/32", nil},
		{"cidr", "fd00::1", "fd00::1/128", nil},
		{"cidr", "FD00::1/16", "fd00::/16", nil},
		{"cidr", "0.0.0.0/0", "0.0.0.0/0", nil},
		{"cidr", "10.0.0.0/33", nil, []string{`1 "10.0.0.0/33": the cidr "10.0.0.0/33" is not a prefix like 10.0.0.0/8 or fd00::/8 [param-value]`}},
		{"cidr", "10.0.0.0/08", nil, []string{`1 "10.0.0.0/08": the cidr "10.0.0.0/08" is not a prefix like 10.0.0.0/8 or fd00::/8 [param-value]`}},
		{"cidr", "here", nil, []string{`1 "here": the cidr "here" is not a prefix like 10.0.0.0/8 or fd00::/8, nor an address [param-value]`}},

		{"interface", "mgmt-br", "mgmt-br", nil},
		{"interface", "wt+", "wt+", nil},
		{"interface", "eth0.100@x", "eth0.100@x", nil},
		{"interface", "'123456789012345'", "123456789012345", nil},
		{"interface", "1234567890123456", nil, []string{`1 "1234567890123456": the interface "1234567890123456" has 16 bytes: an interface name has at most 15 [param-value]`}},
		{"interface", "'a b'", nil, []string{`1 "'a b'": the interface "a b" holds ' ', which an interface name cannot [param-value]`}},
		{"interface", "a/b", nil, []string{`1 "a/b": the interface "a/b" holds '/', which an interface name cannot [param-value]`}},
		{"interface", "wt*", nil, []string{`1 "wt*": the interface "wt*" holds a *, which would match that very name: a + at the end stands for any (eth+) [param-value]`}},
		{"interface", "e!0", nil, []string{`1 "e!0": the interface "e!0" holds '!', which an interface name cannot [param-value]`}},
		{"interface", "''", nil, []string{`1 "''": the interface "" is empty [param-value]`}},
		{"interface", "..", nil, []string{`1 "..": the interface ".." cannot be an interface name [param-value]`}},
		{"interface", "-j", nil, []string{`1 "-j": the interface "-j" begins with "-", which rule text cannot hold [param-value]`}},
		{"interface", "'e\x00'", nil, []string{`1 "'e\x00'": the interface "e\x00" holds '\x00', which an interface name cannot [param-value]`}},

		{"mark", "1", "0x1", nil},
		{"mark", "0xFF", "0xff", nil},
		{"mark", "0x1/0xff", "0x1/0xff", nil},
		{"mark", "1/255", "0x1/0xff", nil},
		{"mark", "0x4000/0xffffffff", "0x4000", nil},
		{"mark", "4294967296", nil, []string{`1 "4294967296": the mark "4294967296" does not fit into the 32 bits of a mark [param-value]`}},
		{"mark", "010", nil, []string{`1 "010": the mark "010" has a leading zero: write it without, or with 0x [param-value]`}},
		{"mark", "1/", nil, []string{`1 "1/": the mark "1/" is not a mark like 0x1 or 0x1/0xff [param-value]`}},
		{"mark", "-1", nil, []string{`1 "-1": the mark "-1" is not a mark like 0x1 or 0x1/0xff [param-value]`}},

		{"duration", "90s", "1m30s", nil},
		{"duration", "5", nil, []string{`1 "5": the duration "5" is no duration: write it like "30s", "5m" or "1h30m" [param-value]`}},

		{"list(port)", "[22 '80-90' ssh]", []any{"22", "80:90", nil}, []string{`13 "ssh": the port "ssh" is not a port number or a range like 80:90 [param-value]`}},
		{"list(port)", "[]", []any{}, nil},
		{"list(port)", "22", nil, []string{`1 "22": a list(port) is needed here, not a single value [param-value] (write [22])`}},
		{"list(port)", "{a=22}", nil, []string{`1 "{a=22}": a list(port) is needed here, not a map [param-value]`}},
		{"map(int)", "{a=1 b=2}", map[string]any{"a": int64(1), "b": int64(2)}, nil},
		{"map(int)", "{a=1 b=x a=3}", map[string]any{"a": int64(1), "b": nil}, []string{
			`8 "x": the int "x" is not a whole decimal number [param-value]`,
			`10 "a": the key "a" stands twice [param-value]`,
		}},
		{"map(int)", "[1]", nil, []string{`1 "[1]": a map(int) is needed here, not a list [param-value] (write {KEY: VALUE})`}},
		{"map(list(port))", "{w=[22 10250] c=['2379:2380']}", map[string]any{"w": []any{"22", "10250"}, "c": []any{"2379:2380"}}, nil},
	} {
		typ, err := ParseType(tt.typ)
		if err != nil {
			t.Fatal(err)
		}
		list := &diag.List{}
		got, ok := Coerce(typ, raw(t, tt.in), list)
		if diff := cmp.Diff(tt.bad, lines(list)); diff != "" {
			t.Errorf("Coerce(%s, %q) findings (-want +got):\n%s", tt.typ, tt.in, diff)
		}
		if diff := cmp.Diff(tt.want, got.Go); diff != "" {
			t.Errorf("Coerce(%s, %q) mismatch (-want +got):\n%s", tt.typ, tt.in, diff)
		}
		if ok != (tt.bad == nil) {
			t.Errorf("Coerce(%s, %q) = %v, with findings %v", tt.typ, tt.in, ok, tt.bad)
		}
	}
}

// A normalised scalar is its own normal form.
func TestNormaliseTwice(t *testing.T) {
	for k, texts := range map[Kind][]string{
		Port:      {"80-90", "1:", ":1", "7:7"},
		Address:   {"::ffff:1.2.3.4", "FE80::0", "1.2.3.4"},
		CIDR:      {"1.2.3.4", "fe80::1/10", "255.255.255.255/1"},
		Mark:      {"1", "1/1", "0xFFFFFFFF/0xFFFFFFFF", "0X10"},
		Duration:  {"3600s", "1.5h", "-1m", "0"},
		Interface: {"lo", "+"},
	} {
		for _, s := range texts {
			once, err := normalise(k, s)
			if err != nil {
				t.Errorf("normalise(%s, %q): %v", kindNames[k], s, err)
				continue
			}
			twice, err := normalise(k, once.(string))
			if err != nil || twice != once {
				t.Errorf("normalise(%s, %q) = %q, then %q, %v", kindNames[k], s, once, twice, err)
			}
		}
	}
}

func TestCheckEnum(t *testing.T) {
	role, port := Type{Kind: String}, Type{Kind: Port}
	roles := []Value{{role, "control-plane"}, {role, "worker"}, {role, "witness"}}
	for _, tt := range []struct {
		name    string
		typ     Type
		allowed []Value
		in      string
		bad     []string
	}{
		{"allowed", role, roles, "worker", nil},
		{"near", role, roles, "wrker", []string{
			`1 "wrker": "wrker" is none of the values allowed here: control-plane, worker, witness [param-value] (did you mean "worker"?)`,
		}},
		{"far", role, roles, "x", []string{`1 "x": "x" is none of the values allowed here: control-plane, worker, witness [param-value]`}},
		{"each item", ListOf(role), roles, "[worker boss witness]", []string{
			`9 "boss": "boss" is none of the values allowed here: control-plane, worker, witness [param-value]`,
		}},
		{"each value, by normal form", MapOf(port), []Value{{port, "80:90"}}, "{a=80-90 b=80}", []string{
			`12 "80": "80" is none of the values allowed here: 80:90 [param-value]`,
		}},
		{"wrong type is reported once", port, []Value{{port, "80"}}, "ssh", []string{
			`1 "ssh": the port "ssh" is not a port number or a range like 80:90 [param-value]`,
		}},
	} {
		list := &diag.List{}
		r := raw(t, tt.in)
		v, _ := Coerce(tt.typ, r, list)
		CheckEnum(v, r, tt.allowed, list)
		if diff := cmp.Diff(tt.bad, lines(list)); diff != "" {
			t.Errorf("%s: CheckEnum(%q) findings (-want +got):\n%s", tt.name, tt.in, diff)
		}
	}
}
