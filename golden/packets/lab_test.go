package packets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// How long an answer is waited for: where one must come, long enough for a machine
// that is busy with other tests; where none may come, many times what an answer
// takes.
const (
	patience = 10 * time.Second
	glance   = 600 * time.Millisecond
)

// both runs a test on each variant.
func both(t *testing.T, f func(t *testing.T, v ir.Variant)) {
	t.Helper()
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			f(t, v)
		})
	}
}

// machine is a host in a network namespace of its own.
type machine struct {
	t    *testing.T
	name string
	ns   *netns.NS
}

func newMachine(t *testing.T, name string) *machine {
	t.Helper()
	m := &machine{t: t, name: name, ns: netns.ForTest(t)}
	m.run("", "ip", "link", "set", "lo", "up")
	return m
}

// try runs a tool in the machine.
func (m *machine) try(stdin string, argv ...string) backend.Result {
	m.t.Helper()
	res, err := m.ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
	if err != nil {
		m.t.Fatal(err)
	}
	return res
}

// run runs a tool that must succeed, and returns what it prints.
func (m *machine) run(stdin string, argv ...string) string {
	m.t.Helper()
	res := m.try(stdin, argv...)
	if res.Exit != 0 {
		m.t.Fatalf("%s: %s: exit %d: %s", m.name, strings.Join(argv, " "), res.Exit, res.Stderr)
	}
	return res.Stdout
}

// link lays a wire from an interface of m to one of another machine.
func (m *machine) link(dev string, other *machine, otherDev string) {
	m.t.Helper()
	m.run("", "ip", "link", "add", dev, "type", "veth", "peer", "name", otherDev, "netns", other.ns.Path())
	m.run("", "ip", "link", "set", dev, "up")
	other.run("", "ip", "link", "set", otherDev, "up")
}

// bridge makes a bridge with a wire to each of some machines, whose end is eth0.
func (m *machine) bridge(dev string, others ...*machine) {
	m.t.Helper()
	m.run("", "ip", "link", "add", dev, "type", "bridge")
	m.run("", "ip", "link", "set", dev, "up")
	for _, o := range others {
		port := "veth-" + o.name
		m.link(port, o, "eth0")
		m.run("", "ip", "link", "set", port, "master", dev)
	}
}

// addr gives an interface addresses with their prefixes.
func (m *machine) addr(dev string, addrs ...string) {
	m.t.Helper()
	for _, a := range addrs {
		argv := []string{"ip", "addr", "add", a, "dev", dev}
		if strings.Contains(a, ":") {
			argv = append(argv, "nodad") // usable at once
		}
		m.run("", argv...)
	}
}

// route sends what no other route takes to a neighbour, by its addresses of either
// family.
func (m *machine) route(via ...string) {
	m.t.Helper()
	for _, a := range via {
		family := "-4"
		if strings.Contains(a, ":") {
			family = "-6"
		}
		m.run("", "ip", family, "route", "add", "default", "via", a)
	}
}

