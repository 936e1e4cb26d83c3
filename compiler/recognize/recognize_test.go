package recognize_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
)

func TestRule(t *testing.T) {
	tests := []struct {
		table, chain, text string
		want               string // participant, with /tail
		why                string
	}{
		{"nat", "PREROUTING", `-m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING`, "calico", ""},
		{"filter", "FORWARD", `-m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT`, "calico/tail", ""},
		{"filter", "FORWARD", `-m comment --comment "cali:mp77cMpurHhyjLrM" -j MARK --set-xmark 0x10000/0x10000`, "calico/tail", ""},
		{"filter", "cali-FORWARD", `-m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000`, "calico", "the tail is in FORWARD only"},
		{"filter", "cali-pi-x", `-p tcp -j ACCEPT`, "calico", "what stands in a program's chain is the program's"},
		{"filter", "FORWARD", `-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`, "kube-proxy", ""},
		{"filter", "INPUT", `-j KUBE-FIREWALL`, "kubelet", "N-9: no comment; longer than KUBE-*"},
		{"filter", "INPUT", `-m comment --comment "kube-router netpol - 4IA2OSFRMVNDXBVV" -j KUBE-ROUTER-INPUT`, "kube-router", "longer than KUBE-*"},
		{"filter", "INPUT", `-m comment --comment "KUBE-ROUTER rule to explicitly ACCEPT traffic that comply to network policies" -m mark --mark 0x20000/0x20000 -j ACCEPT`, "kube-router/tail", ""},
		{"mangle", "PREROUTING", `-m comment --comment "a3ViZS12aXAK=kube-vip-e2e-test" -j KUBE-VIP-EGRESS`, "kube-vip", ""},
		{"filter", "INPUT", `-d 192.0.2.1/32 -m comment --comment "ns/web kube-vip load balancer IP" -j DROP`, "kube-vip", ""},
		{"filter", "INPUT", `-m set --match-set ovn40subnets src -j ACCEPT`, "kube-ovn", "no comment, no chain: the set"},
		{"filter", "INPUT", `-m set --match-set ovn60services dst -j ACCEPT`, "kube-ovn", ""},
		{"filter", "OUTPUT", `-p udp -m udp --dport 6081 -j MARK --set-xmark 0x0/0xffffffff`, "kube-ovn", ""},
		{"filter", "OUTPUT", `-p udp -m udp --dport 4789 -j MARK --set-xmark 0x0/0xffffffff`, "kube-ovn", ""},
		{"filter", "FORWARD", `-s 10.66.0.0/24 -m comment --comment "ovn-subnet-gateway,vm-net"`, "kube-ovn", "a rule without target"},
		{"nat", "POSTROUTING", `-m comment --comment "flanneld masq" -j FLANNEL-POSTRTG`, "flannel", ""},
		{"nat", "PREROUTING", `-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT`, "portmap", ""},
		{"nat", "POSTROUTING", `-s 10.88.0.2/32 -m comment --comment "name: \"podnet\" id: \"d38302eaa6\"" -j CNI-63fb332988cea8335c3bc6c1`, "portmap", "escaped quotes"},
		{"filter", "INPUT", `-i wt0 -j ACCEPT`, "netbird", ""},
		{"filter", "FORWARD", `-o wt0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`, "netbird", ""},
		{"filter", "FORWARD", `-m mark --mark 0x1bd20 -j ACCEPT`, "netbird", ""},
		{"filter", "ufw-user-input", `-i wt0 -j ACCEPT`, "ufw", "rule globs describe shared chains"},
		{"filter", "FORWARD", `-i wt0 -j SITE`, "", "a jump to a chain of somebody else"},
		{"filter", "SITE", `-i wt0 -j ACCEPT`, "netbird", "a chain of nobody known is shared"},
		{"filter", "FORWARD", `-j DOCKER-USER`, "docker", ""},
		{"filter", "DOCKER-USER", `-s 192.0.2.0/24 -j DROP`, "", "the chain is the users'"},
		{"filter", "DOCKER-USER", `-j RETURN`, "docker", ""},
		{"filter", "DOCKER", `-d 172.17.0.2/32 ! -i docker0 -o docker0 -j ACCEPT`, "docker", ""},
		{"filter", "FORWARD", `-i br-2eb20a06e322 ! -o br-2eb20a06e322 -j ACCEPT`, "docker", ""},
		{"filter", "INPUT", `-i br-lan -j ACCEPT`, "", "docker's bridges are named on both sides"},
		{"nat", "POSTROUTING", `-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE`, "docker", ""},
		{"filter", "INPUT", `-j ts-input`, "tailscale", ""},
		{"nat", "POSTROUTING", `-m comment --comment "cilium-feeder: CILIUM_POST_nat" -j CILIUM_POST_nat`, "cilium", ""},
		{"filter", "INPUT", `-p tcp -m tcp --dport 22 -j ACCEPT`, "", ""},
		{"filter", "INPUT", `-m comment --comment "before KUBE-SERVICES" -j ACCEPT`, "", "a name inside a comment is nobody's"},
		{"filter", "INPUT", ``, "", "a rule without anything"},
	}
	rec := recognizer(t)
	for _, tt := range tests {
		k := ir.ChainKey{Family: ir.IPv4, Table: tt.table, Chain: tt.chain}
		a := rec.Rule(k, &ir.Rule{Text: tt.text})
		got := a.Participant
		if a.Tail {
			got += "/tail"
		}
		if got != tt.want {
			t.Errorf("Rule(%s %s, %s) = %q by %v, want %q %s", tt.table, tt.chain, tt.text, got, a.By, tt.want, tt.why)
		}
	}
}

