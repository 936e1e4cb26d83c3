package recorded

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// archive reads a file that Write made.
func (l *loader) archive(path, text string, a *txtar.Archive) {
	members := map[string]*diag.File{}
	for _, f := range a.Files {
		file := member(path, text, f)
		if members[f.Name] != nil {
			l.list.Errorf(diag.SnapshotText, start(file), "the archive holds %s twice", f.Name)
			return
		}
		members[f.Name] = file
	}
	var m meta
	if !l.decode(members[metaName], &m) {
		return
	}
	if m.FormatVersion < 1 || m.FormatVersion > FormatVersion {
		l.list.Errorf(diag.SnapshotText, start(members[metaName]), "format version %d is not known; this program reads versions up to %d",
			m.FormatVersion, FormatVersion)
		return
	}
	if m.Variant != ir.IptablesNFT && m.Variant != ir.IptablesLegacy {
		l.list.Errorf(diag.SnapshotText, start(members[metaName]), "%q is no variant of iptables", m.Variant)
		return
	}
	wanted := l.snap.Variant
	if wanted != "" && wanted != ir.NFT && wanted != m.Variant {
		l.list.Errorf(diag.SnapshotText, start(members[metaName]), "the snapshot is of %s, not of %s", m.Variant, wanted)
		return
	}
	var native []nativeRule
	if f := members[nativeName]; f != nil {
		if !l.decode(f, &native) {
			return
		}
		for i, n := range native {
			// What stands behind a chain's end is put at its end; nothing stands ahead of it.
			if n.Position < 0 || n.Position == math.MaxInt {
				l.list.Errorf(diag.SnapshotText, start(f), "%s: rule %d, of %s %s %s, has position %d: positions count from 0",
					nativeName, i+1, n.Family, n.Table, n.Chain, n.Position)
				return
			}
		}
	}
	l.snap.State = l.state(m.State, members, "", native)
	if m.Other != nil {
		l.snap.Others = l.state(*m.Other, members, otherPrefix, native)
	}
	if f := members[ipsetName]; f != nil {
		l.sets(f)
	}
	l.snap.State.SetsRead = m.SetsRead
	if f := members[ownName]; f != nil {
		own, ok := l.readOwn(f)
		if !ok {
			return
		}
		l.snap.State.Own = own
	}
	if f := members[valuesName]; f != nil {
		l.snap.Values, l.snap.ValuesName = memberText(a, valuesName), path+":"+valuesName
	}
	if f := members[factsName]; f != nil {
		l.snap.FactsText, l.snap.FactsName = memberText(a, factsName), path+":"+factsName
	}
	// What reading the members said was said when the snapshot was made.
	l.snap.Warnings = m.Warnings
	l.snap.Variant, l.snap.Why, l.snap.Generation, l.snap.Tools = m.Variant, m.Why, m.Generation, m.Tools
	l.snap.Host, l.snap.Redacted = m.Host.host(), m.Redacted
	l.snap.Facts = plainFacts(m.Facts)
	l.snap.Scope = m.Scope.scope()
	if wanted == ir.NFT {
		l.nftArchive(path, &m, members)
	}
}

// start is the first place of a member's own text.
func start(f *diag.File) diag.Span {
	n := len(f.Text()) - len(strings.TrimLeft(f.Text(), "\n"))
	return f.Span(n, n)
}

// memberText is a member as it stands in the archive.
func memberText(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// decode reads a JSON member; what is wrong with it is reported at its place.
func (l *loader) decode(f *diag.File, to any) bool {
	d := json.NewDecoder(bytes.NewReader([]byte(f.Text())))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		at := int(d.InputOffset())
		l.list.Errorf(diag.SnapshotText, f.Span(at, at+1), "not what a snapshot holds here: %v", err)
		return false
	}
	return true
}

// state puts a state together from its saves and what meta.json says besides.
func (l *loader) state(m metaState, members map[string]*diag.File, prefix string, native []nativeRule) *ir.State {
	read := &ir.State{}
	for f, name := range map[ir.Family]string{ir.IPv4: prefix + v4Name, ir.IPv6: prefix + v6Name} {
		if file := members[name]; file != nil {
			l.save(read, file, f)
		}
	}
	out := &ir.State{}
	for _, name := range m.Families {
		if f, ok := ir.ParseFamily(name); ok {
			out.Families = append(out.Families, f)
		}
	}
	for _, mt := range m.Tables {
		f, ok := ir.ParseFamily(mt.Family)
		if !ok {
			continue
		}
		t := read.Table(f, mt.Name)
		if t == nil || mt.Unreadable != "" {
			t = &ir.Table{Family: f, Name: mt.Name, Unreadable: mt.Unreadable}
		}
		t.Partial = mt.Partial
		for _, u := range mt.Unread {
			c := t.Chain(u.Name)
			if c == nil && mt.Unreadable != "" {
				c = &ir.Chain{Name: u.Name, Refs: -1}
				t.Chains = append(t.Chains, c)
			}
			if c != nil {
				c.Read, c.Rules, c.Unreadable = false, nil, u.Reason
			}
		}
		out.Tables = append(out.Tables, t)
	}
	for _, n := range native {
		f, _ := ir.ParseFamily(n.Family)
		c := out.Table(f, n.Table).Chain(n.Chain)
		if n.Other != (prefix != "") || c == nil {
			continue
		}
		rule := &ir.Native{Handle: n.Handle, Expr: n.Expr, Comment: n.Comment, Text: n.Text, Start: n.Start, End: n.End}
		if !c.Read {
			c.Natives = append(c.Natives, ir.NativeAt{Index: n.Position, Native: rule})
			continue
		}
		// They are listed in order, so each finds the ones before it in place.
		c.Rules = slices.Insert(c.Rules, min(max(n.Position, 0), len(c.Rules)), &ir.Rule{Packets: n.Packets, Bytes: n.Bytes, Native: rule})
	}
	return out
}

func (m metaScope) scope() ir.Scope {
	s := ir.Scope{All: m.All, Sets: m.Sets, AllSets: m.AllSets, Whole: m.Whole}
	for _, name := range m.Families {
		if f, ok := ir.ParseFamily(name); ok {
			s.Families = append(s.Families, f)
		}
	}
	for _, t := range m.Tables {
		if f, ok := ir.ParseFamily(t.Family); ok {
			if s.Tables == nil {
				s.Tables = map[ir.TableKey]*ir.TableScope{}
			}
			s.Tables[ir.TableKey{Family: f, Name: t.Name}] = &ir.TableScope{
				All: t.All, Chains: t.Chains, Globs: t.Globs, Refs: t.Refs, RefsTo: t.RefsTo,
			}
		}
	}
	return s
}

// plainFacts gives facts the types that a live host's have: whole numbers are
// int64.
func plainFacts(m map[string]any) map[string]any {
	for k, v := range m {
		m[k] = plainFact(v)
	}
	return m
}

func plainFact(v any) any {
	switch x := v.(type) {
	case map[string]any:
		return plainFacts(x)
	case []any:
		for i := range x {
			x[i] = plainFact(x[i])
		}
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		f, _ := x.Float64()
		return f
	}
	return v
}
