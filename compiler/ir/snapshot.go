package ir

import "slices"

// Snapshot is a host as read: its state and how it was read.
type Snapshot struct {
	// Variant of the tables in State.
	Variant Variant
	State   *State
	// Generation of the nf_tables ruleset at reading, 0 if unknown (legacy, files).
	Generation uint32
	// Facts that ruleset expressions can ask for; nil if there are none.
	Facts map[string]any
	// Values are a snapshot folder's own param values (a YAML text) and its name, or
	// empty.
	Values, ValuesName string
	// FactsText is a snapshot folder's own facts (a YAML text, which is not decoded
	// here) and FactsName its name, or empty.
	FactsText, FactsName string
	// Tools: name to version, as the tools print it.
	Tools map[string]string
	// Scope is what was read.
	Scope Scope
	// Warnings are what the reading tools said besides, one sentence each.
	Warnings []string
	// Others is what stands in the other iptables variant, as far as it was looked
	// at: nil if it was not. A plan needs the names of its chains only; with Scope.Whole
	// its rules are there too.
	Others *State
	// Why says how Variant was chosen, as a clause for people; empty if nobody chose.
	Why string
	// Redacted tells that addresses in it are pseudonyms: they stand to each other as
	// the host's addresses do.
	Redacted bool
	// Host is the rest of the machine; nil if nobody looked beyond the tables.
	Host *Host
	// NFTNames are the tables of nftables as nft(8) names them ("ip filter"), sorted; nil
	// if nobody looked. Ask NFTTables, which knows Host too.
	NFTNames []string
	// Source is the name of the file or folder that it was read from; empty for a
	// live host.
	Source string
}

// NFTTables are the tables of nftables by the names that nft(8) gives them ("ip
// filter"). There are none where nobody looked.
func (s *Snapshot) NFTTables() []string {
	if s.NFTNames != nil || s.Host == nil {
		return s.NFTNames
	}
	var out []string
	for _, t := range s.Host.NFTTables {
		out = append(out, t.Key())
	}
	return out
}

// Scope says what is to be read. The zero Scope asks for everything.
type Scope struct {
	// Families to read; empty means both.
	Families []Family
	// All reads every chain of every table.
	All bool
	// Tables to read in part, by table.
	Tables map[TableKey]*TableScope
	// Sets: names of sets whose existence matters. AllSets reads all of them.
	Sets    []string
	AllSets bool
	// SetGlobs are globs of sets that are wanted with their elements; with Whole, those of
	// very large sets are only counted.
	SetGlobs []string
	// Own are the names of tables of nftables that are ours and wanted with all that is
	// in them, whatever their kind. Only the nft backend looks at it; of Tables it reads
	// what is asked for and nothing if there is nothing.
	Own []string
	// OwnSets are the sets that tables of Own are to have, by the table's name. They say
	// nothing of what stands: a reader that knows what to ask for need not list millions
	// of elements.
	OwnSets map[string][]*OwnSet
	// Whole asks for what no plan needs and only a report on the host or a record of it
	// does: the tables of nftables, and the other variant with its rules. It costs a
	// listing of every rule of the host.
	Whole bool
}

// TableScope is the part of a table that is wanted.
type TableScope struct {
	// All reads every chain.
	All bool
	// Chains by name.
	Chains []string
	// Globs of chain names (owned chains, declared or stale).
	Globs []string
	// Refs asks that every rule that refers to a chain of Globs or in RefsTo be
	// found, wherever it stands in the table.
	Refs   bool
	RefsTo []string
}

// Want adds a chain to the scope.
func (s *Scope) Want(k ChainKey) {
	t := s.table(k.TableKey())
	if k.Chain != "" && !slices.Contains(t.Chains, k.Chain) {
		t.Chains = append(t.Chains, k.Chain)
	}
}

// WantAll adds a whole table to the scope.
func (s *Scope) WantAll(k TableKey) { s.table(k).All = true }

// WantGlob adds chains by glob, and everything that refers to them. No glob asks
// for nothing.
func (s *Scope) WantGlob(k TableKey, globs ...string) {
	if len(globs) == 0 {
		return
	}
	t := s.table(k)
	t.Refs = true
	known := map[string]bool{}
	for _, g := range t.Globs {
		known[g] = true
	}
	for _, g := range globs {
		if !known[g] {
			t.Globs = append(t.Globs, g)
			known[g] = true
		}
	}
}

// WantRefs adds a chain, and everything that refers to it.
func (s *Scope) WantRefs(k ChainKey) {
	s.Want(k)
	t := s.table(k.TableKey())
	t.Refs = true
	if !slices.Contains(t.RefsTo, k.Chain) {
		t.RefsTo = append(t.RefsTo, k.Chain)
	}
}

func (s *Scope) table(k TableKey) *TableScope {
	if s.Tables == nil {
		s.Tables = map[TableKey]*TableScope{}
	}
	t := s.Tables[k]
	if t == nil {
		t = &TableScope{}
		s.Tables[k] = t
	}
	return t
}

// Has tells whether a chain by name is inside the scope.
func (s *Scope) Has(k ChainKey) bool {
	if s.All {
		return true
	}
	t := s.Tables[k.TableKey()]
	if t == nil {
		return false
	}
	if t.All || slices.Contains(t.Chains, k.Chain) {
		return true
	}
	return slices.ContainsFunc(t.Globs, func(g string) bool { return MatchGlob(g, k.Chain) })
}
