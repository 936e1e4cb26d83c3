package dsl

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"hookline/dsl/diag"
)

// yamlText writes random YAML in every style.
type yamlText struct {
	*rand.Rand
	b       strings.Builder
	anchors int
}

var scalarWords = []string{
	"a", "-i", "lo", "!", "x:y", "it's", `"q"`, "#1", "ü", "日本", "🙂", "${params.x}", "{", "}", ",", "[", "]", "\\n", "\\", "'", "0080", "*", "&", "|", ">", "%", "@",
}

func (y *yamlText) words(from []string) string {
	var w []string
	for range 1 + y.IntN(5) {
		w = append(w, from[y.IntN(len(from))])
	}
	return strings.Join(w, strings.Repeat(" ", 1+y.IntN(2)))
}

// plainWords can stand in a plain scalar in flow context.
var plainWords = []string{"a", "-i", "lo", "x:y", "it's", "ü", "日本", "🙂", "b#1", "0x10", "1.10", "$x"}

// scalar writes a scalar; continuation lines are indented by n.
func (y *yamlText) scalar(n int, flow bool) {
	pad := strings.Repeat(" ", n)
	fold := func(s string) string {
		if y.IntN(3) > 0 {
			return s
		}
		return strings.Replace(s, " ", strings.Repeat(" ", y.IntN(2))+strings.Repeat("\n", 1+y.IntN(3))+pad, 1)
	}
	switch y.IntN(5) {
	case 0:
		s := plainWords[0] + " " + y.words(plainWords)
		y.b.WriteString(fold(s))
	case 1:
		y.b.WriteString("'" + fold(strings.ReplaceAll(y.words(scalarWords), "'", "''")) + "'")
	case 2:
		s := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "ü", `\u00fc`, "lo", "l\\\n"+pad+"o").Replace(y.words(scalarWords))
		y.b.WriteString(`"` + fold(s) + `"`)
	default:
		if flow {
			y.b.WriteString("b")
			return
		}
		y.b.WriteString([]string{"|", ">", "|-", ">-", "|+", ">+"}[y.IntN(6)])
		if y.IntN(4) == 0 {
			y.b.WriteString("  # why")
		}
		y.b.WriteString("\n")
		for i := range 1 + y.IntN(4) {
			if y.IntN(4) == 0 {
				y.b.WriteString("\n")
			}
			more := ""
			if i > 0 && y.IntN(4) == 0 {
				more = "  "
			}
			y.b.WriteString(pad + more + "w" + y.words(scalarWords) + "\n")
		}
		y.b.WriteString(strings.Repeat(" ", n-1) + "# behind")
	}
}

func (y *yamlText) value(n, depth int, flow bool) {
	if y.IntN(8) == 0 {
		y.anchors++
		fmt.Fprintf(&y.b, "&a%d ", y.anchors)
	}
	if y.anchors > 0 && y.IntN(12) == 0 && !strings.HasSuffix(y.b.String(), fmt.Sprintf("&a%d ", y.anchors)) {
		fmt.Fprintf(&y.b, "*a%d ", 1+y.IntN(y.anchors))
		return
	}
	switch k := y.IntN(6); {
	case depth == 0 || k < 2:
		y.scalar(n+2, flow)
	case k == 2:
		y.b.WriteString("[")
		for range y.IntN(4) {
			y.value(n, depth-1, true)
			y.b.WriteString([]string{",", " , ", ",\n" + strings.Repeat(" ", n+3)}[y.IntN(3)])
		}
		y.b.WriteString("]")
	case k == 3:
		y.b.WriteString("{")
		for i := range y.IntN(4) {
			fmt.Fprintf(&y.b, "k%d: ", i)
			y.value(n, depth-1, true)
			y.b.WriteString(", ")
		}
		y.b.WriteString("}")
	case flow:
		y.b.WriteString("x")
	case k == 4:
		for i := range 1 + y.IntN(3) {
			fmt.Fprintf(&y.b, "\n%sk%d: ", strings.Repeat(" ", n+2), i)
			y.value(n+2, depth-1, false)
		}
	default:
		for range 1 + y.IntN(3) {
			y.b.WriteString("\n" + strings.Repeat(" ", n+2) + "- ")
			y.value(n+2, depth-1, false)
		}
	}
}

// TestSpans: the text of a scalar's span, read again, is the scalar's value, and
// the place of each piece of it holds that piece.
func TestSpans(t *testing.T) {
	texts, scalars := 0, 0
	for seed := range uint64(4000) {
		y := &yamlText{Rand: rand.New(rand.NewPCG(seed, 1))}
		y.b.WriteString("top: ")
		y.value(0, 4, false)
		text := y.b.String() + "\n"
		if seed%3 == 0 {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		file := diag.NewFile("random.yaml", text)
		list := &diag.List{}
		docs, _, ok := load(file, 0, list)
		if !ok { // cyclic aliases and the like are no YAML
			continue
		}
		texts++
		for _, d := range docs {
			scalars += checkSpans(t, d, text)
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, text)
		}
	}
	if texts < 3000 || scalars < 10000 {
		t.Errorf("only %d texts with %d scalars were YAML", texts, scalars)
	}
}

func checkSpans(t *testing.T, n *node, text string) int {
	t.Helper()
	count := 0
	for _, c := range n.items {
		count += checkSpans(t, c, text)
	}
	for _, e := range n.entries {
		count += checkSpans(t, e.key, text) + checkSpans(t, e.value, text)
	}
	if n.span.Start < 0 || n.span.End < n.span.Start || n.span.End > len(text) {
		t.Errorf("span %d-%d lies outside", n.span.Start, n.span.End)
		return count
	}
	if n.kind != Scalar || n.lost {
		return count
	}
	if !n.align.ok {
		t.Errorf("the scalar %q has no alignment with %q", n.value, n.span.Text())
		return count
	}
	var again struct{ K yaml.Node }
	if err := yaml.Unmarshal([]byte("k: "+n.span.Text()+"\n"), &again); err != nil {
		t.Errorf("the span %q is no scalar: %v", n.span.Text(), err)
	} else {
		if strings.TrimRight(again.K.Value, "\n") != strings.TrimRight(n.value, "\n") {
			t.Errorf("the span %q reads %q, want %q", n.span.Text(), again.K.Value, n.value)
		}
	}
	for _, p := range n.align.pieces {
		if p.kind == pieceSame && text[p.src:p.src+p.nsrc] != n.value[p.value:p.value+p.nvalue] {
			t.Errorf("piece %+v of %q is %q in the source", p, n.value, text[p.src:p.src+p.nsrc])
		}
	}
	return count + 1
}

// TestAlias: an alias has the place of what it refers to.
func TestAlias(t *testing.T) {
	file := diag.NewFile("a.yaml", "a: &x  # why\n  \"lo\"\nb: [*x, 2]\n")
	list := &diag.List{}
	docs, _, _ := load(file, 0, list)
	b := docs[0].entries[1].value
	if got := b.items[0].span.Text(); got != `"lo"` {
		t.Errorf("the alias points at %q", got)
	}
	if got := b.span.Text(); got != "[*x, 2]" {
		t.Errorf("the list points at %q", got)
	}
}
