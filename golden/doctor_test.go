package golden_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/survey"
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
