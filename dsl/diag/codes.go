package diag

// CodeInfo is one line of the table of codes: what a code means, in a sentence.
type CodeInfo struct {
	Code    Code
	Meaning string
}

// Codes of findings in the text of a ruleset (dsl).
const (
	YAMLSyntax       Code = "yaml-syntax"
	FileTooLarge     Code = "file-too-large"
	AliasExpansion   Code = "alias-expansion"
	UnknownKey       Code = "unknown-key"
	DuplicateKey     Code = "duplicate-key"
	MissingKey       Code = "missing-key"
	MergeKey         Code = "merge-key"
	YAMLTag          Code = "yaml-tag"
	CommentInText    Code = "comment-in-text"
	AmbiguousNumber  Code = "ambiguous-number"
	APIVersion       Code = "api-version"
	WrongType        Code = "wrong-type"
	InvalidValue     Code = "invalid-value"
	InvalidName      Code = "invalid-name"
	ControlCharacter Code = "control-character"
	DuplicateName    Code = "duplicate-name"
	TemplateHere     Code = "template-not-allowed"
)

// Codes of findings in expressions (check).
const (
	CELSyntax     Code = "cel-syntax"
	CELType       Code = "cel-type"
	CELEval       Code = "cel-eval"
	CELCost       Code = "cel-cost"
	ParamValue    Code = "param-value"
	UnknownParam  Code = "unknown-param"
	FactsNeeded   Code = "facts-needed"
	RuleIndexUse  Code = "rule-index"
	ConstraintNot Code = "constraint"
	Unknowable    Code = "unknown-state"
)

// Codes of findings in rules (compiler, xtables).
const (
	RuleText       Code = "rule-text"
	RuleConflict   Code = "rule-conflict"
	RuleDialect    Code = "rule-dialect"
	FamilyMismatch Code = "family-mismatch"
	Inverted       Code = "inverted-range"
	ExpandsTwice   Code = "expands-twice"
	NothingMatches Code = "matches-nothing"
	BadTarget      Code = "bad-target"
	UnknownChain   Code = "unknown-chain"
	ChainLoop      Code = "chain-loop"
	TooLong        Code = "too-long"
	NeighbourDrop  Code = "neighbour-discovery"
	UnresolvedSet  Code = "missing-set"
	SetFile        Code = "set-file"
	SetMismatch    Code = "set-mismatch"
)

// Codes of findings about names and ownership (compiler, recognize).
const (
	ReservedName      Code = "reserved-name"
	ReservedSubstring Code = "killall-substring"
	NotOwned          Code = "not-owned"
	OwnershipOverlap  Code = "ownership-overlap"
	ForeignReference  Code = "foreign-reference"
	OtherRuleset      Code = "other-ruleset"
	OtherBackend      Code = "other-backend"
	MarkCollision     Code = "mark-collision"
	AdoptOwned        Code = "adopt-owned"
	JumpForeign       Code = "jump-foreign-chain"
	IdleChain         Code = "idle-chain"
	NotImportable     Code = "not-importable"
	Intrusion         Code = "intrusion"
)

// Codes of findings about placement (place, compiler).
const (
	UnknownReference  Code = "unknown-reference"
	MissingReference  Code = "missing-reference"
	Held              Code = "held"
	CrossingBounds    Code = "crossing-bounds"
	UnstablePlacement Code = "unstable-placement"
	PlacementCycle    Code = "placement-cycle"
	Duplicates        Code = "duplicates"
	CounterRestarts   Code = "counter-restarts"
	NoPriority        Code = "no-priority"
	SharedPriority    Code = "shared-priority"
	AcceptNotFinal    Code = "accept-not-final"
)

// Codes of findings about a host (backend, converge).
const (
	UnreadableTable    Code = "unreadable-table"
	NativeRules        Code = "native-rules"
	MixedBackends      Code = "mixed-backends"
	SnapshotText       Code = "snapshot-text"
	NotInSnapshot      Code = "not-in-snapshot"
	ToolRefused        Code = "tool-refused"
	Respelled          Code = "respelled"
	GuardDropped       Code = "guard-dropped"
	StateLost          Code = "state-lost"
	VerifyMismatch     Code = "verify-mismatch"
	UndeletableRule    Code = "undeletable-rule"
	UnsupportedBackend Code = "unsupported-backend"
	HostMoved          Code = "host-moved"
	RaceLost           Code = "race-lost"
	TakeBackFailed     Code = "take-back-failed"
)
