package nftables

import (
	"strings"
	"testing"
)

// TestRawStale: what nft would look up when it loads a rule is refused, with the word
// to write instead.
func TestRawStale(t *testing.T) {
	for text, problem := range map[string]string{
		`iif eth0 accept`:                                    "write iifname",
		`iif "eth0" accept`:                                  "write iifname",
		`meta iif lo accept`:                                 "write iifname",
		`meta oif != lo accept`:                              "write oifname",
		`oif { lo, eth0 } accept`:                            "write oifname",
		`ip saddr . iif { 10.0.0.1 . lo } accept`:            "write iifname",
		`sdif lo accept`:                                     "write sdifname",
		`fib daddr oif lo accept`:                            "write oifname",
		`fib daddr . iif oif != { lo, eth0 } accept`:         "write oifname",
		`meta skuid root accept`:                             "user root",
		`meta skuid "root" accept`:                           `user "root"`,
		`meta skuid != { 0, daemon } accept`:                 "user daemon",
		`meta skgid 0-daemon accept`:                         "group 0-daemon",
		`skgid adm accept`:                                   "group adm",
		`meta skuid vmap { 0 : accept, root : drop }`:        "user root",
		`meta skuid . ip daddr { 0 . 10.0.0.1 } accept`:      "by itself",
		`iifgroup default accept`:                            "group of interfaces default",
		`ip saddr localhost accept`:                          "host localhost",
		`ip saddr "localhost" accept`:                        "host localhost",
		`ip daddr != db-1.example.com accept`:                "host db-1.example.com",
		`ip6 saddr { ::1, db } accept`:                       "host db",
		`ip saddr & 255.255.255.0 == lan accept`:             "host lan",
		`ip saddr vmap { gw : accept }`:                      "host gw",
		`ip saddr . tcp dport { localhost . 80 } accept`:     "host localhost",
		`tcp dport . ip saddr { 80 . a.example } accept`:     "host a.example",
		`ct original ip daddr gw accept`:                     "host gw",
		`ip daddr set gw`:                                    "host gw",
		`dnat to gw`:                                         "host gw",
		`dnat ip to gw:80`:                                   "host gw",
		`dnat to tcp dport map { 80 : web1, 81 : 10.0.0.1 }`: "host web1",
		`tproxy ip to localhost:50080`:                       "host localhost",
		`dup to 10.0.0.1 device "eth0"`:                      "number of an interface",

		`iifname "iif" oifname eth0 accept`:                                    "",
		`log prefix "iif skuid root" accept`:                                   "",
		`fib saddr . iif oif missing drop`:                                     "",
		`fib saddr . iif oif 0 drop`:                                           "",
		`fib daddr . oif type local accept`:                                    "",
		`fib saddr . iif oifname "lo" drop`:                                    "",
		`meta skuid { 0, 1000-1999 } counter accept`:                           "",
		`meta skuid 0x0 accept`:                                                "",
		`meta skuid vmap { 0 : jump SITE, 1 : accept }`:                        "",
		`ip saddr { 10.0.0.0/8, 192.0.2.1-192.0.2.9 } tcp dport ssh accept`:    "",
		`ip saddr & 255.0.0.0 == 10.0.0.0 accept`:                              "",
		`ip saddr . tcp dport { 10.0.0.1 . ssh } accept`:                       "",
		`ip saddr . iifname . meta l4proto { 10.0.0.1 . "eth0" . tcp } accept`: "",
		`ip6 saddr fe80::/10 ether saddr aa:bb:cc:dd:ee:ff accept`:             "",
		`dnat to [fd00::a]:80`:                                                 "",
		`dnat ip6 to fd00::a`:                                                  "",
		`dnat to 10.0.0.1:80 persistent`:                                       "",
		`redirect to :http`:                                                    "",
		`snat to ip saddr map { 10.0.0.1 : 192.0.2.1 }`:                        "",
	} {
		b, err := Raw([]RawPart{{Text: text}}, declared, declaredSet)
		switch {
		case problem == "" && err != nil:
			t.Errorf("Raw(%q) = %v", text, err)
		case problem != "" && (err == nil || !strings.Contains(err.Error(), problem)):
			t.Errorf("Raw(%q) = %q, %v; want an error with %q", text, b.Text(), err, problem)
		}
	}
}
