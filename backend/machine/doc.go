// Package machine reads what of a machine outside its netfilter tables bears on
// what stands in them: configuration files that flush or overwrite the tables of
// everybody, and the tools that are installed, each copy of them.
//
// In: a file system and a runner. Out: ir.Setting and ir.Binary, facts without a
// judgement: what they mean for the host is said elsewhere.
//
// Invariants:
//   - nothing is started to learn a setting: whether a service is enabled is read
//     from the links of systemd, as `systemctl is-enabled` does;
//   - a file system may be another machine's, so that links are followed inside it;
//   - what cannot be read is said, and is not the same as what is not there;
//   - a tool is run only if nobody but its owner, root or ourselves, can have
//     written it.
package machine
