package check

import (
	"context"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// An expression, whatever it is, gives an expression or findings; findings lie
// inside the expression and are one line in our words; and what can be evaluated
// gives the same twice.
func FuzzCompile(f *testing.F) {
	for _, s := range questions {
		f.Add("x: é ", s)
	}
	for _, s := range []string{
		`params.rol`, `params.role +`, "params.role ==\n\n  'é' + params.rol", `rule.in`, `"abc`, `'\q'`, `[1].map(x)`, `{1:`,
		`params.ports[params.role].map(p, p + "x").all(y, y.matches("("))`, `live.chain("ipv5", "natt", "X").has(["DROP"])`,
		`a.b.c.d()`, `((((`, "`", `params.keep.all(1, 2)`, `true ? 1 : "a"`, `-9223372036854775808`, `0x`, `1e999`, "\xff", "\r\n", `has(params)`,
		`planned.chain("ipv4", family, "X").rules.exists_one(r, r.native)`, `duration("1h") < duration("x")`, `type(params)`, `dyn(live).x`,
		`params.keep.map(k, k != "", k)`, `"\u00e9\x41\101"`, `r"\q"`, `b"\xff"`, `"""a` + "\n" + `b"""`, `// comment`, `1 // 2`,
	} {
		f.Add("", s)
	}
	env, err := NewEnv(testParams, EnvOptions{Facts: true, Live: true, CostLimit: 20_000})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, before, text string) {
		file := diag.NewFile("file", before+text+"\nrest")
		src := Source{text, file.Span(len(before), len(before)+len(text)), true}
		check := func(d *diag.Diagnostic) {
			if d.Span.File != file || d.Span.Start < src.Span.Start || d.Span.End > src.Span.End || d.Span.Start > d.Span.End {
				t.Errorf("%q: %s at [%d,%d), the expression is [%d,%d)", text, d.Message, d.Span.Start, d.Span.End, src.Span.Start, src.Span.End)
			}
			if utf8.ValidString(text) && !utf8.ValidString(d.Span.Text()) {
				t.Errorf("%q: %s at half a character: %q", text, d.Message, d.Span.Text())
			}
			if d.Message == "" || strings.ContainsFunc(d.Message, unicode.IsControl) {
				t.Errorf("%q: message %q", text, d.Message)
			}
			for _, theirs := range []string{"hookline ", "overload", "undeclared", "container", "IDENTIFIER", "EOF", "dyn(", "interface {"} {
				if strings.Contains(d.Message, theirs) && !strings.Contains(text, theirs) {
					t.Errorf("%q: message is not in our words: %q", text, d.Message)
				}
			}
		}
		for want := WantAny; want <= WantEach; want++ {
			x, list := env.Compile(src, want)
			for _, d := range list.All() {
				check(d)
			}
			if (x == nil) != list.HasErrors() {
				t.Fatalf("Compile(%q) = %v with findings %q", text, x, lines(list))
			}
			if x == nil {
				continue
			}
			act := testActivation(testState())
			r, bad := x.Eval(context.Background(), act)
			if bad != nil {
				check(bad)
			}
			again, badAgain := x.Eval(context.Background(), testActivation(testState()))
			if diff := cmp.Diff(r, again); diff != "" || (bad == nil) != (badAgain == nil) {
				t.Errorf("Eval(%q) differs from run to run:\n%s", text, diff)
			}
			if want == WantBool {
				o := EvalConstraint(context.Background(), &Constraint{That: x}, act, ir.Families)
				for _, s := range o.Values {
					if len(s.Expr) > maxShownExpr+10 || len(s.Value) > 2*maxShownValue {
						t.Errorf("EvalConstraint(%q) shows %d bytes = %d bytes", text, len(s.Expr), len(s.Value))
					}
				}
			}
		}
	})
}

// A type is read back as it is printed, and a scalar's normal form is final.
func FuzzCoerce(f *testing.F) {
	for _, s := range []string{"80:90", "0x1/0xff", "10.1.2.3/8", "fd00::1", "eth0+", "1h", "-7", "true", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for k := String; k <= Duration; k++ {
			list := &diag.List{}
			file := diag.NewFile("values", s)
			r := &Raw{Span: file.Span(0, len(s)), Scalar: s, Quoted: true}
			v, ok := Coerce(Type{Kind: k}, r, list)
			if ok == list.HasErrors() {
				t.Fatalf("Coerce(%s, %q) = %v with findings %q", kindNames[k], s, ok, lines(list))
			}
			if !ok {
				continue
			}
			text, err := Text(v.Go)
			if err != nil {
				t.Fatalf("Coerce(%s, %q) = %v: %v", kindNames[k], s, v.Go, err)
			}
			r.Scalar = text
			again, ok := Coerce(Type{Kind: k}, r, list)
			if !ok || again.Go != v.Go {
				t.Errorf("Coerce(%s, %q) = %v, of which %v (%v)", kindNames[k], s, v.Go, again.Go, ok)
			}
		}
		if typ, err := ParseType(s); err == nil {
			if again, err := ParseType(typ.String()); err != nil || again.String() != typ.String() {
				t.Errorf("ParseType(%q) = %s, of which %s, %v", s, typ, again, err)
			}
		}
	})
}
