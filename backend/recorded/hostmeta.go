package recorded

import "hookline/compiler/ir"

// metaHost is what is known of the machine beyond the tables of iptables. A part
// that is not there was not looked at.
type metaHost struct {
	NFTTables *[]metaNFTTable `json:"nftTables,omitempty"`
	Binaries  *[]metaBinary   `json:"binaries,omitempty"`
	Settings  *[]metaSetting  `json:"settings,omitempty"`
	Rulesets  *[]metaRuleset  `json:"rulesets,omitempty"`
}

// metaNFTTable is a table of nftables with its base chains.
type metaNFTTable struct {
	Family string          `json:"family"`
	Name   string          `json:"name"`
	Chains []metaBaseChain `json:"chains,omitempty"`
	Others int             `json:"others,omitempty"` // chains that are no base chains
	Rules  int             `json:"rules"`            // of the whole table
	// Dormant tells that the table is switched off.
	Dormant bool `json:"dormant,omitempty"`
}

// metaBaseChain is a base chain: where packets enter a table.
type metaBaseChain struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Hook     string   `json:"hook"`
	Priority int      `json:"priority"`
	Policy   string   `json:"policy"`
	Device   string   `json:"device,omitempty"`
	Rules    int      `json:"rules"`
	Tags     []string `json:"tags,omitempty"`
}

// metaBinary is a tool on the machine.
type metaBinary struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"`
	Target  string `json:"target,omitempty"`
}

// metaSetting is a place in a configuration file.
type metaSetting struct {
	Name ir.SettingName `json:"name"`
	File string         `json:"file"`
	Line int            `json:"line,omitempty"`
	Text string         `json:"text,omitempty"`
}

// metaRuleset is a ruleset that the state directory records.
type metaRuleset struct {
	Name    string     `json:"name"`
	Version string     `json:"version"`
	Status  string     `json:"status"`
	Variant ir.Variant `json:"variant"`
}

// each converts a list and keeps nil, which says that nobody looked, apart from
// empty.
func each[A, B any](list []A, f func(A) B) *[]B {
	if list == nil {
		return nil
	}
	out := make([]B, 0, len(list))
	for _, x := range list {
		out = append(out, f(x))
	}
	return &out
}

// back is each the other way.
func back[A, B any](list *[]A, f func(A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, 0, len(*list))
	for _, x := range *list {
		out = append(out, f(x))
	}
	return out
}

func hostMeta(h *ir.Host) *metaHost {
	if h == nil {
		return nil
	}
	return &metaHost{
		NFTTables: each(h.NFTTables, func(t ir.NFTTable) metaNFTTable {
			m := metaNFTTable{Family: t.Family, Name: t.Name, Others: t.Others, Rules: t.Rules, Dormant: t.Dormant}
			for _, c := range t.Chains {
				m.Chains = append(m.Chains, metaBaseChain(c))
			}
			return m
		}),
		Binaries: each(h.Binaries, func(b ir.Binary) metaBinary { return metaBinary(b) }),
		Settings: each(h.Settings, func(s ir.Setting) metaSetting { return metaSetting(s) }),
		Rulesets: each(h.Rulesets, func(r ir.RecordedRuleset) metaRuleset { return metaRuleset(r) }),
	}
}

func (m *metaHost) host() *ir.Host {
	if m == nil {
		return nil
	}
	return &ir.Host{
		NFTTables: back(m.NFTTables, func(t metaNFTTable) ir.NFTTable {
			n := ir.NFTTable{Family: t.Family, Name: t.Name, Others: t.Others, Rules: t.Rules, Dormant: t.Dormant}
			for _, c := range t.Chains {
				n.Chains = append(n.Chains, ir.NFTBaseChain(c))
			}
			return n
		}),
		Binaries: back(m.Binaries, func(b metaBinary) ir.Binary { return ir.Binary(b) }),
		Settings: back(m.Settings, func(s metaSetting) ir.Setting { return ir.Setting(s) }),
		Rulesets: back(m.Rulesets, func(r metaRuleset) ir.RecordedRuleset { return ir.RecordedRuleset(r) }),
	}
}
