package recognize_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
)

func TestFromNative(t *testing.T) {
	tests := []struct {
		text, comment string
		want          recognize.Fields
	}{
		{`oifname "wt0" ct state established,related counter accept`, "frwacceptoif", recognize.Fields{Out: "wt0", Target: "ACCEPT", Comments: []string{"frwacceptoif"}}},
		{`iifname "tailscale0*" counter drop`, "", recognize.Fields{In: "tailscale0+", Target: "DROP"}},
		{`iifname != "wt*" counter jump ts-input`, "", recognize.Fields{In: "! wt+", Target: "ts-input"}},
		{`ip saddr @nb0000001 tcp dport 22 goto accept`, "", recognize.Fields{Sets: []string{"nb0000001"}, Target: "accept", Goto: true}},
		{`iifname { "a", "b" } accept`, "", recognize.Fields{Target: "ACCEPT"}},
		{`ip saddr vmap { 1.1.1.1 : drop, 2.2.2.2 : jump X }`, "", recognize.Fields{}},
		{`@th,16,16 0x50 reject with tcp reset`, "", recognize.Fields{Target: "REJECT"}},
		{`log prefix "accept "`, "", recognize.Fields{Target: "LOG"}},
		{`iifname "`, "", recognize.Fields{}},
		{`counter jump`, "", recognize.Fields{}},
		{``, "", recognize.Fields{}},
	}
	for _, tt := range tests {
		tt.want.Text = tt.text
		if d := cmp.Diff(tt.want, recognize.FromNative(&ir.Native{Text: tt.text, Comment: tt.comment})); d != "" {
			t.Errorf("FromNative(%s) mismatch (-want +got):\n%s", tt.text, d)
		}
	}
}

// Authors of native rules are told by the same globs as those of others.
func TestNativeAuthors(t *testing.T) {
	tests := []struct {
		table, chain, text, comment string
		want                        string
	}{
		{"filter", "FORWARD", `oifname "wt0" ct state established,related counter accept`, "", "netbird"},
		{"filter", "FORWARD", `oifname "eth7" ct state established,related counter accept`, "frwacceptoif", "netbird"},
		{"filter", "INPUT", `iifname "nb-tunnel" counter accept`, "inputaccept", "netbird"},
		{"filter", "FORWARD", `meta mark 0x0001bd20 ct state new accept`, "", "netbird"},
		{"filter", "FORWARD", `oifname "tailscale0*" ct state & 0xffffffb9 != 0 counter drop`, "", "tailscale"},
		{"filter", "ts-forward", `ct state new drop`, "", "tailscale"},
		{"mangle", "PREROUTING", `ct state established,related ct mark & 0x00ff0000 != 0x00000000 meta mark set ct mark & 0x00ff0000`, "", "tailscale"},
		{"nat", "POSTROUTING", `ip daddr 100.64.9.9 snat to 100.101.102.103`, "", "tailscale"},
		{"mangle", "KUBE-VIP-EGRESS", `ip saddr 10.244.1.10 counter meta mark set meta mark & 0xffffffff | 0x00000040`, "a3ViZS12aXAK=kube-vip-e2e-test - 10.244.1.10/32 - mark", "kube-vip"},
		{"nat", "POSTROUTING", `ip saddr 10.244.1.10 meta mark & 0x00000040 == 0x00000040 counter snat to 192.168.50.200`, "a3ViZS12aXAK=kube-vip-e2e-test - 192.168.50.200 - 10.244.1.10 - snat", "kube-vip"},
		{"filter", "INPUT", `ip daddr 192.0.2.1 tcp dport @9f8e7d6c accept`, "shop/web kube-vip load balancer IP", "kube-vip"},
		{"filter", "FORWARD", `ct state established,related accept`, "", ""},
		{"filter", "FORWARD", `iifname "eth0" ct state new jump KUBE-FORWARD`, "", "kube-proxy"},
	}
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		native := &ir.Native{Handle: 7, Text: tt.text, Comment: tt.comment}
		k := ir.ChainKey{Family: ir.IPv4, Table: tt.table, Chain: tt.chain}
		for name, chain := range map[string]*ir.Chain{
			"read":   {Name: tt.chain, Read: true, Rules: []*ir.Rule{{Native: native}}},
			"unread": {Name: tt.chain, Natives: []ir.NativeAt{{Index: 0, Native: native}}},
		} {
			s := &ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{{
				Family: ir.IPv4, Name: tt.table, Unreadable: map[string]string{"unread": "incompatible"}[name],
				Chains: []*ir.Chain{chain, {Name: "ts-postrouting", Read: true}},
			}}}
			if name == "read" {
				// The jump by which Tailscale's chain is known to be used.
				chain.Rules = append(chain.Rules, &ir.Rule{Text: "-j ts-postrouting"})
			}
			table := recognize.New(cat, compiler.Fields).State(s)
			found := table.NativesIn(k)
			if len(found) != 1 || found[0].Author.Participant != tt.want || found[0].Handle != 7 {
				t.Errorf("%s %s: %s: %+v, want %q", name, k, tt.text, found, tt.want)
			}
			if all := table.Natives(); len(all) != 1 || all[0].Key != k {
				t.Errorf("Natives = %+v", all)
			}
		}
	}
}

