package redact_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hookline/backend/redact"
)

// redacted is a text with pseudonyms.
func redacted(t testing.TB, text string) string {
	t.Helper()
	r := redact.New()
	r.Learn(text)
	if err := r.Solve(); err != nil {
		t.Fatal(err)
	}
	return r.Text(text)
}

func TestWhatStays(t *testing.T) {
	for _, text := range []string{
		"-d 127.0.0.1/32 ! -i lo -j DROP", "-s 0.0.0.0/0 -d 255.255.255.255/32", "-d 224.0.0.251/32", "-d 169.254.20.10/32",
		"192.0.2.1 198.51.100.0/24 203.0.113.9", "-s 10.0.0.0/8 -s 172.16.0.0/12 -s 192.168.0.0/16 -s 100.64.0.0/10",
		"--mask 255.255.255.0 --nodst", "-s 128.0.0.0/1 -s 0.0.0.0/1", "::/0 ::1/128 :: fe80::/10 fe80::1 ff02::1 2001:db8::1/64 fd00::/8 2000::/3",
		"[0:0] -A KUBE-SVC-1 -m multiport --dports 80:90,443", "v1.8.9 (nf_tables) 6.1.0-18-amd64", "12:34:56 ee:ee:ee:ee:ee:ee",
		"--mask ffff:ffff:ffff:ffff:: 00:00:00:00:00:00 01:00:5e:00:00:01 33:33:00:00:00:01", "-m mark --mark 0x4000/0x4000 cali:6gwbT8clXdHdC1b1",
		`*filter
:INPUT ACCEPT [12:3456]
COMMIT`,
	} {
		if got := redacted(t, text); got != text {
			t.Errorf("Text(%q) = %q, want it as it is", text, got)
		}
	}
}

func TestWhatGoes(t *testing.T) {
	for _, c := range []struct{ text, shape, why string }{
		{"-s 10.42.0.7/32 -d 10.42.0.0/16", `^-s 10\.\d+\.\d+\.\d+/32 -d 10\.\d+\.0\.0/16$`, "a private address stays in its block, a network's own address ends in zeros"},
		{"8.8.8.8", `^\d+\.\d+\.\d+\.\d+$`, ""},
		{"ip10.1.2.3x 010.001.002.003.", `^ip10\.\d+\.\d+\.\d+x 10\.\d+\.\d+\.\d+\.$`, "letters and zeros hide nothing"},
		{"inet 10.1.2.3/24 brd 10.1.2.255", `^inet 10\.\d+\.\d+\.\d+/24 brd 10\.\d+\.\d+\.\d+$`, ""},
		{"10.1.2.3:8080 10.1.2.4-10.1.2.9:80-90", `^10\.\d+\.\d+\.\d+:8080 10\.\d+\.\d+\.\d+-10\.\d+\.\d+\.\d+:80-90$`, ""},
		{"[fd12:3456::1]:443 2a01:4f8:1::/48", `^\[fd[0-9a-f:]+\]:443 [23][0-9a-f:]+::/48$`, "a global address stays global"},
		{"::ffff:10.1.2.3", `^::ffff:10\.\d+\.\d+\.\d+$`, "an IPv4 address in an IPv6 one"},
		{"-s 10.1.0.9/255.255.0.255", `^-s 10\.\d+\.0\.\d+/255\.255\.0\.255$`, "a mask with holes"},
		{"-s 10.1.0.0/255.255.0.0", `^-s 10\.\d+\.0\.0/255\.255\.0\.0$`, ""},
		{"52:54:00:12:34:56 fe80::5054:ff:fe12:3456", `^02:00:00:00:00:01 fe80::ff:fe00:1$`, "a link-local address that was made of a MAC address"},
		{"ip-10-1-2-3.internal 10.1.2.3", `^ip-10-\d+-\d+-\d+\.internal 10\.\d+\.\d+\.\d+$`, ""},
	} {
		got := redacted(t, c.text)
		if !regexp.MustCompile(c.shape).MatchString(got) {
			t.Errorf("Text(%q) = %q, want the shape %s (%s)", c.text, got, c.shape, c.why)
		}
		if left := survivors(c.text, got); len(left) > 0 {
			t.Errorf("Text(%q) = %q still holds %v", c.text, got, left)
		}
		if again := redacted(t, c.text); again != got {
			t.Errorf("Text(%q) = %q and %q", c.text, got, again)
		}
	}
}

