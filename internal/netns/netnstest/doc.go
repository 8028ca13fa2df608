// Package netnstest makes network namespaces for tests, on Linux, as root.
package netnstest
