package recorded

import (
	"fmt"
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// nftParts makes a snapshot for the nft backend of a folder: the base chains and our
// tables from the listing, the tables of iptables from the saves of iptables-nft, as
// far as there are any, and legacy tables beside them.
func (l *loader) nftParts(path string, p *parts, states map[ir.Variant]*ir.State) error {
	if p.nft.name == "" {
		return fmt.Errorf("reading %s: the nft backend looks for its place among base chains, of which only an nft listing tells (nft-list-ruleset.json)", path)
	}
	n, err := parseListing(p.nft.text)
	if err != nil {
		return fmt.Errorf("reading %s: %w", p.nft.name, err)
	}
	state := states[ir.IptablesNFT]
	if state == nil {
		state = &ir.State{}
	} else {
		l.crossCheck(state, n, p.nft.name)
	}
	l.snap.State, l.snap.Others = state, states[ir.IptablesLegacy]
	l.addListing(n)
	l.listedState(path, n)
	if p.ipset.name != "" {
		l.sets(diag.NewFile(p.ipset.name, p.ipset.text))
	}
	l.snap.Values, l.snap.ValuesName = p.values.text, p.values.name
	l.snap.FactsText, l.snap.FactsName = p.facts.text, p.facts.name
	l.finish()
	return nil
}

// listedState adds to a state what a listing says of nftables.
func (l *loader) listedState(path string, n *listing) {
	l.unsaved(path, n.chainNames().Tables)
	l.snap.State.Own, l.snap.State.NFTTables = n.own, n.all
	if n.own == nil {
		l.snap.State.Own = []*ir.OwnTable{}
	}
}

// unsaved adds the tables of iptables whose families no save holds: their rules are
// not known. What no listing names either is not there.
func (l *loader) unsaved(path string, tables []*ir.Table) {
	state := l.snap.State
	for _, f := range ir.Families {
		if slices.Contains(state.Families, f) {
			continue
		}
		state.Families = append(state.Families, f)
		for _, t := range tables {
			if t.Family == f && state.Table(f, t.Name) == nil {
				state.Tables = append(state.Tables, t)
			}
		}
		if slices.ContainsFunc(state.Tables, func(t *ir.Table) bool { return t.Family == f }) {
			l.warnf("the rules of iptables for %s are unknown: %s holds no iptables-nft save of them", f, path)
		}
	}
	slices.Sort(state.Families)
	slices.SortStableFunc(state.Tables, func(a, b *ir.Table) int { return int(a.Family) - int(b.Family) })
}

// nftArchive makes what was read from a file of ours a snapshot for the nft
// backend: iptables-nft's tables are those that count, whichever variant the host
// uses.
func (l *loader) nftArchive(path string, m *meta, members map[string]*diag.File) {
	snap := l.snap
	snap.Variant, snap.Why = ir.NFT, ""
	if m.Variant == ir.IptablesLegacy {
		nft := snap.Others
		if nft == nil {
			nft = &ir.State{}
		}
		nft.Sets, nft.SetsRead = snap.State.Sets, snap.State.SetsRead
		nft.Own = snap.State.Own
		snap.State, snap.Others = nft, snap.State
	}
	if snap.Host == nil || snap.Host.NFTTables == nil {
		l.list.Errorf(diag.SnapshotText, start(members[metaName]), "the snapshot does not tell which tables of nftables stand, among which the nft backend looks for its place").
			WithHelp("record the host again with `hookline snapshot`")
		return
	}
	snap.State.NFTTables = snap.Host.NFTTables
	var tables []*ir.Table
	for _, t := range snap.Host.NFTTables {
		if key, ok := tableKey(t.Family, t.Name); ok {
			tables = append(tables, &ir.Table{Family: key.Family, Name: key.Name, Unreadable: listingOnly})
		}
		if isOwn(t.Family, t.Name) && snap.State.OwnTable(ir.TableKind(t.Family), t.Name) == nil {
			l.list.Errorf(diag.SnapshotText, start(members[metaName]), "the snapshot names the table %s of a ruleset, and does not hold what is in it", t.Key()).
				WithHelp("record the host again with `hookline snapshot`")
		}
	}
	l.unsaved(path, tables)
}
