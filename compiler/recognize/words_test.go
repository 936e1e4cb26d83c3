package recognize_test

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
)

// fields reads a rule's fields from its words.
func fields(_ ir.Family, r *ir.Rule) recognize.Fields {
	f := recognize.Fields{Text: r.Text}
	words, err := xtables.Words(r.Text)
	if err != nil {
		return f
	}
	for i := 0; i+1 < len(words); i++ {
		value := words[i+1].Text
		switch words[i].Text {
		case "-j", "-g":
			f.Target, f.Goto = value, words[i].Text == "-g"
		case "--comment":
			f.Comments = append(f.Comments, value)
		case "-i", "-o":
			if i > 0 && words[i-1].Text == "!" {
				value = "! " + value
			}
			if words[i].Text == "-i" {
				f.In = value
			} else {
				f.Out = value
			}
		case "--match-set", "--add-set", "--del-set", "--map-set":
			f.Sets = append(f.Sets, value)
		default:
			continue
		}
		i++
	}
	return f
}

func recognizer(t testing.TB) *recognize.Recognizer {
	t.Helper()
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return recognize.New(cat, fields)
}

// parse reads what this test needs of a save: tables, chains and rules.
func parse(t testing.TB, family ir.Family, data []byte) *ir.State {
	t.Helper()
	s := &ir.State{Families: []ir.Family{family}}
	var table *ir.Table
	chains := map[string]*ir.Chain{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "[") {
			_, line, _ = strings.Cut(line, " ")
		}
		switch {
		case strings.HasPrefix(line, "*"):
			table = &ir.Table{Family: family, Name: line[1:]}
			s.Tables = append(s.Tables, table)
			chains = map[string]*ir.Chain{}
		case strings.HasPrefix(line, ":"):
			name, _, _ := strings.Cut(line[1:], " ")
			c := &ir.Chain{Name: name, Read: true}
			chains[name] = c
			table.Chains = append(table.Chains, c)
		case strings.HasPrefix(line, "-A "):
			name, text, _ := strings.Cut(line[len("-A "):], " ")
			chains[name].Rules = append(chains[name].Rules, &ir.Rule{Text: text})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}
