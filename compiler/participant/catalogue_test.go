package participant_test

import (
	"testing"

	"hookline/compiler/participant"
)

func TestBuiltinLoads(t *testing.T) {
	c, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"calico", "kube-proxy", "kubelet", "kube-ovn", "flannel", "portmap", "kube-router", "kube-vip", "netbird",
		"docker", "tailscale", "cilium",
	} {
		e := c.Entry(name)
		if e == nil {
			t.Errorf("Entry(%q) = nil", name)
			continue
		}
		if len(e.Behaviours) == 0 || len(e.Sources) == 0 || e.Title == "" {
			t.Errorf("participant %s lacks a behaviour, a source or a title", name)
		}
	}
}
