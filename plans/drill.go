package plans

import "reflect"

// Checks are the scheduled health checks.
type Checks struct {
	Schedule string   `yaml:"schedule" default:"@every 1m" is:"cron" doc:"cron line (5 fields, @every D, @hourly …)"`
	TimeZone string   `yaml:"time_zone" default:"UTC" is:"zone" doc:"IANA time zone of the cron line"`
	Timeout  Duration `yaml:"timeout" default:"5s" is:"positive" doc:"how long a site may take to answer before it counts as unreachable"`
}

// Drill is a scheduled DR test.
type Drill struct {
	Name        string     `yaml:"name" required:"true" is:"name" doc:"name of the drill"`
	Schedule    string     `yaml:"schedule" is:"cron" doc:"cron line; without one the drill runs only when asked for"`
	TimeZone    string     `yaml:"time_zone" default:"UTC" is:"zone" doc:"IANA time zone of the cron line"`
	Site        string     `yaml:"site" is:"name" doc:"the secondary to test (default: the only one)"`
	Images      []ImageRef `yaml:"images" doc:"which images (default: all)"`
	Groups      []string   `yaml:"groups" is:"name" doc:"which groups"`
	Pool        string     `yaml:"pool" is:"pool" doc:"pool for the clones (default: the image's own pool)"`
	Namespace   string     `yaml:"namespace" default:"drover-drill" is:"namespace" doc:"RADOS namespace for the clones"`
	User        string     `yaml:"user" is:"user" doc:"cephx user that commands are told to use: one that can reach the clones only (drover plan users prints its caps)"`
	Keyring     string     `yaml:"keyring" is:"path" doc:"that user's keyring file"`
	Checks      []Check    `yaml:"checks" doc:"what is checked on the clones (default: readable, hash and size)"`
	PrimaryLost string     `yaml:"primary_lost" enum:"skip,copy" default:"skip" doc:"what a drill by schedule does while the primary does not answer: it is skipped, or whole images are copied in place of clones, as a drill by hand does"`
	Expiry      Duration   `yaml:"expiry" default:"2h" is:"positive" doc:"after this the clones are swept whatever happened"`
	RTO         Duration   `yaml:"rto" doc:"objective: time until the last check is green"`
}

// AdHocDrill is the drill of a plan that names none: all images, the checks that
// Drover brings and that need no other tool. Its site is "" where the plan has
// several secondaries.
func AdHocDrill(p *Plan) Drill {
	d := Drill{Name: "ad-hoc", TimeZone: "UTC"}
	setDefaults(reflect.ValueOf(&d).Elem())
	if secondaries := p.Secondaries(); len(secondaries) == 1 {
		d.Site = secondaries[0].Name
	}
	d.Checks = defaultChecks()
	return d
}

// defaultChecks are those of a drill that names none.
func defaultChecks() []Check {
	var out []Check
	for _, name := range []string{CheckReadable, CheckHash, CheckSize} {
		c := Check{Name: name, BuiltIn: name}
		setDefaults(reflect.ValueOf(&c).Elem())
		out = append(out, c)
	}
	return out
}

// The checks that Drover brings.
const (
	CheckReadable   = "readable"   // every allocated block can be read
	CheckHash       = "hash"       // the content is that of the primary's snapshot
	CheckFilesystem = "filesystem" // a file system is recognised and clean
	CheckSize       = "size"       // size and features are as planned
)

// What a drill by schedule does while the primary does not answer.
const (
	PrimaryLostSkip = "skip"
	PrimaryLostCopy = "copy"
)

// How often a check runs.
const (
	PerImage = "image"
	PerGroup = "group"
	PerDrill = "drill"
)

// Check is one check of a drill: built in, a command or an HTTP call, exactly
// one of them.
type Check struct {
	Name    string    `yaml:"name" required:"true" is:"name" doc:"name of the check"`
	BuiltIn string    `yaml:"builtin" enum:"readable,hash,filesystem,size" doc:"a check that Drover brings"`
	Command []string  `yaml:"command" is:"command" doc:"a command of yours: program and arguments"`
	HTTP    *HTTPCall `yaml:"http" doc:"an HTTP call"`
	Per     string    `yaml:"per" enum:"image,group,drill" default:"image" doc:"how often it runs"`
	Timeout Duration  `yaml:"timeout" default:"5m" is:"positive" doc:"how long it may take"`
}

// Verification is the background comparison of both copies.
type Verification struct {
	Schedule  string `yaml:"schedule" is:"cron" doc:"cron line; without one nothing is verified in the background"`
	TimeZone  string `yaml:"time_zone" default:"UTC" is:"zone" doc:"IANA time zone of the cron line"`
	Bandwidth Size   `yaml:"bandwidth" doc:"bytes a second read at each site, such as 100MiB (0: no limit); the checks that Drover brings keep to it in a drill, too"`
}
