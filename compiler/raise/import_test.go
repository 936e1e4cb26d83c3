package raise_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/compiler/raise"
	"hookline/dsl/diag"
)

// host is a host as save texts say, one for each family.
func host(t testing.TB, v4, v6 string) *ir.Snapshot {
	t.Helper()
	s := &ir.Snapshot{Variant: ir.IptablesNFT, State: &ir.State{}}
	for f, text := range map[ir.Family]string{ir.IPv4: v4, ir.IPv6: v6} {
		if text == "" {
			continue
		}
		state, _, list := iptables.ParseSave(diag.NewFile(f.String()+".save", text), f, iptables.ParseOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		s.State.Families = append(s.State.Families, f)
		s.State.Tables = append(s.State.Tables, state.Tables...)
	}
	return s
}

// filter is a save of the filter table with some lines and user-defined chains.
func filter(chains string, lines ...string) string {
	out := "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	for _, c := range strings.Fields(chains) {
		out += ":" + c + " - [0:0]\n"
	}
	for _, l := range lines {
		out += "-A " + l + "\n"
	}
	return out + "COMMIT\n"
}

// nat is filter for the nat table.
func nat(chains string, lines ...string) string {
	out := filter(chains, lines...)
	return strings.Replace(out, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n",
		"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n", 1)
}

var anchorsOf = regexp.MustCompile(`(?ms)^      anchors:\n(.*?)(?:^  constraints:|\z)`)

const (
	cali    = `-m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT`
	firewal = `-j KUBE-FIREWALL`
)

