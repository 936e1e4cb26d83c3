package nftables

import (
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Item is a rule of one family on its way into a chain.
type Item struct {
	Body
	Comment string
	// Label is what the rule is called in its ruleset.
	Label  string
	Origin diag.Span
	// Group names the rule of the ruleset that it comes from; rules of different
	// groups are never taken together.
	Group string
}

// Merge makes one list of the rules of both families, each in its order. A packet
// is of one family, so that only the order within a family counts. What reads the
// same in both is one rule; what is for one family says so.
func Merge(k Kind, v4, v6 []Item) []Rule {
	m := merger{kind: k}
	later4, later6 := groups(v4), groups(v6)
	for len(v4) > 0 || len(v6) > 0 {
		a, b := head(v4), head(v6)
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Group != b[0].Group && !later6[a[0].Group]:
			b = nil
		case len(a) == 0 || a[0].Group != b[0].Group && !later4[b[0].Group]:
			a = nil
		case a[0].Group != b[0].Group:
			b = nil // both come later: the order of the groups differs
			delete(later6, a[0].Group)
		}
		m.group(a, b)
		v4, v6 = v4[len(a):], v6[len(b):]
	}
	return m.out
}

// groups are the names of all groups.
func groups(list []Item) map[string]bool {
	out := map[string]bool{}
	for _, x := range list {
		out[x.Group] = true
	}
	return out
}

// head are the items of the first group.
func head(list []Item) []Item {
	n := 0
	for n < len(list) && list[n].Group == list[0].Group {
		n++
	}
	return list[:n]
}

type merger struct {
	kind Kind
	out  []Rule
}

func (m *merger) one(x Item, f ir.Family) {
	m.out = append(m.out, Rule{Text: x.For(m.kind, f), Comment: x.Comment, Label: x.Label, Origin: x.Origin})
}

// longest is how many items of a group are compared each with each. A longer group
// is compared place by place.
const longest = 256

// group merges the rules of one group: the most that can be taken together.
func (m *merger) group(a, b []Item) {
	same := func(x, y Item) bool {
		return x.Shared() && y.Shared() && x.Comment == y.Comment && x.Text() == y.Text()
	}
	if len(a) > longest || len(b) > longest {
		m.byPlace(a, b, same)
		return
	}
	// common[i][j] is how many can be taken together of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if same(a[i], b[j]) {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && same(a[i], b[j]):
			m.out = append(m.out, Rule{Text: a[i].Text(), Comment: a[i].Comment, Label: a[i].Label, Origin: a[i].Origin})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			m.one(a[i], ir.IPv4)
			i++
		default:
			m.one(b[j], ir.IPv6)
			j++
		}
	}
}

func (m *merger) byPlace(a, b []Item, same func(x, y Item) bool) {
	for i := range max(len(a), len(b)) {
		switch {
		case i < len(a) && i < len(b) && same(a[i], b[i]):
			m.out = append(m.out, Rule{Text: a[i].Text(), Comment: a[i].Comment, Label: a[i].Label, Origin: a[i].Origin})
			continue
		case i < len(a):
			m.one(a[i], ir.IPv4)
		}
		if i < len(b) {
			m.one(b[i], ir.IPv6)
		}
	}
}
