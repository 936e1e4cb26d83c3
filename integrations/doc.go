// Package integrations is what first users start from, and the proof that it
// works: a GitHub workflow, an Ansible role, cloud-init user data, systemd units.
//
// In: the files in the folders. Out: nothing; the package holds tests only.
//
// Invariants:
//   - every file was run by the program that it is for: the workflow's steps by bash,
//     the role by ansible-playbook, the user data by cloud-init on a node that boots, the
//     units by systemd on that node;
//   - the nodes are namespaces of their own: the machine's tables, files and units are
//     not touched;
//   - a program that is missing makes its tests skip loudly, and fail if
//     HOOKLINE_REQUIRE_INTEGRATIONS is 1, as `make integrations` sets it.
//
//go:generate sh -c "sh cloud-init/user-data.sh ../rulesets/harvester/ruleset.yaml >cloud-init/user-data.yaml"
package integrations
