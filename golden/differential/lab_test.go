package differential

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/internal/netns"
)

// The machines of a lab: two on either side of a router.
const (
	client = iota
	router
	server
)

var machineNames = []string{"client", "router", "server"}

// Addresses of the machines: the first of each is its own, the router has one on
// each side.
var (
	clientAddrs = []string{"10.1.0.2", "10.1.0.3", "fd01::2", "fd01::3"}
	routerAddrs = []string{"10.1.0.1", "10.2.0.1", "fd01::1", "fd02::1"}
	serverAddrs = []string{"10.2.0.2", "10.2.0.3", "fd02::2", "fd02::3"}
)

// lab are three machines in a row, the one in the middle with the tables of one
// kind of backend.
type lab struct {
	t       *testing.T
	variant ir.Variant
	ns      [3]*netns.NS
	// raw are sockets that send whole packets, by machine and family.
	raw [3][2]int
	// taps hear what arrives at client and server; ears are datagrams that the router
	// takes itself.
	taps [3]int
	ears []int
}

func newLab(t *testing.T, v ir.Variant) *lab {
	t.Helper()
	l := &lab{t: t, variant: v}
	for i := range l.ns {
		l.ns[i] = netns.ForTest(t)
	}
	l.settings()
	l.wires()
	l.sockets()
	return l
}

