package check

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/dsl/diag"
)

var testParams = []Param{
	{"role", Type{Kind: String}},
	{"mgmt", Type{Kind: Interface}},
	{"keep", ListOf(Type{Kind: String})},
	{"ports", MapOf(ListOf(Type{Kind: Port}))},
	{"n", Type{Kind: Int}},
	{"on", Type{Kind: Bool}},
}

func testEnv(t testing.TB, opt EnvOptions) *Env {
	t.Helper()
	e, err := NewEnv(testParams, opt)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// in makes a source of a text that is a file of its own.
func in(text string) Source {
	f := diag.NewFile("file", text)
	return Source{Text: text, Span: f.Span(0, len(text)), Exact: true}
}

func TestCompileErrors(t *testing.T) {
	constraint := testEnv(t, EnvOptions{Facts: true, Live: true})
	collect := testEnv(t, EnvOptions{Facts: true, Rule: true})
	rules := testEnv(t, EnvOptions{Vars: []Param{
		{"net", Type{Kind: CIDR}},
		{"group", Type{Kind: Entry, Elem: &Type{Kind: List, Elem: &Type{Kind: Port}}}},
	}})
	const quoteHelp = "(ports, marks and addresses are strings: quote the number, or convert with int() or string())"
	for _, tt := range []struct {
		env  *Env
		in   string
		want Want
		bad  string // "" for a good expression
	}{
		// Names.
		{rules, `params.role`, WantAny, ``},
		{rules, `params.rol`, WantAny, `8 "rol": unknown param "rol" [cel-type] (did you mean "role"?)`},
		{rules, `prams.role`, WantAny, `1 "prams": unknown name "prams" [cel-type] (did you mean "params"?)`},
		{rules, `role`, WantAny, `1 "role": unknown name "role" [cel-type] (write params.role)`},
		{rules, `x.y.z`, WantAny, `1 "x": unknown name "x" [cel-type]`},
		{rules, `params["role"]`, WantAny, `7 "[": "[]" does not work on params and string [cel-type] (write params.NAME)`},
		{rules, `has(params.rol)`, WantAny, `12 "rol": unknown param "rol" [cel-type] (did you mean "role"?)`},
		{rules, `params.role.foo`, WantAny, `13 "foo": a value of type string has no fields [cel-type]`},
		{rules, `host{}`, WantAny, `5 "{": unknown name "host" [cel-type]`},
		{rules, `google.protobuf.Empty{}`, WantAny, `22 "{": unknown name "google.protobuf.Empty" [cel-type]`},
		{rules, `timestamp("2020-01-01T00:00:00Z")`, WantAny, `1 "timestamp": unknown function "timestamp" [cel-type]`},
		{rules, `net`, WantAny, ``},
		{rules, `group.key + group.value[0]`, WantText, ``},
		{rules, `group.vaule`, WantAny, `7 "vaule": an entry has no field "vaule" [cel-type] (did you mean "value"?)`},
		{rules, `facts.hostname`, WantAny, `1 "facts": unknown name "facts" [cel-type] (facts cannot be used here)`},
		{rules, `live.backend`, WantAny, `1 "live": unknown name "live" [cel-type] (live is known in constraints only)`},
		{rules, `rule.text`, WantAny, `1 "rule": unknown name "rule" [cel-type] (rule is known in collect only)`},
		{constraint, `facts.hostname`, WantAny, ``},
		{constraint, `facts.site.rack`, WantAny, ``},
		{constraint, `facts.hostname.x`, WantAny, `16 "x": a value of type string has no fields [cel-type]`},
		{constraint, `facts.interfaces[params.mgmt].addr`, WantAny, `31 "addr": unknown field "addr" [cel-type]`},
		{constraint, `facts.interfaces[params.mgmt].addreses`, WantAny, `31 "addreses": unknown field "addreses" [cel-type] (did you mean "addresses"?)`},
		{constraint, `live.chian("ipv4", "nat", "X")`, WantAny, `6 "chian": unknown function "chian" [cel-type] (did you mean "chain"?)`},
		{constraint, `live.chain("ipv4", "nat", "X").jmps`, WantAny, `32 "jmps": a chain has no field "jmps" [cel-type] (did you mean "jumps"?)`},
		{constraint, `live.chain("ipv4", "nat", "X").position`, WantAny, `32 "position": a chain has no field "position" [cel-type] (it is a function: position(x))`},
		{constraint, `live.chain("ipv4", "nat", "X").jumps()`, WantAny, `32 "jumps": "jumps" of a chain is a field, not a function [cel-type] (write it without parentheses)`},
		{constraint, `live.chain("ipv4", "nat", "X").rules[0].txt`, WantAny, `41 "txt": a rule has no field "txt" [cel-type] (did you mean "text"?)`},
		{constraint, `live.chain("ipv4", "nat", "X").rules.all(r, r.txt == "")`, WantAny, `47 "txt": unknown field "txt" [cel-type] (did you mean "text"?)`},
		{constraint, `live.set("ipv4", "x").elemnts`, WantAny, `23 "elemnts": a set has no field "elemnts" [cel-type] (did you mean "elements"?)`},
		{collect, `rule.in == "eth0"`, WantBool, `6 "in": "in" is a reserved word and cannot stand here [cel-syntax] (use rule.iface)`},
		{collect, `rule.sorce == ""`, WantBool, `6 "sorce": a rule has no field "sorce" [cel-type] (did you mean "source"?)`},
		{collect, `rule.index == 1`, WantBool, `6 "index": an index cannot choose rules for removal [rule-index] (choose by what the rule says: text, comment, target, source)`},
		{collect, `[rule].exists(r, r.index > 1)`, WantBool, `20 "index": an index cannot choose rules for removal [rule-index] (choose by what the rule says: text, comment, target, source)`},
		{collect, `rule.comment.startsWith("x") && !(rule.source in params.keep)`, WantBool, ``},

		// Types.
		{rules, `params.ports[params.role]`, WantAny, ``},
		{rules, `params.ports[params.n]`, WantAny, `13 "[": "[]" does not work on map(list(string)) and int [cel-type]`},
		{rules, `params.role == 1`, WantAny, `13 "==": "==" does not work on string and int [cel-type] ` + quoteHelp},
		{rules, `params.role < params.on`, WantAny, `13 "<": "<" does not work on string and bool [cel-type]`},
		{rules, `!params.role`, WantAny, `1 "!": "!" does not work on string [cel-type]`},
		{rules, `params.role && params.on`, WantAny, `8 "role": bool is needed here, not string [cel-type]`},
		{rules, `params.n.all(x, x)`, WantAny, `8 "n": "n" needs a list or map, not int [cel-type]`},
		{rules, `size(1)`, WantAny, `1 "size": "size" does not take (int) [cel-type]`},
		{rules, `foo(1)`, WantAny, `1 "foo": unknown function "foo" [cel-type]`},
		{rules, `params.role.startWith("x")`, WantAny, `13 "startWith": unknown function "startWith" [cel-type] (did you mean "startsWith"?)`},
		{rules, `params.role.startsWith(1)`, WantAny, `13 "startsWith": "startsWith" of a string does not take (int) [cel-type] (write string.startsWith(string))`},
		{rules, `params.on ? 1 : "a"`, WantAny, `11 "?": the condition before ? must be a bool, and both results of one type, not bool, int, string [cel-type]`},
		{rules, `params.keep.map(x)`, WantAny, `13 "map": "map" is not called like this [cel-type] (write list.map(x, EXPRESSION))`},
		{constraint, `live.chain("ipv4", "nat")`, WantAny, `6 "chain": "chain" of a host does not take (string, string) [cel-type] (write host.chain(family, table, name))`},
		{constraint, `live.chain("ipv4", "nat", "X").has("x")`, WantAny, `32 "has": "has" of a chain does not take (string) [cel-type] (write chain.has([x, ...]))`},

		// What the place wants.
		{rules, `params.on`, WantBool, ``},
		{rules, `params.role`, WantBool, `1 "params.role": the expression gives a string, a bool is needed [cel-type]`},
		{rules, `params.keep`, WantEach, ``},
		{rules, `params.ports`, WantEach, ``},
		{rules, `params.n`, WantEach, `1 "params.n": the expression gives an int, a list or map is needed [cel-type]`},
		{rules, `params.n`, WantText, ``},
		{rules, `params.keep`, WantText, `1 "params.keep": a list(string) cannot stand inside a text [wrong-type] (let the expression be the whole value, or take one item)`},
		{rules, `null`, WantAny, `1 "null": the expression gives a null, which is not a value that a ruleset can hold [cel-type]`},
		{rules, `params`, WantAny, `1 "params": the expression gives a params, which is not a value that a ruleset can hold [cel-type]`},
		{constraint, `live.chain("ipv4", "nat", "X")`, WantBool, `1 "live.chain(\"ipv4\", \"nat\", \"X\")": the expression gives a chain, a bool is needed [cel-type]`},
		{constraint, `facts.site`, WantBool, ``},

		// Literals.
		{constraint, `live.chain("ipv5", "nat", "X").exists`, WantBool, `12 "\"ipv5\"": unknown family "ipv5", did you mean "ipv4"? [cel-type]`},
		{constraint, `live.chain("inet", "nat", "X").exists`, WantBool, `12 "\"inet\"": unknown family "inet": families are ipv4 and ipv6 [cel-type]`},
		{constraint, `live.chain("ipv4", "filterr", "X").exists`, WantBool, `20 "\"filterr\"": unknown table "filterr", did you mean "filter"? [cel-type]`},
		{constraint, `live.hasNativeRules("ipv4", "x")`, WantBool, `29 "\"x\"": unknown table "x": tables are raw, mangle, nat, filter, security [cel-type]`},
		{constraint, `live.set("ip4", "x").exists`, WantBool, `10 "\"ip4\"": unknown family "ip4", did you mean "ipv4"? [cel-type]`},
		{constraint, `live.chain("ipv4", "nat", "X").has(["A", "DROP"])`, WantBool, `42 "\"DROP\"": "DROP" is a target, not a chain or participant [cel-type] (ask the rules: rules.exists(r, r.target == "DROP"))`},
		{constraint, `live.chain("ipv4", "nat", "X").count("MASQUERADE") > 0`, WantBool, `38 "\"MASQUERADE\"": "MASQUERADE" is a target, not a chain or participant [cel-type] (ask the rules: rules.exists(r, r.target == "MASQUERADE"))`},
		{rules, `params.role.matches("a(")`, WantBool, `21 "\"a(\"": the pattern is no regular expression: missing closing ): "a(" [cel-type]`},

		// Syntax.
		{rules, ``, WantAny, `1 "": the expression is empty [cel-syntax]`},
		{rules, "  \n ", WantAny, `1 "  \n ": the expression is empty [cel-syntax]`},
		{rules, `params.n +`, WantAny, `11 "": the expression ends where a value is needed [cel-syntax]`},
		{rules, `((params.n)`, WantAny, `12 "": the expression ends where ) is needed [cel-syntax]`},
		{rules, `1 +* 2`, WantAny, `4 "*": "*" is not expected here [cel-syntax]`},
		{rules, `params.role = "x"`, WantAny, `13 "=": "=" is no operator here [cel-syntax] (compare with ==)`},
		{rules, `params.on & params.on`, WantAny, `11 "&": "&" is no operator here [cel-syntax] (write &&)`},
		{rules, `params.on and params.on`, WantAny, `11 "and": "and" is no operator here [cel-syntax] (write &&)`},
		{rules, `params.role matches "x"`, WantAny, `13 "matches": "matches" is not expected here [cel-syntax] (functions are called like x.matches(y))`},
		{rules, `"abc`, WantAny, `1 "\"abc": the string is not closed [cel-syntax] (strings end on their line with ")`},
		{rules, `'a\q'`, WantAny, `1 "'a\\q'": the string holds an unknown escape [cel-syntax] (write \\ for a backslash, or r"..." for a string without escapes)`},
		{rules, `"a" "b"`, WantAny, `5 "\"b\"": the string "b" is not expected here [cel-syntax]`},
		{rules, `99999999999999999999`, WantAny, `1 "99999999999999999999": the number does not fit into 64 bits [cel-syntax]`},
		{rules, `if x`, WantAny, `1 "if": "if" is a reserved word and cannot stand here [cel-syntax]`},
		{rules, `has(params)`, WantAny, `5 "params": has() needs a field here [cel-syntax] (write it like has(facts.rack))`},
		{rules, `[1].all(1, true)`, WantAny, `9 "1": a name for the items is needed here [cel-syntax]`},
		{rules, "a\x00", WantAny, `2 "\x00": "\x00" is not expected here [cel-syntax]`},
		{rules, `params.?role`, WantAny, `7 ".": optional fields and items are not part of the language here [cel-syntax] (write has(x.y) ? x.y : OTHER)`},
		{
			rules, strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300), WantAny,
			`1 "` + strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300) + `": the expression is too large or nests too deeply [cel-cost]`,
		},
	} {
		x, list := tt.env.Compile(in(tt.in), tt.want)
		if diff := cmp.Diff(tt.bad, strings.Join(lines(list), "\n")); diff != "" {
			t.Errorf("Compile(%q) findings (-want +got):\n%s", tt.in, diff)
		}
		if (x == nil) != (tt.bad != "") {
			t.Errorf("Compile(%q) = %v with findings %q", tt.in, x, tt.bad)
		}
	}
}

