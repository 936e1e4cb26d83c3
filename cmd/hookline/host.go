package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/backend/nft"
	tools "hookline/backend/run"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// defaultStateDir is where the record of a host's rulesets lies.
const defaultStateDir = "/var/lib/hookline"

// store is the record of the host, or of the network namespace, that a run works
// on.
func (a *app) store() *converge.Store {
	dir := a.flags.stateDir
	if dir == "" {
		dir = defaultStateDir
		if a.flags.netns != "" {
			// Another namespace is another host.
			dir = filepath.Join(dir, "netns", strings.ReplaceAll(strings.TrimPrefix(a.flags.netns, "/"), "/", "_"))
		}
	}
	return converge.OpenStore(dir)
}

// host is the backend for a host. Which one it is, and why, is said with -v if
// nobody asked for it; that is never nft.
func (a *app) host(ctx context.Context, kind string, families []ir.Family) (backend.Backend, error) {
	runner := &tools.Exec{}
	variant := ir.Variant(kind)
	switch kind {
	case "", "auto":
		found, reason, err := iptables.Detect(ctx, iptables.Options{Runner: runner, Families: families})
		if err != nil {
			return nil, err
		}
		if a.flags.verbose {
			a.say("backend: %s (%s)", found, reason)
		}
		variant = found
	case string(ir.NFT):
		return nft.New(nft.Options{Runner: runner})
	}
	return iptables.New(iptables.Options{Variant: variant, Runner: runner, Families: families})
}

// readHost reads everything that stands on a host.
func (a *app) readHost(ctx context.Context, kind string, families []ir.Family) (*ir.Snapshot, error) {
	b, err := a.host(ctx, kind, families)
	if err != nil {
		return nil, err
	}
	session, err := b.Session(ctx)
	if err != nil {
		return nil, err
	}
	snap, err := session.Snapshot(ctx, ir.Scope{Families: families, All: true, AllSets: true})
	if cerr := session.Close(); err == nil {
		err = cerr
	}
	return snap, err
}

// backendOf is the one kind of backend that all rulesets and the flag ask for.
func backendOf(asked []string) (string, error) {
	kind := "auto"
	for _, a := range asked {
		switch {
		case a == "auto":
		case kind == "auto":
			kind = a
		case kind != a:
			return "", fmt.Errorf("the rulesets ask for different backends, %s and %s: plan and apply them apart", kind, a)
		}
	}
	return kind, nil
}

// backends are what documents ask for, which the flag overrides.
func (p *parsed) backends() []string {
	var out []string
	for _, d := range p.docs {
		switch {
		case p.src.backend != "":
			out = append(out, p.src.backend)
		case d.Backend != nil:
			out = append(out, d.Backend.Literal())
		default:
			out = append(out, "auto")
		}
	}
	return out
}

// backend is the one kind of backend that the documents are for together. Those
// that leave it open are compiled for it from then on.
func (p *parsed) backend() (string, error) {
	kind, err := backendOf(p.backends())
	if err == nil && kind != "auto" {
		p.together = kind
	}
	return kind, err
}

// onHost reads and compiles the sources for the live host.
func (a *app) onHost(ctx context.Context, src *sources) (*converge.Options, error) {
	list := &diag.List{}
	p := src.parse(list)
	var facts map[string]any
	if !list.HasErrors() {
		var err error
		if facts, err = iptables.Facts(nil, iptables.Versions(ctx, &tools.Exec{})); err != nil {
			return nil, err
		}
	}
	kind, err := p.backend()
	programs := p.compile(nil, facts, false, list)
	list.Sort()
	if err := a.report(list); err != nil {
		return nil, err
	}
	if list.HasErrors() {
		return nil, exitError(exitFault)
	}
	if err != nil {
		return nil, err
	}
	b, err := a.host(ctx, kind, src.families)
	if err != nil {
		return nil, err
	}
	return &converge.Options{Backend: b, Programs: programs, Families: src.families, Store: a.store(), Boot: boot()}, nil
}

// boot names this run of the machine and this network namespace of it; empty if
// that cannot be told.
func boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id)) + " " + ns
}

// createFile writes a result file next to its place and moves it there, so that
// a reader never sees half of it.
func createFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