// TestFullBlock: prefixes whose every bit tells them apart change all the same.
func TestFullBlock(t *testing.T) {
	text := "10.42.1.7 10.54.0.0/16 10.66.0.0/24 10.88.0.0/16 10.96.0.0/12 10.96.0.11 10.200.0.0/16 10.244.0.0/16"
	got := redacted(t, text)
	if left := survivors(text, got); len(left) > 0 {
		t.Errorf("%q still holds %v", got, left)
	}
	words := strings.Fields(got)
	if net := netip.MustParsePrefix(words[4]); net.Bits() != 12 || !net.Contains(netip.MustParseAddr(words[5])) || net.Contains(netip.MustParseAddr(words[0])) {
		t.Errorf("%q: %s does not hold what 10.96.0.0/12 holds", got, net)
	}
}

func TestNames(t *testing.T) {
	r := redact.New()
	r.Name("db-1", "redacted")
	if got, want := r.Text("db-1 db-12 xdb-1 (db-1.example) db-1"), "redacted db-12 xdb-1 (redacted.example) redacted"; got != want {
		t.Errorf("Text = %q, want %q", got, want)
	}
}

// words are the pieces of a text that may be addresses, found in another way than
// the package finds them.
var words = regexp.MustCompile(`[0-9a-fA-F:.]+(?:/[0-9]{1,3}\b)?`)

var slashed = regexp.MustCompile(`/([0-9]+[:.][0-9a-fA-F:.])`)

// addresses in a text that a reader would see, with what is known of everybody
// left out.
func addresses(text string) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	// 0/100::2 is a number and an address.
	text = slashed.ReplaceAllString(text, " $1")
	for _, w := range words.FindAllString(text, -1) {
		w = strings.Trim(w, ".")
		if p, err := netip.ParsePrefix(w); err == nil {
			if p.Bits() < 10 || p.Addr().Is6() && p.Bits() < 16 || common(p.Addr()) || p.Bits() <= 16 && p.Addr().IsPrivate() {
				continue
			}
			out[p.Addr()] = true
			continue
		}
		w, _, _ = strings.Cut(w, "/")
		a, err := netip.ParseAddr(w)
		if err != nil {
			if host, _, ok := strings.Cut(w, ":"); ok && strings.Count(w, ":") == 1 {
				a, err = netip.ParseAddr(host)
			}
		}
		if err == nil && !common(a) {
			out[a] = true
		}
	}
	return out
}

var commonBlocks = []string{
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
	"::/127", "fe80::/10", "ff00::/8", "2001:db8::/32", "192.0.0.0/24", "192.88.99.0/24", "100::/64", "3fff::/20",
}

// wholes are masks of whole bytes or groups.
var wholes = regexp.MustCompile(`^((0|255)(\.(0|255)){3}|(:|0|ffff)*)$`)

// mask tells whether an address can be a mask: such stay behind a slash.
func mask(a netip.Addr) bool {
	bits := ""
	for _, b := range a.AsSlice() {
		bits += fmt.Sprintf("%08b", b)
	}
	return wholes.MatchString(a.String()) || strings.TrimRight(strings.TrimLeft(bits, "1"), "0") == ""
}

func common(a netip.Addr) bool {
	if mask(a) {
		return true
	}
	if b := a.As16(); a.Is4In6() || netip.MustParsePrefix("64:ff9b::/96").Contains(a) {
		return common(netip.AddrFrom4([4]byte(b[12:])))
	}
	for _, b := range commonBlocks {
		if netip.MustParsePrefix(b).Contains(a) {
			return true
		}
	}
	return false
}

// survivors are the addresses of a text that are in its redacted form, too.
func survivors(before, after string) []netip.Addr {
	var out []netip.Addr
	now := addresses(after)
	for a := range addresses(before) {
		if now[a] {
			out = append(out, a)
		}
	}
	return out
}

