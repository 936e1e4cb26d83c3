package iptables

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hookline/backend"
	"hookline/compiler/ir"
)

// defaultLock is the xtables lock of iptables-legacy(8).
const defaultLock = "/run/xtables.lock"

// The pauses between two tries to take the lock.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// probeTime is how long a restore of nothing may take before it counts as
// waiting for the lock.
const probeTime = 2 * time.Second

// LockHeldError says that the xtables lock could not be had in time.
type LockHeldError struct {
	Path string
	Err  error // why the waiting ended
}

func (e *LockHeldError) Error() string {
	return fmt.Sprintf("another program holds the xtables lock %s: %v", e.Path, e.Err)
}

func (e *LockHeldError) Unwrap() error { return e.Err }

// lockPath is the lock file that the host's programs use.
func (b *Backend) lockPath() string {
	if b.opt.LockFile != "" {
		return b.opt.LockFile
	}
	if p := os.Getenv("XTABLES_LOCKFILE"); p != "" {
		return p
	}
	return defaultLock
}

// flock takes the lock, waiting as long as ctx allows. Waiting in the kernel
// could not be given up, so it asks again and again.
func flock(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("taking the xtables lock: %w", err)
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("taking the xtables lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(&LockHeldError{path, context.Cause(ctx)}, file.Close())
		case <-time.After(pause):
		}
	}
}

// takeLock holds the xtables lock for the session. The session's own tools are
// given a private lock file, so that they do not wait for us (FIELD M-5). Tools
// that ignore XTABLES_LOCKFILE cannot run while we hold the lock: then it is
// given back, each tool takes it for itself, and the plan says so.
func (s *session) takeLock(ctx context.Context) error {
	file, err := flock(ctx, s.b.lockPath())
	if err != nil {
		return err
	}
	s.lock = file
	private, err := os.CreateTemp("", "hookline-xtables-lock-")
	if err != nil {
		return fmt.Errorf("making a private lock file: %w", err)
	}
	s.private = private.Name()
	if err := private.Close(); err != nil {
		return fmt.Errorf("making a private lock file: %w", err)
	}
	honoured, err := s.lockHonoured(ctx)
	if err != nil {
		return err
	}
	if honoured {
		return nil
	}
	s.notes = append(s.notes, fmt.Sprintf("%s ignores XTABLES_LOCKFILE: the xtables lock is held for each command only, "+
		"so another program can write between reading and writing; the read-back finds it", s.tools(s.b.opt.Families[0]).Version))
	s.lock = nil
	return file.Close()
}

// lockHonoured tries, once for a Backend, whether a legacy restore runs while we
// hold the lock and name it a private one.
func (s *session) lockHonoured(ctx context.Context) (bool, error) {
	f := s.b.opt.Families[0]
	tools := s.tools(f)
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.lockHonoured != nil {
		return *s.b.lockHonoured, nil
	}
	// The lock is taken before the table is looked at: a table that cannot exist tries
	// the lock and loads nothing. Some versions wait for the lock without -w, so what
	// is still running after the time allowed waits for us.
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	res, err := s.b.run.Run(limited, backend.Cmd{
		Argv:  append(append([]string(nil), tools.Restore...), "--test", "--noflush"),
		Env:   []string{"XTABLES_LOCKFILE=" + s.private},
		Stdin: "*hookline-lock-probe\nCOMMIT\n",
	})
	honoured := !strings.Contains(res.Stderr, "xtables lock")
	if err != nil {
		if ctx.Err() != nil || limited.Err() == nil {
			return false, fmt.Errorf("trying the xtables lock: %w", err)
		}
		honoured = false
	}
	s.b.lockHonoured = &honoured
	return honoured, nil
}

// lockArgs are the words by which a restore waits for the lock itself. The nft
// variant has no lock and takes the words without using them.
func (s *session) lockArgs() []string {
	if s.b.opt.Variant == ir.IptablesLegacy && s.lock == nil {
		return []string{"-w"}
	}
	return nil
}
