package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"hookline/backend"
	"hookline/backend/run"
)

// current is the network namespace of the calling thread.
const current = "/proc/thread-self/ns/net"

// NS is a network namespace and the private folder of what runs in it.
type NS struct {
	file *os.File
	dir  string
	once sync.Once
}

// New makes an empty network namespace. Close gives it back.
func New() (*NS, error) {
	dir, err := os.MkdirTemp("", "hookline-netns-")
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	file, err := unshare()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a network namespace: %w", err), os.RemoveAll(dir))
	}
	return &NS{file: file, dir: dir}, nil
}

// unshare makes a namespace on a thread of its own, which ends with it: a thread
// that has left its namespace is never given back to the scheduler.
func unshare() (*os.File, error) {
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{nil, err}
			return
		}
		file, err := os.Open(current)
		done <- made{file, err}
	}()
	m := <-done
	return m.file, m.err
}

// Open takes an existing namespace by name (in /run/netns) or by path.
func Open(nameOrPath string) (*NS, error) {
	file, err := os.Open(path(nameOrPath))
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %s: %w", nameOrPath, err)
	}
	dir, err := os.MkdirTemp("", "hookline-netns-")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening network namespace %s: %w", nameOrPath, err), file.Close())
	}
	return &NS{file: file, dir: dir}, nil
}

// path is where ip-netns(8) keeps a named namespace; whatever has a slash is a
// path already.
func path(nameOrPath string) string {
	if filepath.Base(nameOrPath) != nameOrPath {
		return nameOrPath
	}
	return filepath.Join("/run/netns", nameOrPath)
}

// Close gives the namespace back; the kernel takes it down when the last
// process in it has ended.
func (n *NS) Close() error {
	var err error
	n.once.Do(func() { err = errors.Join(n.file.Close(), os.RemoveAll(n.dir)) })
	return err
}

// Path is a path by which this process's children can enter the namespace, as
// long as this process lives and the namespace is not closed.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// LockFile is the namespace's own xtables lock file: what runs in one namespace
// does not wait for what runs in another (FIELD M-31).
func (n *NS) LockFile() string { return filepath.Join(n.dir, "xtables.lock") }

// Env is what Runner adds to the environment of its tools.
func (n *NS) Env() []string { return []string{"XTABLES_LOCKFILE=" + n.LockFile()} }

// Runner runs tools inside the namespace, with the namespace's own lock file.
func (n *NS) Runner() backend.Runner {
	return &run.Exec{Env: n.Env(), Around: n.Do}
}

// Do calls f on a thread inside the namespace. Goroutines that f starts run
// outside of it.
func (n *NS) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(current)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering a network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering a network namespace: %w", err)
	}
	defer func() {
		// A thread that cannot go home stays locked and ends with its goroutine.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}
