package recorded

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Load reads a recorded host: a file that Write made, a plain save, or a folder
// of what the tools print or with one file that Write made. A folder that holds several snapshots is told which
// by the first part of their names: FOLDER/NAME. The variant says which of two
// recorded variants is meant; empty means the one in use there, found as on a
// live host. ir.NFT asks for what the nft backend reads: our own tables and all base
// chains, and the tables of iptables-nft beside them. The list holds what is wrong with the texts, each at its place; the
// error is a file that cannot be had.
func Load(path string, variant ir.Variant) (*ir.Snapshot, *diag.List, error) {
	switch variant {
	case "", ir.IptablesNFT, ir.IptablesLegacy, ir.NFT:
	default:
		return nil, nil, fmt.Errorf("reading %s: %q is no kind of tables", path, variant)
	}
	dir, prefix, isFile, err := stat(path)
	if err != nil {
		return nil, nil, err
	}
	l := &loader{snap: &ir.Snapshot{Variant: variant, State: &ir.State{}, Source: path}, list: &diag.List{}}
	if !isFile {
		p, err := readFolder(dir, prefix)
		if err != nil {
			return nil, nil, err
		}
		if err := l.parts(path, p); err != nil {
			return nil, nil, err
		}
		return l.snap, l.list, nil
	}
	text, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	l.file(path, text)
	return l.snap, l.list, nil
}

// loader makes one snapshot.
type loader struct {
	snap *ir.Snapshot
	list *diag.List
}

func (l *loader) warnf(format string, args ...any) {
	l.snap.Warnings = append(l.snap.Warnings, fmt.Sprintf(format, args...))
}

// file reads a single file: our own format, or a plain save.
func (l *loader) file(path, text string) {
	name := strings.TrimSuffix(path, ".gz")
	if a := txtar.Parse([]byte(text)); slices.ContainsFunc(a.Files, func(f txtar.File) bool { return f.Name == metaName }) {
		l.archive(path, text, a)
		return
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		l.listingFile(path, text)
		return
	}
	if l.snap.Variant == ir.NFT {
		l.list.Errorf(diag.SnapshotText, diag.NewFile(path, text).Span(0, 0), "this is a save of iptables, and the nft backend looks for its place among base chains, of which only an nft listing tells").
			WithHelp("put it into a folder beside the output of `nft -j list ruleset`, called nft-list-ruleset.json")
		return
	}
	f, sure := familyOf(name, text)
	if !sure {
		l.warnf("nothing in %s says its family: read as %s", path, f)
	}
	if l.snap.Variant == "" {
		l.snap.Variant = ir.IptablesLegacy
		if strings.Contains(firstLine(text), "(nf_tables)") {
			l.snap.Variant = ir.IptablesNFT
		}
	}
	other := ir.IPv4 + ir.IPv6 - f
	l.warnf("%s is unknown: %s holds %s only", other, path, f)
	l.save(l.snap.State, diag.NewFile(path, text), f)
	l.finish()
}

// parts puts a folder together.
func (l *loader) parts(path string, p *parts) error {
	if p.archive.name != "" {
		return l.besideArchive(path, p)
	}
	states := map[ir.Variant]*ir.State{}
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy, ""} {
		for _, f := range ir.Families {
			s, ok := p.saves[v][f]
			if !ok {
				continue
			}
			of := v
			if of == "" {
				of = ir.IptablesLegacy
				if strings.Contains(firstLine(s.text), "(nf_tables)") || l.snap.Variant == ir.IptablesNFT {
					of = ir.IptablesNFT
				}
			}
			if states[of] == nil {
				states[of] = &ir.State{}
			}
			if slices.Contains(states[of].Families, f) {
				return fmt.Errorf("reading %s: two saves of %s %s", path, of, f)
			}
			l.save(states[of], diag.NewFile(s.name, s.text), f)
		}
	}
	if l.snap.Variant == ir.NFT {
		return l.nftParts(path, p, states)
	}
	if len(states) == 0 && p.nft.name == "" {
		return fmt.Errorf("reading %s: no iptables-save in it (known names: ip{,6}tables-{nft,legacy}-save.txt, NAME.{nft,legacy}.v{4,6}.save, NAME.txtar)", path)
	}
	if l.snap.Variant == "" {
		l.snap.Variant, l.snap.Why = variantInUse(states[ir.IptablesNFT], states[ir.IptablesLegacy])
	}
	if s := states[l.snap.Variant]; s != nil {
		l.snap.State = s
	}
	l.snap.Others = states[l.snap.Variant.Other()]
	for _, f := range ir.Families {
		if !slices.Contains(l.snap.State.Families, f) {
			l.warnf("%s is unknown: %s holds no %s save of it", f, path, l.snap.Variant)
		}
	}
	if err := l.listing(path, p.nft, states); err != nil {
		return err
	}
	if p.nft.name == "" && l.snap.Variant == ir.IptablesNFT {
		l.warnf("no nft listing stands beside the saves: native rules that iptables misreads cannot be told")
	}
	if p.ipset.name != "" {
		l.sets(diag.NewFile(p.ipset.name, p.ipset.text))
	} else {
		l.warnf("ipsets are unknown: %s holds no ipset save", path)
	}
	l.snap.Values, l.snap.ValuesName = p.values.text, p.values.name
	l.snap.FactsText, l.snap.FactsName = p.facts.text, p.facts.name
	l.finish()
	return nil
}