const (
	oldHook = `-m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING`
	newHook = `-m comment --comment "cali:0i8pjzKKPyA34aQD" -j cali-POSTROUTING`
)

// What nobody looked at tells nothing of a version.
func TestVersions(t *testing.T) {
	postrouting := func(rules ...string) *ir.Chain {
		c := &ir.Chain{Name: "POSTROUTING", Policy: "ACCEPT", Read: true}
		for _, r := range rules {
			c.Rules = append(c.Rules, &ir.Rule{Text: r})
		}
		return c
	}
	unread := &ir.Chain{Name: "POSTROUTING", Policy: "ACCEPT"}
	own := &ir.Chain{Name: "cali-POSTROUTING"}
	tests := []struct {
		name   string
		chains []*ir.Chain
		nft    []ir.NFTTable
		want   []string
	}{
		{"old", []*ir.Chain{postrouting(oldHook), own}, nil, []string{"3.28 or older"}},
		{"new", []*ir.Chain{postrouting(newHook), own}, nil, []string{"3.29 or newer"}},
		{"in the midst of an upgrade", []*ir.Chain{postrouting(oldHook, newHook), own}, nil, []string{"3.29 or newer"}},
		{"not read", []*ir.Chain{unread, own}, nil, nil},
		{"no hook", []*ir.Chain{postrouting(), own}, nil, nil},
		{"nftables", nil, []ir.NFTTable{{Family: "ip", Name: "calico"}, {Family: "ip6", Name: "calico"}}, []string{"nftables mode"}},
	}
	rec := recognizer(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{{Family: ir.IPv4, Name: "nat", Chains: tt.chains}}}
			found := rec.State(s).Participants(tt.nft)
			if len(found) != 1 || found[0].Name != "calico" {
				t.Fatalf("found %+v, want calico", found)
			}
			if d := cmp.Diff(tt.want, found[0].Versions); d != "" {
				t.Errorf("versions mismatch (-want +got):\n%s", d)
			}
		})
	}
}

