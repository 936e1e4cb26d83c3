package xtables

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

// typedRule is a line of testdata: a rule as people type it, and its place.
type typedRule struct {
	family             ir.Family
	table, chain, text string
}

func (r typedRule) String() string {
	return fmt.Sprintf("%s %s %s %s", r.family, r.table, r.chain, r.text)
}

func (r typedRule) options() Options {
	return Options{Family: r.family, Table: r.table, Chain: r.chain}
}

// refusal is why Parse or Check refuse the rule, or "".
func (r typedRule) refusal() string {
	specs, err := Parse(r.text, r.options())
	if err != nil {
		return err.Error()
	}
	for _, s := range specs {
		for _, e := range Check(s, r.table, r.chain, r.family) {
			return e.Message
		}
	}
	return ""
}

// typedRules reads testdata: family, table, chain, rule text.
func typedRules(t testing.TB, name string) []typedRule {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var rules []typedRule
	for line := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n") {
		p := strings.SplitN(line, " ", 4)
		if os.Geteuid() != 0 && strings.Contains(p[3], "-m owner") {
			continue // a user namespace of ours maps user and group 0 only
		}
		r := typedRule{ir.IPv4, p[1], p[2], p[3]}
		if p[0] == "6" {
			r.family = ir.IPv6
		}
		rules = append(rules, r)
	}
	return rules
}

var (
	variants = []string{"legacy", "nft"}
	commands = map[ir.Family]string{ir.IPv4: "iptables", ir.IPv6: "ip6tables"}
)

// needKernel skips the test if there is no private network namespace to be had, or
// fails it where the environment asks for one.
func needKernel(t *testing.T) {
	t.Helper()
	// With -t: without it legacy asks a file that a user namespace cannot read.
	_, err := inNamespace(t, "iptables-legacy-save -t filter && iptables-nft-save -t filter", "")
	if err == nil {
		return
	}
	reason := fmt.Sprintf("no private network namespace with both variants of iptables: %v", err)
	if os.Getenv("HOOKLINE_REQUIRE_KERNEL") == "1" {
		t.Fatal(reason)
	}
	t.Skip("SKIPPED, NOT VERIFIED ON A KERNEL: " + reason)
}

func unshareFlags() []string {
	if os.Geteuid() == 0 {
		return []string{"-n"}
	}
	return []string{"-rn"}
}

// inNamespace runs a shell script in a new network namespace.
func inNamespace(t *testing.T, script, stdin string) (stdout string, err error) {
	t.Helper()
	cmd := exec.Command("unshare", append(unshareFlags(), "sh", "-c", script)...)
	cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock"))
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.String(), nil
}

