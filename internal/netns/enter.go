package netns

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter moves the whole process into a network namespace, given by its name in
// /run/netns or by a path (/proc/PID/ns/net). A namespace belongs to a thread
// and a Go program has many, so Enter enters on one thread and has the kernel
// execute the program again from there, with the same arguments and
// environment. It comes back only with an error, or, in a process that is in
// the namespace already, with nil: call it before any other work. After an
// error the calling goroutine stays on its thread, which may have moved.
func Enter(nameOrPath string) error {
	runtime.LockOSThread()
	file, err := os.Open(path(nameOrPath))
	if err != nil {
		return fmt.Errorf("entering network namespace %s: %w", nameOrPath, err)
	}
	defer file.Close()
	inside, err := sameAsCurrent(file)
	if err != nil {
		return fmt.Errorf("entering network namespace %s: %w", nameOrPath, err)
	}
	if inside {
		runtime.UnlockOSThread()
		return nil
	}
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", nameOrPath, err)
	}
	err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
	return fmt.Errorf("entering network namespace %s: executing %s again: %w", nameOrPath, os.Args[0], err)
}

// sameAsCurrent tells whether a file is the calling thread's namespace.
func sameAsCurrent(file *os.File) (bool, error) {
	var want, have unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &want); err != nil {
		return false, err
	}
	if err := unix.Stat(current, &have); err != nil {
		return false, err
	}
	return want.Dev == have.Dev && want.Ino == have.Ino, nil
}

// rootlessMark is set in the environment of a process that Rootless started.
const rootlessMark = "HOOKLINE_ROOTLESS"

// Privileged tells whether this process may make network namespaces.
func Privileged() bool {
	file, err := unshare()
	if err != nil {
		return false
	}
	file.Close()
	return true
}

// Rootless runs this program again, with the same arguments, as root of a new
// user namespace, if it may not make network namespaces as it is. It returns
// ran=false if nothing was to be done (the program is privileged, or is the one
// that was run again), else the child's exit status.
func Rootless() (status int, ran bool, err error) {
	if os.Getenv(rootlessMark) != "" || Privileged() {
		return 0, false, nil
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), rootlessMark+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	// Ctrl-C reaches the child too, which is in the same process group.
	signal.Ignore(os.Interrupt)
	defer signal.Reset(os.Interrupt)
	if err := cmd.Run(); err != nil {
		if exit, ok := err.(*exec.ExitError); ok && exit.Exited() { //nolint:errorlint // because Run returns it bare
			return exit.ExitCode(), true, nil
		}
		return 1, true, fmt.Errorf("running again in a user namespace: %w", err)
	}
	return 0, true, nil
}
