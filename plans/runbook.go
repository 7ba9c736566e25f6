package plans

// Runbooks says how switchover, failover, failback and resync go about their
// work.
type Runbooks struct {
	Parallel     int      `yaml:"parallel" default:"128" doc:"images that are on their way at once, 1 to 1000; most of the time each only waits for rbd-mirror"`
	ProofTimeout Duration `yaml:"proof_timeout" default:"5m" is:"positive" doc:"how long a demoted image may wait for the proof that its copy has caught up, before it is promoted back"`
	CallTimeout  Duration `yaml:"call_timeout" default:"2m" is:"positive" doc:"how long one call to Ceph may take"`
	Approval     Duration `yaml:"approval" default:"15m" is:"positive" doc:"how long a person's approval is good for"`
	Reverse      Reverse  `yaml:"reverse" enum:"refuse,allow" default:"refuse" doc:"whether a runbook may set up the reverse direction, the daemon at the old primary included (direction: one-way)"`
	MinFree      Percent  `yaml:"min_free" default:"10%" doc:"room that must be left in the target pool, 0% to 90%"`
	RTO          Duration `yaml:"rto" doc:"objective: time until a switchover, failover or failback is over (0: no objective); a drill has its own"`
	Probes       []Probe  `yaml:"probes" doc:"vantage points from which the old site is looked at in a failover"`
}

// Reverse is the licence of a one-way plan's runbooks to mirror the other way.
type Reverse string

// What a runbook may do about the reverse direction.
const (
	ReverseRefuse Reverse = "refuse"
	ReverseAllow  Reverse = "allow"
)

// maxParallel is the largest number of images that are moved at once.
const maxParallel = 1000

// Probe is a vantage point: a command that says whether a site answers from
// somewhere else, such as over ssh from another host.
type Probe struct {
	Name    string   `yaml:"name" required:"true" is:"name" doc:"name of the vantage point"`
	Command []string `yaml:"command" required:"true" is:"command" doc:"program and arguments; exit code 0: the site answers from there"`
	Timeout Duration `yaml:"timeout" default:"10s" is:"positive" doc:"how long it may take"`
}
