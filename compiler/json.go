package compiler

import (
	"encoding/json"
	"io"

	"hookline/dsl/diag"
)

// FormatVersion is the version of the plan's JSON form. It goes up when a field
// changes its meaning or goes away; new fields do not change it.
const FormatVersion = 1

// PlanJSON is the machine-readable form of a plan; schemas/v1/plan.schema.json
// is generated from it.
type PlanJSON struct {
	FormatVersion int           `json:"formatVersion"`
	Ruleset       []RulesetInfo `json:"ruleset"`
	Backend       string        `json:"backend"`
	// Snapshot is the recorded snapshot's name; absent for a live host.
	Snapshot    string           `json:"snapshot,omitempty"`
	Changes     []ChangeJSON     `json:"changes"`
	Sets        []SetJSON        `json:"sets,omitempty"`
	Chains      []ChainJSON      `json:"chains"`
	Hooks       []HookJSON       `json:"hooks,omitempty"`
	Commits     []CommitJSON     `json:"commits"`
	Constraints []ConstraintJSON `json:"constraints"`
	Missing     []MissingJSON    `json:"missing,omitempty"`
	Diagnostics []DiagnosticJSON `json:"diagnostics"`
	// Intrusions are rules that other programs put into tables of the nft backend.
	Intrusions []IntrusionJSON `json:"intrusions,omitempty"`
	Notes      []string        `json:"notes,omitempty"`
	BaseDigest string          `json:"baseDigest"`
}

// ChangeJSON is one change. Action is add, remove, change or move; key is the
// rule's name or #N, an anchor's name, or a chain's.
type ChangeJSON struct {
	Family string      `json:"family"`
	Table  string      `json:"table"`
	Chain  string      `json:"chain"`
	Key    string      `json:"key"`
	Action string      `json:"action"`
	Before string      `json:"before,omitempty"`
	After  string      `json:"after,omitempty"`
	Source *SourceJSON `json:"source,omitempty"`
	// Reason says why a rule or a chain of another program is collected.
	Reason string `json:"reason,omitempty"`
}

// SetJSON is what happens to one set: action is add, remove or change. Family is
// absent for a type of ipset that belongs to both. add and remove count elements,
// elements is how many the set then has; firstAdd and firstRemove show some.
type SetJSON struct {
	Family      string      `json:"family,omitempty"`
	Name        string      `json:"name"`
	Type        string      `json:"type"`
	Action      string      `json:"action"`
	Add         int         `json:"add"`
	Remove      int         `json:"remove"`
	Elements    int         `json:"elements"`
	FirstAdd    []string    `json:"firstAdd,omitempty"`
	FirstRemove []string    `json:"firstRemove,omitempty"`
	How         string      `json:"how"`
	Source      *SourceJSON `json:"source,omitempty"`
}

// SourceJSON is a place in a file; lines and columns count from 1.
type SourceJSON struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
}

// ChainJSON is a shared chain as it will stand, or one of others from which rules
// are collected, with the rules that go away at their old places (position 0).
type ChainJSON struct {
	Family  string `json:"family"`
	Table   string `json:"table"`
	Chain   string `json:"chain"`
	Policy  string `json:"policy,omitempty"`
	Changed bool   `json:"changed"`
	// Foreign tells that it is no shared chain but one of others, Dropped that it
	// goes, because nothing is left in it.
	Foreign bool       `json:"foreign,omitempty"`
	Dropped bool       `json:"dropped,omitempty"`
	Rules   []LineJSON `json:"rules"`
}

