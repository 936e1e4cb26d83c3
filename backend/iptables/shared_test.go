package iptables

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// shared is the folder of recorded states and published rules that stands beside
// the project, or where HOOKLINE_SHARED says.
func shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("HOOKLINE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED, NOTHING WAS READ: no recorded states: %v (set HOOKLINE_SHARED)", err)
	}
	return dir
}

// corpus calls f with each row of a corpus.
func corpus[Row any](t testing.TB, name string, f func(Row)) {
	t.Helper()
	file, err := os.Open(filepath.Join(shared(t), "corpora", name+".jsonl.gz"))
	if err != nil {
		t.Skipf("SKIPPED, NOTHING WAS READ: %v", err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var row Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		f(row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// readText reads a file that may be compressed.
func readText(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(path) == ".gz" {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
