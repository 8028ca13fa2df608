// Package netns makes network namespaces for tests, examples and measurements, on
// Linux, as root. A namespace has no name that others could see, and is gone when
// its last user is.
package netns