// TestBounds says which bounds an anchor gets, and which are left out.
func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name, v4, v6 string
		chains       []string
		want         string
	}{
		{"nobody is known", filter("SITE", "INPUT -s 192.0.2.1/32 -j DROP", "INPUT -j SITE", "SITE -j RETURN"), "", []string{"SITE"}, `
- hook: INPUT
  jump: SITE
`},
		{"first of unknown rules", filter("SITE", "INPUT -j SITE", "INPUT -s 192.0.2.1/32 -j DROP", "SITE -j RETURN"), "", []string{"SITE"}, `
- hook: INPUT
  jump: SITE
  at: first
`},
		{"between two", filter("SITE cali-INPUT KUBE-FIREWALL", "INPUT "+cali, "INPUT -i eth0 -j SITE", "INPUT "+firewal), "", []string{"SITE"}, `
- hook: INPUT
  match: {in: eth0}
  jump: SITE
  after: [calico]
  before: [kubelet]
`},
		{"who returns to the top is no bound below", filter("SITE cali-INPUT KUBE-FIREWALL", "INPUT -j SITE", "INPUT "+cali, "INPUT "+firewal), "", []string{"SITE"}, `
# not before calico, which would not last: calico puts its jump back at position 1 within 180 s (ChainInsertMode: insert)
- hook: INPUT
  jump: SITE
  before: [kubelet]
`},
		{"the nearest, and who returns to that end", filter("SITE cali-INPUT KUBE-FIREWALL KUBE-NODEPORTS ufw-before-input",
			"INPUT "+cali, "INPUT -j ufw-before-input", "INPUT "+firewal, "INPUT -j SITE", "INPUT -j KUBE-NODEPORTS", "INPUT -j ufw-before-input"), "", []string{"SITE"}, `
# ufw has rules on both sides here
- hook: INPUT
  jump: SITE
  after: [kubelet, calico]
  before: [kube-proxy]
`},
		{"a program on both sides is named by its chain", filter("SITE KUBE-SERVICES KUBE-NODEPORTS",
			"INPUT -j KUBE-SERVICES", "INPUT -j SITE", "INPUT -j KUBE-NODEPORTS"), "", []string{"SITE"}, `
- hook: INPUT
  jump: SITE
  after: [KUBE-SERVICES]
  before: [KUBE-NODEPORTS]
`},
		{"or not at all", filter("SITE ufw-before-input", "INPUT -j ufw-before-input", "INPUT -j SITE", "INPUT -j ufw-before-input"), "", []string{"SITE"}, `
# ufw has rules on both sides here
- hook: INPUT
  jump: SITE
`},
		{"ahead of what takes every packet", filter("SITE", "INPUT -j SITE", "INPUT -p tcp -j ACCEPT", "INPUT -m comment --comment end -j DROP"), "", []string{"SITE"}, `
- hook: INPUT
  jump: SITE
  before: [{target: DROP}]
`},
		{"by its text where its target stands ahead too", filter("SITE", "INPUT -s 192.0.2.1/32 -j DROP", "INPUT -j SITE", "INPUT -j DROP"), "", []string{"SITE"}, `
- hook: INPUT
  jump: SITE
  before: [{text: "-j DROP"}]
`},
		{"behind what takes every packet", filter("SITE", "INPUT -j DROP", "INPUT -j SITE"), "", []string{"SITE"}, `
# nothing gets here in ipv4: rule 1 takes every packet
- hook: INPUT
  jump: SITE
`},
		{"ours keep their order", filter("A B C cali-INPUT", "INPUT "+cali, "INPUT -j A", "INPUT -j B", "INPUT -i lo -j C"), "", []string{"A", "B", "C"}, `
- hook: INPUT
  jump: A
  after: [calico]
- hook: INPUT
  jump: B
  after: [calico, A]
- hook: INPUT
  match: {in: lo}
  jump: C
  after: [calico, B]
`},
		{"both families, one without the neighbour", filter("SITE cali-INPUT KUBE-FIREWALL", "INPUT "+cali, "INPUT -j SITE", "INPUT "+firewal), filter("SITE cali-INPUT", "INPUT "+cali, "INPUT -j SITE"), []string{"SITE"}, `
- hook: INPUT
  jump: SITE
  after: [calico]
  before: [kubelet]
`},
		{"families whose places have nothing in common", filter("SITE KUBE-FIREWALL", "INPUT -j SITE", "INPUT "+firewal), filter("SITE KUBE-FIREWALL", "INPUT "+firewal, "INPUT -j SITE"), []string{"SITE"}, `
- hook: INPUT
  families: [ipv4]
  jump: SITE
  before: [kubelet]
- hook: INPUT
  families: [ipv6]
  jump: SITE
  after: [kubelet]
`},
		{"a jump of one family", filter("SITE", "INPUT -j SITE"), filter("SITE", "OUTPUT -s 2001:db8::1/128 -j SITE"), []string{"SITE"}, `
- hook: INPUT
  families: [ipv4]
  jump: SITE
- hook: OUTPUT
  families: [ipv6]
  match: {source: "2001:db8::1"}
  jump: SITE
`},
		{"what takes its place moves nothing any more", nat("OVN-PREROUTING cali-PREROUTING", "PREROUTING -j OVN-PREROUTING", "PREROUTING -m comment --comment \"cali:6gwbT8clXdHdC1b1\" -j cali-PREROUTING"), "", []string{"OVN-PREROUTING", "cali-PREROUTING"}, `
- hook: PREROUTING
  jump: OVN-PREROUTING
# its comment "cali:6gwbT8clXdHdC1b1" is left out: rules with "cali" in them are deleted by others
- hook: PREROUTING
  jump: cali-PREROUTING
  after: [OVN-PREROUTING]
`},
		{"a given chain is a hook", filter("DOCKER-USER SITE", "FORWARD -j DOCKER-USER", "DOCKER-USER -j SITE", "DOCKER-USER -j RETURN", "SITE -s 192.0.2.1/32 -j DROP"), "", []string{"SITE"}, `
- hook: DOCKER-USER
  jump: SITE
  before: [docker]
`},
		{"unless it is taken too", filter("DOCKER-USER SITE", "FORWARD -j DOCKER-USER", "DOCKER-USER -j SITE", "DOCKER-USER -j RETURN", "SITE -s 192.0.2.1/32 -j DROP"), "", []string{"DOCKER-USER"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, list, err := raise.Import(host(t, tt.v4, tt.v6), raise.Options{Chains: tt.chains})
			if err != nil || res == nil {
				t.Fatal(err, list.Err())
			}
			got := ""
			if m := anchorsOf.FindStringSubmatch(res.Text); m != nil {
				for line := range strings.Lines(m[1]) {
					got += strings.TrimPrefix(line, "        ")
				}
			}
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), got); diff != "" {
				t.Errorf("anchors mismatch (-want +got):\n%s\n%s", diff, res.Text)
			}
		})
	}
}

// TestNames says what a ruleset is called.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		chains, asked []string
		jump, want    string
	}{
		{[]string{"HARVESTER_INPUT"}, []string{"HARVESTER_*"}, "", "harvester"},
		{[]string{"Site.In"}, []string{"Site.In"}, "", "site-in"},
		{[]string{"cali-INPUT"}, []string{"cali-INPUT"}, "", "imported"},
		{[]string{"FLANNEL-FWD", "SITE"}, []string{"FLANNEL-FWD", "SITE"}, "", "site"},
		{[]string{"___"}, []string{"___"}, "", "imported"},
		{[]string{"SITE"}, []string{"SITE"}, "hookline:edge", "edge"},
		{[]string{"SITE"}, []string{"SITE"}, "hookline:No Name", "site"},
	} {
		lines := []string{"INPUT -j " + tt.chains[0]}
		if tt.jump != "" {
			lines = []string{`INPUT -m comment --comment "` + tt.jump + `" -j ` + tt.chains[0]}
		}
		res, list, err := raise.Import(host(t, filter(strings.Join(tt.chains, " "), lines...), ""), raise.Options{Chains: tt.asked})
		if tt.jump == "hookline:No Name" {
			if res != nil || !list.Has(diag.OtherRuleset) {
				t.Errorf("a jump of a ruleset with an impossible name is imported: %v", list.Err())
			}
			continue
		}
		if err != nil || res == nil {
			t.Errorf("%v: %v, %v", tt.asked, err, list.Err())
			continue
		}
		if !strings.Contains(res.Text, "\n  name: "+tt.want+"\n") {
			t.Errorf("%v is not called %s:\n%s", tt.asked, tt.want, res.Text)
		}
	}
}

