// Package guesttest helps to test programs that run guests: whether they show what
// their README.md says, and whether they leave anything behind.
package guesttest