// listing reads the listing of nft that stands in a folder, if one does.
func (l *loader) listing(path string, s source, states map[ir.Variant]*ir.State) error {
	if s.name == "" {
		return nil
	}
	n, err := parseListing(s.text)
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.name, err)
	}
	if len(states) == 0 {
		l.listingAlone(path, n)
		return nil
	}
	l.addListing(n)
	switch state := states[ir.IptablesNFT]; {
	case state != nil:
		l.crossCheck(state, n, s.name)
	case len(n.tables) > 0 && l.snap.Variant == ir.IptablesLegacy:
		l.snap.Others = n.chainNames()
	}
	return nil
}

// besideArchive reads a folder that holds a file of ours, and values and facts
// for that host, which win over those in the file: recording the host again
// leaves them as they are.
func (l *loader) besideArchive(path string, p *parts) error {
	if len(p.saves) > 0 || p.nft.name != "" || p.ipset.name != "" {
		return fmt.Errorf("reading %s: %s holds a whole snapshot, and other parts of one stand beside it", path, p.archive.name)
	}
	a := txtar.Parse([]byte(p.archive.text))
	if !slices.ContainsFunc(a.Files, func(f txtar.File) bool { return f.Name == metaName }) {
		return fmt.Errorf("reading %s: it has no %s, so it is no snapshot", p.archive.name, metaName)
	}
	l.archive(p.archive.name, p.archive.text, a)
	if p.values.name != "" {
		l.snap.Values, l.snap.ValuesName = p.values.text, p.values.name
	}
	if p.facts.name != "" {
		l.snap.FactsText, l.snap.FactsName = p.facts.text, p.facts.name
	}
	return nil
}

// generatedBy is the first line of a save.
var generatedBy = regexp.MustCompile(`^# Generated by (\S+) (v\S+(?: \(\w+\))?)`)

// save adds one family's save to a state.
func (l *loader) save(state *ir.State, file *diag.File, f ir.Family) {
	read, warnings, found := iptables.ParseSave(file, f, iptables.ParseOptions{})
	l.list.Append(found)
	l.snap.Warnings = append(l.snap.Warnings, warnings...)
	state.Families = append(state.Families, f)
	state.Tables = append(state.Tables, read.Tables...)
	if m := generatedBy.FindStringSubmatch(file.Text()); m != nil {
		if l.snap.Tools == nil {
			l.snap.Tools = map[string]string{}
		}
		l.snap.Tools[m[1]] = m[2]
	}
}

// finish brings what was read into the order and form of a snapshot.
func (l *loader) finish() {
	l.snap.Scope = ir.Scope{All: true, AllSets: true}
	slices.Sort(l.snap.Warnings)
	l.snap.Warnings = slices.Compact(l.snap.Warnings)
}

// crossCheck marks the rules that iptables misread, by their place: a listing
// and a save of the same moment hold the same rules in the same order. Of what the
// save does not show, whatever it says of that, the listing tells the chains and
// the native rules.
func (l *loader) crossCheck(state *ir.State, n *listing, name string) {
	for _, t := range state.Tables {
		if t.Unreadable != "" {
			n.unreadable(t)
			continue
		}
		for i, c := range t.Chains {
			rules := n.rules[ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}]
			natives := nativesOf(rules)
			switch {
			case len(rules) == len(c.Rules) && len(natives) > 0:
				t.Chains[i] = withNative(c, natives)
			case len(rules) != len(c.Rules) && len(natives) > 0:
				u := *c
				u.Read, u.Rules, u.Natives = false, nil, natives
				u.Unreadable = fmt.Sprintf("it holds native rules, and %s lists %d rules where the save has %d", name, len(rules), len(c.Rules))
				t.Chains[i] = &u
			case len(rules) != len(c.Rules):
				l.warnf("%s and the save of %s %s differ: %d and %d rules in chain %s", name, t.Family, t.Name, len(rules), len(c.Rules), c.Name)
			}
		}
	}
	for _, f := range state.Families {
		for _, table := range ir.TableNames {
			if n.tables[ir.TableKey{Family: f, Name: table}] && state.Table(f, table) == nil && n.any(f, table) {
				t := &ir.Table{Family: f, Name: table, Unreadable: fmt.Sprintf("it has rules in %s but is not in the save", name)}
				n.unreadable(t)
				state.Tables = append(state.Tables, t)
			}
		}
	}
}

