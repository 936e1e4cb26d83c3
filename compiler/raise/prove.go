package raise

import (
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/lower"
	"hookline/compiler/xtables"
	"hookline/dsl"
)

// proven tells whether a structured rule, lowered for a family, is the one rule
// that it was made of; else why says in which way it is not.
func proven(r *dsl.Rule, s *ir.Spec, k ir.ChainKey) (ok bool, why string) {
	res, problem := lowered(r, k)
	switch rules := res.Rules[k.Family]; {
	case problem != "":
		return false, problem
	case len(rules) != 1 || len(res.Chains[k.Family]) > 0:
		return false, "what takes several rules"
	case xtables.Key(rules[0], k.Family) != xtables.Key(s, k.Family):
		return false, "the order or the grouping of matches"
	}
	return true, ""
}

// lowered is the rule as compiled for one family; problem says what is wrong.
func lowered(r *dsl.Rule, k ir.ChainKey) (res lower.Result, problem string) {
	in := lower.Rule{Families: []ir.Family{k.Family}}
	if r.Match != nil {
		in.Match, in.Not = lowerKeys(r.Match.Keys), lowerKeys(r.Match.Not)
	}
	if r.Action != nil {
		in.Action = &lower.Action{Kind: r.Action.Kind.Literal()}
		if r.Action.Args != nil {
			in.Action.Args = lowerValue(r.Action.Args)
		}
	}
	if len(r.Comments) > 0 {
		in.Comment = &lower.Value{Kind: lower.List}
		for _, c := range r.Comments {
			in.Comment.Items = append(in.Comment.Items, &lower.Value{Text: c.Literal()})
		}
	}
	res, list := lower.Lower(in, lower.Context{
		Table: k.Table, Chain: k.Chain,
		Helper:  func(purpose string, _ int) string { return purpose },
		SetName: func(name string, _ ir.Family) (string, int, bool, bool) { return name, 0, true, false },
		IsChain: func(string) bool { return true },
	})
	for _, d := range list.All() {
		// A warning, too, says that the kernel keeps something else.
		return res, d.Message
	}
	return res, ""
}

func lowerKeys(entries []*dsl.Entry) []lower.Key {
	var out []lower.Key
	for _, e := range entries {
		out = append(out, lower.Key{Name: e.Key.Value, Value: lowerValue(e.Value)})
	}
	return out
}

func lowerValue(v *dsl.Value) *lower.Value {
	switch v.Kind {
	case dsl.Sequence:
		out := &lower.Value{Kind: lower.List}
		for _, i := range v.Items {
			out.Items = append(out.Items, lowerValue(i))
		}
		return out
	case dsl.Mapping:
		return &lower.Value{Kind: lower.Map, Keys: lowerKeys(v.Entries)}
	case dsl.Scalar:
	}
	return &lower.Value{Text: v.Text.Literal(), Quoted: v.Text.Quoted}
}

// asText tells whether rule text is read, in a ruleset, as the rule that it stands
// for on the host; else why says what is wrong with it.
func asText(text string, s *ir.Spec, k ir.ChainKey) (ok bool, why string) {
	if p := dsl.TextProblem(text); p != "" {
		return false, "its text " + p
	}
	if strings.TrimSpace(text) == "" {
		return false, "its text is empty"
	}
	specs, err := xtables.Parse(text, xtables.Options{Family: k.Family, Table: k.Table, Chain: k.Chain})
	switch {
	case err != nil:
		return false, err.Error()
	case len(specs) != 1:
		return false, "its text stands for several rules"
	}
	for _, e := range xtables.Check(specs[0], k.Table, k.Chain, k.Family) {
		return false, e.Message
	}
	if xtables.Key(specs[0], k.Family) != xtables.Key(s, k.Family) {
		return false, "its text, read again, means something else"
	}
	return true, ""
}

// structuredOf is structured for a rule that stands.
func structuredOf(f ir.Family, r *ir.Rule) (*dsl.Rule, string) {
	return structured(xtables.DecodeRule(r, f))
}
