package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fieldtable:", err)
		os.Exit(1)
	}
}

// event is a line of `go test -json` (cmd/test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Key     string
	Value   string
}

// result is one test, or subtest, as it ended.
type result struct {
	pkg, test string
	action    string // pass, fail or skip
	// attributes, values in order of appearance
	variants, families, ids []string
}

func run(in io.Reader, out io.Writer) error {
	all, err := read(in)
	if err != nil {
		return err
	}
	if err := sound(all); err != nil {
		return err
	}
	return write(out, rows(all))
}

// read collects the results by test, in order of appearance.
func read(in io.Reader) ([]*result, error) {
	var all []*result
	byName := map[[2]string]*result{}
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<24)
	for scan.Scan() {
		var e event
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("this is no event of go test -json: %q", scan.Text())
		}
		switch e.Action {
		case "build-fail":
			return nil, errors.New("the tests do not build")
		case "fail":
			if e.Test == "" {
				return nil, fmt.Errorf("the tests of %s failed", e.Package)
			}
		}
		if e.Test == "" {
			continue
		}
		key := [2]string{e.Package, e.Test}
		r := byName[key]
		if r == nil {
			r = &result{pkg: e.Package, test: e.Test}
			byName[key] = r
			all = append(all, r)
		}
		switch e.Action {
		case "pass", "fail", "skip":
			r.action = e.Action
		case "attr":
			r.attribute(e.Key, strings.FieldsFunc(e.Value, func(c rune) bool { return c == ',' || c == ' ' }))
		}
	}
	return all, scan.Err()
}

func (r *result) attribute(key string, values []string) {
	var to *[]string
	switch key {
	case "ids":
		to = &r.ids
	case "variant":
		to = &r.variants
	case "families":
		to = &r.families
	default:
		return
	}
	for _, v := range values {
		if !slices.Contains(*to, v) {
			*to = append(*to, v)
		}
	}
}

// sound refuses results of which no table may be made.
func sound(all []*result) error {
	if len(all) == 0 {
		return errors.New("no test ran")
	}
	var errs []error
	for _, r := range all {
		if r.action != "pass" {
			errs = append(errs, fmt.Errorf("%s %s: %s", r.pkg, r.test, r.action))
		}
		for _, id := range r.ids {
			if !known(id) {
				errs = append(errs, fmt.Errorf("%s %s names %s, which is no ID", r.pkg, r.test, id))
			}
		}
	}
	return errors.Join(errs...)
}

func known(name string) bool {
	return slices.ContainsFunc(ids, func(i id) bool { return i.name == name })
}

// inName finds the ID in the name of a test: TestR3NamesTheOwner.
var inName = regexp.MustCompile(`^Test([HRNFVT])([0-9]+)[A-Z]`)

// shown is one line of a row: a scenario or a test, and where it passed.
type shown struct {
	name string
	// on holds families by variant.
	on map[string][]string
}

// row is one ID.
type row struct {
	id
	shown []*shown
}

// rows puts the results together. A subtest without attributes of its own says
// nothing; the attributes of its parent are not inherited, because a parent does
// not know where its subtests ran.
func rows(all []*result) []*row {
	out := make([]*row, len(ids))
	byID := map[string]*row{}
	for i, d := range ids {
		out[i] = &row{id: d}
		byID[d.name] = out[i]
	}
	for _, r := range all {
		if len(r.variants) == 0 {
			continue
		}
		names := r.ids
		if m := inName.FindStringSubmatch(r.test); m != nil && len(names) == 0 {
			names = []string{m[1] + "-" + m[2]}
		}
		for _, name := range names {
			if row := byID[name]; row != nil {
				row.add(r)
			}
		}
	}
	return out
}

func (w *row) add(r *result) {
	name := title(r)
	i := slices.IndexFunc(w.shown, func(s *shown) bool { return s.name == name })
	if i < 0 {
		w.shown = append(w.shown, &shown{name: name, on: map[string][]string{}})
		i = len(w.shown) - 1
	}
	s := w.shown[i]
	for _, v := range r.variants {
		for _, f := range r.families {
			if !slices.Contains(s.on[v], f) {
				s.on[v] = append(s.on[v], f)
				slices.Sort(s.on[v])
			}
		}
		if s.on[v] == nil {
			s.on[v] = []string{}
		}
	}
}

// title is how the page calls a test: a scenario by its folder, a test by its
// name and package.
func title(r *result) string {
	parts := strings.Split(r.test, "/")
	if parts[0] == "TestScenarios" && len(parts) > 1 {
		return fmt.Sprintf("[%s](../golden/scenarios/%s/README.md)", parts[1], parts[1])
	}
	return fmt.Sprintf("`%s` (%s)", parts[0], strings.TrimPrefix(r.pkg, "hookline/"))
}