// unreadable gives a table that the save does not show the names of its chains and
// their native rules. What the other rules say cannot be had from a listing: nft
// leaves out what it does not know of xt matches (FIELD M-28).
func (n *listing) unreadable(t *ir.Table) {
	for _, name := range n.chains[t.Key()] {
		c := t.Chain(name)
		if c == nil {
			c = &ir.Chain{Name: name, Refs: -1}
			t.Chains = append(t.Chains, c)
		}
		c.Read, c.Rules = false, nil
		c.Natives = nativesOf(n.rules[ir.ChainKey{Family: t.Family, Table: t.Name, Chain: name}])
	}
}

// any tells whether a table has rules in the listing.
func (n *listing) any(f ir.Family, table string) bool {
	for k := range n.rules {
		if k.Family == f && k.Table == table {
			return true
		}
	}
	return false
}

// nativesOf are the native ones of a chain's rules, with their places.
func nativesOf(rules []*ir.Native) []ir.NativeAt {
	var out []ir.NativeAt
	for i, r := range rules {
		if r != nil {
			out = append(out, ir.NativeAt{Index: i, Native: r})
		}
	}
	return out
}

func withNative(c *ir.Chain, natives []ir.NativeAt) *ir.Chain {
	n := *c
	n.Rules = slices.Clone(c.Rules)
	for _, at := range natives {
		old := n.Rules[at.Index]
		n.Rules[at.Index] = &ir.Rule{Packets: old.Packets, Bytes: old.Bytes, Origin: old.Origin, Native: at.Native}
	}
	return &n
}

// hints are the chains by which kubelet shows which variant it uses.
var hints = []string{"KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"}

// variantInUse decides between two recorded variants as Detect does on a host:
// kubelet's hint chains, nft first; else where more rules stand; else nft.
func variantInUse(nft, legacy *ir.State) (variant ir.Variant, why string) {
	const hint = "kubelet's chains stand in its table mangle"
	switch {
	case nft == nil && legacy == nil:
		return ir.IptablesNFT, ""
	case legacy == nil:
		return ir.IptablesNFT, "there is a save of it only"
	case nft == nil:
		return ir.IptablesLegacy, "there is a save of it only"
	case hinted(nft):
		return ir.IptablesNFT, hint
	case hinted(legacy):
		return ir.IptablesLegacy, hint
	case ruleCount(legacy) > ruleCount(nft):
		return ir.IptablesLegacy, "more rules stand in it"
	}
	return ir.IptablesNFT, "no more rules stand in the other one"
}

func hinted(s *ir.State) bool {
	return slices.ContainsFunc(s.Tables, func(t *ir.Table) bool {
		return t.Name == "mangle" && slices.ContainsFunc(hints, func(h string) bool { return t.Chain(h) != nil })
	})
}

func ruleCount(s *ir.State) int {
	n := 0
	for _, t := range s.Tables {
		if t.Unreadable != "" {
			n++
		}
		for _, c := range t.Chains {
			n += len(c.Rules)
		}
	}
	return n
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// Words that only one family's save holds.
var (
	onlyV6 = regexp.MustCompile(`(?m) (?:-[sd] [0-9a-f]*:[0-9a-f:]*(?:/\S+)?|-p (?:ipv6-icmp|icmpv6)|--icmpv6-type \S+|--reject-with icmp6-\S+)(?: |$)`)
	onlyV4 = regexp.MustCompile(`(?m) (?:-[sd] \d+\.\d+\.\d+\.\d+(?:/\S+)?|-p icmp|--icmp-type \S+|--reject-with icmp-\S+)(?: |$)`)
)

// familyOf tells a save's family: by its header, its content, or its name. sure
// is false if nothing tells.
func familyOf(name, text string) (f ir.Family, sure bool) {
	base := filepath.Base(name)
	_, k, known := kindOf(base)
	m := generatedBy.FindStringSubmatch(text)
	switch {
	case m != nil && strings.HasPrefix(m[1], "ip6tables"):
		return ir.IPv6, true
	case m != nil && strings.HasPrefix(m[1], "iptables"):
		return ir.IPv4, true
	case onlyV6.MatchString(text):
		return ir.IPv6, true
	case onlyV4.MatchString(text):
		return ir.IPv4, true
	case known && k.other == "":
		return k.family, true
	case strings.Contains(base, "ip6tables"):
		return ir.IPv6, true
	case strings.Contains(base, "iptables"):
		return ir.IPv4, true
	}
	return ir.IPv4, false
}
