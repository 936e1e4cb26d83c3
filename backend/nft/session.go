package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/backend/nfnetlink"
)

// session is one read-plan-write-verify cycle.
type session struct {
	b      *Backend
	kernel *nfnetlink.Conn
	// tables is the session that reads chains of iptables, once somebody asked.
	tables backend.Session
	notes  []string
	// warnings of the snapshot that is being made.
	warnings []string
}

// Notes are sentences about the session that a plan must show.
func (s *session) Notes() []string {
	out := slices.Clone(s.notes)
	if s.tables != nil {
		out = append(out, s.tables.Notes()...)
	}
	return out
}

// Close closes the sockets.
func (s *session) Close() error {
	var errs []error
	if s.tables != nil {
		errs = append(errs, s.tables.Close())
		s.tables = nil
	}
	if s.kernel != nil {
		errs = append(errs, s.kernel.Close())
		s.kernel = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the session: %w", err)
	}
	return nil
}

// Check has nft and the kernel look at a script without doing it: what is missing, and
// jumps in a circle, are found. Steps on sets that go without nft are not looked at.
func (s *session) Check(ctx context.Context, script backend.Script) error {
	if script.Steps != nil {
		return nil // there is no text that a tool could find fault with
	}
	return s.send(ctx, script, "-c")
}

// Apply sends a script: all of it is done, or nothing.
func (s *session) Apply(ctx context.Context, script backend.Script) error {
	if script.Steps != nil {
		return s.sendSteps(ctx, script)
	}
	alone, err := s.byNetlink(script)
	if err != nil {
		return err
	}
	if alone {
		if err := s.commit(ctx, script); !errors.Is(err, errNoNamespace) {
			return err
		}
	}
	return s.send(ctx, script)
}

func (s *session) send(ctx context.Context, script backend.Script, words ...string) error {
	argv := append(append([]string{tool}, words...), "-f", "-")
	res, err := s.b.run.Run(ctx, backend.Cmd{Argv: argv, Stdin: script.Text})
	if err != nil {
		return fmt.Errorf("sending a script to nft: %w", err)
	}
	if res.Exit != 0 {
		e := refusal(script, res)
		if strings.Contains(e.Message, notPermitted) {
			if owned := s.owned(script); owned != nil {
				return owned
			}
		}
		return e
	}
	return nil
}

// iptablesTables opens the session for chains of iptables. A *MissingToolError says
// that there is no tool to read them.
func (s *session) iptablesTables(ctx context.Context) (backend.Session, error) {
	if s.tables == nil {
		t, err := s.b.tables.Session(ctx)
		if err != nil {
			return nil, err
		}
		s.tables = t
	}
	return s.tables, nil
}
