package converge_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

func load(t *testing.T, s *converge.Store) []converge.Record {
	t.Helper()
	records, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestRecordsIntentThenApplied(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		store := converge.OpenStore(t.TempDir())
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if r := load(t, store); len(r) != 1 || r[0].Status != "intent" {
				t.Errorf("at the first commit the record is %+v, want an intent", r)
			}
			return next(s)
		}
		must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, site), Store: store}), converge.Done)
		want := []converge.Record{{
			FormatVersion: 1, Name: "site", Version: "1.0.0", Status: "applied", Variant: string(v),
			Owns: []string{"SITE_*", "SITE_INPUT.*", "SITE_PRE.*"}, Declared: []string{"SITE_INPUT", "SITE_PRE"},
		}}
		if d := cmp.Diff(want, load(t, store), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("records (-want +got):\n%s", d)
		}
	})
}

func TestRecordsUnchangedAreNotWritten(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	dir := t.TempDir()
	opt := converge.Options{Backend: h, Programs: programs(t, site), Store: converge.OpenStore(dir)}
	must(t, apply(t, opt), converge.Done)
	file := filepath.Join(dir, "rulesets", "site.json")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	must(t, apply(t, opt), converge.Done)
	now, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	// A record is written to a new file that takes the old one's place.
	if !os.SameFile(before, now) {
		t.Error("an unchanged record was written again")
	}
}

func TestRecordsAreForgottenByRemove(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	opt := converge.Options{Backend: h, Programs: programs(t, site), Store: converge.OpenStore(t.TempDir())}
	must(t, apply(t, opt), converge.Done)
	opt.Remove = true
	must(t, apply(t, opt), converge.Done)
	if r := load(t, opt.Store); len(r) > 0 {
		t.Errorf("records %+v, want none", r)
	}
}

// After a taken back apply the record says what it said before.
func TestRecordsOfATakenBackApply(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	opt := converge.Options{Backend: h, Programs: programs(t, site), Store: converge.OpenStore(t.TempDir())}
	must(t, apply(t, opt), converge.Done)
	want := load(t, opt.Store)
	h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
		if s.Family == ir.IPv6 {
			return refuse(s, "-A SITE_INPUT -p udp", "unknown option", next)
		}
		return next(s)
	}
	opt.Programs = programs(t, strings.NewReplacer("1.0.0", "2.0.0", "-p tcp -m tcp --dport 22", "-p udp -m udp --dport 53").Replace(site))
	must(t, apply(t, opt), converge.TakenBack)
	if d := cmp.Diff(want, load(t, opt.Store)); d != "" {
		t.Errorf("records (-before +after):\n%s", d)
	}
}

// What an earlier version declared is found by the record alone.
func TestRecordsFindWhatWasDeclared(t *testing.T) {
	v1 := strings.NewReplacer(`owns: {chains: ["SITE_*"]}`, "families: [ipv4]", "SITE_", "EDGE_").Replace(site)
	v2 := strings.NewReplacer("EDGE_PRE", "RIM_PRE", "1.0.0", "1.1.0").Replace(v1)
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "kept", true: "lost"}[lost], func(t *testing.T) {
			h := newHost(t, ir.IptablesNFT, node4, node6)
			store := converge.OpenStore(t.TempDir())
			must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, v1), Store: store}), converge.Done)
			if lost {
				store = converge.OpenStore(t.TempDir())
			}
			out := apply(t, converge.Options{Backend: h, Programs: programs(t, v2), Store: store})
			must(t, out, converge.Done)
			if got := strings.Contains(dump(h.State()), "EDGE_PRE"); got != lost {
				t.Errorf("EDGE_PRE stands: %v, want %v", got, lost)
			}
			if got := out.Plan.Diags.Has(diag.StateLost); got != lost {
				t.Errorf("warned that the record is lost: %v, want %v", got, lost)
			}
			if r := load(t, store); len(r) != 1 || r[0].Version != "1.1.0" {
				t.Errorf("records %+v, want version 1.1.0", r)
			}
		})
	}
}

