package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hookline/dsl/diag"
)

// setFileLimit is the size in bytes of the largest file of elements that is read:
// several millions of them.
const setFileLimit = 256 << 20

// beside reads a file that a ruleset names, which stands beside the ruleset. What
// was read once is kept: every snapshot compiles the same texts.
func (s *sources) beside(ruleset *diag.File, name string) (*diag.File, error) {
	path := filepath.Join(filepath.Dir(ruleset.Name()), filepath.FromSlash(name))
	if f := s.files[path]; f != nil {
		return f, nil
	}
	if s.stored {
		return nil, fmt.Errorf("the stored plan does not hold the file %s", path)
	}
	text, err := readRegular(filepath.Dir(ruleset.Name()), filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if s.files == nil {
		s.files = map[string]*diag.File{}
	}
	s.files[path] = diag.NewFile(path, text)
	return s.files[path], nil
}

// readRegular reads a regular file of a folder. A pipe or a device would have us
// wait, or read, for ever; a link that leads out of the folder would show files of
// root's in findings, and store them in plans.
func readRegular(folder, name string) (string, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }() // nothing was written
	path := filepath.Join(folder, name)
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		if at := (*fs.PathError)(nil); errors.As(err, &at) {
			err = at.Err // which names the file without its folder
		}
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no regular file", path)
	case info.Size() > setFileLimit:
		return "", fmt.Errorf("%s: the file is larger than %d MiB", path, setFileLimit>>20)
	}
	text, err := io.ReadAll(io.LimitReader(file, setFileLimit+1))
	if err == nil && len(text) > setFileLimit {
		err = errors.New("the file grew while it was read")
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return string(text), nil
}
