package survey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/survey"
	"hookline/compiler/xtables"
	"hookline/schemas"
)

// fields decodes rules as the compiler does.
func fields(f ir.Family, r *ir.Rule) recognize.Fields {
	if r.Native != nil {
		return recognize.FromNative(r.Native)
	}
	return recognize.FromSpec(xtables.DecodeRule(r, f), r.Text)
}

func look(t testing.TB, snap *ir.Snapshot) *survey.Report {
	t.Helper()
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return survey.New(snap, cat, recognize.New(cat, fields))
}

// host is one whose IPv4 tables hold chains: "TABLE CHAIN: rule; rule", and whose
// other variant is empty.
func host(chains ...string) *ir.Snapshot {
	state := &ir.State{Families: ir.Families}
	for _, line := range chains {
		head, rules, _ := strings.Cut(line, ":")
		name, chain, _ := strings.Cut(head, " ")
		table := state.Table(ir.IPv4, name)
		if table == nil {
			table = &ir.Table{Family: ir.IPv4, Name: name}
			for _, b := range ir.BuiltinChains(name) {
				table.Chains = append(table.Chains, &ir.Chain{Name: b, Policy: "ACCEPT", Read: true})
			}
			state.Tables = append(state.Tables, table)
		}
		c := table.Chain(chain)
		if c == nil {
			c = &ir.Chain{Name: chain, Read: true}
			table.Chains = append(table.Chains, c)
		}
		for _, r := range strings.Split(rules, ";") {
			if r = strings.TrimSpace(r); r != "" {
				c.Rules = append(c.Rules, &ir.Rule{Text: r})
			}
		}
	}
	return &ir.Snapshot{Variant: ir.IptablesNFT, State: state, Others: &ir.State{Families: ir.Families}, Host: &ir.Host{}}
}

// found is the findings as "SEVERITY CODE".
func found(r *survey.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s", f.Severity, f.Code))
	}
	return out
}

func tools(words ...string) []ir.Binary {
	out := []ir.Binary{}
	for _, w := range words {
		p, version, _ := strings.Cut(w, " ")
		out = append(out, ir.Binary{Path: p, Version: version})
	}
	return out
}

func settings(list ...ir.Setting) []ir.Setting { return append([]ir.Setting{}, list...) }