// settings make every answer of a kernel immediate and unlimited.
func (l *lab) settings() {
	l.t.Helper()
	for i, ns := range l.ns {
		err := ns.Do(func() error {
			// No fragment is kept, so that none is answered half a minute later.
			for _, name := range []string{"low", "high"} {
				if err := os.WriteFile("/proc/sys/net/ipv4/ipfrag_"+name+"_thresh", []byte("0"), 0); err != nil {
					return err
				}
			}
			for name, value := range map[string]string{
				"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
				"ipv4/conf/all/send_redirects": "0", "ipv4/conf/default/send_redirects": "0", "ipv4/icmp_ratelimit": "0", "ipv6/icmp/ratelimit": "0",
				"ipv4/tcp_synack_retries": "0", "ipv4/tcp_syncookies": "0", "ipv4/tcp_timestamps": "0", "ipv6/conf/default/accept_ra": "0",
				"ipv6/conf/default/router_solicitations": "0", "ipv4/tcp_ecn": "0",
			} {
				if i != router && strings.HasSuffix(name, "forward") || i != router && strings.HasSuffix(name, "forwarding") {
					continue
				}
				if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// wires are laid with addresses whose neighbours are known, so that nobody has to
// ask for them.
func (l *lab) wires() {
	l.t.Helper()
	const clientMAC, serverMAC, routerMAC0, routerMAC1 = "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:10", "02:00:00:00:00:11"
	peer := func(dev, mac, other, otherMAC string, ns *netns.NS) string {
		return fmt.Sprintf("link add %s address %s type veth peer name %s address %s netns %s\n", dev, mac, other, otherMAC, ns.Path())
	}
	up := func(dev string, addrs []string) string {
		s := fmt.Sprintf("link set lo up\nlink set %s addrgenmode none\nlink set %s up\n", dev, dev)
		for _, a := range addrs {
			if strings.Contains(a, ":") {
				s += fmt.Sprintf("addr add %s/64 dev %s nodad\n", a, dev)
			} else {
				s += fmt.Sprintf("addr add %s/24 dev %s\n", a, dev)
			}
		}
		return s
	}
	near := func(dev, mac string, addrs []string) string {
		s := ""
		for _, a := range addrs {
			s += fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent\n", a, mac, dev)
		}
		return s
	}
	side := func(list []string, n int) []string { return []string{list[n], list[n+2]} }
	l.ip(router, peer("r0", routerMAC0, "c0", clientMAC, l.ns[client])+peer("r1", routerMAC1, "s0", serverMAC, l.ns[server]))
	l.ip(client, up("c0", clientAddrs)+near("c0", routerMAC0, side(routerAddrs, 0))+"route add default via 10.1.0.1\n-6 route add default via fd01::1\n")
	l.ip(server, up("s0", serverAddrs)+near("s0", routerMAC1, side(routerAddrs, 1))+"route add default via 10.2.0.1\n-6 route add default via fd02::1\n")
	l.ip(router, up("r0", side(routerAddrs, 0))+up("r1", side(routerAddrs, 1))+near("r0", clientMAC, clientAddrs)+near("r1", serverMAC, serverAddrs))
}

func (l *lab) ip(machine int, batch string) {
	l.t.Helper()
	for line := range strings.Lines(batch) {
		argv := append([]string{"ip"}, strings.Fields(line)...)
		if _, complaint := run(l.t, l.ns[machine], "", argv...); complaint != "" {
			l.t.Fatalf("%s: %s", machineNames[machine], complaint)
		}
	}
}

// sockets opens all that is sent through and listened at. They stay in the
// namespace that they were opened in.
func (l *lab) sockets() {
	l.t.Helper()
	for i, ns := range l.ns {
		err := ns.Do(func() (err error) {
			for k, domain := range []int{unix.AF_INET, unix.AF_INET6} {
				if l.raw[i][k], err = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
					return err
				}
			}
			l.taps[i] = -1
			if i == router {
				return l.listen()
			}
			const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
			if l.taps[i], err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all); err != nil {
				return err
			}
			dev, err := net.InterfaceByName(map[int]string{client: "c0", server: "s0"}[i])
			if err != nil {
				return err
			}
			if err := unix.Bind(l.taps[i], &unix.SockaddrLinklayer{Protocol: all, Ifindex: dev.Index}); err != nil {
				return err
			}
			return listenTCP(l.t)
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	l.t.Cleanup(func() {
		for _, fd := range append(append(l.ears, l.taps[client], l.taps[server]), l.raw[client][0], l.raw[client][1], l.raw[router][0], l.raw[router][1], l.raw[server][0], l.raw[server][1]) {
			_ = unix.Close(fd)
		}
	})
}

// listenTCP opens two ports for connections, which nobody takes.
func listenTCP(t *testing.T) error {
	for _, port := range []int{22, 80} {
		c, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
	}
	return nil
}

// listen opens the router's ports.
func (l *lab) listen() error {
	if err := listenTCP(l.t); err != nil {
		return err
	}
	for _, port := range []int{53, 8053} {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet6{Port: port}); err != nil {
			return err
		}
		l.ears = append(l.ears, fd)
	}
	return nil
}

// send sends packets, one after the other, from a single processor: what each one
// sets off is done before the next is sent.
func (l *lab) send(list []*packet) {
	l.t.Helper()
	for _, p := range list {
		k := 0
		var to unix.Sockaddr = &unix.SockaddrInet4{Addr: addr4(p.dst)}
		if p.v6() {
			k, to = 1, &unix.SockaddrInet6{Addr: p.dst.As16()}
		}
		fd := l.raw[p.from][k]
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.mark)); err != nil {
			l.t.Fatal(err)
		}
		// A packet that a rule drops on its way out is an error to its sender.
		if err := unix.Sendto(fd, p.bytes(), 0, to); err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ENETUNREACH) {
			l.t.Fatalf("sending %s: %v", p, err)
		}
	}
}

// quiet is how long nothing must arrive until everything has.
const quiet = 15 * time.Millisecond

// heard is what arrived since the last call, in no order.
func (l *lab) heard(e eyes, quiet time.Duration) []string {
	l.t.Helper()
	var out []string
	buf := make([]byte, 4096)
	for last := time.Now(); time.Since(last) < quiet; {
		before := len(out)
		for _, i := range []int{client, server} {
			for {
				n, from, err := unix.Recvfrom(l.taps[i], buf, 0)
				if err != nil {
					break
				}
				ll, _ := from.(*unix.SockaddrLinklayer)
				if ll == nil || ll.Pkttype == unix.PACKET_OUTGOING {
					continue
				}
				if s := e.seen(buf[:n]); s != "" {
					out = append(out, machineNames[i]+": "+s)
				}
			}
		}
		for _, fd := range l.ears {
			for {
				n, from, err := unix.Recvfrom(fd, buf, 0)
				if err != nil {
					break
				}
				out = append(out, "router: "+e.datagram(from, buf[:n]))
			}
		}
		if len(out) > before {
			last = time.Now()
			continue
		}
		time.Sleep(time.Millisecond)
	}
	slices.Sort(out)
	return out
}

func (e eyes) datagram(from unix.Sockaddr, b []byte) string {
	a, _ := from.(*unix.SockaddrInet6)
	if a == nil || len(b) < 4 {
		return "a datagram of nobody"
	}
	return fmt.Sprintf("took a datagram of %s port %s, number %x", netip.AddrFrom16(a.Addr).Unmap(), e.port(uint16(a.Port)), b[:4])
}

// forget empties the router's connection tracking.
func (l *lab) forget() {
	l.t.Helper()
	err := l.ns[router].Do(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		// struct nlmsghdr and struct nfgenmsg: delete, of conntrack, everything.
		const deleteAll = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
		msg := make([]byte, 20)
		msg[0], msg[4], msg[5], msg[6] = 20, deleteAll&0xff, deleteAll>>8, unix.NLM_F_REQUEST|unix.NLM_F_ACK
		if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		_, _, err = unix.Recvfrom(fd, make([]byte, 256), 0)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// empty are tables of iptables with nothing in them.
const empty = `*raw
:PREROUTING ACCEPT
:OUTPUT ACCEPT
COMMIT
*mangle
:PREROUTING ACCEPT
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
COMMIT
`

// tracking makes the kernel track connections of both families, or leaves that to
// the rules. Where it tracks it puts fragments together ahead of everything; a rule
// of iptables asks for that in its own family, a table of inet in both.
func (l *lab) tracking(on bool) {
	l.t.Helper()
	text := "add table inet lab\ndelete table inet lab\n"
	if on {
		text += "add table inet lab\nadd chain inet lab last { type filter hook postrouting priority 1000; }\nadd rule inet lab last ct state new\n"
	}
	if _, complaint := run(l.t, l.ns[router], text, "nft", "-f", "-"); complaint != "" {
		l.t.Fatal(complaint)
	}
}

// load puts a program into the router's tables, in place of what stood there.
func (l *lab) load(p *compiler.Program) error {
	if l.variant == ir.NFT {
		tables, list := compiler.NFTables([]*compiler.Program{p})
		if list.HasErrors() {
			return fmt.Errorf("nft: %s", findings(list))
		}
		text := nftables.Text(nftables.Script(tables))
		before := ""
		for _, k := range []nftables.Kind{nftables.Inet, nftables.IP, nftables.IP6} {
			before += fmt.Sprintf("add table %s %s\ndelete table %s %s\n", k, tables[0].Name, k, tables[0].Name)
		}
		if _, complaint := run(l.t, l.ns[router], before+text, "nft", "-f", "-"); complaint != "" {
			return fmt.Errorf("%s\n%s", complaint, text)
		}
		return nil
	}
	plan := compiler.EmptyHost([]*compiler.Program{p}, l.variant)
	scripts, err := iptables.Render(plan.Transaction, l.variant)
	if err != nil || plan.Diags.HasErrors() {
		return fmt.Errorf("%w %s", err, findings(plan.Diags))
	}
	kind := strings.TrimPrefix(string(l.variant), "iptables-")
	tools := map[ir.Family]string{ir.IPv4: "iptables-" + kind + "-restore", ir.IPv6: "ip6tables-" + kind + "-restore"}
	for _, tool := range tools {
		if _, complaint := run(l.t, l.ns[router], empty, tool); complaint != "" {
			return errors.New(complaint)
		}
	}
	if _, complaint := run(l.t, l.ns[router], "", "ipset", "destroy"); complaint != "" {
		return errors.New(complaint)
	}
	for _, s := range scripts {
		argv := []string{tools[s.Family], "--noflush"}
		if s.Sets {
			argv = []string{"ipset", "restore"}
		}
		if _, complaint := run(l.t, l.ns[router], s.Text, argv...); complaint != "" {
			return fmt.Errorf("%s\n%s", complaint, s.Text)
		}
	}
	return nil
}

func addr4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}