// A sign that is lacking is known to be lacking only if somebody looked.
func TestLackingSigns(t *testing.T) {
	chain := func(name string) *ir.Chain { return &ir.Chain{Name: name, Read: true} }
	tests := []struct {
		name   string
		tables []*ir.Table
		want   []string
	}{
		{"lacking", []*ir.Table{{Family: ir.IPv4, Name: "mangle", Chains: []*ir.Chain{chain("KUBE-IPTABLES-HINT")}}}, []string{"1.27 or newer"}},
		{"there", []*ir.Table{{Family: ir.IPv4, Name: "mangle", Chains: []*ir.Chain{chain("KUBE-IPTABLES-HINT")}}, {Family: ir.IPv4, Name: "nat", Chains: []*ir.Chain{chain("KUBE-MARK-DROP")}}}, []string{"1.26 or older, or a chain that such a one left"}},
		{"a table whose chains are not known", []*ir.Table{{Family: ir.IPv4, Name: "mangle", Chains: []*ir.Chain{chain("KUBE-IPTABLES-HINT")}}, {Family: ir.IPv4, Name: "nat", Unreadable: "?"}}, nil},
		{"a table whose chains alone are known", []*ir.Table{{Family: ir.IPv4, Name: "mangle", Chains: []*ir.Chain{chain("KUBE-IPTABLES-HINT")}}, {Family: ir.IPv4, Name: "nat", Unreadable: "?", Chains: []*ir.Chain{chain("X")}}}, []string{"1.27 or newer"}},
	}
	for _, tt := range tests {
		s := &ir.State{Families: []ir.Family{ir.IPv4}, Tables: tt.tables}
		found := recognizer(t).State(s).Participants(nil)
		if len(found) != 1 || found[0].Name != "kubelet" {
			t.Fatalf("%s: found %+v, want kubelet", tt.name, found)
		}
		if d := cmp.Diff(tt.want, found[0].Versions); d != "" {
			t.Errorf("%s: versions mismatch (-want +got):\n%s", tt.name, d)
		}
	}
}

// Chains that two programs make tell of one of them only if nothing tells of the
// other.
func TestSharedChains(t *testing.T) {
	tests := []struct {
		chains []string
		want   []recognize.Found
	}{
		{[]string{"KUBE-FIREWALL"}, []recognize.Found{{Name: "kubelet", Chains: 1}}},
		{[]string{"KUBE-FIREWALL", "KUBE-SERVICES"}, []recognize.Found{{Name: "kube-proxy", Chains: 2}}},
		{[]string{"KUBE-FIREWALL", "KUBE-SERVICES", "KUBE-KUBELET-CANARY"}, []recognize.Found{{Name: "kube-proxy", Chains: 1}, {Name: "kubelet", Chains: 2}}},
		{[]string{"KUBE-POSTROUTING", "KUBE-KUBELET-CANARY"}, []recognize.Found{{Name: "kubelet", Chains: 2}}},
		{[]string{"KUBE-FIREWALL", "KUBE-POSTROUTING"}, []recognize.Found{{Name: "kube-proxy", Chains: 1}, {Name: "kubelet", Chains: 1}}},
	}
	for _, tt := range tests {
		table := &ir.Table{Family: ir.IPv4, Name: "filter"}
		for _, c := range tt.chains {
			table.Chains = append(table.Chains, &ir.Chain{Name: c, Read: true})
		}
		found := recognizer(t).State(&ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{table}}).Participants(nil)
		for i := range found {
			found[i].Versions = nil
		}
		if d := cmp.Diff(tt.want, found); d != "" {
			t.Errorf("%v mismatch (-want +got):\n%s", tt.chains, d)
		}
	}
}

// Rules that anybody could have written are firewalld's only beside its jumps.
func TestBeside(t *testing.T) {
	for text, want := range map[string]string{
		"*filter\n:INPUT ACCEPT [0:0]\n:INPUT_ZONES - [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j INPUT_ZONES\nCOMMIT\n": "firewalld",
		"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j SITE\nCOMMIT\n":                              "",
	} {
		s := parse(t, ir.IPv4, []byte(text))
		k := ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}
		if got := recognizer(t).State(s).Rule(k, 0).Participant; got != want {
			t.Errorf("%q: the first rule is %q's, want %q", text, got, want)
		}
	}
}

// The text of a native rule comes from a file or from whoever named an interface.
func FuzzFromNative(f *testing.F) {
	for _, seed := range []string{`oifname "wt0" ct state established,related counter accept`, `iifname "`, `vmap { "a" : drop`, `@x,1 @y jump`} {
		f.Add(seed, "frwacceptiif")
	}
	f.Fuzz(func(t *testing.T, text, comment string) {
		got := recognize.FromNative(&ir.Native{Text: text, Comment: comment})
		if got.Text != text || (len(got.Comments) == 1) != (comment != "") {
			t.Errorf("FromNative(%q, %q) = %+v", text, comment, got)
		}
	})
}
