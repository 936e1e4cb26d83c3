package recorded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/tools/txtar"

	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// FormatVersion of the files that Write makes. Load reads all up to it: version 1
// had no host.
const FormatVersion = 2

// The members of a file that Write makes; saves of the other variant stand
// behind otherPrefix.
const (
	metaName    = "meta.json"
	v4Name      = "iptables-save"
	v6Name      = "ip6tables-save"
	ipsetName   = "ipset-save"
	nativeName  = "native.json"
	valuesName  = "values.yaml"
	factsName   = "facts.yaml"
	otherPrefix = "other/"
)

// meta is meta.json: all that the texts of the tools do not say.
type meta struct {
	FormatVersion int               `json:"formatVersion"`
	Variant       ir.Variant        `json:"variant"`
	Why           string            `json:"why,omitempty"`
	Generation    uint32            `json:"generation,omitempty"`
	Scope         metaScope         `json:"scope"`
	Tools         map[string]string `json:"tools,omitempty"`
	Facts         map[string]any    `json:"facts,omitempty"`
	Warnings      []string          `json:"warnings,omitempty"`
	SetsRead      bool              `json:"setsRead"`
	State         metaState         `json:"state"`
	Other         *metaState        `json:"other,omitempty"`
	Host          *metaHost         `json:"host,omitempty"`
	// Redacted tells that addresses are pseudonyms.
	Redacted bool `json:"redacted,omitempty"`
}

// metaState says of a state what its saves do not.
type metaState struct {
	Families []string    `json:"families"`
	Tables   []metaTable `json:"tables"`
}

type metaTable struct {
	Family     string      `json:"family"`
	Name       string      `json:"name"`
	Unreadable string      `json:"unreadable,omitempty"`
	Partial    bool        `json:"partial,omitempty"`
	Unread     []metaChain `json:"unread,omitempty"`
}

// metaChain is a chain whose rules are not in the save.
type metaChain struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

type metaScope struct {
	Families []string         `json:"families,omitempty"`
	All      bool             `json:"all,omitempty"`
	Tables   []metaTableScope `json:"tables,omitempty"`
	Sets     []string         `json:"sets,omitempty"`
	AllSets  bool             `json:"allSets,omitempty"`
	Whole    bool             `json:"whole,omitempty"`
}

type metaTableScope struct {
	Family string   `json:"family"`
	Name   string   `json:"name"`
	All    bool     `json:"all,omitempty"`
	Chains []string `json:"chains,omitempty"`
	Globs  []string `json:"globs,omitempty"`
	Refs   bool     `json:"refs,omitempty"`
	RefsTo []string `json:"refsTo,omitempty"`
}

// nativeRule is one line of native.json: a rule that a save cannot hold.
type nativeRule struct {
	Other    bool   `json:"other,omitempty"`
	Family   string `json:"family"`
	Table    string `json:"table"`
	Chain    string `json:"chain"`
	Position int    `json:"position"` // from 0, among all rules of the chain
	Handle   uint64 `json:"handle"`
	Expr     string `json:"expr"`
	Comment  string `json:"comment,omitempty"`
	// Text of the whole rule, and the bounds of the statement that holds Expr.
	Text    string `json:"text,omitempty"`
	Start   int    `json:"start,omitempty"`
	End     int    `json:"end,omitempty"`
	Packets uint64 `json:"packets,omitempty"`
	Bytes   uint64 `json:"bytes,omitempty"`
}

// WriteOptions say how a snapshot is written.
type WriteOptions struct {
	// Counters keeps the counters of rules and policies and the kernel's generation:
	// numbers that differ from one moment to the next.
	Counters bool
	// Redact gives addresses pseudonyms, and the host another name (see backend/redact).
	Redact bool
}

// Write prints a snapshot as one file that people can review and Load reads. What
// Load makes of it is written again to the same bytes.
func Write(s *ir.Snapshot, opt WriteOptions) ([]byte, error) {
	var a *txtar.Archive
	var err error
	if opt.Redact {
		a, err = redactedArchive(s, opt)
	} else {
		a, err = archive(s, opt)
	}
	if err != nil {
		return nil, err
	}
	out := txtar.Format(a)
	// A text with a line like a member's head would come back in pieces.
	if back := txtar.Parse(out); !slices.EqualFunc(a.Files, back.Files, func(x, y txtar.File) bool {
		return x.Name == y.Name && bytes.Equal(bytes.TrimSuffix(x.Data, []byte("\n")), bytes.TrimSuffix(y.Data, []byte("\n")))
	}) {
		return nil, fmt.Errorf("writing a snapshot: a rule holds a line of the form `-- NAME --`")
	}
	return out, nil
}

