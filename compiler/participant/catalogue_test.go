package participant_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
)

func builtin(t testing.TB) *participant.Catalogue {
	t.Helper()
	c, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBuiltinEntries(t *testing.T) {
	c := builtin(t)
	for _, name := range []string{
		"antrea", "calico", "cilium", "docker", "fail2ban", "firewalld", "flannel", "iptables-persistent", "istio", "killall",
		"kube-ovn", "kube-proxy", "kube-router", "kube-vip", "kubelet", "libvirt", "netbird", "nftables-service", "nodelocaldns",
		"podman", "portmap", "submariner", "tailscale", "ufw",
	} {
		if c.Entry(name) == nil {
			t.Errorf("Entry(%q) = nil", name)
		}
	}
	for _, e := range c.Entries() {
		if len(e.Behaviours) == 0 || len(e.Sources) == 0 || e.Title == "" {
			t.Errorf("participant %s lacks a behaviour, a source or a title", e.Name)
		}
		for _, s := range e.Shared {
			if c.Entry(s.With) == nil {
				t.Errorf("participant %s shares %s with %s, whom nobody knows", e.Name, s.Glob, s.With)
			}
		}
		for _, chain := range e.Chains {
			if owner := c.ChainOwner(strings.ReplaceAll(chain, "*", "0")); owner == "" {
				t.Errorf("nobody owns %s's %s", e.Name, chain)
			}
		}
	}
}

func TestLoadIsStrict(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no JSON", `{`, "EOF"},
		{"unknown key", `{"name": "x", "chian": []}`, `unknown field "chian"`},
		{"unknown key inside", `{"name": "x", "rules": [{"int": "wt0"}]}`, `unknown field "int"`},
		{"repeated key", `{"name": "x", "name": "x"}`, `the key "name" stands twice`},
		{"repeated key inside", `{"name": "x", "rules": [{"in": "a", "in": "b"}]}`, `the key "in" stands twice`},
		{"more behind", `{"name": "x"} {}`, "more than one value"},
		{"another name", `{"name": "y"}`, `the name in it is "y", not "x"`},
		{"bad name", `{"name": "X Y"}`, "not of the form"},
		{"glob for everything", `{"name": "x", "chains": ["*"]}`, `"*" has no literal text`},
		{"empty comment", `{"name": "x", "comments": [""]}`, "no literal text"},
		{"empty rule glob", `{"name": "x", "tail": [{"hooks": ["INPUT"]}]}`, "without literal text"},
		{"unknown kind", `{"name": "x", "behaviours": [{"kind": "sings", "does": "y"}]}`, `unknown kind "sings"`},
		{"silent behaviour", `{"name": "x", "behaviours": [{"kind": "flushes", "does": ""}]}`, "says nothing"},
		{"position without target", `{"name": "x", "behaviours": [{"kind": "positions", "does": "y"}]}`, "do not go together"},
		{"canary that says nothing", `{"name": "x", "behaviours": [{"kind": "flushes", "does": "y", "canary": {"table": "nat", "chain": "Y", "lost": "soon"}}]}`, "a canary needs"},
		{"bad at", `{"name": "x", "behaviours": [{"kind": "event", "at": "middle", "does": "y"}]}`, `at is "middle"`},
		{"mark outside of its mask", `{"name": "x", "marks": [{"value": "0x3", "mask": "0x1", "use": "y"}]}`, "covers its value"},
		{"mark that is no number", `{"name": "x", "marks": [{"value": "0x1ffffffff", "mask": "0x1", "use": "y"}]}`, "not a 32-bit number"},
		{"bad nft table", `{"name": "x", "nftTables": ["calico"]}`, "not a family and a name"},
		{"drop in somebody else's table", `{"name": "x", "nftTables": ["ip x"], "drops": [{"chains": ["ip y in"], "does": "drops it"}]}`, "neither of iptables nor"},
		{"drop in no base chain of iptables", `{"name": "x", "drops": [{"chains": ["iptables filter X"], "does": "drops it"}]}`, "neither of iptables nor"},
		{"drop without a chain", `{"name": "x", "drops": [{"chains": [], "does": "drops it"}]}`, "needs chains"},
		{"drop that is none", `{"name": "x", "drops": [{"chains": ["iptables filter INPUT"], "does": "accepts it"}]}`, "begin with drops or rejects"},
		{"exact string without it", `{"name": "x", "killed": [{"substring": "y", "exact": ["z"], "by": "b"}]}`, "do not all hold it"},
		{"version without words", `{"name": "x", "versions": [{"says": "", "has": {"chains": ["X"]}}]}`, "needs words"},
		{"version without a sign", `{"name": "x", "versions": [{"says": "1", "has": {}, "lacks": {"chains": ["X"]}}]}`, "needs words, and signs"},
		{"version by any chain", `{"name": "x", "versions": [{"says": "1", "has": {"chains": ["*"]}}]}`, "would match everything"},
		{"version by a rule anywhere", `{"name": "x", "versions": [{"says": "1", "has": {"rules": [{"target": "X"}]}}]}`, "needs tables, chains by name"},
		{"version by a rule in many chains", `{"name": "x", "versions": [{"says": "1", "has": {"rules": [{"tables": ["nat"], "hooks": ["X-*"], "target": "X"}]}}]}`, "chains by name"},
		{"unknown sign", `{"name": "x", "versions": [{"says": "1", "has": {"chain": ["X"]}}]}`, `unknown field "chain"`},
		{"shared with nobody", `{"name": "x", "chains": ["X"], "shared": [{"glob": "X", "with": "x"}]}`, "with somebody else"},
		{"shared, but not its own", `{"name": "x", "chains": ["X"], "shared": [{"glob": "Y", "with": "z"}]}`, "one of the chains and comments"},
		{"killed by nobody", `{"name": "x", "killed": [{"substring": "y", "by": ""}]}`, "who deletes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := participant.Load(fstest.MapFS{"x.json": {Data: []byte(tt.text)}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "x.json") {
				t.Errorf("Load(%s) = %v, want an error with %q and the file's name", tt.text, err, tt.want)
			}
		})
	}
	if _, err := participant.Load(fstest.MapFS{"x.json": {Data: []byte(`{"name": "x", "chains": ["X-*"]}`)}}); err != nil {
		t.Errorf("Load: %v", err)
	}
}

