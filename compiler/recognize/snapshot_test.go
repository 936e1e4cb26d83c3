package recognize_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
)

// fields reads a rule's fields from its words.
func fields(_ ir.Family, r *ir.Rule) recognize.Fields {
	f := recognize.Fields{Text: r.Text}
	words, err := xtables.Words(r.Text)
	if err != nil {
		return f
	}
	for i := 0; i+1 < len(words); i++ {
		value := words[i+1].Text
		switch words[i].Text {
		case "-j", "-g":
			f.Target, f.Goto = value, words[i].Text == "-g"
		case "--comment":
			f.Comments = append(f.Comments, value)
		case "-i", "-o":
			if i > 0 && words[i-1].Text == "!" {
				value = "! " + value
			}
			if words[i].Text == "-i" {
				f.In = value
			} else {
				f.Out = value
			}
		case "--match-set", "--add-set", "--del-set", "--map-set":
			f.Sets = append(f.Sets, value)
		default:
			continue
		}
		i++
	}
	return f
}

func recognizer(t testing.TB) *recognize.Recognizer {
	t.Helper()
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return recognize.New(cat, fields)
}

// snapshots is the folder of recorded states.
func snapshots(t *testing.T) string {
	t.Helper()
	shared := os.Getenv("HOOKLINE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(shared, "snapshots")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("THE RECORDED STATES ARE NOT HERE, NOTHING IS CHECKED: set HOOKLINE_SHARED (%v)", err)
	}
	return dir
}

