package iptables

import "hookline/compiler/ir"
import "context"

func (s *session) printCopy(ctx context.Context, f ir.Family, t chainText) bool { return false }
