package golden_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/survey"
	"hookline/dsl/diag"
)

// doctor surveys a recorded host.
func doctor(t *testing.T, path string) *survey.Report {
	t.Helper()
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	snap, list, err := recorded.Load(path, "")
	if err == nil {
		err = list.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return survey.New(snap, cat, recognize.New(cat, compiler.Fields))
}

// TestDoctorText: what doctor says of some of the nodes, as an operator reads it.
// doctor/NODE.txt is what is printed for nodes/NODE.
func TestDoctorText(t *testing.T) {
	wants, err := filepath.Glob("doctor/*.txt")
	if err != nil || len(wants) < 5 {
		t.Fatalf("texts: %v, %v", wants, err)
	}
	for _, want := range wants {
		node := strings.TrimSuffix(filepath.Base(want), ".txt")
		t.Run(node, func(t *testing.T) {
			var b strings.Builder
			if err := doctor(t, filepath.Join("nodes", node)).WriteText(&b, survey.TextOptions{}); err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(want, []byte(b.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Errorf("%s was rewritten: read the difference, then run again without -update", want)
				return
			}
			text, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(text), b.String()); d != "" {
				t.Errorf("%s mismatch (-want +got):\n%s", want, d)
			}
		})
	}
}

// sharedSnapshots is the folder of recorded states that are not part of the tree.
func sharedSnapshots(t *testing.T) string {
	t.Helper()
	shared := os.Getenv("HOOKLINE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "shared")
	}
	dir := filepath.Join(shared, "snapshots")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("THE RECORDED STATES ARE NOT HERE, NOTHING IS CHECKED: set HOOKLINE_SHARED (%v)", err)
	}
	return dir
}

// TestDoctorNamesWhoWroteIt: for every recorded state, exactly the programs that
// wrote it, and what of it will hurt.
func TestDoctorNamesWhoWroteIt(t *testing.T) {
	dir := sharedSnapshots(t)
	known := map[string]bool{}
	for _, c := range states {
		known[c.path] = true
		t.Run(c.path, func(t *testing.T) {
			r := doctor(t, filepath.Join(dir, c.path))
			var names, codes []string
			for _, p := range r.Participants {
				names = append(names, p.Name)
			}
			for _, f := range r.Findings {
				codes = append(codes, string(f.Code))
			}
			if got := strings.Join(names, " "); got != c.programs {
				t.Errorf("programs = %q, want %q", got, c.programs)
			}
			if got := strings.Join(codes, " "); got != c.findings {
				t.Errorf("findings = %q, want %q", got, c.findings)
			}
			unknown := 0
			for _, v := range r.Variants {
				for _, n := range v.Programs {
					if n.Program == "unknown" {
						unknown += n.Rules
					}
				}
			}
			if unknown != unclaimed[c.path] {
				t.Errorf("%d rules are of no known program, want %d", unknown, unclaimed[c.path])
			}
		})
	}
	for _, path := range statesIn(t, dir) {
		if !known[path] {
			t.Errorf("%s is not in the table", path)
		}
	}
}

// unclaimed is the number of rules that nobody is known to have written: those
// that a recording put in for its own purpose.
var unclaimed = map[string]int{
	"calico-felix/v3.29.1-nft-append-after-kube-proxy": 1, // a site's REJECT
	"calico-felix/v3.29.1-nft-insert-after-kube-proxy": 1,
	"kube-proxy-iptables/blocked-by-foreign-jump":      1, // MY-HOOK
	"tailscale/v1.102.3-nftables-k8s-egress":           1, // an address translation with nothing of its program in it
}