// restoreText is a block that puts texts into chains.
func restoreText(table string, chains []string, texts map[string][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n:CH - [0:0]\n", table)
	for _, c := range chains {
		for _, text := range texts[c] {
			fmt.Fprintf(&b, "-A %s %s\n", c, text)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// TestKernelSpelling loads rules as people type them, and asks what the tool
// prints: it has to be what Print says, and be the same when it is loaded again.
func TestKernelSpelling(t *testing.T) {
	needKernel(t)
	type key struct {
		family ir.Family
		table  string
	}
	groups := make(map[key][]typedRule)
	for _, r := range typedRules(t, "typed.txt") {
		groups[key{r.family, r.table}] = append(groups[key{r.family, r.table}], r)
	}
	for k, rules := range groups {
		typed, printed := make(map[string][]string), make(map[string][]string)
		var want []string
		chains := ir.BuiltinChains(k.table)
		for _, r := range rules {
			specs, err := Parse(r.text, r.options())
			if err != nil {
				t.Errorf("Parse(%s): %v", r, err)
				continue
			}
			typed[r.chain] = append(typed[r.chain], r.text)
			for _, s := range specs {
				printed[r.chain] = append(printed[r.chain], Print(s, r.family))
			}
		}
		for _, c := range chains {
			want = append(want, printed[c]...)
		}
		for _, v := range variants {
			t.Run(fmt.Sprintf("%s-%s-%s", commands[k.family], v, k.table), func(t *testing.T) {
				tool := commands[k.family] + "-" + v
				for _, input := range []map[string][]string{typed, printed} {
					out, err := inNamespace(t, fmt.Sprintf("%s-restore && %s-save -t %s", tool, tool, k.table), restoreText(k.table, chains, input))
					if err != nil {
						t.Fatal(err)
					}
					saved := make(map[string][]string)
					for line := range strings.SplitSeq(out, "\n") {
						if rest, ok := strings.CutPrefix(line, "-A "); ok {
							c, text, _ := strings.Cut(rest, " ")
							saved[c] = append(saved[c], text)
						}
					}
					var got []string
					for _, c := range chains {
						got = append(got, saved[c]...)
					}
					if d := cmp.Diff(got, want); d != "" {
						t.Errorf("Print differs from what %s-save prints (-tool +ours):\n%s", tool, d)
					}
					for _, text := range got {
						if s, ok := Decode(text, k.family); !ok || Print(s, k.family) != text {
							t.Errorf("Decode and Print do not give back %q", text)
						}
						if !RoundTrips(text, k.family) {
							t.Errorf("RoundTrips(%q) = false, want true", text)
						}
					}
				}
			})
		}
	}
}

// verdictOf asks each variant whether it takes the rules, one by one.
func verdictOf(t *testing.T, variant string, rules []typedRule) []bool {
	t.Helper()
	var in strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&in, "%s %s %s %s\n", commands[r.family], r.table, r.chain, r.text)
	}
	out, err := inNamespace(t, `while IFS= read -r line; do
		tool=${line%% *}; line=${line#* }; table=${line%% *}; line=${line#* }
		printf '*%s\n:CH - [0:0]\n-A %s\nCOMMIT\n' "$table" "$line" | $tool-`+variant+`-restore >/dev/null 2>&1
		echo $?
	done`, in.String())
	if err != nil {
		t.Fatal(err)
	}
	var took []bool
	for code := range strings.FieldsSeq(out) {
		n, err := strconv.Atoi(code)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, n == 0)
	}
	if len(took) != len(rules) {
		t.Fatalf("%d answers for %d rules", len(took), len(rules))
	}
	return took
}

// TestKernelRefusals: what testdata calls refused is refused by both variants and
// by us; what it calls stricter is refused by us although a variant takes it.
func TestKernelRefusals(t *testing.T) {
	needKernel(t)
	for _, name := range []string{"refused.txt", "stricter.txt"} {
		rules := typedRules(t, name)
		took := make(map[int]bool)
		for _, v := range variants {
			for i, ok := range verdictOf(t, v, rules) {
				took[i] = took[i] || ok
			}
		}
		for i, r := range rules {
			if want := name == "stricter.txt"; took[i] != want {
				t.Errorf("%s: %s: taken by iptables: %v, want %v", name, r, took[i], want)
			}
		}
	}
}

// TestKernelVariants: rules that the variants take differently, or print
// differently, must not get through.
func TestKernelVariants(t *testing.T) {
	for _, r := range []typedRule{
		{ir.IPv4, "filter", "INPUT", "! -s 0.0.0.0/0 -j DROP"},
		{ir.IPv6, "filter", "INPUT", "! -s ::/0 -j DROP"},
		{ir.IPv4, "filter", "INPUT", "! -i + -j DROP"},
		{ir.IPv4, "filter", "INPUT", "-p tcp --dport 80 -m tcp --sport 90"},
		{ir.IPv4, "filter", "INPUT", "-j QUEUE"},
		{ir.IPv4, "filter", "INPUT", "-p tcp ! --dport 0:65535"},
		{ir.IPv4, "filter", "INPUT", "-p udp ! --sport 0:65535"},
		{ir.IPv4, "filter", "INPUT", "-p tcp ! --tcp-flags NONE NONE"},
		{ir.IPv4, "filter", "INPUT", "! -p tcp -m tcp --dport 1"},
		{ir.IPv4, "filter", "INPUT", "-m limit --limit 5/s --limit-burst 0"},
		{ir.IPv4, "mangle", "FORWARD", "-p tcp -j TCPMSS --clamp-mss-to-pmtu"},
		{ir.IPv4, "mangle", "FORWARD", "-p tcp ! --syn -j TCPMSS --clamp-mss-to-pmtu"},
		{ir.IPv4, "filter", "INPUT", "-j TRACE"},
		{ir.IPv4, "nat", "PREROUTING", "-j TRACE"},
	} {
		if r.refusal() == "" {
			t.Errorf("%s is taken, and the variants of iptables differ about it", r)
		}
	}
}

// TestKernelPlaces puts each target and match into each built-in chain of each
// table: Check refuses exactly what one of the variants refuses.
func TestKernelPlaces(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: asks the kernel some thousand times")
	}
	needKernel(t)
	var rules []typedRule
	for _, text := range []string{
		"-j ACCEPT", "-j DROP", "-j RETURN", "-j CH", "-g CH", "-j REJECT", "-j LOG", "-j NFLOG", "-j DNAT --to-destination 192.0.2.1",
		"-j SNAT --to-source 192.0.2.1", "-j MASQUERADE", "-j REDIRECT", "-j NETMAP --to 192.0.2.0/24",
		"-p tcp -j TPROXY --on-port 1", "-j CT --notrack", "-j NOTRACK", "-j TRACE", "-j TTL --ttl-set 5", "-j TOS --set-tos 4",
		"-j DSCP --set-dscp 1", "-p tcp -j ECN --ecn-tcp-remove", "-j CHECKSUM --checksum-fill", "-p tcp -j TCPOPTSTRIP",
		"-j CLASSIFY --set-class 1:1", "-p tcp -j SYNPROXY", "-j MARK --set-mark 1", "-j CONNMARK --set-mark 1", "-j NFQUEUE",
		"-p tcp --syn -j TCPMSS --set-mss 1400", "-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu", "-j AUDIT --type drop",
		"-j TEE --gateway 192.0.2.1", "-j HMARK --hmark-tuple src --hmark-mod 9 --hmark-rnd 1",
		"-m owner --uid-owner 0", "-m mac --mac-source 00:11:22:33:44:55", "-m socket", "-m rpfilter", "-m cgroup --cgroup 1",
		"-m realm --realm 1", "-m policy --dir in --pol none", "-m policy --dir out --pol none", "-m devgroup --src-group 1",
		"-m devgroup --dst-group 1", "-m physdev --physdev-in eth0", "-m physdev --physdev-out eth0",
		"-m physdev --physdev-out eth0 --physdev-is-bridged", "-m addrtype --src-type LOCAL --limit-iface-in",
		"-m addrtype --src-type LOCAL --limit-iface-out", "-i eth0", "-o eth0", "-m conntrack --ctstate NEW", "-m mark --mark 1",
		"-m limit", "-m recent --set", "-m statistic --mode random --probability 0.5", "-m pkttype --pkt-type broadcast",
		"-m helper --helper ftp", "-m state --state NEW", "-m comment --comment x", "-m length --length 5", "-m ttl --ttl-eq 5",
		"-m addrtype --dst-type LOCAL", "-p icmp --icmp-type 8", "-p udp --dport 5", "-m cpu --cpu 1",
	} {
		for _, table := range ir.TableNames {
			for _, chain := range ir.BuiltinChains(table) {
				rules = append(rules, typedRule{ir.IPv4, table, chain, text})
			}
		}
	}
	for _, text := range []string{
		"-j REJECT", "-j HL --hl-set 5", "-j SNPT --src-pfx 2001:db8::/64 --dst-pfx 2001:db8:1::/64",
		"-j DNPT --src-pfx 2001:db8::/64 --dst-pfx 2001:db8:1::/64", "-m eui64", "-j MASQUERADE", "-m rpfilter",
	} {
		for _, table := range ir.TableNames {
			for _, chain := range ir.BuiltinChains(table) {
				rules = append(rules, typedRule{ir.IPv6, table, chain, text})
			}
		}
	}
	var taken, refused []typedRule
	for _, r := range rules {
		if r.refusal() == "" {
			taken = append(taken, r)
		} else {
			refused = append(refused, r)
		}
	}
	for _, v := range variants {
		if allTaken(t, v, taken) {
			continue
		}
		for i, ok := range verdictOf(t, v, taken) {
			if !ok {
				t.Errorf("%s is taken, and iptables-%s refuses it", taken[i], v)
			}
		}
	}
	left := refused
	for _, v := range variants {
		var next []typedRule
		for i, ok := range verdictOf(t, v, left) {
			if ok {
				next = append(next, left[i])
			}
		}
		left = next
	}
	for _, r := range left {
		t.Errorf("%s is refused, and both variants take it: %s", r, r.refusal())
	}
	t.Logf("%d rules taken, %d refused", len(taken), len(refused))
}