// TestComesAlong: the names that a ruleset would own besides, and those that its
// chains jump to, wherever they stand.
func TestComesAlong(t *testing.T) {
	v4 := filter("SITE SITE.x SITE-B OTHER", "INPUT -j SITE", "SITE -j SITE-B", "OTHER -j SITE") + nat("SITE-B", "PREROUTING -j SITE-B")
	res, list, err := raise.Import(host(t, v4, filter("SITE.y SITE-B", "SITE-B -j RETURN")), raise.Options{Chains: []string{"SITE"}, Tables: []string{"filter"}, Families: []ir.Family{ir.IPv4}})
	if err != nil || res == nil {
		t.Fatal(err, list.Err())
	}
	for _, want := range []string{
		"    chains: [SITE, SITE-B, SITE.x, SITE.y]\n",
		"    nat:\n      chains:\n        # comes along: SITE jumps to it\n        SITE-B:",
		"# comes along: its name is that of a helper chain of SITE\n",
		"# filter OTHER, which is not of this ruleset, jumps to SITE; that jump stays as it is.\n",
	} {
		if !strings.Contains(res.Text, want) {
			t.Errorf("the ruleset lacks %q:\n%s", want, res.Text)
		}
	}
	if res.Chains != 1 || res.Along != 3 {
		t.Errorf("%d chains and %d along", res.Chains, res.Along)
	}
}

// TestRefused: what cannot be imported is told by name and line, and all at once.
func TestRefused(t *testing.T) {
	long := "A-CHAIN-OF-MORE-BYTES-THAN-28"
	v4 := filter("PREROUTING MARK SITE-flannel SITE it's "+long, "INPUT -j SITE", "SITE -j PREROUTING", "SITE -j it's", "SITE -m unheard -j DROP")
	res, list, err := raise.Import(host(t, v4, ""), raise.Options{Chains: []string{"*"}})
	if err != nil || res != nil {
		t.Fatalf("it is imported: %v, %v", res, err)
	}
	var got []string
	for _, d := range list.All() {
		if d.Severity == diag.Error {
			got = append(got, d.Span.String()+" "+string(d.Code)+" "+d.Message)
		}
	}
	want := []string{
		`ipv4.save:5:1 not-importable chain "PREROUTING" cannot be declared: the name is that of a built-in chain of another table, and a ruleset owns names in all of them`,
		`ipv4.save:6:1 not-importable chain "MARK" cannot be declared: the name is that of a target of iptables`,
		`ipv4.save:7:1 killall-substring chain SITE-flannel: a name with "flannel" is not safe: k3s-killall.sh and rke2-killall.sh delete every rule with flannel in it, k3s in any case`,
		`ipv4.save:9:1 not-importable chain "it's" cannot be declared: the name holds the character '\''`,
		`ipv4.save:10:1 not-importable chain "` + long + `" cannot be declared: the name is 29 bytes long; at most 28 are possible`,
		`ipv4.save:14:1 not-importable rule 3 of ipv4 filter SITE cannot be written in a ruleset: unknown match unheard`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings mismatch (-want +got):\n%s", diff)
	}
}

// large is a recorded node with 12,000 chains and 34,000 rules.
func large(b *testing.B) *ir.Snapshot {
	b.Helper()
	shared := os.Getenv("HOOKLINE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	file, err := os.Open(filepath.Join(shared, "snapshots", "kube-proxy-iptables", "svc2000.nft.v4.save.gz"))
	if err != nil {
		b.Skipf("THE RECORDED STATES ARE NOT HERE, NOTHING IS MEASURED: set HOOKLINE_SHARED (%v)", err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		b.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	return host(b, string(text), "")
}

func BenchmarkImportAll(b *testing.B) { benchmark(b, "*") }

func BenchmarkImportOne(b *testing.B) { benchmark(b, "KUBE-POSTROUTING") }

func benchmark(b *testing.B, glob string) {
	snap := large(b)
	b.ReportAllocs()
	for b.Loop() {
		res, list, err := raise.Import(snap, raise.Options{Chains: []string{glob}})
		if err != nil || res == nil {
			b.Fatal(err, list.Err())
		}
		b.ReportMetric(float64(res.Rules), "rules")
	}
}
