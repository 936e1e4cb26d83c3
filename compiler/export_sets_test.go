package compiler

// Sets of tables of ours: what a plan says of them, and their digest.
var (
	OwnSetChanges = ownSetChanges
	DigestOwnSet  = digestOwnSet
)
