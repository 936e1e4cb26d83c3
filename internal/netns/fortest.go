package netns

import (
	"fmt"
	"os"
)

// RequireKernel is the variable that forbids tests to skip for want of a
// namespace; continuous integration sets it to 1.
const RequireKernel = "HOOKLINE_REQUIRE_KERNEL"

// TB is what ForTest needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	Cleanup(f func())
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ForTest makes a network namespace for the length of a test. Where none can be
// had the test is skipped with the reason, or fails if RequireKernel is set.
func ForTest(t TB) *NS {
	t.Helper()
	n, err := New()
	if err != nil {
		if os.Getenv(RequireKernel) == "1" {
			t.Fatalf("%s=1, but no network namespace can be had: %v", RequireKernel, err)
		}
		t.Skipf("SKIPPED, NOTHING WAS TESTED ON A KERNEL: %v (run as root, or give the package a TestMain that calls netns.Main)", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Fatalf("closing the network namespace: %v", err)
		}
	})
	return n
}

// Main is the body of a TestMain: it runs the tests, as root of a user namespace
// if the process may not make network namespaces as it is, and returns the exit
// status.
func Main(m interface{ Run() int }) int {
	status, ran, err := Rootless()
	if ran && err == nil {
		return status
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests that need a network namespace will be skipped:", err)
	}
	return m.Run()
}