// Places hold in the middle of a file, behind characters of several bytes, and
// over several lines.
func TestCompilePlaces(t *testing.T) {
	e := testEnv(t, EnvOptions{})
	for _, tt := range []struct {
		name, before, text, after string
		pos                       diag.Position
		at                        string
	}{
		{"start of file", "", "params.rol", "", diag.Position{Line: 1, Column: 8}, "rol"},
		{"behind umlauts", "name: é€𐍈 ${", "params.rol", "}", diag.Position{Line: 1, Column: 20}, "rol"},
		{"umlauts inside", "when: ", `"é€𐍈" + params.rol`, "\n", diag.Position{Line: 1, Column: 22}, "rol"},
		{"later line", "a\nbé\n  ", "params.role ==\n    params.rol", "\nmore", diag.Position{Line: 4, Column: 12}, "rol"},
		{"umlauts on an earlier line", "x: ", "\"ééé\" ==\n é params.n", "", diag.Position{Line: 2, Column: 2}, "é"},
		{"CRLF", "x: ", "params.role ==\r\n  params.rol", "\r\n", diag.Position{Line: 2, Column: 10}, "rol"},
		{"end, line breaks behind", "x: |\n  ", "params.n +\n\n", "y: 1", diag.Position{Line: 2, Column: 13}, ""},
		{"blanks between dot and field", "x: ", "params .  rol", "", diag.Position{Line: 1, Column: 14}, "rol"},
		{"tab", "x:\t", "\tparams.rol", "", diag.Position{Line: 1, Column: 12}, "rol"},
	} {
		f := diag.NewFile("file", tt.before+tt.text+tt.after)
		span := f.Span(len(tt.before), len(tt.before)+len(tt.text))
		_, list := e.Compile(Source{tt.text, span, true}, WantAny)
		if list.Len() != 1 {
			t.Errorf("%s: Compile(%q) findings: %q", tt.name, tt.text, lines(list))
			continue
		}
		got := list.All()[0].Span
		if got.Position() != tt.pos || got.Text() != tt.at {
			t.Errorf("%s: Compile(%q) at %v %q, want %v %q", tt.name, tt.text, got.Position(), got.Text(), tt.pos, tt.at)
		}
		_, list = e.Compile(Source{tt.text, span, false}, WantAny)
		if got := list.All()[0].Span; got != span {
			t.Errorf("%s: Compile(%q) not exact: at %v, want the whole", tt.name, tt.text, got)
		}
	}
}