func TestRecordsRefuseOverlap(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	store := converge.OpenStore(t.TempDir())
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, site), Store: store}), converge.Done)
	n := len(h.scripts)
	other := strings.Replace(site, "name: site", "name: other", 1)
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, other), Store: store})
	must(t, out, converge.Refused)
	if !out.Plan.Diags.Has(diag.OwnershipOverlap) || len(h.scripts) != n {
		t.Errorf("plan %v, %d scripts: want %s and none", out.Plan.Diags.Err(), len(h.scripts)-n, diag.OwnershipOverlap)
	}
}

func TestRecordsThatCannotBeRead(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"not JSON", "{", "site.json"},
		{"a later version", `{"formatVersion": 99, "name": "site"}`, "version 99"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "rulesets"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "rulesets", "site.json"), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			h := newHost(t, ir.IptablesNFT, node4, node6)
			_, err := converge.Apply(context.Background(), converge.Options{Backend: h, Programs: programs(t, site), Store: converge.OpenStore(dir)})
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(h.scripts) > 0 {
				t.Errorf("error %v, %d scripts: want %q and none", err, len(h.scripts), tt.want)
			}
		})
	}
}

// A tool prints a part that we cannot decode in other words (FIELD M-52). That is
// no drift: it is a warning once, and the record keeps the spelling.
func TestRecordsKeepSpelling(t *testing.T) {
	const sent, printed = `-m string --string ads --algo bm --to 65535 -j RETURN`, `-m string --string ads --algo bm --to 0xffff -j RETURN`
	h := newHost(t, ir.IptablesNFT, node4, node6)
	h.read = func(_ int, snap *ir.Snapshot) error {
		snap.Tools = map[string]string{"iptables-nft": "1.8.9"}
		for _, tab := range snap.State.Tables {
			for _, c := range tab.Chains {
				for i, r := range c.Rules {
					if strings.Contains(r.Text, "--algo bm") {
						c.Rules[i] = &ir.Rule{Text: printed}
					}
				}
			}
		}
		return nil
	}
	store := converge.OpenStore(t.TempDir())
	opt := converge.Options{
		Backend: h, Store: store,
		Programs: programs(t, strings.Replace(site, "-p tcp -m tcp --dport 80 -j RETURN", sent, 1)),
	}
	out := apply(t, opt)
	must(t, out, converge.Done)
	if !out.Diags.Has(diag.Respelled) || out.Diags.HasErrors() || out.Rounds != 1 {
		t.Errorf("findings %v, rounds %d: want the warning %s and one round", out.Diags.All(), out.Rounds, diag.Respelled)
	}
	r := load(t, store)
	if len(r) != 1 || len(r[0].Respelled) != 1 || r[0].Respelled[0].Printed != printed {
		t.Errorf("records %+v, want the spelling", r)
	}
	n := len(h.scripts)
	out = apply(t, opt)
	must(t, out, converge.Done)
	if out.Wrote || len(h.scripts) != n || out.Diags.Len() > 0 {
		t.Errorf("a second apply wrote %v, found %v: want nothing", out.Wrote, out.Diags.All())
	}
}

// A state directory that cannot be written to ends the apply before the host is
// touched.
func TestRecordsThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Symlink("nowhere/at/all", dir); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, ir.IptablesNFT, node4, node6)
	before := dump(h.State())
	out, err := converge.Apply(context.Background(), converge.Options{
		Backend: h, Programs: programs(t, site), Store: converge.OpenStore(dir),
	})
	if err == nil || out.Wrote || len(h.scripts) > 0 || dump(h.State()) != before {
		t.Errorf("error %v, wrote %v, %d scripts: want an error and nothing written", err, out.Wrote, len(h.scripts))
	}
}

