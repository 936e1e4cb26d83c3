package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hookline/backend"
)

// DefaultLimit is how many bytes of output a tool may print on each of its two
// streams: a save of a million rules is about 150 MB.
const DefaultLimit = 512 << 20

// sbin are the folders that are searched after PATH: a user's PATH, cron's and a
// unit's often lack them.
var sbin = []string{"/usr/sbin", "/sbin", "/usr/local/sbin"}

// Exec is a backend.Runner on child processes. The zero Exec is ready to use.
type Exec struct {
	// Env is added to this process's environment, KEY=VALUE.
	Env []string
	// Limit is the number of bytes that a tool may print per stream; 0 means
	// DefaultLimit.
	Limit int
	// Around, if set, is called with the function that starts the child, e.g. to do so
	// on a thread in another network namespace.
	Around func(start func() error) error
}

// TooMuchOutputError says that a tool printed more than the limit.
type TooMuchOutputError struct {
	Tool  string
	Limit int
}

func (e *TooMuchOutputError) Error() string {
	return fmt.Sprintf("%s printed more than %d bytes", e.Tool, e.Limit)
}

// Run runs one tool to its end.
func (x *Exec) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	if len(c.Argv) == 0 {
		return backend.Result{}, errors.New("running a tool: no command given")
	}
	path, err := LookPath(c.Argv[0])
	if err != nil {
		return backend.Result{}, fmt.Errorf("running %s: %w", c.Argv[0], err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := x.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	stdout, stderr := &capture{limit: limit, stop: cancel}, &capture{limit: limit, stop: cancel}

	cmd := exec.CommandContext(ctx, path, c.Argv[1:]...)
	// Tools that answer to several names look at their own.
	cmd.Args[0] = c.Argv[0]
	cmd.Env = append(append(append(os.Environ(), "LC_ALL=C"), x.Env...), c.Env...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if c.Stdin != "" {
		in, err := whole(c.Stdin)
		if err != nil {
			return backend.Result{}, fmt.Errorf("running %s: its input: %w", c.Argv[0], err)
		}
		defer in.Close()
		cmd.Stdin = in
	}
	// A grandchild that keeps the pipes open must not keep us.
	cmd.WaitDelay = 2 * time.Second

	around := x.Around
	if around == nil {
		around = func(start func() error) error { return start() }
	}
	if err := around(cmd.Start); err != nil {
		return backend.Result{}, fmt.Errorf("running %s: %w", c.Argv[0], err)
	}
	err = cmd.Wait()
	if stdout.over || stderr.over {
		return backend.Result{}, &TooMuchOutputError{c.Argv[0], limit}
	}
	res := backend.Result{Stdout: stdout.text.String(), Stderr: stderr.text.String()}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return res, fmt.Errorf("running %s: %w", c.Argv[0], context.Cause(ctx))
	case errors.As(err, &exit) && exit.Exited():
		res.Exit = exit.ExitCode()
		return res, nil
	}
	// Killed by a signal: it did not run to its end (FIELD M-44).
	return res, fmt.Errorf("running %s: %w", c.Argv[0], err)
}

// whole is a file in memory that holds all of a tool's input before the tool starts.
// Through a pipe the tool would see an end in the middle of a line if this process
// were killed, and ipset acts on such a line: of "swap T blk-new" it may read
// "swap T blk", which is somebody else's set.
func whole(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("input", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "input")
	_, err = f.WriteString(text)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// LookPath finds a tool in PATH or in the sbin folders. The error wraps
// exec.ErrNotFound if there is none.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || strings.Contains(name, "/") || !errors.Is(err, exec.ErrNotFound) {
		return path, err
	}
	for _, dir := range sbin {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// capture collects a stream up to a limit and then stops the tool.
type capture struct {
	text  strings.Builder
	limit int
	over  bool
	stop  func()
}

func (c *capture) Write(p []byte) (int, error) {
	if c.over || c.text.Len()+len(p) > c.limit {
		if !c.over {
			c.over = true
			c.stop()
		}
		return len(p), nil
	}
	return c.text.Write(p)
}
