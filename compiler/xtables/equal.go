package xtables

import (
	"hookline/compiler/ir"
)

// Key is a text that two specs share if and only if they mean the same: decoded
// parts by their meaning, undecoded parts word by word. The order and grouping of
// matches is no part of the meaning, except around those that do something when
// they are asked (limits, what is not decoded). It is no rule text.
func Key(s *ir.Spec, f ir.Family) string {
	return string(appendSpec(make([]byte, 0, 160), s, f, styleKey))
}

// KeyNoComment is Key for the spec without its comments.
func KeyNoComment(s *ir.Spec, f ir.Family) string {
	return string(appendSpec(make([]byte, 0, 160), s, f, styleKey|styleNoComment))
}

// Equal tells whether two rules mean the same, comments included.
func Equal(a, b *ir.Rule, f ir.Family) bool {
	if a == b {
		return true
	}
	if a.Native != nil || b.Native != nil {
		return false
	}
	if a.Text == b.Text && a.Spec == nil && b.Spec == nil {
		return true
	}
	return Key(DecodeRule(a, f), f) == Key(DecodeRule(b, f), f)
}

// EqualIgnoringComments is Equal for the rules without their comments.
func EqualIgnoringComments(a, b *ir.Rule, f ir.Family) bool {
	if a == b {
		return true
	}
	if a.Native != nil || b.Native != nil {
		return false
	}
	return KeyNoComment(DecodeRule(a, f), f) == KeyNoComment(DecodeRule(b, f), f)
}

// OnlyRawDiffers tells that two specs are not equal, and that only words of
// undecoded matches and targets make the difference: the tool may have spelled
// them anew.
func OnlyRawDiffers(a, b *ir.Spec, f ir.Family) bool {
	if Key(a, f) == Key(b, f) {
		return false
	}
	bare := func(s *ir.Spec) string {
		return string(appendSpec(make([]byte, 0, 160), s, f, styleKey|styleNoRaw))
	}
	return bare(a) == bare(b)
}