// Work on one family leaves known what stands on the other one.
func TestRecordsOfOneFamily(t *testing.T) {
	names := func(fs ...ir.Family) (out []string) {
		for _, f := range fs {
			out = append(out, f.String())
		}
		return out
	}
	site6 := strings.Replace(site, `owns: {chains: ["SITE_*"]}`, "params: {}", 1)
	site6 = strings.Replace(site6, "SITE_INPUT:\n", "SITE_INPUT:\n          families: [ipv6]\n", 1)
	type step struct {
		families []ir.Family
		remove   bool
		declared []string // nil: no record is left
		stands   []string // families
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"one, then the other", []step{
			{[]ir.Family{ir.IPv4}, false, []string{"SITE_PRE"}, names(ir.IPv4)},
			{[]ir.Family{ir.IPv6}, false, []string{"SITE_INPUT", "SITE_PRE"}, nil},
			{[]ir.Family{ir.IPv4}, true, []string{"SITE_INPUT", "SITE_PRE"}, names(ir.IPv6)},
			{[]ir.Family{ir.IPv6}, true, nil, nil},
		}},
		{"both, then one again", []step{
			{nil, false, []string{"SITE_INPUT", "SITE_PRE"}, nil},
			{[]ir.Family{ir.IPv4}, false, []string{"SITE_INPUT", "SITE_PRE"}, nil},
			{[]ir.Family{ir.IPv6}, true, []string{"SITE_INPUT", "SITE_PRE"}, names(ir.IPv4)},
			{nil, false, []string{"SITE_INPUT", "SITE_PRE"}, nil},
			{nil, true, nil, nil},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, ir.IptablesNFT, node4, node6)
			store := converge.OpenStore(t.TempDir())
			for i, s := range c.steps {
				must(t, apply(t, converge.Options{
					Backend: h, Programs: programsFor(t, s.families, site6), Families: s.families, Remove: s.remove, Store: store,
				}), converge.Done)
				var want []converge.Record
				if s.declared != nil {
					want = []converge.Record{{Declared: s.declared, Families: s.stands, Status: "applied"}}
				}
				got := load(t, store)
				for k := range got {
					got[k] = converge.Record{Declared: got[k].Declared, Families: got[k].Families, Status: got[k].Status}
				}
				if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("records after step %d (-want +got):\n%s", i, d)
				}
			}
		})
	}
}

// What is read back counts for more than what the record says, and a text that is
// printed in one way here and in another there is a mismatch, not a spelling.
func TestSpellingIsLearnedOnce(t *testing.T) {
	const sent = `-m string --string ads --algo bm --to 65535 -j RETURN`
	for _, c := range []struct {
		name    string
		printed map[string]string // by chain
		want    converge.Status
	}{
		{"another one than recorded", map[string]string{"SITE_INPUT": strings.Replace(sent, "65535", "0xffff", 1), "SITE_PRE": strings.Replace(sent, "65535", "0xffff", 1)}, converge.Done},
		{"two", map[string]string{"SITE_INPUT": strings.Replace(sent, "65535", "0xffff", 1), "SITE_PRE": strings.Replace(sent, "65535", "177777", 1)}, converge.TakenBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, ir.IptablesNFT, node4, node6)
			h.read = func(n int, snap *ir.Snapshot) error {
				if n > 50 {
					t.Fatal("the host is read again and again")
				}
				snap.Tools = map[string]string{"iptables-nft": "1.8.9"}
				for _, tab := range snap.State.Tables {
					for _, ch := range tab.Chains {
						for i, r := range ch.Rules {
							if strings.Contains(r.Text, "--algo bm") && c.printed[ch.Name] != "" {
								ch.Rules[i] = &ir.Rule{Text: c.printed[ch.Name]}
							}
						}
					}
				}
				return nil
			}
			store := converge.OpenStore(t.TempDir())
			if err := store.Save(converge.Record{Name: "site", Version: "1.0.0", Status: "applied", Respelled: []converge.Respelling{
				{Tool: "iptables-nft 1.8.9", Family: "ipv4", Sent: sent, Printed: strings.Replace(sent, "65535", "6553_", 1)},
				{Tool: "iptables-nft 1.8.9", Family: "ipv6", Sent: sent, Printed: strings.Replace(sent, "65535", "6553_", 1)},
			}}); err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer("-p tcp -m tcp --dport 80 -j RETURN", sent, "-p tcp -m tcp --dport 22 -j ACCEPT", sent).Replace(site)
			must(t, apply(t, converge.Options{Backend: h, Store: store, Programs: programs(t, text)}), c.want)
		})
	}
}

