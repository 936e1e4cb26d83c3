// Package markdown writes what a pull request comment shows: text that a host or a
// file gave, made plain, and the fitting of several parts into one comment.
//
// In: texts, hostile ones too. Out: GitHub's Markdown in which they are nothing but
// text: no markup, no HTML, no links, no mentions.
//
// Invariants:
//   - what comes out of Escape, Code and Fence holds no control characters and ends
//     nothing that stands around it;
//   - a text that is cut leaves no code block and no folded part open, and says that
//     it is cut.
package markdown
