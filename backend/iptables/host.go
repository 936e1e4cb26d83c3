package iptables

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"hookline/backend"
	"hookline/backend/run"
	"hookline/compiler/ir"
)

// Options say which tables of which host a Backend works on.
type Options struct {
	// Variant is ir.IptablesNFT or ir.IptablesLegacy.
	Variant ir.Variant
	// Runner runs the tools; nil means child processes of this one.
	Runner backend.Runner
	// NetNS calls a function on a thread in the network namespace in which Runner's
	// tools run; nil means that it is this process's own. netns.NS.Do is one.
	NetNS func(func() error) error
	// Families to work on; empty means both.
	Families []ir.Family
	// Tools by family; for a family without an entry they are looked for in PATH.
	Tools map[ir.Family]Tools
	// LockFile is the xtables lock that the legacy variant holds; empty means
	// $XTABLES_LOCKFILE, or /run/xtables.lock.
	LockFile string
}

// Backend works on the iptables tables of one host in one variant.
type Backend struct {
	opt    Options
	run    backend.Runner
	around func(func() error) error

	// What is found out about the machine's programs, once.
	mu       sync.Mutex
	tools    map[ir.Family]Tools
	versions map[string]string
	// lockHonoured tells whether the legacy tools use XTABLES_LOCKFILE; nil: not tried.
	lockHonoured *bool
}

var _ backend.Backend = (*Backend)(nil)

// New makes a Backend. It touches nothing: missing tools are an error of Session.
func New(opt Options) (*Backend, error) {
	switch opt.Variant {
	case ir.IptablesNFT, ir.IptablesLegacy:
	default:
		return nil, fmt.Errorf("%q is no variant of iptables", opt.Variant)
	}
	b := &Backend{opt: opt, run: opt.Runner, around: opt.NetNS}
	if b.run == nil {
		b.run = &run.Exec{}
	}
	if b.around == nil {
		b.around = func(f func() error) error { return f() }
	}
	if len(b.opt.Families) == 0 {
		b.opt.Families = ir.Families
	}
	return b, nil
}

// Variant is the kind of tables that the backend works on.
func (b *Backend) Variant() ir.Variant { return b.opt.Variant }

// Render writes a transaction as restore scripts.
func (b *Backend) Render(tx ir.Transaction) ([]backend.Script, error) {
	return Render(tx, b.opt.Variant)
}

// Session opens a cycle on the host.
func (b *Backend) Session(ctx context.Context) (backend.Session, error) {
	if _, err := b.findTools(ctx); err != nil {
		return nil, err
	}
	s := &session{b: b}
	var err error
	if s.kernel, err = dialKernel(b.around); err != nil {
		// Only the legacy variant can do without.
		if b.opt.Variant == ir.IptablesNFT {
			return nil, err
		}
		s.kernel = nil
	}
	if b.opt.Variant == ir.IptablesLegacy {
		if err := s.takeLock(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}