func TestExprType(t *testing.T) {
	e := testEnv(t, EnvOptions{Facts: true, Live: true})
	for in1, want := range map[string]string{
		`params.ports`:                           "map(list(string))",
		`params.ports.map(k, size(k))`:           "list(int)",
		`params.on && true`:                      "bool",
		`params.role + "x"`:                      "string",
		`facts.interfaces.map(i, i)`:             "list(string)",
		`facts.site`:                             "any",
		`facts.interfaces["x"].addresses`:        "list(string)",
		`live.chain("ipv4","nat","X").jumps`:     "list(string)",
		`live.chain("ipv4","nat","X").count("")`: "int",
		`params.keep.map(k, {"a": k})`:           "list(map(string))",
	} {
		x, list := e.Compile(in(in1), WantAny)
		if x == nil {
			t.Errorf("Compile(%q): %q", in1, lines(list))
			continue
		}
		if got := x.Type().String(); got != want {
			t.Errorf("Compile(%q).Type() = %s, want %s", in1, got, want)
		}
	}
}

func TestUses(t *testing.T) {
	e := testEnv(t, EnvOptions{Facts: true, Live: true})
	x, list := e.Compile(in(`facts.hostname == "a" && planned.chain(family, "nat", "X").rules.all(live2, live2.owned)`), WantBool)
	if x == nil {
		t.Fatal(lines(list))
	}
	for name, want := range map[string]bool{"facts": true, "planned": true, "family": true, "live": false, "params": false} {
		if got := x.Uses(name); got != want {
			t.Errorf("Uses(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestNewEnvTwice(t *testing.T) {
	_, err := NewEnv(nil, EnvOptions{Vars: []Param{{"params", Type{Kind: String}}}})
	if err == nil {
		t.Error("NewEnv accepts a variable called params")
	}
}

// Long is not nested: conditions and lists of realistic length are read.
func TestLongExpressions(t *testing.T) {
	e := testEnv(t, EnvOptions{})
	for name, text := range map[string]string{
		"and":     "params.on" + strings.Repeat(" && params.on", 150),
		"or":      "params.on" + strings.Repeat(" || params.on", 150),
		"plus":    `params.n` + strings.Repeat(" + 1", 90) + " > 0",
		"list":    `params.n in [1` + strings.Repeat(", 1", 1000) + "]",
		"ternary": strings.Repeat("params.n == 1 ? true : ", 20) + "false",
		"nested":  strings.Repeat("(", 20) + "true" + strings.Repeat(")", 20),
	} {
		if x, list := e.Compile(in(text), WantBool); x == nil {
			t.Errorf("%s: Compile: %q", name, lines(list)[0][len(text):])
		}
	}
}