const (
	nft1, nft6 = "/usr/sbin/iptables iptables v1.8.9 (nf_tables)", "/usr/sbin/ip6tables ip6tables v1.8.9 (nf_tables)"
	wants      = "/etc/systemd/system/multi-user.target.wants/"
)

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name string
		snap func() *ir.Snapshot
		want []string
		text string // stands in the text form
	}{
		{"an empty host", func() *ir.Snapshot { return host() }, nil, "nothing found that will hurt"},
		{
			"a healthy one", func() *ir.Snapshot {
				s := host("filter INPUT: -j KUBE-FIREWALL", "filter KUBE-FIREWALL:")
				s.Host.Binaries, s.Host.Settings = tools(nft1, nft6), settings()
				return s
			}, nil, "",
		},
		{
			"iptables is of the other variant", func() *ir.Snapshot {
				s := host("filter INPUT: -j KUBE-FIREWALL", "filter KUBE-FIREWALL:")
				s.Host.Binaries = tools("/usr/sbin/iptables iptables v1.8.9 (legacy)", "/usr/sbin/ip6tables ip6tables v1.8.9 (legacy)")
				return s
			},
			[]string{"hurts other-variant"},
			"/usr/sbin/iptables is iptables-legacy, but iptables-nft is in use",
		},
		{
			"and nothing stands", func() *ir.Snapshot {
				s := host()
				s.Host.Binaries = tools("/usr/sbin/iptables iptables v1.8.9 (legacy)", "/usr/sbin/ip6tables ip6tables v1.8.9 (legacy)")
				return s
			}, nil, "",
		},
		{
			"no iptables (N-11)", func() *ir.Snapshot {
				s := host()
				s.Host.Binaries = tools("/usr/sbin/nft nftables v1.0.6")
				return s
			},
			[]string{"warning missing-tool"},
			"NetBird and Tailscale then write native nft rules",
		},
		{
			"k3s brings another version", func() *ir.Snapshot {
				s := host()
				s.Host.Binaries = tools(nft1, nft6, "/var/lib/rancher/k3s/data/a/bin/aux/iptables iptables v1.8.11 (nf_tables)")
				return s
			},
			[]string{"warning several-versions"},
			"1.8.11: /var/lib/rancher/k3s/data/a/bin/aux/iptables",
		},
		{
			"a version with a known fault", func() *ir.Snapshot {
				s := host()
				s.Host.Binaries = tools("/usr/sbin/iptables iptables v1.8.7 (nf_tables)", "/usr/sbin/ip6tables ip6tables v1.8.7 (nf_tables)")
				return s
			},
			[]string{"warning known-bug"},
			"kubernetes#112477",
		},
		{
			"rules in both variants", func() *ir.Snapshot {
				s := host("filter INPUT: -j KUBE-FIREWALL", "filter KUBE-FIREWALL:")
				s.Others = host("nat POSTROUTING: -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG", "nat FLANNEL-POSTRTG:").State
				return s
			},
			[]string{"hurts mixed-backends"},
			"iptables-legacy: flannel 1",
		},
		{
			"a policy in the other variant", func() *ir.Snapshot {
				s := host("filter INPUT: -i lo -j ACCEPT")
				s.Others = host("filter FORWARD:").State
				s.Others.Tables[0].Chain("FORWARD").Policy = "DROP"
				return s
			},
			[]string{"warning mixed-backends"},
			"iptables-legacy ipv4 filter FORWARD: policy DROP",
		},
		{
			"an unreadable table", func() *ir.Snapshot {
				s := host("filter INPUT:")
				s.State.Tables[0].Unreadable = "Table `filter' is incompatible, use 'nft' tool."
				return s
			},
			[]string{"hurts unreadable-table"},
			"table ipv4 filter of iptables-nft cannot be read",
		},
		{
			"what stands behind the end", func() *ir.Snapshot {
				return host("filter FORWARD: -m comment --comment all -j REJECT --reject-with icmp-port-unreachable; -m comment --comment \"flanneld forward\" -j FLANNEL-FWD", "filter FLANNEL-FWD:")
			},
			[]string{"warning unreachable"},
			"no packet meets the 1 behind it",
		},
		{
			"a limited end is none", func() *ir.Snapshot { return host("filter FORWARD: -m limit --limit 1/sec -j DROP; -i lo -j ACCEPT") }, nil, "",
		},
		{
			"a jump into a program's chain (M-33)", func() *ir.Snapshot {
				return host("nat PREROUTING: -j MINE", "nat MINE: -d 192.0.2.1/32 -j KUBE-SVC-X", "nat KUBE-SVC-X:")
			},
			[]string{"hurts jump-foreign-chain"},
			"ipv4 nat MINE of iptables-nft, position 1, into a chain of kube-proxy",
		},
		{
			"duplicates of nobody known", func() *ir.Snapshot { return host("filter INPUT: -i lo -j ACCEPT; -i lo -j ACCEPT") },
			[]string{"warning duplicates"},
			"positions 1-2, of unknown",
		},
		{
			"a jump of a ruleset that is not recorded", func() *ir.Snapshot {
				s := host("filter INPUT: -m comment --comment \"hookline:edge\" -j EDGE", "filter EDGE: -j EDGE-MORE", "filter EDGE-MORE: -j RETURN")
				s.Host.Rulesets = []ir.RecordedRuleset{{Name: "site", Version: "1.0.0", Status: "intent"}}
				return s
			},
			[]string{"warning unfinished-apply", "warning unrecorded-ruleset"},
			"hookline:edge EDGE",
		},
		{
			"a table of a ruleset that is not recorded", func() *ir.Snapshot {
				s := host()
				s.Host.Rulesets = []ir.RecordedRuleset{{Name: "site", Version: "1.0.0", Status: "applied", Variant: ir.NFT}}
				s.Host.NFTTables = []ir.NFTTable{{Family: "inet", Name: "hookline-site"}, {Family: "ip6", Name: "hookline-edge"}, {Family: "arp", Name: "hookline-no"}}
				return s
			},
			[]string{"warning unrecorded-ruleset"},
			"nft: table ip6 hookline-edge",
		},
		{
			"a ruleset in two backends", func() *ir.Snapshot {
				s := host("filter INPUT: -m comment --comment \"hookline:edge\" -j EDGE", "filter EDGE: -j RETURN")
				s.Host.Rulesets = []ir.RecordedRuleset{{Name: "edge", Version: "1.0.0", Status: "applied", Variant: ir.NFT}}
				s.Host.NFTTables = []ir.NFTTable{{Family: "inet", Name: "hookline-edge"}}
				return s
			},
			[]string{"hurts two-backends"},
			"objects of ruleset edge stand in iptables-nft and nft",
		},
		{
			"nftables.service", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(ir.Setting{Name: ir.SettingNFTService, File: wants + "nftables.service"}, ir.Setting{Name: ir.SettingFlushRuleset, File: "/etc/nftables.conf", Line: 3, Text: "flush ruleset"})
				return s
			},
			[]string{"hurts flush-ruleset"},
			"/etc/nftables.conf:3: flush ruleset",
		},
		{
			"nftables.service is not enabled", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(ir.Setting{Name: ir.SettingFlushRuleset, File: "/etc/nftables.conf", Line: 3, Text: "flush ruleset"})
				return s
			},
			[]string{"note flush-ruleset"},
			"it is not enabled",
		},
		{
			"firewalld", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(ir.Setting{Name: ir.SettingFirewalldService, File: wants + "firewalld.service"}, ir.Setting{Name: ir.SettingFlushAllOnReload, File: "/etc/firewalld/firewalld.conf"})
				return s
			},
			[]string{"hurts firewalld-flushes"},
			"FlushAllOnReload is not set, and yes by default",
		},
		{
			"firewalld is installed only", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(ir.Setting{Name: ir.SettingFlushAllOnReload, File: "/etc/firewalld/firewalld.conf", Line: 2, Text: "yes"})
				return s
			}, nil, "",
		},
		{
			"saved rules of others", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(
					ir.Setting{Name: ir.SettingPersistentService, File: wants + "netfilter-persistent.service", Text: "/etc/iptables/rules.v4"},
					ir.Setting{Name: ir.SettingSavedRules, File: "/etc/iptables/rules.v4", Line: 9, Text: "KUBE-SVC-A"},
					ir.Setting{Name: ir.SettingSavedRules, File: "/etc/iptables/rules.v4", Line: 5, Text: "cali-INPUT"})
				return s
			},
			[]string{"hurts saved-rules"},
			"/etc/iptables/rules.v4 is restored at boot, and holds rules of calico, kube-proxy",
		},
		{
			"saved rules of the site", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(
					ir.Setting{Name: ir.SettingPersistentService, File: wants + "iptables.service", Text: "/etc/sysconfig/iptables"},
					ir.Setting{Name: ir.SettingSavedRules, File: "/etc/sysconfig/iptables", Line: 9, Text: "SITE"})
				return s
			},
			[]string{"warning saved-rules"},
			"the restore replaces whole tables",
		},
		{
			"saved rules that leave others", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(
					ir.Setting{Name: ir.SettingPersistentService, File: wants + "netfilter-persistent.service", Text: "/etc/iptables/rules.v4"},
					ir.Setting{Name: ir.SettingRestoreNoFlush, File: "/etc/default/netfilter-persistent", Line: 1, Text: "/etc/iptables/rules.v4"})
				return s
			},
			[]string{"note saved-rules"},
			"",
		},
		{
			"ufw", func() *ir.Snapshot {
				s := host()
				s.Host.Settings = settings(ir.Setting{Name: ir.SettingUFW, File: "/etc/ufw/ufw.conf", Line: 6, Text: "yes"},
					ir.Setting{Name: ir.SettingUFWBuiltins, File: "/etc/default/ufw", Line: 29, Text: "yes"}, ir.Setting{Name: ir.SettingUFWPolicy, File: "/etc/default/ufw", Line: 10, Text: "DEFAULT_FORWARD_POLICY=DROP"})
				return s
			},
			[]string{"hurts ufw-manages-builtins", "note ufw-policy"},
			"DEFAULT_FORWARD_POLICY=DROP",
		},
		{
			"equal priorities", func() *ir.Snapshot {
				s := host()
				post := ir.NFTBaseChain{Name: "post", Type: "nat", Hook: "postrouting", Priority: 100, Policy: "accept", Rules: 1}
				s.Host.NFTTables = []ir.NFTTable{{Family: "ip", Name: "flannel-ipv4", Chains: []ir.NFTBaseChain{post}}, {Family: "inet", Name: "site", Chains: []ir.NFTBaseChain{post}}}
				return s
			},
			[]string{"warning equal-priority"},
			"ip flannel-ipv4 post (flannel)",
		},
		{
			"rules put into another table (N-7)", func() *ir.Snapshot {
				s := host()
				in := ir.NFTBaseChain{Name: "in", Type: "filter", Hook: "input", Policy: "drop", Rules: 2, Tags: []string{"inputaccept", "mine"}}
				s.Host.NFTTables = []ir.NFTTable{{Family: "inet", Name: "site", Chains: []ir.NFTBaseChain{in}}, {Family: "ip", Name: "netbird", Chains: []ir.NFTBaseChain{in}}}
				return s
			},
			[]string{"warning injected-rules"},
			"inet site in: rules with the text inputaccept",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := look(t, c.snap())
			if d := cmp.Diff(c.want, found(r)); d != "" {
				t.Errorf("findings mismatch (-want +got):\n%s", d)
			}
			if want := slices.ContainsFunc(c.want, func(s string) bool { return strings.HasPrefix(s, "hurts") }); r.Hurts() != want {
				t.Errorf("Hurts = %v, want %v", r.Hurts(), want)
			}
			if text := text(t, r); !strings.Contains(text, c.text) {
				t.Errorf("the text does not say %q:\n%s", c.text, text)
			}
			fits(t, r)
		})
	}
}