// TestRelations: of thousands of random addresses and prefixes, pseudonyms stand
// to each other as the addresses do.
func TestRelations(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // because a test is to run the same again
		var all []netip.Prefix
		for range 1 + rnd.IntN(300) {
			all = append(all, randomPrefix(rnd))
		}
		var lines []string
		for _, p := range all {
			lines = append(lines, p.String())
		}
		text := strings.Join(lines, "\n")
		got := redacted(t, text)
		if left := survivors(text, got); len(left) > 0 {
			t.Fatalf("seed %d: %v survive", seed, left)
		}
		back := make([]netip.Prefix, len(all))
		for i, line := range strings.Split(got, "\n") {
			p, err := netip.ParsePrefix(line)
			if err != nil || p.Bits() != all[i].Bits() || p.Addr().Is4() != all[i].Addr().Is4() {
				t.Fatalf("seed %d: %s became %q", seed, all[i], line)
			}
			if (p.Masked() == p) != (all[i].Masked() == all[i]) && all[i].Masked() == all[i] {
				t.Errorf("seed %d: the network %s became %s", seed, all[i], p)
			}
			back[i] = p
		}
		for i, a := range all {
			for j, b := range all {
				if (a == b) != (back[i] == back[j]) || holds(a, b) != holds(back[i], back[j]) {
					t.Fatalf("seed %d: %s and %s became %s and %s", seed, a, b, back[i], back[j])
				}
				if a.Addr().IsPrivate() && b.Addr().IsPrivate() && a.Addr().Compare(b.Addr())*back[i].Addr().Compare(back[j].Addr()) < 0 {
					t.Fatalf("seed %d: order of %s and %s became that of %s and %s", seed, a, b, back[i], back[j])
				}
			}
		}
	}
}

// holds tells whether everything in b is in the network of a.
func holds(a, b netip.Prefix) bool { return a.Bits() <= b.Bits() && a.Masked().Contains(b.Addr()) }

// randomPrefix is an address or a network, often near to others.
func randomPrefix(rnd *rand.Rand) netip.Prefix {
	if rnd.IntN(3) == 0 {
		b := [16]byte{0xfd, 0x12, byte(rnd.IntN(3)), 0, 0, 0, 0, byte(rnd.IntN(4)), 15: byte(rnd.IntN(256))}
		if rnd.IntN(3) == 0 {
			b = [16]byte{0x2a, byte(rnd.IntN(256)), byte(rnd.IntN(3)), 1, 15: byte(rnd.IntN(256))}
		}
		bits := []int{128, 128, 64, 56, 48}[rnd.IntN(5)]
		p := netip.PrefixFrom(netip.AddrFrom16(b), bits)
		if rnd.IntN(2) == 0 {
			return p.Masked()
		}
		return p
	}
	b := [4]byte{10, byte(40 + rnd.IntN(4)), byte(rnd.IntN(4)), byte(rnd.IntN(256))}
	switch rnd.IntN(4) {
	case 0:
		b = [4]byte{byte(1 + rnd.IntN(220)), byte(rnd.IntN(256)), byte(rnd.IntN(256)), byte(rnd.IntN(256))}
	case 1:
		b = [4]byte{192, 168, byte(rnd.IntN(8)), byte(rnd.IntN(256))}
	}
	bits := []int{32, 32, 24, 22, 16}[rnd.IntN(5)]
	p := netip.PrefixFrom(netip.AddrFrom4(b), bits)
	if rnd.IntN(2) == 0 {
		p = p.Masked()
	}
	if common(p.Addr()) || p.Masked() == p && p.Bits() <= 16 && p.Addr().IsPrivate() && p.Addr().As4()[0] != 10 {
		return netip.MustParsePrefix("10.41.0.1/32")
	}
	return p
}

// FuzzText: nothing ends the program, no address survives, and a second run gives
// the same.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"10.0.0.1", "fd00::1/64", "1.2.3.4.5.6", "::ffff:1.2.3.4", "a:b:c:d:e:f:1:2", "00:11:22:33:44:55:66:77", "1.1.1.1/255.0.255.0", "1::/ffff::",
		"fe80::0200:5eff:fe00:5301", "64:ff9b::8.8.8.8", "10-0-0-1 10.0.0.1",
	} {
		f.Add(s)
	}
	saves, _ := filepath.Glob("../../golden/nodes/*/iptables-*save.txt")
	for _, path := range saves[:min(2, len(saves))] {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(string(text[:min(len(text), 4096)]))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := redact.New()
		r.Learn(text)
		if err := r.Solve(); err != nil {
			t.Skip(err) // a block that is filled
		}
		got := r.Text(text)
		if left := survivors(text, got); len(left) > 0 {
			t.Errorf("%q became %q: %v survive", text, got, left)
		}
		if again := redacted(t, text); again != got {
			t.Errorf("%q became %q and %q", text, got, again)
		}
	})
}
