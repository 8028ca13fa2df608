package replay

// For tests from outside, which can make scenarios by chance.
var (
	ReplayIn = replayIn
	Carriers = carriers
)