// Of an apply that did not get to its end it is not known which version stands.
func TestIntentIsNoVersion(t *testing.T) {
	store := converge.OpenStore(t.TempDir())
	for status, want := range map[string]string{"intent": "", "applied": "1.0.0"} {
		if err := store.Save(converge.Record{Name: "site", Version: "1.0.0", Status: status}); err != nil {
			t.Fatal(err)
		}
		p, err := converge.Plan(context.Background(), converge.Options{Backend: newHost(t, ir.IptablesNFT, node4, node6), Programs: programs(t, site), Store: store})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Rulesets[0].Applied; got != want {
			t.Errorf("of the status %s the applied version is %q, want %q", status, got, want)
		}
	}
}

// Two applies with one state directory follow each other; one that gives up says
// why, and touched nothing.
func TestStoreLock(t *testing.T) {
	store := converge.OpenStore(t.TempDir())
	release, err := store.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	h := newHost(t, ir.IptablesNFT, node4, node6)
	out, err := converge.Apply(ctx, converge.Options{Backend: h, Programs: programs(t, site), Store: store})
	if !errors.Is(err, context.DeadlineExceeded) || out.Wrote || len(h.scripts) > 0 {
		t.Errorf("under another's lock: error %v, wrote %v", err, out.Wrote)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, site), Store: store}), converge.Done)
}

// A record that is none stops the run: going on could take what another ruleset
// owns. The message names the file.
func TestRecordFilesThatAreNone(t *testing.T) {
	file := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	tests := []struct {
		name string
		make func(path string) error
		want string
	}{
		{"empty", file(""), "unexpected end of JSON input"},
		{"garbage", file("{]"), "invalid character"},
		{"list", file("[]"), "cannot unmarshal array"},
		{"newer", file(`{"formatVersion": 99}`), "version 99, and this program knows version 1"},
		{"huge", func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		}, "larger than 16 MiB"},
		{"link to a device", func(path string) error { return os.Symlink("/dev/zero", path) }, "no regular file"},
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "no regular file"},
		{"folder", func(path string) error { return os.Mkdir(path, 0o700) }, "no regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "rulesets", "site.json")
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), tt.make(path)); err != nil {
				t.Fatal(err)
			}
			r, err := converge.OpenStore(dir).Load()
			if err == nil {
				t.Fatalf("Load() = %+v, want an error", r)
			}
			for _, want := range []string{path, tt.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Load() error %q, want %q in it", err, want)
				}
			}
		})
	}
}

// A killed apply leaves at most the one file behind that the next one overwrites.
func TestSaveLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	store := converge.OpenStore(dir)
	left := filepath.Join(dir, "rulesets", ".site.json.new")
	if err := errors.Join(os.Mkdir(filepath.Dir(left), 0o700), os.WriteFile(left, []byte("half a rec"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Save(converge.Record{Name: "site", Version: "1.0.0"}); err != nil {
			t.Fatal(err)
		}
	}
	if r := load(t, store); len(r) != 1 || r[0].Version != "1.0.0" {
		t.Errorf("records %+v, want that of site", r)
	}
	files, err := os.ReadDir(filepath.Dir(left))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Errorf("%d files in the folder of records, want one: %v", len(files), files)
	}
}
