package iptables

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts are what ruleset expressions can ask about the machine: hostname,
// interfaces with their addresses, kernel, tools. around enters the network
// namespace whose interfaces are meant; nil means the current one.
func Facts(around func(func() error) error, tools map[string]string) (map[string]any, error) {
	if around == nil {
		around = func(f func() error) error { return f() }
	}
	return hostFacts(around, tools)
}

func hostFacts(around func(func() error) error, tools map[string]string) (map[string]any, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading the host's name: %w", err)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("reading the kernel's release: %w", err)
	}
	interfaces := map[string]any{}
	err = around(func() error {
		all, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, i := range all {
			addrs, err := i.Addrs()
			if err != nil {
				return err
			}
			interfaces[i.Name] = interfaceFacts(i, addrs)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the interfaces: %w", err)
	}
	t := map[string]any{}
	for k, v := range tools {
		t[k] = v
	}
	return map[string]any{
		"hostname": host, "kernel": unix.ByteSliceToString(uts.Release[:]), "interfaces": interfaces, "tools": t,
	}, nil
}

// interfaceFacts are one interface's addresses as prefixes, IPv4 first.
func interfaceFacts(i net.Interface, addrs []net.Addr) map[string]any {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	slices.SortStableFunc(all, func(a, b string) int {
		v6 := func(s string) int { return min(1, strings.Count(s, ":")) }
		if n := v6(a) - v6(b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	list := make([]any, len(all))
	for n, a := range all {
		list[n] = a
	}
	return map[string]any{"addresses": list, "mac": i.HardwareAddr.String(), "mtu": int64(i.MTU), "up": i.Flags&net.FlagUp != 0}
}
