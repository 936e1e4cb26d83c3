package iptables_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// machine is a network namespace with tables of one variant, for tests.
type machine struct {
	ns      *netns.NS
	variant ir.Variant
	// lock is the lock file of the test's own tools, which are "other programs" and
	// do not wait for the backend under test.
	lock   string
	loaded bool
}

func newMachine(t testing.TB, v ir.Variant) *machine {
	t.Helper()
	return &machine{ns: netns.ForTest(t), variant: v, lock: filepath.Join(t.TempDir(), "xtables.lock")}
}

// run runs a tool of the variant, e.g. "restore" with arguments.
func (m *machine) run(t testing.TB, f ir.Family, tool, stdin string, args ...string) backend.Result {
	t.Helper()
	name := "iptables"
	if f == ir.IPv6 {
		name = "ip6tables"
	}
	name += "-" + strings.TrimPrefix(string(m.variant), "iptables-")
	if tool != "" {
		name += "-" + tool
	}
	res, err := m.ns.Runner().Run(context.Background(), backend.Cmd{
		Argv:  append([]string{name}, args...),
		Env:   []string{"XTABLES_LOCKFILE=" + m.lock},
		Stdin: stdin,
	})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// load replaces everything in both families' tables. An empty text loaded into a
// new namespace touches nothing.
func (m *machine) load(t testing.TB, texts ...string) {
	t.Helper()
	for i, f := range ir.Families {
		text := texts[i]
		if m.loaded {
			for _, table := range ir.TableNames {
				if !strings.Contains(text, "*"+table+"\n") {
					text += emptyTable(table)
				}
			}
		}
		if text == "" {
			continue
		}
		if res := m.run(t, f, "restore", text, "-c"); res.Exit != 0 {
			t.Fatalf("loading the %s tables: %s\n%s", f, res.Stderr, text)
		}
	}
	m.loaded = true
}

func emptyTable(table string) string {
	out := "*" + table + "\n"
	for _, c := range ir.BuiltinChains(table) {
		out += ":" + c + " ACCEPT [0:0]\n"
	}
	return out + "COMMIT\n"
}

// save prints the tables of a family with counters.
func (m *machine) save(t testing.TB, f ir.Family) string {
	t.Helper()
	res := m.run(t, f, "save", "", "-c")
	if res.Exit != 0 {
		t.Fatalf("printing the %s tables: %s", f, res.Stderr)
	}
	return res.Stdout
}
