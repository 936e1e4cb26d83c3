package xtables

// rawMatches are matches whose words are kept undecoded, in canonical spelling.
var rawMatches = []*module{}

// rawTargets likewise.
var rawTargets = []*module{}
