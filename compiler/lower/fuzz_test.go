package lower

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// hostile are places that take text from a ruleset: %s is a quoted scalar.
var hostile = []string{
	`{match: {protocol: %[1]s}}`, `{match: {source: %[1]s}}`, `{not: {destination: [%[1]s, 10.0.0.1]}}`,
	`{match: {source: {set: %[1]s, dirs: [%[1]s]}}}`, `{match: {protocol: [tcp, udp], dport: %[1]s, sport: %[1]s}}`,
	`{match: {protocol: tcp}, not: {dport: %[1]s, sport: [%[1]s, 5]}}`, `{match: {in: %[1]s, out: [%[1]s, eth0]}, not: {in: %[1]s}}`,
	`{match: {state: %[1]s}}`, `{match: {mark: %[1]s, ctmark: %[1]s}}`, `{match: {icmpType: %[1]s}}`, `{match: {icmpv6Type: %[1]s}}`,
	`{match: {protocol: tcp, tcpFlags: %[1]s}}`, `{match: {addrtype: {source: %[1]s}}}`, `{match: {limit: %[1]s}}`,
	`{match: {limit: {rate: 1/second, burst: %[1]s}}}`, `{match: {hashlimit: {name: %[1]s, upto: 1/second}}}`,
	`{match: {hashlimit: {name: x, above: %[1]s, mode: %[1]s, htableMax: %[1]s}}}`, `{match: {owner: {uid: %[1]s, gid: %[1]s}}}`,
	`{match: {mac: %[1]s}}`, `{match: {physdev: {in: %[1]s}}}`, `{match: {length: %[1]s}}`, `{match: {ttl: [%[1]s, 64]}}`,
	`{not: {ttl: %[1]s, length: %[1]s}}`, `{match: {helper: %[1]s}}`, `{comment: %[1]s}`, `{action: {log: {prefix: %[1]s, level: %[1]s}}}`,
	`{action: {nflog: {group: %[1]s, prefix: %[1]s}}}`, `{action: {jump: %[1]s}}`, `{action: {reject: {with: %[1]s}}}`,
	`{action: {mark: {set: %[1]s}}}`, `{action: {connmark: {save: %[1]s}}}`, `{action: {dscp: {set: %[1]s}}}`,
	`{match: {protocol: tcp}, action: {dnat: {to: %[1]s}}}`, `{match: {protocol: tcp}, action: {redirect: {to: %[1]s}}}`,
	`{match: {protocol: tcp}, action: {tproxy: {port: 1, address: %[1]s}}}`, `{match: {protocol: tcp}, action: {ct: {helper: %[1]s}}}`,
	`{action: {ct: {zone: %[1]s}}}`, `{action: {masquerade: {randomFully: %[1]s}}}`,
}

// FuzzLower puts any text into any place: what is accepted is one line that reads
// back as itself, and findings point into the file.
func FuzzLower(f *testing.F) {
	for _, s := range []string{
		"", "22", "80:90", "10.0.0.1", "10.0.0.0/8", "fd00::1-fd00::9", "[fd00::1]:80-90", "eth+", "+", "5/minute", "0x1/0xff", "3/4", "tcp",
		"SYN,ACK SYN", "<5", "02:00:5e:10:00:01", "x -j ACCEPT", "\"", "a'b\\", "-j", "!", "a\nb", "a\x00b", "\xff", "\u2028", "ünïcode ", "both",
	} {
		for i := range hostile {
			f.Add(i, s)
		}
	}
	tables := map[string]string{"dnat": "nat", "redirect": "nat", "masquerade": "nat", "tproxy": "mangle", "dscp": "mangle", "ct": "raw"}
	f.Fuzz(func(t *testing.T, place int, s string) {
		text := fmt.Sprintf(hostile[uint(place)%uint(len(hostile))], fmt.Sprintf("%q", s))
		r := readRule(t, text)
		table := "filter"
		if r.Action != nil && tables[r.Action.Kind] != "" {
			table = tables[r.Action.Kind]
		}
		res, list := Lower(r, testContext(table))
		for _, d := range list.All() {
			if d.Span.IsZero() || d.Span.Start < 0 || d.Span.End > len(text) || d.Span.Start >= d.Span.End {
				t.Errorf("%s\n%s: %s points nowhere: %d to %d", text, d.Code, d.Message, d.Span.Start, d.Span.End)
			}
			if d.Code == diag.BadTarget && d.Severity == diag.Error && table != "filter" {
				t.Errorf("%s\n%s", text, d.Message)
			}
		}
		for _, fam := range ir.Families {
			printsBack(t, text, res, fam)
			for _, x := range res.Rules[fam] {
				if strings.ContainsAny(xtables.Print(x, fam), "\n\r\x00") {
					t.Errorf("%s\nbreaks out of its line: %q", text, xtables.Print(x, fam))
				}
			}
		}
	})
}

// BenchmarkLowerLongLists lowers a rule with ten thousand addresses.
func BenchmarkLowerLongLists(b *testing.B) {
	var list []string
	for i := range 10_000 {
		list = append(list, fmt.Sprintf("10.%d.%d.1", i/256, i%256))
	}
	r := readRule(b, `{match: {protocol: tcp, dport: [22, 80], source: [`+strings.Join(list, ", ")+`]}, action: accept}`)
	ctx := testContext("filter")
	b.ReportAllocs()
	for b.Loop() {
		if _, l := Lower(r, ctx); l.HasErrors() {
			b.Fatal("errors")
		}
	}
}
