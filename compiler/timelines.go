package compiler

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/markdown"
	"hookline/compiler/timeline"
	"hookline/dsl/diag"
)

// HookJSON is a hook of nftables as it will stand, its base chains in the order in
// which packets meet them. Stack is ipv4 or ipv6.
type HookJSON struct {
	Stack  string          `json:"stack"`
	Hook   string          `json:"hook"`
	Chains []BaseChainJSON `json:"chains"`
	// Remarks are what follows from the order.
	Remarks []RemarkJSON `json:"remarks,omitempty"`
}

// BaseChainJSON is a base chain at a hook. Action is keep, add, remove or move (its
// priority changes, from was).
type BaseChainJSON struct {
	Action   string `json:"action"`
	Family   string `json:"family"`
	Table    string `json:"table"`
	Chain    string `json:"chain"`
	Type     string `json:"type"`
	Priority int    `json:"priority"`
	Was      *int   `json:"was,omitempty"`
	Policy   string `json:"policy"`
	// Rules is absent if their number is not known.
	Rules *int `json:"rules,omitempty"`
	Ours  bool `json:"ours,omitempty"`
	// Drift tells that somebody else made the chain in a table of ours.
	Drift bool `json:"drift,omitempty"`
	// Program is whose the table is: a participant, "iptables", a ruleset behind
	// "hookline:", or absent.
	Program string `json:"program,omitempty"`
	// Users are the participants that have rules in a chain of iptables; "" is for rules
	// of nobody known.
	Users []string `json:"users,omitempty"`
	// Legacy tells that the chain is one of iptables-legacy.
	Legacy bool `json:"legacy,omitempty"`
}

// RemarkJSON is a sentence about a hook.
type RemarkJSON struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// changeOf is what becomes of a base chain, as a kind of change.
func changeOf(c *timeline.Chain) ChangeKind {
	switch c.Change {
	case timeline.Comes:
		return Added
	case timeline.Goes:
		return Removed
	case timeline.Moves:
		return Changed
	case timeline.Stays:
	}
	return Unchanged
}

func hookJSON(h timeline.Hook) HookJSON {
	out := HookJSON{Stack: h.Stack, Hook: h.Hook, Chains: []BaseChainJSON{}}
	actions := map[timeline.Change]string{timeline.Stays: "keep", timeline.Comes: "add", timeline.Goes: "remove", timeline.Moves: "move"}
	for _, c := range h.Chains {
		j := BaseChainJSON{
			Action: actions[c.Change], Family: c.Family, Table: c.Table, Chain: c.Name, Type: c.Type, Priority: c.Priority,
			Policy: c.Policy, Ours: c.Ours, Drift: c.Drift, Program: c.Program, Users: c.Users, Legacy: c.Legacy,
		}
		if c.Change == timeline.Moves {
			j.Was = &c.Was
		}
		if c.Rules >= 0 {
			j.Rules = &c.Rules
		}
		out.Chains = append(out.Chains, j)
	}
	for _, r := range h.Remarks {
		out.Remarks = append(out.Remarks, RemarkJSON{string(r.Kind), r.Text})
	}
	return out
}

// hookLine is one base chain of a timeline, and what becomes of it.
type hookLine struct {
	kind ChangeKind
	ours bool
	text string
}

// hookLines are the base chains of a hook in columns: mark, priority, type, whose it
// is, how many rules, the chain.
func hookLines(h timeline.Hook) []hookLine {
	rows := make([][]string, len(h.Chains))
	width := make([]int, 5)
	for i, c := range h.Chains {
		priority, rules := fmt.Sprint(c.Priority), ""
		if c.Change == timeline.Moves {
			priority = fmt.Sprintf("%d -> %d", c.Was, c.Priority)
		}
		if c.Rules >= 0 {
			rules = count(c.Rules, "rule")
		}
		title := diag.Visible(c.Title())
		if c.Policy != "accept" {
			title += ", policy " + diag.Visible(c.Policy)
		}
		rows[i] = []string{priority, diag.Visible(c.Type), diag.Visible(c.Who()), rules, title}
		for k, s := range rows[i] {
			width[k] = max(width[k], len([]rune(s)))
		}
	}
	var out []hookLine
	for i, c := range h.Chains {
		r := rows[i]
		text := fmt.Sprintf("%s %*s  %-*s  %-*s  %-*s  %s", changeOf(c).Mark(), width[0], r[0], width[1], r[1], width[2], r[2], width[3], r[3], r[4])
		out = append(out, hookLine{changeOf(c), c.Ours, strings.TrimRight(text, " ")})
	}
	return out
}

// hookTitle names a hook.
func hookTitle(h timeline.Hook) string { return diag.Visible(h.Stack + " " + h.Hook) }

// showsHooks tells whether the timelines are worth their lines: not where nothing is
// to be done and nothing is wrong.
func (p *Plan) showsHooks() bool { return !p.Empty() || p.Diags.HasErrors() }

// hooks prints the timelines.
func (t *textWriter) hooks() {
	if !t.plan.showsHooks() && !t.opt.All {
		return
	}
	hidden := 0
	for _, h := range t.plan.Timelines {
		if !t.opt.All && !t.plan.Diags.HasErrors() && !changes(h) {
			hidden++
			continue
		}
		t.printf("\n%s\n", t.paint(bold, "hook "+hookTitle(h)))
		for _, l := range hookLines(h) {
			code := colors[l.kind]
			if l.kind == Unchanged && !l.ours {
				code = faint
			}
			t.printf("%s\n", t.paint(code, "  "+l.text))
		}
		for _, r := range h.Remarks {
			t.printf("    %s\n", t.paint(faint, "note: "+diag.Visible(r.Text)))
		}
	}
	if hidden > 0 {
		t.printf("\n%s\n", t.paint(faint, "at "+count(hidden, "more hook")+" nothing changes (-v shows them)"))
	}
}

// changes tells whether something of ours comes, goes or moves at a hook.
func changes(h timeline.Hook) bool {
	return slices.ContainsFunc(hookLines(h), func(l hookLine) bool { return l.kind != Unchanged })
}

// markdownHooks writes the timelines. At the lowest detail only the hooks stay at
// which something of ours changes, without remarks.
func (p *Plan) markdownHooks(b *strings.Builder, detail int) {
	hidden := 0
	if !p.showsHooks() {
		return
	}
	for _, h := range p.Timelines {
		lines, changed := hookLines(h), changes(h)
		if !changed && (detail == 0 || !p.Diags.HasErrors()) {
			hidden++
			continue
		}
		open := ""
		if changed {
			open = " open"
		}
		fmt.Fprintf(b, "\n<details%s><summary>hook <code>%s</code></summary>\n\n", open, markdown.HTML(hookTitle(h)))
		var text []string
		for _, l := range lines {
			text = append(text, l.text)
		}
		markdown.Fence(b, "diff", text)
		for i, r := range h.Remarks {
			if detail == 0 {
				break
			}
			if i == 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(b, "- %s\n", markdown.Escape(r.Text))
		}
		b.WriteString("\n</details>\n")
	}
	if hidden > 0 {
		fmt.Fprintf(b, "\n_%s, at which nothing changes: `hookline plan -v` prints what is there._\n", count(hidden, "hook"))
	}
}
