package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// natives lists the native rules in tables of iptables, and what they do.
func (s *surveyor) natives() {
	for _, d := range s.sides {
		for _, n := range d.table.Natives() {
			r := NativeRule{
				Family: n.Key.Family.String(), Table: n.Key.Table, Chain: n.Key.Chain, Position: n.Index + 1, Handle: n.Handle,
				Expression: n.Expr, Text: n.Text, Comment: n.Comment, Author: n.Author.Participant,
			}
			if r.Text != "" {
				r.Shown = n.Native.String()
			}
			s.report.Native = append(s.report.Native, r)
		}
	}
	if len(s.report.Native) > 0 {
		s.nativeFinding(s.report.Native)
	}
}

// nativeFinding is one for all native rules of a host: what they do is the same
// wherever they stand.
func (s *surveyor) nativeFinding(rules []NativeRule) {
	var tables, names, authors, said []string
	add := func(list *[]string, x string) {
		if x != "" && !slices.Contains(*list, x) {
			*list = append(*list, x)
		}
	}
	finding := Finding{Severity: Hurts, Code: NativeRules}
	for _, r := range rules {
		add(&tables, r.Family+" "+r.Table)
		add(&names, r.Table)
		add(&authors, r.Author)
		f, _ := ir.ParseFamily(r.Family)
		add(&said, s.refused(f, r.Table))
		finding.Details = append(finding.Details, r.line())
	}
	finding.Message = fmt.Sprintf("%s in tables of iptables (%s)", plural(len(rules), "native nft rule stands", "native nft rules stand"), strings.Join(tables, ", "))
	if len(said) > 0 {
		finding.Message += ", and iptables refuses " + map[bool]string{true: "it", false: "them"}[len(rules) == 1]
		for _, x := range said {
			finding.Details = append(finding.Details, "iptables says: "+x)
		}
	}
	finding.Effects = []string{
		"iptables-save can leave the whole table out and exit with 0, or print such a rule as something else; -C and -D by a rule's text can fail on the chain with exit code 3, or delete the wrong rule; -I and -A still work",
		"a restore without --noflush deletes these rules with exit code 0",
	}
	for _, v := range victims {
		if s.present(v.participant) && slices.ContainsFunc(v.tables, func(t string) bool { return slices.Contains(names, t) }) {
			finding.Effects = append(finding.Effects, v.participant+" "+v.does)
		}
	}
	slices.Sort(authors)
	for _, a := range authors {
		if how := remedies[a]; how != "" {
			finding.Help += how + "; "
		}
	}
	first := rules[0]
	finding.Help += fmt.Sprintf("a rule goes away with `nft delete rule %s %s %s handle %d`, and its program can put it back", nftFamily(first.Family), first.Table, first.Chain, first.Handle)
	s.find(finding)
}

// line is a native rule for people: where it stands, what it says, who wrote it.
func (r NativeRule) line() string {
	text := cmp.Or(r.Shown, r.Expression+" ...")
	if r.Comment != "" {
		text += fmt.Sprintf(" comment %q", r.Comment)
	}
	by := "author unknown"
	if r.Author != "" {
		by = "probably by " + r.Author
	}
	return fmt.Sprintf("%s %s %s, position %d, handle %d: %s (%s)", r.Family, r.Table, r.Chain, r.Position, r.Handle, text, by)
}

// refused is what iptables says of a table or one of its chains, if it refuses
// it.
func (s *surveyor) refused(f ir.Family, table string) string {
	for _, d := range s.sides {
		t := d.state.Table(f, table)
		if d.variant != ir.IptablesNFT || t == nil || !d.family(f) {
			continue
		}
		if t.Unreadable != "" {
			return t.Unreadable
		}
		for _, c := range t.Chains {
			if c.Unreadable != "" && c.HasNative() {
				return c.Unreadable
			}
		}
	}
	return ""
}

func (s *surveyor) present(name string) bool {
	return slices.ContainsFunc(s.report.Participants, func(p Participant) bool { return p.Name == name })
}

// nftFamily is a family as nft(8) writes it.
func nftFamily(family string) string {
	if family == ir.IPv6.String() {
		return "ip6"
	}
	return "ip"
}

// victim is a program that a native rule does something to.
type victim struct {
	participant string
	tables      []string
	does        string
}

// victims, from the programs' sources and reports (FIELD 1.2, 1.4, 2.1).
var victims = []victim{
	{"kube-router", []string{"filter"}, "ends its process when iptables refuses the chain, and k3s, which it is part of, with it: k3s starts again and again"},
	{"calico", []string{"raw", "mangle", "nat", "filter"}, "ends its process when iptables-save says that a table is incompatible"},
	{"kube-proxy", []string{"nat", "filter"}, "cannot look for its jumps, and tries again every 30 s"},
	{"flannel", []string{"nat", "filter"}, "takes its rules for missing, and fails to put them back every 5 s"},
	{"kubelet", []string{"filter", "mangle"}, "cannot look for its jumps and its canary"},
}

// remedies say how an author of native rules is told to write others.
var remedies = map[string]string{
	"netbird": "NetBird writes through iptables where it finds an iptables binary in its PATH when it starts (not its rules of v0.60.7 and newer for other " +
		"tables), and nothing with `netbird up --disable-firewall`",
	"tailscale": "Tailscale writes through iptables unless TS_DEBUG_FIREWALL_MODE=nftables is set",
	"kube-vip":  "kube-vip writes through iptables unless egress_withnftables is set",
}

// unreadables lists tables and chains that iptables cannot print, and finds those
// that no native rule explains.
func (s *surveyor) unreadables() {
	for _, d := range s.sides {
		d.each(func(k ir.ChainKey, t *ir.Table, c *ir.Chain) {
			if t.Unreadable == "" && c.Unreadable != "" {
				s.unreadable(d, k, c.Unreadable, c.HasNative())
			}
		})
		for _, t := range d.state.Tables {
			if t.Unreadable == "" {
				continue
			}
			k := ir.ChainKey{Family: t.Family, Table: t.Name}
			s.unreadable(d, k, t.Unreadable, slices.ContainsFunc(t.Chains, (*ir.Chain).HasNative))
		}
	}
}

func (s *surveyor) unreadable(d *side, k ir.ChainKey, reason string, explained bool) {
	if !d.family(k.Family) {
		s.unknown("%s %s of %s: %s", k.TableKey(), strings.TrimSpace(k.Chain), d.variant, reason)
		return
	}
	u := Unreadable{Variant: d.variant, Family: k.Family.String(), Table: k.Table, Chain: k.Chain, Reason: reason}
	s.report.Unreadable = append(s.report.Unreadable, u)
	if explained {
		return
	}
	what := fmt.Sprintf("table %s of %s", k.TableKey(), d.variant)
	if k.Chain != "" {
		what = fmt.Sprintf("chain %s of %s", k, d.variant)
	}
	s.find(Finding{
		Severity: Hurts, Code: UnreadableTable, Message: fmt.Sprintf("%s cannot be read: %s", what, reason),
		Effects: []string{"every program that calls iptables gets the same answer, or none of the rules and exit code 0"},
		Help:    fmt.Sprintf("look at it with `nft list table %s %s`", nftFamily(u.Family), k.Table),
	})
}
