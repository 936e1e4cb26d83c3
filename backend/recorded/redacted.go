package recorded

import (
	"encoding/json"
	"fmt"

	"golang.org/x/tools/txtar"

	"hookline/backend/redact"
	"hookline/compiler/ir"
)

// redactedArchive is a snapshot's file in which the addresses of every member have
// pseudonyms, whatever they stand in: rules, comments, sets, facts, warnings,
// values.
func redactedArchive(s *ir.Snapshot, opt WriteOptions) (*txtar.Archive, error) {
	r := redact.New()
	a, err := archive(hideHost(s), opt)
	if err != nil {
		return nil, err
	}
	for _, f := range a.Files {
		r.Learn(string(f.Data))
	}
	if err := r.Solve(); err != nil {
		return nil, fmt.Errorf("writing a snapshot: %w", err)
	}
	for i := range a.Files {
		f := &a.Files[i]
		if f.Name == nativeName {
			f.Data, err = redactNative(r, f.Data)
		} else {
			f.Data = []byte(r.Text(string(f.Data)))
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// redactNative redacts native rules, whose members say where in the text a
// statement stands.
func redactNative(r *redact.Redactor, data []byte) ([]byte, error) {
	var rules []nativeRule
	if err := json.Unmarshal(data, &rules); err != nil {
		return nil, fmt.Errorf("redacting native rules: %w", err)
	}
	for i := range rules {
		n := &rules[i]
		n.Table, n.Chain, n.Expr, n.Comment = r.Text(n.Table), r.Text(n.Chain), r.Text(n.Expr), r.Text(n.Comment)
		if n.Start < 0 || n.Start > n.End || n.End > len(n.Text) {
			n.Start, n.End = 0, 0
		}
		before, inside, behind := r.Text(n.Text[:n.Start]), r.Text(n.Text[n.Start:n.End]), r.Text(n.Text[n.End:])
		n.Text = before + inside + behind
		if n.Start, n.End = len(before), len(before)+len(inside); inside == "" {
			n.Start, n.End = 0, 0
		}
	}
	return indent(rules)
}
