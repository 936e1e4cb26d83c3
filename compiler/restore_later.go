package compiler

import (
	"slices"

	"hookline/compiler/ir"
)

// RestoreAlso makes Restore put back what a later plan of the same apply collects
// besides: rules of others that came to stand after our first commit. It returns
// what stood before, as if they had stood there already, each behind the rule of
// others that it stands behind now.
func (p *Plan) RestoreAlso(before *ir.Snapshot, later *Plan) *ir.Snapshot {
	out := *before
	out.State = before.State.Clone()
	for k := range later.emptied {
		p.emptied[k] = true
	}
	for k, texts := range later.collected {
		if p.collected[k] == nil {
			p.collected[k] = map[string]bool{}
		}
		for text := range texts {
			p.collected[k][text] = true
		}
		now, err := later.Live.Lookup(k)
		if err != nil || now == nil {
			continue
		}
		table := out.State.Table(k.Family, k.Table)
		if table == nil {
			table = &ir.Table{Family: k.Family, Name: k.Table}
			out.State.Tables = append(out.State.Tables, table)
		}
		at := slices.IndexFunc(table.Chains, func(c *ir.Chain) bool { return c.Name == k.Chain })
		if at < 0 || !table.Chains[at].Read {
			// Nobody asked for it before our first commit, so that nothing of ours was in it.
			old := *now
			old.Rules = slices.DeleteFunc(slices.Clone(now.Rules), func(r *ir.Rule) bool { return !texts[r.Text] && p.managed(k, r) })
			if at < 0 {
				table.Chains = append(table.Chains, &old)
			} else {
				table.Chains[at] = &old
			}
			continue
		}
		old := *table.Chains[at]
		old.Rules = withCollected(old.Rules, now.Rules, texts)
		table.Chains[at] = &old
	}
	return &out
}

// withCollected adds the rules of now whose text is collected to those that stood
// before, as far as there are more of them.
func withCollected(before, now []*ir.Rule, texts map[string]bool) []*ir.Rule {
	stood := map[string]int{}
	for _, r := range before {
		stood[r.Text]++
	}
	out := slices.Clone(before)
	at := 0
	for _, r := range now {
		if stood[r.Text]--; stood[r.Text] >= 0 || !texts[r.Text] || r.Native != nil {
			if i := slices.IndexFunc(out[at:], func(o *ir.Rule) bool { return o.Text == r.Text }); i >= 0 {
				at += i + 1
			}
			continue
		}
		out = slices.Insert(out, at, r)
		at++
	}
	return out
}