// archive is the members of a snapshot's file.
func archive(s *ir.Snapshot, opt WriteOptions) (*txtar.Archive, error) {
	variant := s.Variant
	if variant == ir.NFT {
		variant = ir.IptablesNFT // whose tables stand in the state
	}
	m := meta{
		FormatVersion: FormatVersion, Variant: variant, Why: s.Why, Generation: s.Generation, Scope: scopeMeta(s.Scope),
		Tools: s.Tools, Facts: s.Facts, Warnings: s.Warnings, SetsRead: s.State.SetsRead, State: stateMeta(s.State),
		Host: hostMeta(s.Host), Redacted: s.Redacted || opt.Redact,
	}
	if !opt.Counters {
		m.Generation = 0
	}
	native := nativeRules(s.State, false, opt)
	if s.Others != nil {
		o := stateMeta(s.Others)
		m.Other = &o
		native = append(native, nativeRules(s.Others, true, opt)...)
	}
	a := &txtar.Archive{}
	add := func(name string, data []byte) {
		if len(data) > 0 {
			a.Files = append(a.Files, txtar.File{Name: name, Data: data})
		}
	}
	doc, err := indent(m)
	if err != nil {
		return nil, fmt.Errorf("writing a snapshot: %w", err)
	}
	add(metaName, doc)
	writeSaves(add, "", s.State, opt)
	add(ipsetName, []byte(writeSets(s.State.Sets)))
	if len(native) > 0 {
		if doc, err = indent(native); err != nil {
			return nil, fmt.Errorf("writing a snapshot: %w", err)
		}
		add(nativeName, doc)
	}
	if len(s.State.Own) > 0 {
		if doc, err = indent(ownTables(s.State.Own, opt)); err != nil {
			return nil, fmt.Errorf("writing a snapshot: %w", err)
		}
		add(ownName, doc)
	}
	if s.Others != nil {
		writeSaves(add, otherPrefix, s.Others, opt)
	}
	add(valuesName, []byte(s.Values))
	add(factsName, []byte(s.FactsText))

	return a, nil
}

// indent prints JSON for people, with <, > and & as they are. Bytes that are no
// UTF-8 become U+FFFD as it stands, not as an escape, so that what was read is
// printed to the same bytes again.
func indent(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	text := b.Bytes()
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			out = append(out, text[i])
		case bytes.HasPrefix(text[i:], []byte(`\ufffd`)):
			out = utf8.AppendRune(out, utf8.RuneError)
			i += len(`\ufffd`) - 1
		default:
			// What follows belongs to the escape, a second backslash too.
			out = append(out, text[i], text[i+1])
			i++
		}
	}
	return out, nil
}

func writeSaves(add func(string, []byte), prefix string, s *ir.State, opt WriteOptions) {
	readable := &ir.State{}
	for _, t := range s.Tables {
		switch {
		case t.Unreadable != "":
		case opt.Counters:
			readable.Tables = append(readable.Tables, t)
		default:
			readable.Tables = append(readable.Tables, still(t))
		}
	}
	form := iptables.WriteOptions{Counters: opt.Counters}
	add(prefix+v4Name, []byte(iptables.WriteSave(readable, ir.IPv4, form)))
	add(prefix+v6Name, []byte(iptables.WriteSave(readable, ir.IPv6, form)))
}

// still is a table whose policies have counted nothing.
func still(t *ir.Table) *ir.Table {
	t = t.Clone()
	for i, c := range t.Chains {
		if c.Packets > 0 || c.Bytes > 0 {
			u := *c
			u.Packets, u.Bytes = 0, 0
			t.Chains[i] = &u
		}
	}
	return t
}

func stateMeta(s *ir.State) metaState {
	m := metaState{Families: familyNames(s.Families), Tables: []metaTable{}}
	for _, t := range s.Tables {
		mt := metaTable{Family: t.Family.String(), Name: t.Name, Unreadable: t.Unreadable, Partial: t.Partial}
		for _, c := range t.Chains {
			if !c.Read {
				mt.Unread = append(mt.Unread, metaChain{c.Name, c.Unreadable})
			}
		}
		m.Tables = append(m.Tables, mt)
	}
	return m
}

func nativeRules(s *ir.State, other bool, opt WriteOptions) []nativeRule {
	var out []nativeRule
	for _, t := range s.Tables {
		for _, c := range t.Chains {
			for _, n := range c.NativeRules() {
				r := nativeRule{
					Other: other, Family: t.Family.String(), Table: t.Name, Chain: c.Name, Position: n.Index,
					Handle: n.Handle, Expr: n.Expr, Comment: n.Comment, Text: n.Text, Start: n.Start, End: n.End,
				}
				if opt.Counters && n.Index < len(c.Rules) {
					r.Packets, r.Bytes = c.Rules[n.Index].Packets, c.Rules[n.Index].Bytes
				}
				out = append(out, r)
			}
		}
	}
	return out
}

func scopeMeta(s ir.Scope) metaScope {
	m := metaScope{Families: familyNames(s.Families), All: s.All, Sets: s.Sets, AllSets: s.AllSets, Whole: s.Whole}
	for k, t := range s.Tables {
		m.Tables = append(m.Tables, metaTableScope{k.Family.String(), k.Name, t.All, t.Chains, t.Globs, t.Refs, t.RefsTo})
	}
	slices.SortFunc(m.Tables, func(a, b metaTableScope) int { return strings.Compare(a.Family+" "+a.Name, b.Family+" "+b.Name) })
	return m
}

func familyNames(fs []ir.Family) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.String())
	}
	return out
}

// member is a file whose text is one member of an archive, at the lines at which
// it stands there, so that positions are those of the whole file.
func member(path, text string, f txtar.File) *diag.File {
	head := "-- " + f.Name + " --\n"
	at := 0
	if !strings.HasPrefix(text, head) {
		at = strings.Index(text, "\n"+head) + 1
	}
	return diag.NewFile(path, strings.Repeat("\n", strings.Count(text[:at], "\n")+1)+string(f.Data))
}