// statesIn lists the recorded states below a folder: folders that hold the
// files of one, and the names by which several share a folder.
func statesIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		folder, name := filepath.Split(rel)
		folder = filepath.Clean(folder)
		name = strings.TrimSuffix(name, ".gz")
		state := ""
		switch {
		case strings.HasPrefix(rel, "failures"), strings.Contains(name, "ipset"):
		case strings.HasSuffix(name, "-save.txt"), name == "nft-list-ruleset.json":
			state = folder
		default:
			for _, end := range []string{".nft.v4.save", ".nft.v6.save", ".legacy.v4.save", ".legacy.v6.save", ".nft.nft.json", ".nft.json"} {
				if prefix, ok := strings.CutSuffix(name, end); ok && state == "" {
					state = filepath.Join(folder, prefix)
				}
			}
		}
		if state != "" && !slices.Contains(out, state) {
			out = append(out, state)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDoctorReadsEveryFile: each recorded file by itself loads, and names nobody
// whom the whole state does not.
func TestDoctorReadsEveryFile(t *testing.T) {
	dir := sharedSnapshots(t)
	programs := map[string]string{}
	for _, c := range states {
		programs[c.path] = c.programs
	}
	files := 0
	for _, state := range statesIn(t, dir) {
		names, err := filepath.Glob(filepath.Join(dir, state, "*"))
		if err != nil {
			t.Fatal(err)
		}
		more, err := filepath.Glob(filepath.Join(dir, state+".*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append(names, more...) {
			name := strings.TrimSuffix(filepath.Base(path), ".gz")
			if strings.Contains(name, "ipset") || !strings.HasSuffix(name, "save.txt") && !strings.HasSuffix(name, ".save") && !strings.HasSuffix(name, ".json") {
				continue
			}
			files++
			for _, p := range doctor(t, path).Participants {
				// kubelet's chains are also kube-proxy's where only one of the two is seen.
				if !slices.Contains(strings.Fields(programs[state]), p.Name) && p.Name != "kubelet" && p.Name != "kube-proxy" {
					t.Errorf("%s: %s wrote none of it", path, p.Name)
				}
			}
		}
	}
	if files < 150 {
		t.Errorf("only %d files were read", files)
	}
}

// TestRedactedPlansTheSame: against a redacted snapshot every scenario changes the
// same things in the same places, findings included, but for what speaks of
// addresses.
func TestRedactedPlansTheSame(t *testing.T) {
	dirs, err := filepath.Glob("scenarios/*")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, dir := range dirs {
		for _, v := range variants {
			s := &scenario{dir: dir, in: filepath.Join(dir, "in", v.folder), variant: v.variant}
			if _, err := os.Stat(s.in); err != nil || addressed.MatchString(filepath.Base(dir)) {
				continue
			}
			list := &diag.List{}
			programs := s.compile(t, list)
			if list.HasErrors() {
				continue
			}
			compared++
			text, err := recorded.Write(s.snap, recorded.WriteOptions{Redact: true})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "hidden")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			hidden, l, err := recorded.Load(path, "")
			if err == nil {
				err = l.Err()
			}
			if err != nil {
				t.Fatal(err)
			}
			want, got := places(compiler.NewPlan(programs, s.snap, compiler.PlanOptions{})), places(compiler.NewPlan(programs, hidden, compiler.PlanOptions{}))
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: the plan against the redacted host differs (-want +got):\n%s", s.in, d)
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d plans were compared", compared)
	}
}

// addressed are the scenarios whose rulesets or values speak of addresses that
// stand on the host: flannel's constraints on the cluster's range, kube-vip's lists
// of what lives, rules and sets of ours that stand already, and rules in a program's stead.
var addressed = regexp.MustCompile(`^(flannel-|kube-vip-|sets-|docker-host-mixed$|k3s-netbird-damaged-netbird-restarted$|replaced-names$)`)

// places is what a plan changes, and where each rule then stands, without texts.
func places(p *compiler.Plan) []string {
	var out []string
	for _, c := range p.Changes {
		out = append(out, fmt.Sprintf("%s %s %s", c.Kind, c.Key, c.Address))
	}
	for _, v := range p.Views {
		for _, l := range v.Lines {
			out = append(out, fmt.Sprintf("%s %d %s %s %v", v.Key, l.Position, l.Kind, l.Participant, l.Ours))
		}
	}
	for _, d := range p.Diags.All() {
		out = append(out, fmt.Sprintf("%s %s", d.Severity, d.Code))
	}
	return out
}
