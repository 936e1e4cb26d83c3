// Package netns makes and enters network namespaces: private ones for
// rehearsals, replays and tests, and the one that --netns names.
//
// In: nothing, or the name or path of a namespace. Out: a namespace in which
// tools (Runner) and Go functions (Do) run.
//
// Invariants:
//   - a namespace is private: nothing that runs in it touches the caller's tables,
//     nor its xtables lock file (all namespaces of a file system share one);
//   - interfaces are read by netlink, never from /sys, which shows the namespace of
//     whoever mounted it; per-namespace files from /proc/thread-self/net, never
//     /proc/net, which shows the main thread's;
//   - a namespace lives as long as its file is open: no process has to hold it, and
//     none is left over after a crash.
//
// New needs CAP_SYS_ADMIN in the process's user namespace. A process without it
// gets it, for its own namespaces only, by Rootless, which runs it again as
// root of a new user namespace.
package netns
