package lower

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// flow reads rules written in flow notation, `{match: {dport: [22, "80:90"]}}`,
// so that values have real places. It knows scalars, quoted scalars with Go's
// escapes, lists and mappings.
type flowReader struct {
	file *diag.File
	text string
	pos  int
}

func (p *flowReader) space() {
	for p.pos < len(p.text) && strings.ContainsRune(" \n\t", rune(p.text[p.pos])) {
		p.pos++
	}
}

func (p *flowReader) take(c byte) bool {
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *flowReader) value() *Value {
	p.space()
	start := p.pos
	v := &Value{}
	switch {
	case p.take('{'):
		v.Kind = Map
		for !p.take('}') {
			k := p.value()
			if !p.take(':') {
				panic(fmt.Sprintf("expected : at %q", p.text[p.pos:]))
			}
			v.Keys = append(v.Keys, Key{Name: k.Text, Span: k.Span, Value: p.value()})
			p.take(',')
		}
	case p.take('['):
		v.Kind = List
		for !p.take(']') {
			v.Items = append(v.Items, p.value())
			p.take(',')
		}
	case p.take('"'):
		v.Quoted = true
		for p.text[p.pos] != '"' {
			if p.text[p.pos] == '\\' {
				p.pos++
			}
			p.pos++
		}
		p.pos++
		if _, err := fmt.Sscanf(p.text[start:p.pos], "%q", &v.Text); err != nil {
			panic(err)
		}
	default:
		for p.pos < len(p.text) && !strings.ContainsRune(",[]{}\n", rune(p.text[p.pos])) && !strings.HasPrefix(p.text[p.pos:], ": ") {
			p.pos++
		}
		v.Text = strings.TrimRight(p.text[start:p.pos], " ")
		v.Span = p.file.Span(start, start+len(v.Text))
		return v
	}
	v.Span = p.file.Span(start, p.pos)
	return v
}

// readRule reads {match, not, action, comment, families}.
func readRule(tb testing.TB, text string) Rule {
	tb.Helper()
	p := &flowReader{file: diag.NewFile("rule.yaml", text), text: text}
	v := p.value()
	r := Rule{Span: v.Span, Label: "#1", Families: ir.Families}
	for _, k := range v.Keys {
		switch k.Name {
		case "match":
			r.Match = k.Value.Keys
		case "not":
			r.Not = k.Value.Keys
		case "comment":
			r.Comment = k.Value
		case "families":
			r.Families = nil
			for _, x := range k.Value.Items {
				f, _ := ir.ParseFamily(x.Text)
				r.Families = append(r.Families, f)
			}
		case "action":
			a := &Action{Kind: k.Value.Text, Span: k.Value.Span}
			if k.Value.Kind == Map {
				a.Kind, a.Span, a.Args = k.Value.Keys[0].Name, k.Value.Keys[0].Span, k.Value.Keys[0].Value
			}
			r.Action = a
		default:
			tb.Fatalf("no such part of a rule: %s", k.Name)
		}
	}
	return r
}

// testContext is what the tests' rules stand in: TABLE or TABLE/CHAIN.
func testContext(table string) Context {
	table, chain, ok := strings.Cut(table, "/")
	if !ok {
		chain = "OWNER"
	}
	return Context{
		Table: table,
		Chain: chain,
		Helper: func(purpose string, seq int) string {
			return fmt.Sprintf("OWNER-%s%d", purpose, seq)
		},
		SetName: func(name string, f ir.Family) (string, int, bool, bool) {
			switch name {
			case "both":
				return map[ir.Family]string{ir.IPv4: "both-4", ir.IPv6: "both-6"}[f], 1, true, false
			case "only4":
				return "only4", 1, f == ir.IPv4, false
			case "only6":
				return "only6", 1, f == ir.IPv6, false
			case "empty":
				return map[ir.Family]string{ir.IPv4: "empty-4", ir.IPv6: "empty-6"}[f], 1, true, true
			case "pairs":
				return map[ir.Family]string{ir.IPv4: "pairs-4", ir.IPv6: "pairs-6"}[f], 2, true, false
			}
			return "", 0, false, false
		},
		IsChain: func(name string) bool { return name == "OTHER" || name == "OWNER" },
		Chains:  []string{"OTHER", "OWNER"},
		Sets:    []string{"both", "only4", "only6", "empty", "pairs"},
	}
}
