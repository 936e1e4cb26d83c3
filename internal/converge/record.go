package converge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"hookline/compiler"
	"hookline/compiler/ir"
)

// Record is what the state directory holds of one ruleset.
type Record struct {
	FormatVersion int    `json:"formatVersion"`
	Name          string `json:"name"`
	Version       string `json:"version"`
	// Status is "intent" from before the first write until the result was read back,
	// then "applied".
	Status   string   `json:"status"`
	Variant  string   `json:"variant"`
	Owns     []string `json:"owns"`
	Declared []string `json:"declared"`
	// Sets are the names of its sets in the kernel, OwnsSets the globs of all its sets.
	Sets     []string `json:"sets,omitempty"`
	OwnsSets []string `json:"ownsSets,omitempty"`
	// Families on which it stands; empty means both.
	Families []string `json:"families,omitempty"`
	// Respelled tells what a tool printed for a text of ours that it re-spelled.
	Respelled []Respelling `json:"respelled,omitempty"`
	// Boot is the run of the machine in which Seen holds.
	Boot string `json:"boot,omitempty"`
	// Seen are the other programs' rules that stood at an apply in that run, by what
	// the ruleset calls them: the evidence that one was lost.
	Seen []string `json:"seen,omitempty"`
}

// see adds to what was seen, if it is known in which run of the machine.
func (r *Record) see(names []string) {
	if r.Boot == "" {
		return
	}
	r.Seen = slices.Concat(r.Seen, names)
	slices.Sort(r.Seen)
	r.Seen = slices.Compact(r.Seen)
}

// families on which the ruleset stands.
func (r Record) families() []ir.Family {
	var out []ir.Family
	for _, f := range ir.Families {
		if len(r.Families) == 0 || slices.Contains(r.Families, f.String()) {
			out = append(out, f)
		}
	}
	return out
}

// familyNames is what a record says of families.
func familyNames(list []ir.Family) []string {
	if len(list) == len(ir.Families) {
		return nil
	}
	var out []string
	for _, f := range list {
		out = append(out, f.String())
	}
	return out
}

// Respelling is one text that a tool prints differently from how it was sent.
type Respelling struct {
	Tool    string `json:"tool"` // name and version
	Family  string `json:"family"`
	Sent    string `json:"sent"`
	Printed string `json:"printed"`
}

// Store is the state directory. The kernel is the truth: a lost store costs
// knowledge of what is stale, of other rulesets and of versions, and nothing
// else.
type Store struct{ dir string }

// recordVersion is the version of the records' form.
const recordVersion = 1

// OpenStore names a state directory; it is made at the first write.
func OpenStore(dir string) *Store { return &Store{dir: dir} }

// Load reads every record, by name. A missing directory holds none.
func (s *Store) Load() ([]Record, error) {
	files, err := os.ReadDir(s.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state directory: %w", err)
	}
	var out []Record
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		path := filepath.Join(s.folder(), f.Name())
		r, err := readRecord(path)
		if err != nil {
			return nil, fmt.Errorf("reading the record %s: %w (without the file hookline goes on as if nothing had been recorded of the ruleset)", path, err)
		}
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// largestRecord bounds what is read of a record; ours are a few kilobytes.
const largestRecord = 16 << 20

// readRecord reads one record. Only a regular file is one: a link, a pipe or a
// device would have us read, and wait, for ever.
func readRecord(path string) (Record, error) {
	var r Record
	switch info, err := os.Lstat(path); {
	case err != nil:
		return r, err
	case !info.Mode().IsRegular():
		return r, errors.New("it is no regular file")
	case info.Size() > largestRecord:
		return r, fmt.Errorf("it is larger than %d MiB", largestRecord>>20)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.FormatVersion != recordVersion {
		return r, fmt.Errorf("its form is version %d, and this program knows version %d", r.FormatVersion, recordVersion)
	}
	return r, nil
}

func (s *Store) folder() string { return filepath.Join(s.dir, "rulesets") }

// Save writes a record so that a crash leaves the old or the new one. The caller
// holds the lock: what a crashed writer left half done is overwritten.
func (s *Store) Save(r Record) error {
	r.FormatVersion = recordVersion
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Name, err)
	}
	if err := os.MkdirAll(s.folder(), 0o700); err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Name, err)
	}
	tmp, err := os.OpenFile(filepath.Join(s.folder(), "."+r.Name+".json.new"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Name, err)
	}
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), s.path(r.Name))
	}
	if err != nil {
		return fmt.Errorf("writing the record of %s: %w", r.Name, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// path of a record; ruleset names are [a-z0-9-].
func (s *Store) path(name string) string { return filepath.Join(s.folder(), name+".json") }

// Remove forgets a ruleset; one that is not there is no error.
func (s *Store) Remove(name string) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the record of %s: %w", name, err)
	}
	return nil
}

// recorded is what planning wants to know of the records, in a run of the machine.
func recorded(records []Record, boot string) []compiler.Recorded {
	var out []compiler.Recorded
	for _, r := range records {
		version := r.Version
		if r.Status != "applied" {
			version = "" // which one stands is not known
		}
		x := compiler.Recorded{Name: r.Name, Version: version, Variant: ir.Variant(r.Variant), Declared: r.Declared, Sets: r.Sets, Owns: compiler.Owns{Chains: r.Owns, Sets: r.OwnsSets}}
		if boot != "" && r.Boot == boot {
			x.Seen = r.Seen
		}
		out = append(out, x)
	}
	return out
}

// respelled is what a tool of this version is known to print for texts of ours.
func respelled(records []Record, tool string) map[string]string {
	out := map[string]string{}
	for _, r := range records {
		for _, s := range r.Respelled {
			f, ok := ir.ParseFamily(s.Family)
			if s.Family == ir.BothFamilies.String() {
				f, ok = ir.BothFamilies, true
			}
			if ok && s.Tool == tool {
				out[compiler.RespellKey(f, s.Sent)] = s.Printed
			}
		}
	}
	return out
}
