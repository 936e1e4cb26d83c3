package field

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"hookline/backend"
	"hookline/compiler/ir"
)

// watch reads a table again and again, as another program would, until the
// returned function is called, which tells how often it looked. What check says
// is wrong fails the test.
//
// iptables-legacy-save does not take the lock (FIELD M-53), and one read is one
// copy of the table; iptables-nft-save reads again if the generation changed
// while it read.
func (n *node) watch(f ir.Family, table string, check func(save string) error) (stop func() int) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	count := 0
	look := func() {
		res, err := n.ns.Runner().Run(ctx, backend.Cmd{Argv: []string{n.tool(f, "-save"), "-t", table}})
		if ctx.Err() != nil {
			return
		}
		count++
		if err == nil && res.Exit != 0 {
			err = fmt.Errorf("exit %d: %s", res.Exit, res.Stderr)
		}
		if err == nil {
			err = check(res.Stdout)
		}
		if err != nil {
			n.t.Errorf("look %d: %v", count, err)
			cancel()
		}
	}
	look()
	wg.Go(func() {
		for ctx.Err() == nil {
			look()
		}
	})
	stop = func() int {
		cancel()
		wg.Wait()
		return count
	}
	n.t.Cleanup(func() { stop() })
	return stop
}

// lines counts the rules of a chain in a save.
func lines(save, chain string) int { return strings.Count(save, "-A "+chain+" ") }
