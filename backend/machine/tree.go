package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// tree is a machine's file system. Paths are absolute, links are followed inside
// it.
type tree struct {
	fs fs.FS
	// troubles are sentences about what is there and cannot be read.
	troubles []string
}

// maxLinks is how many links one path may lead through, as in Linux.
const maxLinks = 40

var errTooManyLinks = errors.New("too many links")

// name is a path as fs.FS has it.
func name(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" {
		return "."
	}
	return p
}

// resolve follows the links in a path. The result is absolute; a part that does
// not exist ends it with fs.ErrNotExist.
func (t *tree) resolve(p string) (string, error) { return t.follow(p, func(fs.FileInfo) {}) }

// follow resolves a path and shows all that decides where it leads: the root, each
// folder and link on the way, and what stands at its end.
func (t *tree) follow(p string, visit func(fs.FileInfo)) (string, error) {
	root, err := fs.Lstat(t.fs, name("/"))
	if err != nil {
		return "", err
	}
	visit(root)
	todo := strings.Split(name(p), "/")
	at := "/"
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := fs.Lstat(t.fs, name(next))
		if err != nil {
			return "", err
		}
		visit(info)
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "open", Path: p, Err: errTooManyLinks}
		}
		to, err := fs.ReadLink(t.fs, name(next))
		if err != nil {
			return "", err
		}
		if path.IsAbs(to) {
			at = "/"
		}
		todo = slices.Concat(strings.Split(to, "/"), todo)
	}
	return at, nil
}

// trouble notes an error other than that there is nothing.
func (t *tree) trouble(what string, err error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	t.troubles = append(t.troubles, fmt.Sprintf("%s could not be read: %v", what, err))
}

// maxFile bounds what is read of a file; a save of a large host is some tens of
// megabytes.
const maxFile = 64 << 20

// read is a regular file's text; false if there is none, or none that can be
// read.
func (t *tree) read(p string) (string, bool) {
	text, err := t.load(p)
	if err != nil {
		t.trouble(p, err)
		return "", false
	}
	return text, true
}

func (t *tree) load(p string) (string, error) {
	real, err := t.resolve(p)
	if err != nil {
		return "", err
	}
	info, err := fs.Lstat(t.fs, name(real))
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		// A pipe would have us wait for ever; /dev/null is how systemd masks a unit.
		return "", errNoFile
	case info.Size() > maxFile:
		return "", fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	file, err := t.fs.Open(name(real))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	return string(text), errors.Join(err, file.Close())
}

var errNoFile = errors.New("it is no regular file")

// list is the names in a folder, sorted; none if there is no such folder.
func (t *tree) list(dir string) []string {
	real, err := t.resolve(dir)
	if err == nil {
		var entries []fs.DirEntry
		if entries, err = fs.ReadDir(t.fs, name(real)); err == nil {
			out := make([]string, len(entries))
			for i, e := range entries {
				out[i] = e.Name()
			}
			return out
		}
	}
	t.trouble(dir, err)
	return nil
}

// there tells whether something stands at a path, a link that leads nowhere
// included.
func (t *tree) there(p string) bool {
	dir, err := t.resolve(path.Dir(p))
	if err == nil {
		_, err = fs.Lstat(t.fs, name(path.Join(dir, path.Base(p))))
	}
	t.trouble(p, err)
	return err == nil
}
