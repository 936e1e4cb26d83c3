package iptables

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"hookline/backend"
	"hookline/compiler/ir"
)

// session is one read-plan-write-verify cycle.
type session struct {
	b      *Backend
	kernel *kernel // nil on a legacy host without nf_tables
	notes  []string
	// warnings of the snapshot that is being made.
	warnings []string
	// began is the generation at which the snapshot that is being made began; nft
	// variant only.
	began uint32
	// other is the other variant's state, once it was read; otherWhole tells that its
	// rules are in it, too.
	other      *ir.State
	otherWhole bool
	// lock is the held xtables lock, private the lock file of our own tools; legacy
	// only.
	lock    *os.File
	private string
}

// tools of a family; Session has found them.
func (s *session) tools(f ir.Family) Tools {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.b.tools[f]
}

// Notes are sentences about the session that a plan must show.
func (s *session) Notes() []string { return slices.Clone(s.notes) }

// Close gives back the lock and the sockets.
func (s *session) Close() error {
	var errs []error
	if s.kernel != nil {
		errs = append(errs, s.kernel.Close())
		s.kernel = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	if s.private != "" {
		errs = append(errs, os.Remove(s.private))
		s.private = ""
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the session: %w", err)
	}
	return nil
}

// exec runs one tool with the session's lock file.
func (s *session) exec(ctx context.Context, argv []string, stdin string, more ...string) (backend.Result, error) {
	c := backend.Cmd{Argv: append(slices.Clone(argv), more...), Stdin: stdin}
	if s.private != "" && s.lock != nil {
		c.Env = []string{"XTABLES_LOCKFILE=" + s.private}
	}
	return s.b.run.Run(ctx, c)
}

// Check has the tool parse a script. It is no dry run (FIELD M-2).
func (s *session) Check(ctx context.Context, script backend.Script) error {
	if script.Sets {
		return nil // ipset has no such thing
	}
	return s.restore(ctx, script, "--test")
}

// Apply sends a script.
func (s *session) Apply(ctx context.Context, script backend.Script) error {
	if script.Sets {
		return s.restoreSets(ctx, script)
	}
	return s.restore(ctx, script)
}

func (s *session) restore(ctx context.Context, script backend.Script, words ...string) error {
	if !slices.Contains(s.b.opt.Families, script.Family) {
		return fmt.Errorf("restoring: the session does not work on %s", script.Family)
	}
	tools := s.tools(script.Family)
	words = append(append(words, "--noflush"), s.lockArgs()...)
	res, err := s.exec(ctx, tools.Restore, script.Text, words...)
	if err != nil {
		return fmt.Errorf("restoring the %s tables: %w", script.Family, err)
	}
	if res.Exit == 0 {
		return nil
	}
	return refusal(script, tools.Restore, res)
}
