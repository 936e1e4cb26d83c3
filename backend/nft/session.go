package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// session is one read-plan-write-verify cycle.
type session struct {
	b      *Backend
	kernel *nfnetlink.Conn
	// tables is the session that reads chains of iptables, once somebody asked.
	tables backend.Session
	// toolless are the families whose tools are missing, found out on the way; they are
	// all if tables is nil then.
	toolless []*iptables.MissingToolError
	notes    []string
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

// openTables opens the session for chains of iptables, of the families whose tools are
// there.
func (s *session) openTables(ctx context.Context) error {
	b := s.b.tables
	for s.tables == nil && len(s.toolless) < len(ir.Families) {
		t, err := b.Session(ctx)
		var missing *iptables.MissingToolError
		switch {
		case err == nil:
			s.tables = t
			return nil
		case !errors.As(err, &missing):
			return err
		}
		s.toolless = append(s.toolless, missing)
		left := slices.DeleteFunc(slices.Clone(ir.Families), s.lacksTools)
		if b, err = iptables.New(iptables.Options{Variant: ir.IptablesNFT, Runner: s.b.run, NetNS: s.b.around, Families: left}); err != nil {
			return err
		}
	}
	return nil
}

// lacksTools tells that the tools of a family are known to be missing.
func (s *session) lacksTools(f ir.Family) bool {
	return slices.ContainsFunc(s.toolless, func(m *iptables.MissingToolError) bool { return m.Family == f })
}