// LineJSON is one rule of a ChainJSON.
type LineJSON struct {
	Action      string `json:"action"`
	Position    int    `json:"position"`
	Text        string `json:"text"`
	Participant string `json:"participant,omitempty"`
	Ours        bool   `json:"ours,omitempty"`
	Adopted     bool   `json:"adopted,omitempty"`
	// Collected tells that a rule of others goes, Reason why.
	Collected bool   `json:"collected,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// CommitJSON is what is committed at once.
type CommitJSON struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Ops    int    `json:"ops"`
	Guards int    `json:"guards"`
	// Atomic says over what the commit is all or nothing.
	Atomic string `json:"atomic"`
}

// ConstraintJSON is a constraint's result on what is predicted. Result is holds,
// fails, skipped or error.
type ConstraintJSON struct {
	Ruleset  string      `json:"ruleset"`
	Name     string      `json:"name"`
	Result   string      `json:"result"`
	Severity string      `json:"severity"`
	Message  string      `json:"message,omitempty"`
	Error    string      `json:"error,omitempty"`
	Values   []ValueJSON `json:"values,omitempty"`
	Source   *SourceJSON `json:"source,omitempty"`
}

// MissingJSON is a rule of another program that the rulesets name and that is not
// in a shared chain. Lost tells that it did stand, or should; else no known program
// is at work on the host.
type MissingJSON struct {
	Family      string   `json:"family"`
	Table       string   `json:"table"`
	Chain       string   `json:"chain"`
	Name        string   `json:"name"`
	Participant string   `json:"participant,omitempty"`
	Lost        bool     `json:"lost"`
	Because     string   `json:"because,omitempty"`
	Returns     []string `json:"returns,omitempty"`
}

// IntrusionJSON is a rule of another program in a table of ours. Tag is what its
// author wrote beside it; removed tells that it goes.
type IntrusionJSON struct {
	Ruleset string `json:"ruleset"`
	Family  string `json:"family"`
	Table   string `json:"table"`
	Chain   string `json:"chain"`
	Text    string `json:"text"`
	Tag     string `json:"tag,omitempty"`
	Author  string `json:"author,omitempty"`
	Removed bool   `json:"removed,omitempty"`
}

// ValueJSON is a part of a false constraint and its value.
type ValueJSON struct {
	Expression string `json:"expression"`
	Value      string `json:"value"`
}

// DiagnosticJSON is one finding.
type DiagnosticJSON struct {
	Severity string      `json:"severity"`
	Code     string      `json:"code"`
	Message  string      `json:"message"`
	Source   *SourceJSON `json:"source,omitempty"`
	Notes    []NoteJSON  `json:"notes,omitempty"`
	Help     string      `json:"help,omitempty"`
}

// NoteJSON is a further place of a finding.
type NoteJSON struct {
	Message string      `json:"message"`
	Source  *SourceJSON `json:"source,omitempty"`
}

func source(s diag.Span) *SourceJSON {
	if s.IsZero() {
		return nil
	}
	p := s.Position()
	return &SourceJSON{File: s.File.Name(), Line: p.Line, Col: p.Column}
}

// JSON is the plan in its machine-readable form.
func (p *Plan) JSON() PlanJSON {
	out := PlanJSON{
		FormatVersion: FormatVersion, Ruleset: p.Rulesets, Backend: string(p.Variant), Snapshot: p.Source,
		Changes: []ChangeJSON{}, Chains: []ChainJSON{}, Commits: []CommitJSON{}, Constraints: []ConstraintJSON{},
		Diagnostics: []DiagnosticJSON{}, Notes: p.Notes, BaseDigest: p.BaseDigest,
	}
	for _, c := range p.Changes {
		out.Changes = append(out.Changes, ChangeJSON{
			Family: c.Key.Family.String(), Table: c.Key.Table, Chain: c.Key.Chain, Key: c.Address,
			Action: c.Kind.String(), Before: c.Before, After: c.After, Source: source(c.Source), Reason: c.Reason,
		})
	}
	for _, c := range p.SetChanges {
		s := SetJSON{
			Name: c.Name, Type: c.Type, Action: c.Kind.String(), Add: c.Add, Remove: c.Remove, Elements: c.Total,
			FirstAdd: c.FirstAdd, FirstRemove: c.FirstRemove, How: c.How, Source: source(c.Source),
		}
		if c.Family != 0 {
			s.Family = c.Family.String()
		}
		out.Sets = append(out.Sets, s)
	}
	for _, v := range p.Views {
		out.Chains = append(out.Chains, chainJSON(v))
	}
	for _, h := range p.Timelines {
		out.Hooks = append(out.Hooks, hookJSON(h))
	}
	for _, c := range p.Commits() {
		out.Commits = append(out.Commits, CommitJSON{
			Family: c.Family.String(), Table: c.Table, Ops: c.Ops, Guards: c.Guards, Atomic: p.atomic(c),
		})
	}
	for _, c := range p.Constraints {
		out.Constraints = append(out.Constraints, c.json())
	}
	for _, m := range p.Missing {
		out.Missing = append(out.Missing, MissingJSON{
			Family: m.Key.Family.String(), Table: m.Key.Table, Chain: m.Key.Chain, Name: m.Name,
			Participant: m.Participant, Lost: m.Lost, Because: m.Because, Returns: m.Returns,
		})
	}
	for _, x := range p.Intrusions {
		out.Intrusions = append(out.Intrusions, IntrusionJSON{
			Ruleset: x.Ruleset, Family: x.Key.Family.String(), Table: x.Key.Table, Chain: x.Key.Chain,
			Text: x.Text, Tag: x.Tag, Author: x.Author, Removed: x.Removed,
		})
	}
	for _, d := range p.Diags.All() {
		j := DiagnosticJSON{Severity: d.Severity.String(), Code: string(d.Code), Message: d.Message, Source: source(d.Span), Help: d.Help}
		for _, n := range d.Notes {
			j.Notes = append(j.Notes, NoteJSON{Message: n.Message, Source: source(n.Span)})
		}
		out.Diagnostics = append(out.Diagnostics, j)
	}
	return out
}

func chainJSON(v ChainView) ChainJSON {
	c := ChainJSON{
		Family: v.Key.Family.String(), Table: v.Key.Table, Chain: v.Key.Chain,
		Policy: v.Policy, Changed: v.Changed, Foreign: v.Foreign, Dropped: v.Dropped, Rules: []LineJSON{},
	}
	for _, l := range v.Lines {
		c.Rules = append(c.Rules, LineJSON{
			Action: l.Kind.String(), Position: l.Position, Text: l.Text,
			Participant: l.Participant, Ours: l.Ours, Adopted: l.Adopted, Collected: l.Collected, Reason: l.Reason,
		})
	}
	return c
}

func (c ConstraintResult) json() ConstraintJSON {
	j := ConstraintJSON{
		Ruleset: c.Ruleset, Name: c.Name, Severity: "error", Message: c.Message, Error: c.Error,
		Result: "holds", Source: source(c.Span),
	}
	if c.Warning {
		j.Severity = "warning"
	}
	switch {
	case c.Error != "":
		j.Result = "error"
	case c.Skipped:
		j.Result = "skipped"
	case !c.Holds:
		j.Result = "fails"
	}
	for _, s := range c.Shown {
		j.Values = append(j.Values, ValueJSON{Expression: showExpr(s), Value: s.Value})
	}
	return j
}

// WriteJSON prints plans, one JSON document each on lines of its own.
func WriteJSON(w io.Writer, plans []*Plan) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	for _, p := range plans {
		if err := enc.Encode(p.JSON()); err != nil {
			return err
		}
	}
	return nil
}
