package main

import (
	"fmt"
	"os"
	"path/filepath"

	"hookline/schemas/internal/generate"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// write makes the files of the current folder, which is schemas/.
func write() error {
	files, err := generate.All("..")
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, text, 0o644); err != nil { //nolint:gosec // because everybody may read a schema
			return err
		}
	}
	return nil
}
