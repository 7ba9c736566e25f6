package serve

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// family is one metric: its name, its help and its labels are said here and
// nowhere else.
type family struct {
	name, help string
	labels     []string
}

// ofImage are the labels of whatever is told image by image.
func ofImage(more ...string) []string {
	return append([]string{"plan", "pool", "namespace", "image"}, more...)
}

// What a report tells: replaced as a whole by the next report of the plan.
var (
	imageRole       = family{"drover_image_role", "The image's role at the site (primary, secondary, none, missing, unknown); always 1.", ofImage("site", "role")}
	imageState      = family{"drover_image_state", "The image's protection state; always 1, and only the present state has a series.", ofImage("state")}
	imageLagSeconds = family{"drover_image_lag_seconds", "Time of writes that would be lost if the primary were lost now, by the site of the copy; absent while that is not known.", ofImage("site")}
	imageLagEntries = family{"drover_image_lag_entries", "Journal entries that the copy at the site does not hold yet; absent in snapshot mode and while that is not known.", ofImage("site")}
	imageLagBytes   = family{"drover_image_lag_bytes", "Bytes of writes that the copy at the site does not hold yet; absent while that is not known.", ofImage("site")}
	imageCatchUp    = family{"drover_image_catch_up_seconds", "Estimated time until the copy at the site lacks nothing, by the rate of the last checks; absent while it does not close in, or that is not known.", ofImage("site")}
	imageRPO        = family{"drover_image_rpo_objective_seconds", "The plan's recovery point objective for the image; absent where it sets none.", ofImage()}
	imageHalted     = family{"drover_image_halted", "The image is under a halt, so that nothing changes it; always 1, absent otherwise.", ofImage()}
	imageVerified   = family{"drover_image_last_verified_timestamp_seconds", "When the image's copies were last proven identical; absent where that has not been.", ofImage()}

	planImages    = family{"drover_plan_images", "Images of the plan.", []string{"plan"}}
	planHealthy   = family{"drover_plan_healthy_images", "Images of the plan that are protected, and that need nobody.", []string{"plan"}}
	planOpenRuns  = family{"drover_plan_open_runs", "Runs of runbooks that have images in their hands and are not over.", []string{"plan"}}
	planObserved  = family{"drover_plan_observed_timestamp_seconds", "When what is told of the plan's images and sites was seen.", []string{"plan"}}
	problemImages = family{"drover_problem_images", "Images that have the problem; 0 where the problem is one of the site or the plan itself.", []string{"plan", "site", "code", "severity"}}

	signals = family{"drover_signals", "Images of which the watch tells people that, 1 where it is of a site or the plan itself: all that status shows, and what only the watch finds.", []string{"plan", "site", "code", "severity"}}

	siteUp      = family{"drover_site_up", "1 where the site answered the last check, else 0.", []string{"plan", "site"}}
	siteSeconds = family{"drover_site_answer_seconds", "Time the site took to answer the last check, or to be given up.", []string{"plan", "site"}}
	poolFull    = family{"drover_pool_full_seconds", "Estimated time until the pool at the site is full of journals that a secondary does not read; absent where there are none, or that is not known.", []string{"plan", "site", "pool"}}
	siteDaemons = family{"drover_site_daemons", "Daemons of rbd-mirror that serve the plan's pools at the site; absent while that is not known.", []string{"plan", "site"}}
)

// observed are the families that reports and verifications fill.
var observed = []family{
	imageRole, imageState, imageLagSeconds, imageLagEntries, imageLagBytes, imageCatchUp, imageRPO, imageHalted, imageVerified,
	planImages, planHealthy, planOpenRuns, planObserved, problemImages, signals, siteUp, siteSeconds, siteDaemons, poolFull,
}

// What the daemon itself does.
var (
	buildInfo     = family{"drover_build_info", "The program that runs; always 1.", []string{"version", "commit", "goversion"}}
	checkSeconds  = family{"drover_check_duration_seconds", "Time that checks of the plan took.", []string{"plan"}}
	checkErrors   = family{"drover_check_errors_total", "Checks of the plan that failed.", []string{"plan"}}
	checkEnded    = family{"drover_check_last_timestamp_seconds", "When the last check of the plan ended, well or not.", []string{"plan"}}
	checkSuccess  = family{"drover_check_last_success_timestamp_seconds", "When the last check of the plan that did not fail ended; 0 where there was none yet.", []string{"plan"}}
	checkNext     = family{"drover_check_next_timestamp_seconds", "When the next check of the plan is due.", []string{"plan"}}
	leaseHeld     = family{"drover_lease_held", "1 where this process holds the plan's lease, 0 where it stands by.", []string{"plan"}}
	transitions   = family{"drover_transitions_total", "Moves of images from one protection state to another.", []string{"plan", "from", "to"}}
	runs          = family{"drover_runs_total", "Runs of runbooks, whoever made them, that were seen to end, by what became of them.", []string{"plan", "runbook", "outcome"}}
	notifications = family{"drover_notifications_total", "Messages that were given to a channel, by whether it took them (sent, failed).", []string{"plan", "channel", "kind", "result"}}
	waiting       = family{"drover_notifications_waiting", "Messages that the channel has not taken yet, with those that it has refused: they are tried again.", []string{"plan", "channel"}}
	daemonStarts  = family{"drover_daemon_starts_total", "Starts of rbd-mirror at the site by this process, with those that failed.", []string{"plan", "site"}}
	abandoned     = family{"drover_site_abandoned_calls", "Calls to the site that were given up and still hang.", []string{"plan", "site"}}
)

// What is known of drills, by the newest report of each.
var (
	drillEnded    = family{"drover_drill_last_timestamp_seconds", "When the last drill of that name ended, whatever it came to.", []string{"plan", "drill"}}
	drillPassed   = family{"drover_drill_last_success_timestamp_seconds", "When the last drill of that name that has passed ended; 0 where none has.", []string{"plan", "drill"}}
	drillSeconds  = family{"drover_drill_duration_seconds", "Time that the last drill of that name took, those aside that were skipped.", []string{"plan", "drill"}}
	drillRPO      = family{"drover_drill_rpo_seconds", "Age of the oldest data that the last drill of that name brought up, those aside that were skipped or aborted; absent where that was not measured.", []string{"plan", "drill"}}
	drillRTO      = family{"drover_drill_rto_seconds", "Time that the last drill of that name took until its last check was green, those aside that were skipped or aborted; absent where not all were.", []string{"plan", "drill"}}
	drillVerdicts = family{"drover_drills_total", "Drills that this process has heard of, by what they came to (passed, failed, skipped, aborted).", []string{"plan", "drill", "verdict"}}
)

// checkBuckets are the bounds of the durations of checks, in seconds.
var checkBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func (f family) desc() *prometheus.Desc {
	return prometheus.NewDesc(f.name, f.help, slices.Clone(f.labels), nil)
}

func (f family) gauge() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.name, Help: f.help}, f.labels)
}

func (f family) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.name, Help: f.help}, f.labels)
}

func (f family) histogram(buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.name, Help: f.help, Buckets: buckets}, f.labels)
}
