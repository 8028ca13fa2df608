// Package bridgetest gives tests, examples and lessons a network around a bridge:
// virtual hosts that answer pings, cables with a latency, several switches if
// wanted, and a clock of its own. Three lines are enough:
//
//	lab := bridgetest.NewLab(t, bridgetest.Star("h1", "h2", "h3"))
//	if _, err := lab.Host("h1").Ping(lab.Host("h2").IP()); err != nil {
//		t.Error(err)
//	}
//
// The switches are real: each is a bridge.Bridge as a program would use it. What
// is simulated is what surrounds them. A cable is a bridge.FrameIO that schedules
// what is written to it for later; nothing is read by a goroutine, none is
// started, and no privilege is needed.
//
// # Time
//
// Time stands still until [Lab.Run] or [Host.Ping] moves it. What is due runs in
// the order of time, and within an instant frames arrive in the order in which
// they were sent, before the timers of the switches run, in the order in which
// these were made. So the same Config gives the same run, down to the last line of
// [Lab.Trace], and five minutes of ageing take no time at all.
//
// # Scenarios
//
// A lesson, or a test that reads like one, is a text file: prose, commands, and below
// them the log of what happened. [PlayScenario] plays it, and [CheckScenario] holds a
// file true in a test, or renews it. Those in testdata are the first ones to read.
//
// # Faults
//
// A cable made by [Lab.Connect] can be cut and mended, and a [Fault] of each of its
// directions loses frames or holds them back.
//
// # Accounts
//
// A lab made by [NewLab] ends with [Lab.Check]: the test fails if any switch lost
// track of a frame.
package bridgetest