// forwards makes the machine forward packets of both families.
func (m *machine) forwards() {
	m.t.Helper()
	err := m.ns.Do(func() error {
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// serve answers every line that comes over TCP, and every datagram that comes over
// UDP, with the machine's name and the address that it sees.
func (m *machine) serve(network string, port int) {
	m.t.Helper()
	err := m.ns.Do(func() error {
		if strings.HasPrefix(network, "udp") {
			c, err := net.ListenPacket(network, fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			m.t.Cleanup(func() { c.Close() })
			go m.answerDatagrams(c)
			return nil
		}
		l, err := net.Listen(network, fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		m.t.Cleanup(func() { l.Close() })
		go m.answerSessions(l)
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) answer(from net.Addr) string {
	ap, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return err.Error() + "\n"
	}
	return m.name + " saw " + ap.Addr().Unmap().String() + "\n"
}

func (m *machine) answerDatagrams(c net.PacketConn) {
	buf := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo([]byte(m.answer(from)), from)
	}
}

func (m *machine) answerSessions(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for lines := bufio.NewScanner(c); lines.Scan(); {
				if _, err := c.Write([]byte(m.answer(c.RemoteAddr()))); err != nil {
					return
				}
			}
		}()
	}
}

// What a question comes to if nobody answers.
const (
	silence = "nothing"
	refused = "refused"
)

// session is a connection that stays open.
type session struct {
	conn net.Conn
	wait time.Duration
}

// open connects from one of the machine's addresses; the text says why not.
func (m *machine) open(network, from, to string, wait time.Duration) (*session, string) {
	m.t.Helper()
	d := net.Dialer{Timeout: wait}
	src := netip.MustParseAddr(from)
	if network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
	}
	s := &session{wait: wait}
	err := m.ns.Do(func() (err error) {
		s.conn, err = d.Dial(network, to)
		return err
	})
	if err != nil {
		return nil, failure(err)
	}
	m.t.Cleanup(func() { s.conn.Close() })
	return s, ""
}

// ask sends a line and gives the answer, without its end.
func (s *session) ask() string {
	if err := s.conn.SetDeadline(time.Now().Add(s.wait)); err != nil {
		return err.Error()
	}
	if _, err := s.conn.Write([]byte("who\n")); err != nil {
		return failure(err)
	}
	line, err := bufio.NewReader(s.conn).ReadString('\n')
	if err != nil {
		return failure(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// warm asks until an answer comes: the first packets of IPv6 on a new wire wait for
// addresses of the link to be taken into use.
func (m *machine) warm(from, to string) {
	m.t.Helper()
	why := ""
	for range 20 {
		var s *session
		if s, why = m.open("tcp", from, to, glance); s != nil {
			s.conn.Close()
			return
		}
	}
	m.t.Fatalf("%s cannot reach %s from %s: %s", m.name, to, from, why)
}

// failure tells a packet that got lost from one that was answered with a refusal.
func failure(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return silence
	}
	return refused
}

// question is one thing that a test asks, and what must come of it.
type question struct {
	what    string
	machine *machine
	network string
	from    string
	to      string
	// want is who answers, with the address that it must see behind "saw" where that
	// matters, or silence, or refused.
	want string
}

// check asks every question. They are asked side by side: most of the time passes
// with waiting for what does not come.
func check(t *testing.T, when string, questions []question) {
	t.Helper()
	got := make([]string, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() {
			wait := patience
			if q.want == silence {
				wait = glance
			}
			var s *session
			if s, got[i] = q.machine.open(q.network, q.from, q.to, wait); s != nil {
				got[i] = s.ask()
				s.conn.Close()
			}
		})
	}
	wg.Wait()
	for i, q := range questions {
		if name, _, _ := strings.Cut(got[i], " saw "); got[i] != q.want && name != q.want {
			t.Errorf("%s: %s: from %s to %s %s: %q, want %q", when, q.what, q.from, q.network, q.to, got[i], q.want)
		}
	}
}

// host is a machine that a ruleset is applied to.
type host struct {
	*machine
	variant ir.Variant
	store   *converge.Store
}

func newHost(t *testing.T, v ir.Variant) *host {
	t.Helper()
	return &host{machine: newMachine(t, "host"), variant: v, store: converge.OpenStore(t.TempDir())}
}

// tool is the name of a family's tool: "" the command, "-save" or "-restore".
func (h *host) tool(f ir.Family, what string) string {
	name := "iptables-"
	if f == ir.IPv6 {
		name = "ip6tables-"
	}
	return name + strings.TrimPrefix(string(h.variant), "iptables-") + what
}

// recorded is a recorded node's save of a family; nodes are named without their
// variant.
func (h *host) recorded(node string, f ir.Family) string {
	h.t.Helper()
	kind := strings.TrimPrefix(string(h.variant), "iptables-")
	text, err := os.ReadFile(filepath.Join("..", "nodes", node+"-"+kind, h.tool(f, "-save.txt")))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// load has the tools take a recorded node.
func (h *host) load(node string) {
	h.t.Helper()
	for _, f := range ir.Families {
		h.run(h.recorded(node, f), h.tool(f, "-restore"), "-c")
	}
}

// chain are the rules of a chain as -S prints them, without "-A CHAIN ".
func (h *host) chain(f ir.Family, table, chain string) []string {
	h.t.Helper()
	var out []string
	for line := range strings.Lines(h.run("", h.tool(f, ""), "-w", "-t", table, "-S", chain)) {
		if text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-A "+chain); ok {
			out = append(out, strings.TrimPrefix(text, " "))
		}
	}
	return out
}

// options are those of a shipped ruleset with values in YAML.
func (h *host) options(ruleset, values string) converge.Options {
	h.t.Helper()
	path := filepath.Join("..", "..", "rulesets", ruleset, "ruleset.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.optionsOf(path, string(text), values)
}

// optionsOf are those of a ruleset's text.
func (h *host) optionsOf(path, text, values string) converge.Options {
	h.t.Helper()
	docs, list := dsl.Parse(diag.NewFile(path, text))
	entries, l := dsl.ParseValues(diag.NewFile("values.yaml", values))
	list.Append(l)
	opt := converge.Options{Store: h.store}
	for _, d := range docs {
		p, l := compiler.Compile(d, compiler.CompileOptions{Values: [][]*dsl.Entry{entries}})
		list.Append(l)
		opt.Programs = append(opt.Programs, p)
	}
	if list.HasErrors() {
		h.t.Fatal(findings(list))
	}
	var err error
	opt.Backend, err = iptables.New(iptables.Options{Variant: h.variant, Runner: h.ns.Runner(), NetNS: h.ns.Do, LockFile: h.ns.LockFile()})
	if err != nil {
		h.t.Fatal(err)
	}
	return opt
}

// apply brings the host to where a shipped ruleset says.
func (h *host) apply(ruleset, values string) *converge.Outcome {
	h.t.Helper()
	return h.converge(h.options(ruleset, values))
}

// remove takes a shipped ruleset away.
func (h *host) remove(ruleset string) {
	h.t.Helper()
	opt := h.options(ruleset, "{}")
	opt.Remove = true
	h.converge(opt)
}

func (h *host) converge(opt converge.Options) *converge.Outcome {
	h.t.Helper()
	out := h.outcome(opt)
	if out.Status != converge.Done {
		h.t.Fatalf("the apply ended with status %d: %s%s", out.Status, findings(out.Diags), findings(out.Plan.Diags))
	}
	return out
}

// outcome is how an apply ends, however it does.
func (h *host) outcome(opt converge.Options) *converge.Outcome {
	h.t.Helper()
	out, err := converge.Apply(context.Background(), opt)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// plan is what would be done now.
func (h *host) plan(ruleset, values string) *compiler.Plan {
	h.t.Helper()
	p, err := converge.Plan(context.Background(), h.options(ruleset, values))
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// settled fails the test if there is anything to do.
func (h *host) settled(when, ruleset, values string) {
	h.t.Helper()
	if p := h.plan(ruleset, values); !p.Empty() || p.Diags.HasErrors() {
		var b strings.Builder
		if err := p.WriteText(&b, compiler.TextOptions{}); err != nil {
			h.t.Fatal(err)
		}
		h.t.Errorf("%s: the host is not as declared:\n%s%s", when, b.String(), findings(p.Diags))
	}
}

// findings are all findings as the command prints them.
func findings(l *diag.List) string {
	var b strings.Builder
	if err := diag.WriteText(&b, l, diag.TextOptions{Excerpts: true}); err != nil {
		return err.Error()
	}
	return b.String()
}
