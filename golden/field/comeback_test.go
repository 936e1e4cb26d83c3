package field

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// shipped is the text of a ruleset that comes with hookline.
func shipped(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "rulesets", name, "ruleset.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shippedWith compiles a ruleset that comes with hookline, with values.
func shippedWith(t *testing.T, name, values string) []*compiler.Program {
	t.Helper()
	docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", shipped(t, name)))
	entries, l := dsl.ParseValues(diag.NewFile("values.yaml", values))
	list.Append(l)
	if list.HasErrors() {
		t.Fatal(findings(list))
	}
	var out []*compiler.Program
	for _, d := range docs {
		p, list := compiler.Compile(d, compiler.CompileOptions{Values: [][]*dsl.Entry{entries}})
		if list.HasErrors() {
			t.Fatal(findings(list))
		}
		out = append(out, p)
	}
	return out
}

// flush empties every table, chains and all, as firewalld does when it reloads
// with FlushAllOnReload=yes (FIELD M-34).
func (n *node) flush() {
	n.t.Helper()
	for _, f := range ir.Families {
		for _, table := range []string{"raw", "mangle", "nat", "filter"} {
			for _, what := range []string{"-F", "-X", "-Z"} {
				n.run("", n.tool(f, ""), "-w", "-t", table, what)
			}
		}
	}
}

// feed gives a restore tool lines of a table, as another program would.
func (n *node) feed(f ir.Family, table string, lines ...string) {
	n.t.Helper()
	n.run("*"+table+"\n"+strings.Join(lines, "\n")+"\nCOMMIT\n", n.tool(f, "-restore"), "--noflush", "-w")
}

// top puts a jump at the top of a chain, whether it stands already or not, as
// Calico does.
func (n *node) top(f ir.Family, table, chain, rule string) {
	n.t.Helper()
	lines := []string{"-I " + chain + " 1 " + rule}
	for _, r := range n.chain(f, table, chain) {
		if r == rule {
			// Of two equal rules the first is deleted: what stood, goes.
			lines = []string{"-D " + chain + " " + rule, lines[0]}
		}
	}
	n.feed(f, table, lines...)
}

// missing puts a rule in unless it stands, at the top (-I) or at the end (-A).
func (n *node) missing(f ir.Family, table, chain, where, rule string) {
	n.t.Helper()
	for _, r := range n.chain(f, table, chain) {
		if r == rule {
			return
		}
	}
	n.feed(f, table, where+" "+chain+" "+rule)
}

// declare makes chains that do not stand; it does not empty those that do.
func (n *node) declare(f ir.Family, table string, chains ...string) {
	n.t.Helper()
	save := n.run("", n.tool(f, "-save"), "-t", table)
	for _, c := range chains {
		if !strings.Contains(save, fmt.Sprintf(":%s -", c)) {
			n.run("", n.tool(f, ""), "-w", "-t", table, "-N", c)
		}
	}
}

// The jumps that the programs of an RKE2 node put into shared chains.
const (
	caliForward  = `-m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD`
	caliAccept   = `-m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT`
	caliPost     = `-m comment --comment "cali:0i8pjzKKPyA34aQD" -j cali-POSTROUTING`
	caliPost328  = `-m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING`
	kubeForward  = `-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD`
	kubeNode     = `-m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS`
	kubePost     = `-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING`
	flannelPost  = `-m comment --comment "flanneld masq" -j FLANNEL-POSTRTG`
	flannelFwd   = `-m comment --comment "flanneld forward" -j FLANNEL-FWD`
	hostMasq     = `-m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ`
	ovnAccept    = `-m set --match-set ovn40subnets src -j ACCEPT`
	rke2Forward  = `-m comment --comment "hookline:rke2-node" -j RKE2_FORWARD`
	harvesterRef = `-i mgmt-br -m comment --comment "hookline:harvester-node" -j HARVESTER_INPUT`
)

// comeback are the programs of an RKE2 node, and what each does when it looks: it
// makes what is missing, where it makes it, and Calico moves itself. In IPv4 only.
var comeback = map[string]func(n *node){
	"calico": func(n *node) {
		n.declare(ir.IPv4, "filter", "cali-INPUT", "cali-FORWARD", "cali-OUTPUT")
		n.declare(ir.IPv4, "nat", "cali-PREROUTING", "cali-POSTROUTING")
		n.top(ir.IPv4, "filter", "INPUT", caliInput)
		n.top(ir.IPv4, "filter", "FORWARD", caliForward)
		n.top(ir.IPv4, "nat", "PREROUTING", caliJump)
		n.missing(ir.IPv4, "filter", "FORWARD", "-A", caliAccept)
		n.missing(ir.IPv4, "nat", "POSTROUTING", "-A", caliPost)
	},
	"kube-proxy": func(n *node) {
		n.declare(ir.IPv4, "filter", "KUBE-FORWARD", "KUBE-NODEPORTS")
		n.declare(ir.IPv4, "nat", "KUBE-SERVICES", "KUBE-POSTROUTING")
		n.declare(ir.IPv4, "mangle", "KUBE-PROXY-CANARY")
		n.missing(ir.IPv4, "filter", "FORWARD", "-I", kubeForward)
		n.missing(ir.IPv4, "filter", "INPUT", "-I", kubeNode)
		n.missing(ir.IPv4, "nat", "PREROUTING", "-I", kubeJump)
		n.missing(ir.IPv4, "nat", "POSTROUTING", "-I", kubePost)
	},
	"kubelet": func(n *node) {
		n.declare(ir.IPv4, "filter", "KUBE-FIREWALL")
		n.declare(ir.IPv4, "mangle", "KUBE-KUBELET-CANARY")
		n.missing(ir.IPv4, "filter", "INPUT", "-I", firewall)
	},
	"flannel": func(n *node) {
		n.declare(ir.IPv4, "filter", "FLANNEL-FWD")
		n.declare(ir.IPv4, "nat", "FLANNEL-POSTRTG")
		n.missing(ir.IPv4, "filter", "FORWARD", "-A", flannelFwd)
		n.missing(ir.IPv4, "nat", "POSTROUTING", "-A", flannelPost)
	},
	"kube-ovn": func(n *node) {
		n.try("", "ipset", "create", "-exist", "ovn40subnets", "hash:net")
		n.declare(ir.IPv4, "nat", "OVN-PREROUTING")
		n.missing(ir.IPv4, "filter", "FORWARD", "-I", ovnAccept)
		// Its jump goes ahead of kube-proxy's, or to the top (kube-ovn#5232).
		at := 1
		for i, r := range n.chain(ir.IPv4, "nat", "PREROUTING") {
			if r == ovnJump {
				return
			}
			if r == kubeJump {
				at = i + 1
			}
		}
		n.feed(ir.IPv4, "nat", fmt.Sprintf("-I PREROUTING %d %s", at, ovnJump))
	},
	"portmap": func(n *node) {
		n.declare(ir.IPv4, "nat", "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ")
		n.missing(ir.IPv4, "nat", "PREROUTING", "-A", hostJump)
		n.missing(ir.IPv4, "nat", "POSTROUTING", "-I", hostMasq)
	},
}

// orders lists orders of names: all if the long tests run, else some.
func orders(names ...string) [][]string {
	var all [][]string
	var grow func(done, rest []string)
	grow = func(done, rest []string) {
		if len(rest) == 0 {
			all = append(all, append([]string(nil), done...))
		}
		for i := range rest {
			next := append(append([]string(nil), rest[:i]...), rest[i+1:]...)
			grow(append(append([]string(nil), done...), rest[i]), next)
		}
	}
	grow(nil, names)
	if long() {
		return all
	}
	var out [][]string
	for i := 0; i < len(all); i += len(all)/4 + 1 {
		out = append(out, all[i])
	}
	return out
}