// allTaken loads rules of several tables and families in one go.
func allTaken(t *testing.T, variant string, rules []typedRule) bool {
	t.Helper()
	for f, command := range commands {
		var b strings.Builder
		for _, table := range ir.TableNames {
			texts := make(map[string][]string)
			for _, r := range rules {
				if r.family == f && r.table == table {
					texts[r.chain] = append(texts[r.chain], r.text)
				}
			}
			b.WriteString(restoreText(table, ir.BuiltinChains(table), texts))
		}
		if _, err := inNamespace(t, command+"-"+variant+"-restore", b.String()); err != nil {
			t.Logf("%s-%s: %v", command, variant, err)
			return false
		}
	}
	return true
}

// TestTypedRules holds without a kernel: the first list is taken, the others are
// refused.
func TestTypedRules(t *testing.T) {
	for _, r := range typedRules(t, "typed.txt") {
		if why := r.refusal(); why != "" {
			t.Errorf("%s is refused: %s", r, why)
		}
	}
	for _, name := range []string{"refused.txt", "stricter.txt"} {
		for _, r := range typedRules(t, name) {
			if r.refusal() == "" {
				t.Errorf("%s: %s is taken", name, r)
			}
		}
	}
}

// TestKernelProtocols: a host without /etc/protocols prints other names and
// numbers; rules are equal all the same, and keep their bytes.
func TestKernelProtocols(t *testing.T) {
	needKernel(t)
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can hide /etc/protocols")
	}
	var in strings.Builder
	in.WriteString("*filter\n")
	numbers := []uint8{1, 2, 4, 6, 17, 33, 41, 46, 47, 50, 51, 58, 88, 89, 94, 103, 108, 112, 115, 132, 135, 136, 200}
	for _, n := range numbers {
		fmt.Fprintf(&in, "-A INPUT -p %d -j DROP\n", n)
	}
	in.WriteString("COMMIT\n")
	for _, v := range variants {
		saves := make([][]ruleLine, 2)
		for i, hide := range []string{"", "mount --bind /dev/null /etc/protocols && "} {
			out, err := inNamespace(t, "unshare -m sh -c '"+hide+"iptables-"+v+"-restore && iptables-"+v+"-save -t filter'", in.String())
			if err != nil {
				t.Fatal(err)
			}
			saves[i] = saveRules(ir.IPv4, []byte(out))
			if len(saves[i]) != len(numbers) {
				t.Fatalf("%d rules come back, want %d", len(saves[i]), len(numbers))
			}
		}
		different := 0
		for i, n := range numbers {
			with, without := saves[0][i].text, saves[1][i].text
			if with != without {
				different++
			}
			if !Equal(&ir.Rule{Text: with}, &ir.Rule{Text: without}, ir.IPv4) {
				t.Errorf("protocol %d: %q and %q are not equal", n, with, without)
			}
			for _, text := range []string{with, without} {
				if !RoundTrips(text, ir.IPv4) {
					t.Errorf("RoundTrips(%q) = false", text)
				}
			}
			if want := Print(&ir.Spec{Protocol: &ir.Protocol{Number: n}, Target: &ir.Verdict{Name: "DROP"}}, ir.IPv4); want != with {
				t.Errorf("iptables-%s-save prints %q, we print %q", v, with, want)
			}
		}
		if different == 0 {
			t.Error("hiding /etc/protocols changed nothing: the test shows nothing")
		}
	}
}
