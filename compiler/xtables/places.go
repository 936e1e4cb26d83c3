package xtables

import "slices"

// place says where a target or a match may stand. Nil lists say: anywhere.
type place struct {
	tables []string
	// chains are built-in chains; a user-defined chain can be reached from any.
	chains []string
}

// targetPlaces is what the kernel checks when a rule is committed, measured with
// Linux 6.18 on both variants.
var targetPlaces = map[string]place{
	"DNAT":        {tables: []string{"nat"}, chains: []string{"PREROUTING", "OUTPUT"}},
	"REDIRECT":    {tables: []string{"nat"}, chains: []string{"PREROUTING", "OUTPUT"}},
	"SNAT":        {tables: []string{"nat"}, chains: []string{"POSTROUTING", "INPUT"}},
	"MASQUERADE":  {tables: []string{"nat"}, chains: []string{"POSTROUTING"}},
	"NETMAP":      {tables: []string{"nat"}},
	"TPROXY":      {tables: []string{"mangle"}, chains: []string{"PREROUTING"}},
	"CT":          {tables: []string{"raw"}},
	"NOTRACK":     {tables: []string{"raw"}},
	"TRACE":       {tables: []string{"raw"}},
	"REJECT":      {tables: []string{"filter"}, chains: []string{"INPUT", "FORWARD", "OUTPUT"}},
	"TTL":         {tables: []string{"mangle"}},
	"HL":          {tables: []string{"mangle"}},
	"TOS":         {tables: []string{"mangle"}},
	"DSCP":        {tables: []string{"mangle"}},
	"ECN":         {tables: []string{"mangle"}},
	"CHECKSUM":    {tables: []string{"mangle"}},
	"TCPOPTSTRIP": {tables: []string{"mangle"}},
	"SNPT":        {tables: []string{"mangle"}, chains: []string{"INPUT", "POSTROUTING"}},
	"DNPT":        {tables: []string{"mangle"}, chains: []string{"PREROUTING", "OUTPUT"}},
	"CONNSECMARK": {tables: []string{"mangle", "security"}},
	"SECMARK":     {tables: []string{"mangle", "security"}},
	"CLASSIFY":    {chains: []string{"FORWARD", "OUTPUT", "POSTROUTING"}},
	"SYNPROXY":    {chains: []string{"INPUT", "FORWARD"}},
	"CLUSTERIP":   {chains: []string{"INPUT"}},
}

// noFiltering are verdicts and targets that the tool refuses in table nat.
var noFiltering = []string{"DROP"}

// matchPlaces likewise for matches, by module.
var matchPlaces = map[string]place{
	"owner":    {chains: []string{"OUTPUT", "POSTROUTING"}},
	"mac":      {chains: []string{"PREROUTING", "INPUT", "FORWARD"}},
	"socket":   {chains: []string{"PREROUTING", "INPUT"}},
	"rpfilter": {tables: []string{"raw", "mangle"}, chains: []string{"PREROUTING"}},
	"cgroup":   {chains: []string{"INPUT", "OUTPUT", "POSTROUTING"}},
	"realm":    {chains: []string{"INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}},
	"eui64":    {chains: []string{"PREROUTING", "INPUT", "FORWARD"}},
}

// arriving and leaving are the built-in chains where a packet has an interface that
// it came in by, or one that it goes out by.
var (
	arriving = []string{"PREROUTING", "INPUT", "FORWARD"}
	leaving  = []string{"FORWARD", "OUTPUT", "POSTROUTING"}
)

// builtin are all built-in chains of all tables.
var builtin = []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

// allows tells whether a table and a chain are in the place; a chain that is not
// built-in always is.
func (p place) allows(table, chain string) (tableOK, chainOK bool) {
	tableOK = p.tables == nil || table == "" || slices.Contains(p.tables, table)
	chainOK = p.chains == nil || !slices.Contains(builtin, chain) || slices.Contains(p.chains, chain)
	return tableOK, chainOK
}
