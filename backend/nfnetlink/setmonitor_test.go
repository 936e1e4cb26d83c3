package nfnetlink_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"hookline/compiler/ir"
)

// nft monitor sees the elements that change and nothing else, by either way.
func TestOneElementIsOneEvent(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	set := func(list ...ir.Element) *ir.OwnSet {
		return &ir.OwnSet{Name: "s", Type: ir.SetType{ir.AddressField}, Family: ir.IPv4, Counted: -1, Elements: list}
	}
	var many []ir.Element
	for i := range uint64(5000) {
		many = append(many, ir.Element{Interval: single(2 * i)})
	}
	h.commit(append([]ir.NFTOp{addTable}, steps(nil, wantedTable(set(many...)))...))
	ops := steps(h.read(set(many[1:]...)), wantedTable(set(many[1:]...)))
	if got := script(ops); got != "delete element inet hookline-t s { 0.0.0.0 }\n" || !ops[0].Netlink {
		t.Fatalf("steps:\n%s", got)
	}
	log := t.TempDir() + "/events"
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	cmd := exec.CommandContext(ctx, "sh", "-c", `exec stdbuf -oL nft monitor >"$1"`, "sh", log)
	// It ends with the thread that starts it, whatever becomes of the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	go func() { ended <- h.ns.Do(cmd.Run) }()
	defer func() {
		stop()
		t.Logf("the monitor ended: %v", <-ended)
	}()
	// Both ends are marked by events that are sure to be seen.
	h.until(log, "ahead")
	h.commit(ops)
	events := h.until(log, "behind")
	got := ""
	for line := range strings.Lines(events) {
		if !strings.Contains(line, "ahead") && !strings.Contains(line, "behind") && !strings.HasPrefix(line, "# new generation") {
			got += line
		}
	}
	if got != "delete element inet hookline-t s { 0.0.0.0 }\n" {
		t.Errorf("events:\n%s", got)
	}
}

// until makes and deletes a table until a monitor's log tells of it.
func (h *host) until(log, name string) string {
	h.t.Helper()
	for range 200 {
		h.nft("add table inet " + name + "\ndelete table inet " + name + "\n")
		time.Sleep(20 * time.Millisecond)
		if text, err := os.ReadFile(log); err == nil && strings.Contains(string(text), name) {
			return string(text)
		}
	}
	h.t.Fatal("the monitor says nothing")
	return ""
}