func TestExtendedCatalogue(t *testing.T) {
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	cat, err = cat.Extend([]participant.Entry{
		{
			Name: "site-agent", Chains: []string{"AGENT-*"}, Comments: []string{"site-agent:*"}, Sets: []string{"ag-*"},
			Rules: []participant.RuleGlob{{In: "wt0", Target: "ACCEPT"}},
		},
		{Name: "calico", Comments: []string{"felix *"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := recognize.New(cat, fields)
	tests := []struct{ text, want string }{
		{`-j AGENT-IN`, "site-agent"},
		{`-m comment --comment site-agent:7 -j DROP`, "site-agent"},
		{`-m set --match-set ag-4 src -j DROP`, "site-agent"},
		{`-i wt0 -j ACCEPT`, "site-agent"}, // longer than netbird's wt*
		{`-i wt1 -j ACCEPT`, "netbird"},
		{`-m comment --comment "felix x" -j DROP`, "calico"},
		{`-j cali-INPUT`, "calico"},
	}
	for _, tt := range tests {
		if got := rec.Rule(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}, &ir.Rule{Text: tt.text}).Participant; got != tt.want {
			t.Errorf("Rule(%s) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	s := parse(t, ir.IPv4, []byte(`*filter
:INPUT ACCEPT [0:0]
:cali-INPUT - [0:0]
:SITE - [0:0]
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT -p tcp -j SITE
-A cali-INPUT -j ACCEPT
COMMIT
`))
	s.Sets = []*ir.Set{{Name: "ovn40subnets"}, {Name: "mine"}}
	calls := 0
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	table := recognize.New(cat, func(f ir.Family, r *ir.Rule) recognize.Fields { calls++; return fields(f, r) }).State(s)
	input := ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}
	want := recognize.Attribution{Participant: "calico", By: recognize.Evidence{Kind: "chain", Glob: "cali-INPUT"}}
	if diff := cmp.Diff(want, table.Rule(input, 0)); diff != "" {
		t.Errorf("Rule mismatch (-want +got):\n%s", diff)
	}
	for _, i := range []int{-1, 1, 2} {
		if got := table.Rule(input, i); got != (recognize.Attribution{}) {
			t.Errorf("Rule(%d) = %v, want nobody", i, got)
		}
	}
	if calls != 2 {
		t.Errorf("%d rules were decoded, want the chain's 2", calls)
	}
	if diff := cmp.Diff([]string{"calico", "kube-ovn"}, table.Present()); diff != "" || calls != 2 {
		t.Errorf("Present mismatch after %d calls (-want +got):\n%s", calls, diff)
	}
	wantFound := []recognize.Found{{Name: "calico", Chains: 1, Rules: 2}, {Name: "kube-ovn", Sets: 1}}
	if diff := cmp.Diff(wantFound, table.Participants(nil)); diff != "" {
		t.Errorf("Participants mismatch (-want +got):\n%s", diff)
	}
	if got := table.ChainOwner("DOCKER-USER") + " " + table.ChainOwner("SITE"); got != "docker " {
		t.Errorf("ChainOwner = %q", got)
	}
}

// The fields of a decoded rule are the fields of its text.
func TestFromSpec(t *testing.T) {
	tests := []string{
		``, `-j ACCEPT`, `-g SITE`, `! -i lo -o wt+ -j DROP`,
		`-m comment --comment "a b" -m comment --comment c -j LOG --log-prefix x`,
		`-p udp -m udp --dport 6081 -j MARK --set-xmark 0x0/0xffffffff`,
		`-m set --match-set ovn40subnets src -j ACCEPT`,
		`-j REJECT --reject-with icmp-port-unreachable`, `-j NFLOG --nflog-group 1`,
		`-p tcp -j DNAT --to-destination 192.0.2.1:80`, `-j SNAT --to-source 192.0.2.1`, `-j MASQUERADE`,
		`-p tcp -j REDIRECT --to-ports 80`, `-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff`, `-j CT --notrack`,
		`-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu`,
		`-j DSCP --set-dscp 0x0a`, `-p tcp -j TPROXY --on-port 1 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1`,
	}
	for _, text := range tests {
		specs, err := xtables.Parse(text, xtables.Options{Family: ir.IPv4})
		if err != nil {
			t.Errorf("Parse(%s): %v", text, err)
			continue
		}
		want := fields(ir.IPv4, &ir.Rule{Text: text})
		if diff := cmp.Diff(want, recognize.FromSpec(specs[0], text)); diff != "" {
			t.Errorf("FromSpec(%s) mismatch (-want +got):\n%s", text, diff)
		}
	}
}

func TestFromSpecSetTarget(t *testing.T) {
	spec := &ir.Spec{Target: &ir.RawTarget{Name: "SET", Args: []string{"--add-set", "seen", "src", "--exist"}}}
	want := recognize.Fields{Target: "SET", Sets: []string{"seen"}, Text: "t"}
	if diff := cmp.Diff(want, recognize.FromSpec(spec, "t")); diff != "" {
		t.Errorf("FromSpec mismatch (-want +got):\n%s", diff)
	}
}

func TestMatches(t *testing.T) {
	f := recognize.Fields{
		Target: "ACCEPT", Comments: []string{"one", "two"}, In: "! wt0", Out: "eth0", Sets: []string{"a", "b"},
		Text: "! -i wt0 -o eth0 -j ACCEPT",
	}
	tests := []struct {
		glob participant.RuleGlob
		want bool
	}{
		{participant.RuleGlob{}, true},
		{participant.RuleGlob{Comment: "tw*"}, true},
		{participant.RuleGlob{Comment: "three"}, false},
		{participant.RuleGlob{In: "wt*"}, false},
		{participant.RuleGlob{In: "! wt*"}, true},
		{participant.RuleGlob{Out: "eth*", Target: "ACCEPT", Set: "b"}, true},
		{participant.RuleGlob{Out: "eth*", Target: "DROP"}, false},
		{participant.RuleGlob{Text: "*-j ACCEPT"}, true},
		{participant.RuleGlob{Text: "-j ACCEPT"}, false},
	}
	for _, tt := range tests {
		if got := recognize.Matches(tt.glob, f); got != tt.want {
			t.Errorf("Matches(%s) = %v, want %v", tt.glob, got, tt.want)
		}
	}
}

func BenchmarkParticipants(b *testing.B) {
	s := hundredThousand(b)
	rec := recognizer(b)
	b.ResetTimer()
	for range b.N {
		if found := rec.State(s).Participants(nil); found[0].Rules != 100_000 {
			b.Fatal(found)
		}
	}
}

func BenchmarkPresent(b *testing.B) {
	s := hundredThousand(b)
	rec := recognizer(b)
	b.ResetTimer()
	for range b.N {
		if names := rec.State(s).Present(); len(names) != 1 {
			b.Fatal(names)
		}
	}
}

// hundredThousand is kube-proxy's nat table of 50,000 services.
func hundredThousand(b *testing.B) *ir.State {
	b.Helper()
	var text strings.Builder
	text.WriteString("*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n")
	for i := range 50_000 {
		fmt.Fprintf(&text, ":KUBE-SVC-%06d - [0:0]\n", i)
	}
	for i := range 50_000 {
		fmt.Fprintf(&text, "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"default/svc-%d:http cluster IP\" -m tcp --dport 80 -j KUBE-SVC-%06d\n", i, i)
		fmt.Fprintf(&text, "-A KUBE-SVC-%06d -m comment --comment \"default/svc-%d\" -j DNAT --to-destination 10.244.0.1:80\n", i, i)
	}
	text.WriteString("COMMIT\n")
	return parse(b, ir.IPv4, []byte(text.String()))
}
