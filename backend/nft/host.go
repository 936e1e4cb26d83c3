package nft

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/backend/nfnetlink"
	"hookline/backend/run"
	"hookline/compiler/ir"
)

// Options say which host a Backend works on.
type Options struct {
	// Runner runs the tools; nil means child processes of this one.
	Runner backend.Runner
	// NetNS calls a function on a thread in the network namespace in which Runner's
	// tools run; nil means that it is this process's own. netns.NS.Do is one.
	NetNS func(func() error) error
}

// Backend works on our own tables of nftables on one host.
type Backend struct {
	run    backend.Runner
	around func(func() error) error
	// tables reads the chains of iptables that somebody asks for.
	tables *iptables.Backend

	// few is fewRules, but in tests.
	few int

	// What is found out about the machine's programs, once.
	mu       sync.Mutex
	version  string
	versions map[string]string
}

var _ backend.Backend = (*Backend)(nil)

// New makes a Backend. It touches nothing: a missing nft is an error of Session.
func New(opt Options) (*Backend, error) {
	b := &Backend{run: opt.Runner, around: opt.NetNS, few: fewRules}
	if b.run == nil {
		b.run = &run.Exec{}
	}
	if b.around == nil {
		b.around = func(f func() error) error { return f() }
	}
	var err error
	b.tables, err = iptables.New(iptables.Options{Variant: ir.IptablesNFT, Runner: b.run, NetNS: b.around})
	return b, err
}

// Variant is ir.NFT.
func (b *Backend) Variant() ir.Variant { return ir.NFT }

// Render writes a transaction as a script.
func (b *Backend) Render(tx ir.Transaction) ([]backend.Script, error) { return Render(tx) }

// Session opens a cycle on the host.
func (b *Backend) Session(ctx context.Context) (backend.Session, error) {
	if err := b.findTool(ctx); err != nil {
		return nil, err
	}
	conn, err := nfnetlink.Dial(b.around)
	if err != nil {
		return nil, err
	}
	return &session{b: b, kernel: conn}, nil
}

// MissingToolError says that nft is not there, or too old.
type MissingToolError struct {
	// Version is that of the nft that is there, as it prints it, or empty.
	Version string
}

func (e *MissingToolError) Error() string {
	if e.Version == "" {
		return "no nft was found in PATH or the sbin folders: install nftables, or name one of the iptables backends"
	}
	return fmt.Sprintf("%s is too old: hookline writes what nft understands from %s on: update nftables, or name one of the iptables backends", e.Version, oldest)
}

// oldest is the version of nft that hookline's scripts are tested with, and the
// first that is known to take them.
var oldest = version{1, 0, 6}

type version [3]int

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// before tells that v is older than o.
func (v version) before(o version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v[i] < o[i]
		}
	}
	return false
}

var versionShape = regexp.MustCompile(`\bv(\d+)\.(\d+)(?:\.(\d+))?`)

// parseVersion reads what `nft --version` prints; ok is false for anything else.
func parseVersion(text string) (v version, ok bool) {
	m := versionShape.FindStringSubmatch(text)
	if m == nil || !strings.HasPrefix(text, "nftables") {
		return v, false
	}
	for i := range v {
		v[i], _ = strconv.Atoi("0" + m[i+1])
	}
	return v, true
}

// findTool makes sure that there is an nft that understands us, once.
func (b *Backend) findTool(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version != "" {
		return nil
	}
	res, err := b.run.Run(ctx, backend.Cmd{Argv: []string{tool, "--version"}})
	if errors.Is(err, exec.ErrNotFound) {
		return &MissingToolError{}
	}
	if err != nil {
		return fmt.Errorf("asking for a version: %w", err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(res.Stdout), "\n")
	v, ok := parseVersion(line)
	switch {
	case !ok:
		return fmt.Errorf("nft --version prints %q (exit %d), which is no version of nftables", line, res.Exit)
	case v.before(oldest):
		return &MissingToolError{Version: line}
	}
	b.version = line
	return nil
}

const tool = "nft"