func text(t testing.TB, r *survey.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b, survey.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// fits checks a report's JSON against its schema, and that it comes back.
func fits(t *testing.T, r *survey.Report) {
	t.Helper()
	var b bytes.Buffer
	if err := survey.WriteJSON(&b, []*survey.Report{r}); err != nil {
		t.Fatal(err)
	}
	schema, err := schemas.FS.ReadFile("v1/doctor.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("doctor.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("doctor.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(v); err != nil {
		t.Errorf("%v\n%s", err, b.String())
	}
	var back survey.Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back.Findings) != len(r.Findings) {
		t.Errorf("read back: %v, %d findings of %d", err, len(back.Findings), len(r.Findings))
	}
}

// TestCodes: every code has a meaning, and every finding of the tests has a code of
// the table.
func TestCodes(t *testing.T) {
	seen := map[survey.Code]bool{}
	for _, c := range survey.Codes {
		if seen[c.Code] || c.Meaning == "" || !strings.HasSuffix(c.Meaning, ".") {
			t.Errorf("%s: %q", c.Code, c.Meaning)
		}
		seen[c.Code] = true
	}
}

func TestMoves(t *testing.T) {
	const cali, kube, ovn = `-m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING`, `-m comment --comment "kubernetes service portals" -j KUBE-SERVICES`,
		`-m comment --comment "kube-ovn prerouting rules" -j OVN-PREROUTING`
	for _, c := range []struct {
		name, chain string
		want        []string
	}{
		{"in order", cali + ";" + ovn + ";" + kube, nil},
		{"calico is not first", kube + ";" + cali + ";" + kube, []string{"calico puts its jump back at position 1 within 180 s (ChainInsertMode: insert), and stands at 2 of 3"}},
		{"calico appends", kube + ";" + cali, nil},
		{"kube-ovn is behind", kube + ";" + ovn, []string{"kube-ovn puts its jump back ahead of KUBE-SERVICES, and a lost one at position 1 within 3 s, and stands at 2, behind KUBE-SERVICES at 1"}},
	} {
		r := look(t, host("nat PREROUTING: "+c.chain))
		var got []string
		for _, chain := range r.Chains {
			got = append(got, chain.Moves...)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: moves mismatch (-want +got):\n%s", c.name, d)
		}
	}
}

// TestUnknown: what was not looked at is said, and finds nothing.
func TestUnknown(t *testing.T) {
	r := look(t, &ir.Snapshot{Variant: ir.IptablesNFT, State: &ir.State{Families: []ir.Family{ir.IPv4}}})
	want := []string{
		"what stands in the ipv6 tables of iptables-nft is not known", "the tables of iptables-legacy were not looked at",
		"the tables of nftables were not looked at", "which tools are installed was not looked at",
		"the settings of the machine were not looked at", "the record of rulesets was not looked at",
	}
	if d := cmp.Diff(want, r.Unknown); d != "" || len(r.Findings) > 0 {
		t.Errorf("findings %v, unknown mismatch (-want +got):\n%s", r.Findings, d)
	}
}

// TestMarkdownFits: a comment has its limit, says what it leaves out, and takes no
// orders from names.
func TestMarkdownFits(t *testing.T) {
	s := host("filter INPUT: -m comment --comment \"@everyone </details> `x` | y\" -j <b>*; -j ```", "filter <b>*: -i a -j ACCEPT")
	for i := range 400 {
		s.State.Tables[0].Chain("INPUT").Rules = append(s.State.Tables[0].Chain("INPUT").Rules, &ir.Rule{Text: fmt.Sprintf("-s 192.0.2.%d/32 -j ACCEPT", i)})
	}
	r := look(t, s)
	for _, limit := range []int{0, 4000, 1200, 300} {
		var b strings.Builder
		if err := survey.WriteMarkdown(&b, []*survey.Report{r, r}, limit); err != nil {
			t.Fatal(err)
		}
		n := len([]rune(b.String()))
		if limit == 0 && n > 65536 || limit > 0 && n > limit {
			t.Errorf("limit %d: %d characters", limit, n)
		}
		if limit > 0 && limit < 4000 && !strings.Contains(b.String(), "left out") {
			t.Errorf("limit %d: it does not say what is left out:\n%s", limit, b.String())
		}
		outside := fences(b.String())
		if strings.Contains(outside, "@everyone") || strings.Contains(outside, "<b>") {
			t.Errorf("a name is read as more than text:\n%s", outside)
		}
	}
}

// TestMarkdownHostile: what stands on a host is text, wherever it is printed and
// whatever backquotes and backslashes it holds.
func TestMarkdownHostile(t *testing.T) {
	hostile := "``` <img src=//e/x> @org/t [c](http://e) \\[d\\](http://e) `"
	s := host("filter INPUT: -m comment --comment \"" + hostile + "\"")
	s.Source, s.Warnings = hostile, []string{hostile}
	r := look(t, s)
	r.Findings = append(r.Findings, survey.Finding{Severity: survey.Hurts, Code: survey.Duplicates, Message: hostile, Help: hostile, Effects: []string{hostile}, Details: []string{hostile}})
	var b strings.Builder
	if err := survey.WriteMarkdown(&b, []*survey.Report{r, r}, 0); err != nil {
		t.Fatal(err)
	}
	outside := regexp.MustCompile("(?m)`[^`\n]+`$|`[^`\n]+`: ").ReplaceAllString(fences(b.String()), "")
	if !strings.Contains(outside, "INPUT: unknown") {
		t.Fatalf("the heading with the rule is not there:\n%s", outside)
	}
	for _, live := range []string{"<img", "@org", "[c](", "http://", "``"} {
		if strings.Contains(outside, live) {
			t.Errorf("%s is read as more than text:\n%s", live, outside)
		}
	}
	if regexp.MustCompile(`(^|[^\\])(\\\\)*[\[\]]`).MatchString(outside) {
		t.Errorf("a bracket is not escaped:\n%s", outside)
	}
}

// TestMarkdownKeepsMessages: the places of one finding do not hide the next, in
// no report.
func TestMarkdownKeepsMessages(t *testing.T) {
	var places []string
	for i := range 3000 {
		places = append(places, fmt.Sprintf("ipv4 filter INPUT, position %d: %s", i, strings.Repeat("x", 600)))
	}
	finding := func(message string) survey.Finding {
		return survey.Finding{Severity: survey.Hurts, Code: survey.Duplicates, Message: message, Details: places, Effects: []string{"effect"}, Help: "help"}
	}
	for n, name := range map[int]string{1: "few", 8: "many"} {
		reports := []*survey.Report{{Snapshot: "a"}, {Snapshot: "b"}}
		for i := range n {
			for _, r := range reports {
				r.Findings = append(r.Findings, finding(fmt.Sprintf("message %d of %s", i, r.Snapshot)))
			}
		}
		var b strings.Builder
		if err := survey.WriteMarkdown(&b, reports, 0); err != nil {
			t.Fatal(err)
		}
		outside := fences(b.String())
		for i := range n {
			for _, r := range reports {
				if want := fmt.Sprintf("message %d of %s", i, r.Snapshot); !strings.Contains(outside, want) {
					t.Errorf("%s: %q is hidden", name, want)
				}
			}
		}
		if len([]rune(b.String())) > 65000 || !strings.Contains(b.String(), "and 2960 more") && !strings.Contains(b.String(), "left out") {
			t.Errorf("%s: %d characters, or nothing says that some are left out", name, len(b.String()))
		}
		if !strings.HasSuffix(outside, "\n") || strings.Count(outside, "<details") != strings.Count(outside, "</details>") {
			t.Errorf("%s: something stays open at the end:\n%s", name, outside)
		}
	}
}

// fences cuts out what stands between fences.
func fences(s string) string {
	var out []string
	mark := ""
	for _, line := range strings.Split(s, "\n") {
		switch trimmed := strings.TrimLeft(line, "`"); {
		case mark == "" && strings.HasPrefix(line, "```"):
			mark = line[:len(line)-len(trimmed)]
		case mark != "" && line == mark:
			mark = ""
		case mark == "":
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// FuzzText: nothing that stands on a host speaks to the terminal, and the report
// is the same each time.
func FuzzText(f *testing.F) {
	f.Add("-j ACCEPT", "KUBE-X", "inet x")
	f.Add("-m comment --comment \"\x1b[31m\" -j X", "\x1b]0;x", "a\nb")
	f.Fuzz(func(t *testing.T, rule, chain, word string) {
		make := func() *survey.Report {
			s := host("filter INPUT: -i lo -j ACCEPT")
			s.State.Tables[0].Chains = append(s.State.Tables[0].Chains, &ir.Chain{Name: chain, Read: true, Rules: []*ir.Rule{{Text: rule}}})
			s.State.Tables[0].Chains[0].Rules = append(s.State.Tables[0].Chains[0].Rules, &ir.Rule{Text: rule}, &ir.Rule{Native: &ir.Native{Expr: word, Text: word, Comment: rule}})
			s.Warnings, s.Source = []string{word}, word
			s.Host.NFTTables = []ir.NFTTable{{Family: "inet", Name: word, Chains: []ir.NFTBaseChain{{Name: chain, Hook: word, Tags: []string{rule}}}}}
			s.Host.Settings = settings(ir.Setting{Name: ir.SettingFlushRuleset, File: word, Text: rule})
			s.Host.Binaries = tools("/usr/sbin/iptables " + word)
			s.Host.Rulesets = []ir.RecordedRuleset{{Name: word, Version: rule}}
			return look(t, s)
		}
		out := text(t, make())
		if strings.ContainsFunc(out, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }) {
			t.Errorf("control characters in %q", out)
		}
		if again := text(t, make()); again != out {
			t.Errorf("two reports of one host differ:\n%s", cmp.Diff(out, again))
		}
	})
}
