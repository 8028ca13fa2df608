// Package rtnl speaks rtnetlink with the running kernel: messages with nested
// attributes, requests that are acknowledged, and dumps. It knows no object of the
// kernel; who uses it does.
//
// It stands in the place of a library because the module would carry a library for
// all its users, and what a conformance run needs is small: no caching, no events,
// no concurrency, and requests that are wrong on purpose, which a library would
// refuse itself.
package rtnl
