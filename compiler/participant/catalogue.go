package participant

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

//go:embed catalogue/*.json
var builtin embed.FS

// Catalogue is a set of participants. It never changes and may be used from
// several goroutines.
type Catalogue struct {
	entries  []*Entry // by name; those that rulesets added come last
	byName   map[string]*Entry
	chains   globs
	comments globs
	sets     globs
	tables   globs
	reserved globs
	rules    []EntryRule
}

// EntryRule is a rule glob and whose it is.
type EntryRule struct {
	Entry *Entry
	RuleGlob
	Tail bool
	// Size is the length of the glob's literal text.
	Size int
}

// Builtin is the catalogue that is part of the program. It is read once.
func Builtin() (*Catalogue, error) { return loadBuiltin() }

var loadBuiltin = sync.OnceValues(func() (*Catalogue, error) {
	sub, err := fs.Sub(builtin, "catalogue")
	if err != nil {
		return nil, fmt.Errorf("open the embedded catalogue: %w", err)
	}
	return Load(sub)
})

// Load reads every *.json file at the top of a file system.
func Load(fsys fs.FS) (*Catalogue, error) {
	names, err := fs.Glob(fsys, "*.json")
	if err != nil {
		return nil, fmt.Errorf("list the catalogue: %w", err)
	}
	var entries []*Entry
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		e, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("catalogue file %s: %w", name, err)
		}
		if want := strings.TrimSuffix(name, ".json"); e.Name != want {
			return nil, fmt.Errorf("catalogue file %s: the name in it is %q, not %q", name, e.Name, want)
		}
		entries = append(entries, e)
	}
	return index(entries), nil
}

// Extend is the catalogue with a ruleset's own participants. An entry with the
// name of a known participant adds to how that is recognised.
func (c *Catalogue) Extend(more []Entry) (*Catalogue, error) {
	entries := slices.Clone(c.entries)
	for _, m := range more {
		n := &Entry{
			Name: m.Name, Title: m.Title, Chains: m.Chains, Comments: m.Comments, Sets: m.Sets, Rules: m.Rules,
			NFTTables: m.NFTTables, added: true,
		}
		if err := n.check(); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(entries, func(e *Entry) bool { return e.Name == m.Name })
		if at < 0 {
			entries = append(entries, n)
			continue
		}
		merged := *entries[at]
		merged.Chains = slices.Concat(merged.Chains, n.Chains)
		merged.Comments = slices.Concat(merged.Comments, n.Comments)
		merged.Sets = slices.Concat(merged.Sets, n.Sets)
		merged.Rules = slices.Concat(merged.Rules, n.Rules)
		merged.NFTTables = slices.Concat(merged.NFTTables, n.NFTTables)
		entries[at] = &merged
	}
	return index(entries), nil
}

func index(entries []*Entry) *Catalogue {
	c := &Catalogue{entries: entries, byName: map[string]*Entry{}}
	for _, e := range entries {
		c.byName[e.Name] = e
		c.chains.add(e, e.Chains)
		c.chains.add(e, e.UserChains)
		c.comments.add(e, e.Comments)
		c.sets.add(e, e.Sets)
		c.tables.add(e, e.NFTTables)
		for _, p := range e.Reserved {
			c.reserved.add(e, []string{p + "*"})
		}
		for _, g := range e.Rules {
			c.rules = append(c.rules, EntryRule{Entry: e, RuleGlob: g, Size: g.Literal()})
		}
		for _, g := range e.Tail {
			c.rules = append(c.rules, EntryRule{Entry: e, RuleGlob: g, Tail: true, Size: g.Literal()})
		}
	}
	for _, g := range []*globs{&c.chains, &c.comments, &c.sets, &c.tables, &c.reserved} {
		g.sort()
	}
	return c
}

// Entries lists the participants by name, those that rulesets added last.
func (c *Catalogue) Entries() []*Entry { return slices.Clone(c.entries) }

// Entry finds a participant by name; nil if there is none.
func (c *Catalogue) Entry(name string) *Entry { return c.byName[name] }

// Chain finds whose a chain is by its name.
func (c *Catalogue) Chain(name string) (Hit, bool) { return c.chains.find(name) }

// Comment finds whose a rule is by one of its comments.
func (c *Catalogue) Comment(text string) (Hit, bool) { return c.comments.find(text) }

// Set finds whose a set is by its name in the kernel.
func (c *Catalogue) Set(name string) (Hit, bool) { return c.sets.find(name) }

// NFTTable finds whose an nftables table is, by "FAMILY NAME".
func (c *Catalogue) NFTTable(table string) (Hit, bool) { return c.tables.find(table) }

// Rules lists every rule glob of the catalogue, tails included.
func (c *Catalogue) Rules() []EntryRule { return c.rules }

// ChainOwner is the name of the participant whose chain it is, or "".
func (c *Catalogue) ChainOwner(name string) string {
	h, ok := c.chains.find(name)
	if !ok {
		return ""
	}
	return h.Entry.Name
}