func TestLongestGlobDecides(t *testing.T) {
	c := builtin(t)
	tests := []struct{ chain, want string }{
		{"KUBE-SERVICES", "kube-proxy"},
		{"KUBE-FIREWALL", "kubelet"},
		{"KUBE-ROUTER-INPUT", "kube-router"},
		{"KUBE-POD-FW-ABC", "kube-router"},
		{"KUBE-VIP-EGRESS", "kube-vip"},
		{"KUBE-NEW", "kube-proxy"},
		{"cali-pi-x", "calico"},
		{"DOCKER", "docker"},
		{"DOCKER-USER", "docker"},
		{"DOCKERX", ""},
		{"IN_public_allow", "firewalld"},
		{"IN_SITE", ""},
		{"kube-services", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := c.ChainOwner(tt.chain); got != tt.want {
			t.Errorf("ChainOwner(%q) = %q, want %q", tt.chain, got, tt.want)
		}
	}
	if h, _ := c.NFTTable("ip kube_vip_v4"); h.Entry == nil || h.Entry.Name != "kube-vip" {
		t.Errorf("NFTTable(ip kube_vip_v4) = %v", h)
	}
}

func TestExtend(t *testing.T) {
	c := builtin(t)
	more, err := c.Extend([]participant.Entry{{Name: "site-agent", Chains: []string{"AGENT-*", "cali-mine"}, NFTTables: []string{"inet site_agent"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := more.ChainOwner("AGENT-IN") + " " + more.ChainOwner("cali-mine") + " " + more.ChainOwner("cali-x"); got != "site-agent site-agent calico" {
		t.Errorf("ChainOwner after Extend = %q", got)
	}
	if c.Entry("site-agent") != nil || c.ChainOwner("AGENT-IN") != "" {
		t.Error("Extend changed the catalogue that it was called on")
	}
	for _, bad := range []participant.Entry{{Name: "A"}, {Name: "a", Chains: []string{"**"}}, {Name: "a", NFTTables: []string{"x"}}} {
		if _, err := c.Extend([]participant.Entry{bad}); err == nil {
			t.Errorf("Extend(%v): no error", bad)
		}
	}
	merged, err := c.Extend([]participant.Entry{{Name: "calico", Chains: []string{"tigera-*"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := merged.ChainOwner("tigera-x"); got != "calico" || len(merged.Entries()) != len(c.Entries()) {
		t.Errorf("ChainOwner(tigera-x) = %q", got)
	}
}

func TestNames(t *testing.T) {
	c := builtin(t)
	for name, want := range map[string]bool{
		"KUBE-SERVICES": true, "cali-PREROUTING": true, "DOCKER-USER": true, "KUBE-SVC-ABCDEFGHIJKLMNOP": true,
		"cali-from-wl-dispatch": true, "cali-PREROUTNG": false, "KUBE-SERVICE": false, "HARVESTER_INPUT": false,
		"INPUT": false, "": false,
	} {
		if got := c.KnowsChain(name); got != want {
			t.Errorf("KnowsChain(%q) = %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string][]string{
		"calcio":         {"calico"},
		"cali-PREROUTNG": {"cali-PREROUTING"},
		"kubelet2":       {"kubelet"},
		"SITE-FORWRD":    {"SITE-FORWARD"},
		"zzzzzzzz":       nil,
	} {
		if diff := cmp.Diff(want, c.Suggest(name, "SITE-FORWARD")); diff != "" {
			t.Errorf("Suggest(%q) mismatch (-want +got):\n%s", name, diff)
		}
	}
}

// T-10.
func TestReserved(t *testing.T) {
	c := builtin(t)
	for chain, want := range map[string]string{
		"KUBE-SITE": "kube-proxy", "cali-x": "calico", "califw-x": "calico", "felix-x": "calico", "CNI-X": "portmap",
		"CILIUM_X": "cilium", "OLD_CILIUM_X": "cilium", "OVN-X": "kube-ovn", "FLANNEL-X": "flannel", "DOCKER": "docker",
		"DOCKER-X": "docker", "ts-x": "tailscale", "NETBIRD-X": "netbird", "KUBE-ROUTER-X": "kube-router",
		"KUBE-VIP-X": "kube-vip", "DOCKER-USER": "", "CNI-ADMIN": "", "HARVESTER_INPUT": "", "SITE-FWD": "",
		// globs that take in such a name
		"*": "antrea", "OVN-*": "kube-ovn", "O*": "cilium", "K*Z": "kube-proxy", "DOCKER-U*": "docker", "SITE-*": "", "t*": "tailscale",
	} {
		got, ok := c.ReservedName(chain)
		if got != want || ok != (want != "") {
			t.Errorf("ReservedName(%q) = %q, %v, want %q", chain, got, ok, want)
		}
	}
	for _, tt := range []struct{ chain, replaced, want string }{
		{"OVN-*", "kube-ovn", ""},
		{"OVN-X", "kube-ovn", ""},
		{"OVN-X", "calico", "kube-ovn"},
		{"KUBE-*", "kube-proxy", "kube-router"},
		{"KUBE-ROUTER-*", "kube-router", ""},
		{"KUBE-ROUTER-X", "kube-proxy", "kube-router"},
	} {
		if got, _ := c.ReservedName(tt.chain, tt.replaced); got != tt.want {
			t.Errorf("ReservedName(%q, %q) = %q, want %q", tt.chain, tt.replaced, got, tt.want)
		}
	}
	for set, want := range map[string]string{"cali40x": "calico", "ovn40mine": "kube-ovn", "hv-admins": "", "ovn*": "kube-ovn", "hv-*": ""} {
		if got, _ := c.ReservedSet(set); got != want {
			t.Errorf("ReservedSet(%q) = %q, want %q", set, got, want)
		}
	}
	for text, want := range map[string]string{
		"before KUBE-SERVICES": "KUBE-", "CNI-x": "CNI-", "cali:x": "cali", "my-cali-rule": "cali", "CILIUM_": "CILIUM_",
		"VXLAN Flannel/Canal": "flannel", "FLANNEL": "flannel", "site": "", "kube-proxy": "", "Cali": "",
	} {
		got, why, ok := c.ReservedSubstring(text)
		if got != want || ok != (want != "") || ok != (why != "") {
			t.Errorf("ReservedSubstring(%q) = %q, %q, %v, want %q", text, got, why, ok, want)
		}
	}
	if got, ok := c.UserChain("DOCKER-USER"); got != "docker" || !ok {
		t.Errorf("UserChain(DOCKER-USER) = %q, %v", got, ok)
	}
}

// N-10, T-11.
func TestMarkOwners(t *testing.T) {
	c := builtin(t)
	tests := []struct {
		value, mask uint32
		want        string
	}{
		{0x4000, 0x4000, "flannel kube-ovn kube-proxy"},
		{0x2000, 0x2000, "netbird podman portmap"},         // 0x1bd00 holds the bit
		{0x20000, 0x20000, "calico kube-router tailscale"}, // not NetBird
		{0x40, 0x40, "kube-vip"},
		{0x80000, 0x80000, "calico kube-ovn submariner tailscale"},
		{0, 0x4000, "flannel kube-ovn kube-proxy"}, // clearing counts
		{0, 0, ""},
	}
	for _, tt := range tests {
		var got []string
		for _, m := range c.MarkOwners(tt.value, tt.mask) {
			got = append(got, m.Participant)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("MarkOwners(%#x, %#x) = %q, want %q", tt.value, tt.mask, got, tt.want)
		}
	}
}

func TestBehavioursIn(t *testing.T) {
	c := builtin(t)
	tests := []struct {
		name, table, chain string
		tail               bool
		want               []participant.Kind
	}{
		{"calico", "filter", "INPUT", false, []participant.Kind{participant.ReassertsTop}},
		{"calico", "filter", "FORWARD", true, []participant.Kind{participant.ReassertsBottom}},
		{"calico", "nat", "POSTROUTING", false, []participant.Kind{participant.ReassertsBottom}},
		{"kube-ovn", "nat", "PREROUTING", false, []participant.Kind{participant.Positions}},
		{"kube-router", "filter", "FORWARD", false, []participant.Kind{participant.ReassertsTop, participant.RewritesTable}},
		{"kube-router", "nat", "POSTROUTING", false, nil},
		{"flannel", "nat", "POSTROUTING", false, []participant.Kind{participant.AppendsIfMissing}},
	}
	for _, tt := range tests {
		var got []participant.Kind
		for _, b := range c.Entry(tt.name).BehavioursIn(tt.table, tt.chain, tt.tail) {
			got = append(got, b.Kind)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("BehavioursIn(%s %s %s) mismatch (-want +got):\n%s", tt.name, tt.table, tt.chain, diff)
		}
	}
}

func TestMeet(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"a", "a", true},
		{"a", "b", false},
		{"*", "", true},
		{"a*", "*b", true},
		{"a*", "b*", false},
		{"a*c", "ab", false},
		{"a*c", "ab*", true},
		{"HARVESTER_*", "HARV*_INPUT", true},
		{"*x*", "*y*", true},
		{"ab", "a*b*", true},
	}
	for _, tt := range tests {
		if got := participant.Meet(tt.a, tt.b); got != tt.want {
			t.Errorf("Meet(%q, %q) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

// A name that both globs match is a witness that they meet, and globs without
// stars meet exactly what they match.
func FuzzMeet(f *testing.F) {
	f.Add("a*c", "*b*", "abc")
	f.Add("HARVESTER_*", "*INPUT", "HARVESTER_INPUT")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if strings.Contains(name, "*") {
			return
		}
		if ir.MatchGlob(a, name) && ir.MatchGlob(b, name) && !participant.Meet(a, b) {
			t.Errorf("Meet(%q, %q) = false, but both match %q", a, b, name)
		}
		if got, want := participant.Meet(a, name), ir.MatchGlob(a, name); got != want {
			t.Errorf("Meet(%q, %q) = %v, MatchGlob says %v", a, name, got, want)
		}
		if participant.Meet(a, b) != participant.Meet(b, a) {
			t.Errorf("Meet(%q, %q) depends on the order", a, b)
		}
	})
}

// docs/participants.md is what the catalogue says.
func TestDocsAreGenerated(t *testing.T) {
	got, err := os.ReadFile("../../docs/participants.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := builtin(t).Markdown(); !bytes.Equal(got, []byte(want)) {
		t.Errorf("docs/participants.md is old: go generate ./compiler/participant\n%s", cmp.Diff(want, string(got)))
	}
}

func TestReturn(t *testing.T) {
	c := builtin(t)
	stands := func(yes bool) func(string, string) bool { return func(string, string) bool { return yes } }
	tests := []struct {
		name, table, chain string
		stands             func(string, string) bool
		want               string
	}{
		{"calico", "nat", "PREROUTING", stands(true), "calico, within 180 s: puts its jump back at position 1 (ChainInsertMode: insert)"},
		{"kube-proxy", "nat", "PREROUTING", nil, "kube-proxy, within 30 s if its canary chain is lost too, else up to 1 h: puts a lost jump at position 1 and never moves one that stands"},
		{"kube-proxy", "nat", "OUTPUT", stands(false), "kube-proxy, within 30 s (its canary chain KUBE-PROXY-CANARY of mangle is gone too): puts a lost jump at position 1 and never moves one that stands"},
		{"kubelet", "filter", "INPUT", stands(true), "kubelet, not before it is restarted (its canary chain KUBE-KUBELET-CANARY of mangle stands): puts a lost jump at position 1 and never moves one that stands"},
	}
	for _, tt := range tests {
		if got := c.Entry(tt.name).BehavioursIn(tt.table, tt.chain, false)[0].Return(tt.name, tt.stands); got != tt.want {
			t.Errorf("Return of %s in %s %s = %q, want %q", tt.name, tt.table, tt.chain, got, tt.want)
		}
	}
}
