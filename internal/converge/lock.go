package converge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The pauses between two tries to take the state directory's lock, and how long
// it is tried: longer than any apply takes that does not wait for others itself.
const (
	lockPause = 20 * time.Millisecond
	lockTime  = time.Minute
)

// Lock keeps other applies that use this state directory out until release is
// called: two of them at once could both find that nobody else owns what they
// are about to own. A directory that cannot be written to has no lock; writing
// the record will fail there.
func (s *Store) Lock(ctx context.Context) (release func() error, err error) {
	none := func() error { return nil }
	if os.MkdirAll(s.dir, 0o700) != nil {
		return none, nil
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return none, nil //nolint:nilerr // because saving the record says what is wrong with the directory
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return file.Close, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, errors.Join(fmt.Errorf("locking the state directory %s: %w", s.dir, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another apply works with the state directory %s: %w", s.dir, context.Cause(ctx)), file.Close())
		case <-time.After(lockPause):
		}
	}
}
