package field

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"hookline/backend"
	"hookline/compiler/ir"
)

// The other programs of the tests write through the library that Calico's and
// Kube-OVN's own code uses or is like: one run of iptables for each rule.

// felix is the jump that Calico puts back at the top with every resync.
var felix = []string{"-m", "comment", "--comment", "cali:Cz_u1IQiXIMmKD4c", "-j", "cali-INPUT"}

// churned are the base chains in which the churn simulator works.
var churned = []struct{ table, chain string }{{"filter", "INPUT"}, {"nat", "PREROUTING"}}

// simulators are the programs that play others, by name. tool is the iptables
// program that they use.
func simulators(tool string) map[string]func(*iptables.IPTables, int) error {
	return map[string]func(*iptables.IPTables, int) error{
		"churn": churn, "felix": resync,
		"flanneld":       func(ipt *iptables.IPTables, _ int) error { return flanneld(ipt, tool) },
		"flanneld-loses": func(ipt *iptables.IPTables, n int) error { return flanneldLoses(ipt, tool, n) },
	}
}

// writer runs a simulator until stdin ends. args is the iptables program to use.
func writer(mode string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	proto := iptables.ProtocolIPv4
	if strings.Contains(args[0], "ip6") {
		proto = iptables.ProtocolIPv6
	}
	ipt, err := iptables.New(iptables.IPFamily(proto), iptables.Path(args[0]), iptables.Timeout(30))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	round := simulators(args[0])[mode]
	if round == nil {
		fmt.Fprintln(stderr, "there is no simulator", mode)
		return 1
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(stdin))
		close(ended)
	}()
	for n := 0; ; n++ {
		select {
		case <-ended:
			fmt.Fprintln(stdout, "rounds", n)
			return 0
		default:
		}
		if err := round(ipt, n); err != nil {
			fmt.Fprintf(stderr, "round %d: %v\n", n, err)
			return 1
		}
		if n == 0 {
			fmt.Fprintln(stdout, "ready")
		}
	}
}

// churn inserts a rule at position 1 of every chain and deletes it again, by its
// text and, as Kube-OVN does, by its index in turn.
func churn(ipt *iptables.IPTables, n int) error {
	for _, c := range churned {
		rule := []string{"-s", fmt.Sprintf("192.0.2.%d/32", n%250+1), "-m", "comment", "--comment", "churn", "-j", "RETURN"}
		if err := ipt.Insert(c.table, c.chain, 1, rule...); err != nil {
			return err
		}
		gone := rule
		if n%2 == 1 {
			gone = []string{"1"}
		}
		if err := ipt.Delete(c.table, c.chain, gone...); err != nil {
			return err
		}
	}
	return nil
}

// resync puts Calico's jump at the top, the new one in before the old one goes.
func resync(ipt *iptables.IPTables, _ int) error {
	if err := ipt.Insert("filter", "INPUT", 1, felix...); err != nil {
		return err
	}
	// By value, the first of the two goes; they are equal.
	return ipt.Delete("filter", "INPUT", felix...)
}

// thief deletes copies of a rule just before our first transaction that deletes one
// is committed, as another program that does not see our lock.
type thief struct {
	*node
	table, chain, rule string
	take, done         int
	// refused is what the tools said of transactions that failed.
	refused []string
}

func (r *thief) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	if r.done == 0 && writes(c) && strings.Contains(c.Argv[0], r.tool(ir.IPv4, "-restore")) && strings.Contains(c.Stdin, "-D "+r.chain+" ") {
		r.done++
		text := "*" + r.table + "\n" + strings.Repeat("-D "+r.chain+" "+r.rule+"\n", r.take) + "COMMIT\n"
		res, err := r.ns.Runner().Run(ctx, backend.Cmd{
			Argv: []string{r.tool(ir.IPv4, "-restore"), "--noflush"}, Stdin: text, Env: []string{"XTABLES_LOCKFILE=" + r.state + "/other.lock"},
		})
		if err != nil || res.Exit != 0 {
			return res, fmt.Errorf("the thief: %w %s", err, res.Stderr)
		}
	}
	res, err := r.node.Run(ctx, c)
	if err == nil && res.Exit != 0 && writes(c) {
		r.refused = append(r.refused, res.Stderr)
	}
	return res, err
}