// saves are the iptables-save texts below a folder, with their families.
func saves(t *testing.T, dir string) map[string]ir.Family {
	t.Helper()
	out := map[string]ir.Family{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil || d.IsDir() || strings.Contains(name, "ipset") || strings.HasSuffix(name, ".stderr"):
			return err
		case strings.HasPrefix(name, "ip6tables-"), strings.Contains(name, ".v6.save"):
			out[path] = ir.IPv6
		case strings.HasPrefix(name, "iptables-") && strings.HasSuffix(name, "save.txt"), strings.Contains(name, ".v4.save"):
			out[path] = ir.IPv4
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".gz") {
		return data
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	data, err = io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// parse reads what this test needs of a save: tables, chains and rules.
func parse(t testing.TB, family ir.Family, data []byte) *ir.State {
	t.Helper()
	s := &ir.State{Families: []ir.Family{family}}
	var table *ir.Table
	chains := map[string]*ir.Chain{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "[") {
			_, line, _ = strings.Cut(line, " ")
		}
		switch {
		case strings.HasPrefix(line, "*"):
			table = &ir.Table{Family: family, Name: line[1:]}
			s.Tables = append(s.Tables, table)
			chains = map[string]*ir.Chain{}
		case strings.HasPrefix(line, ":"):
			name, _, _ := strings.Cut(line[1:], " ")
			c := &ir.Chain{Name: name, Read: true}
			chains[name] = c
			table.Chains = append(table.Chains, c)
		case strings.HasPrefix(line, "-A "):
			name, text, _ := strings.Cut(line[len("-A "):], " ")
			chains[name].Rules = append(chains[name].Rules, &ir.Rule{Text: text})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// unknowns are the rules of built-in chains that nobody claims.
func unknowns(s *ir.State, table *recognize.Table) []string {
	var out []string
	for _, t := range s.Tables {
		for _, c := range t.Chains {
			if !ir.IsBuiltin(t.Name, c.Name) {
				continue
			}
			k := ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}
			for i, r := range c.Rules {
				if table.Rule(k, i).Participant == "" {
					out = append(out, fmt.Sprintf("%s -A %s %s", t.Name, c.Name, r.Text))
				}
			}
		}
	}
	return out
}

// Every rule in a built-in chain of a whole node has an owner.
func TestNodesHaveNoUnknownRules(t *testing.T) {
	dir := snapshots(t)
	rec := recognizer(t)
	rules := 0
	for path, family := range saves(t, dir) {
		if rel, _ := filepath.Rel(dir, path); !strings.HasPrefix(rel, "node-") {
			continue
		}
		s := parse(t, family, read(t, path))
		if diff := cmp.Diff([]string(nil), unknowns(s, rec.State(s))); diff != "" {
			t.Errorf("%s: rules that nobody claims (-want +got):\n%s", path, diff)
		}
		for _, table := range s.Tables {
			for _, c := range table.Chains {
				rules += len(c.Rules)
			}
		}
	}
	if rules < 1000 {
		t.Errorf("only %d rules were looked at", rules)
	}
	t.Logf("%d rules of whole nodes", rules)
}

func TestParticipantsOfFolders(t *testing.T) {
	kube := "kube-proxy kubelet"
	want := map[string]string{
		"calico-felix":         "calico " + kube,
		"cni-portmap-iptables": "portmap",
		"docker":               "docker",
		"docker29-iptables":    "docker",
		"firewalld":            "firewalld",
		"flannel-iptables":     "flannel",
		"kube-ovn":             "kube-ovn",
		"kube-proxy-iptables":  kube,
		"kube-router":          "kube-router",
		"kube-vip":             "kube-vip",
		"kubelet":              kube,
		"mixed":                "docker flannel kube-vip " + kube,
		"netbird":              "netbird " + kube,
		"node-flannel":         "flannel portmap " + kube,
		"node-harvester":       "calico flannel kube-ovn portmap " + kube,
		"node-k3s-netbird":     "flannel kube-router netbird portmap " + kube,
		"node-kube-vip":        "flannel kube-vip " + kube,
		"node-mixed-backends":  "calico flannel portmap " + kube,
		"node-rke2":            "calico flannel kube-ovn portmap " + kube,
		"node-tailscale":       "flannel portmap " + kube,
		"node-ufw":             "flannel portmap ufw " + kube,
		"tailscale":            "tailscale",
		"ufw":                  "ufw " + kube,
	}
	dir := snapshots(t)
	rec := recognizer(t)
	got := map[string]string{}
	for path, family := range saves(t, dir) {
		rel, _ := filepath.Rel(dir, path)
		folder, _, _ := strings.Cut(rel, string(filepath.Separator))
		s := parse(t, family, read(t, path))
		names := strings.Fields(got[folder])
		table := rec.State(s)
		present := table.Present()
		for i, f := range table.Participants() {
			if i >= len(present) || present[i] != f.Name {
				t.Errorf("%s: Present = %v lacks %s", rel, present, f.Name)
			}
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
		slices.Sort(names)
		got[folder] = strings.Join(names, " ")
	}
	for folder, names := range want {
		sorted := strings.Fields(names)
		slices.Sort(sorted)
		want[folder] = strings.Join(sorted, " ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("participants mismatch (-want +got):\n%s", diff)
	}
}

// What recordings of one program alone hold and nobody claims: rules that the
// recording added by hand, an address translation with nothing of its program in
// it, and firewalld's rules that any administrator could have written.
func TestUnknownRulesOfFolders(t *testing.T) {
	dir := snapshots(t)
	rec := recognizer(t)
	got := map[string][]string{}
	for path, family := range saves(t, dir) {
		rel, _ := filepath.Rel(dir, path)
		folder, _, _ := strings.Cut(rel, string(filepath.Separator))
		s := parse(t, family, read(t, path))
		for _, u := range unknowns(s, rec.State(s)) {
			if !slices.Contains(got[folder], u) {
				got[folder] = append(got[folder], u)
			}
		}
		slices.Sort(got[folder])
		if len(got[folder]) == 0 {
			delete(got, folder)
		}
	}
	want := map[string][]string{
		"calico-felix": {`filter -A FORWARD -m comment --comment "site policy" -j REJECT --reject-with icmp-port-unreachable`},
		"firewalld": {
			"filter -A FORWARD -i lo -j ACCEPT",
			"filter -A FORWARD -j REJECT --reject-with icmp-host-prohibited",
			"filter -A FORWARD -j REJECT --reject-with icmp6-adm-prohibited",
			"filter -A FORWARD -m conntrack --ctstate INVALID -j DROP",
			"filter -A INPUT -i lo -j ACCEPT",
			"filter -A INPUT -j REJECT --reject-with icmp-host-prohibited",
			"filter -A INPUT -j REJECT --reject-with icmp6-adm-prohibited",
			"filter -A INPUT -m conntrack --ctstate INVALID -j DROP",
			"filter -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
			"filter -A OUTPUT -o lo -j ACCEPT",
			"mangle -A PREROUTING -p ipv6-icmp -m icmp6 --icmpv6-type 134 -j ACCEPT",
			"mangle -A PREROUTING -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT",
		},
		"kube-proxy-iptables": {"nat -A PREROUTING -j MY-HOOK"},
		"tailscale":           {"nat -A POSTROUTING -d 100.64.9.9/32 -j SNAT --to-source 100.101.102.103"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules that nobody claims (-want +got):\n%s", diff)
	}
}
