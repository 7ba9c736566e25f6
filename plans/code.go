package plans

import (
	"maps"
	"slices"
)

// Code is the stable name of a kind of mistake in a plan.
type Code string

// The kinds of mistake. What the file is:
const (
	CodeTooLarge       Code = "too-large"
	CodeNotUTF8        Code = "not-utf8"
	CodeControl        Code = "control-character"
	CodeEmpty          Code = "empty-file"
	CodeSyntax         Code = "syntax"
	CodeTab            Code = "tab-indentation"
	CodeTooDeep        Code = "too-deep"
	CodeSecondDocument Code = "second-document"
	CodeAliasBomb      Code = "alias-bomb"
	CodeAliasCycle     Code = "alias-cycle"
	CodeBadMerge       Code = "bad-merge"
	CodeBadTag         Code = "bad-tag"
	CodeTooMany        Code = "too-many-mistakes"
)

// What its keys and values are:
const (
	CodeUnknownKey   Code = "unknown-key"
	CodeDuplicateKey Code = "duplicate-key"
	CodeMissing      Code = "missing-key"
	CodeNoValue      Code = "missing-value"
	CodeWrongType    Code = "wrong-type"
	CodeBadWord      Code = "bad-word"
	CodeBadNumber    Code = "bad-number"
	CodeBadDuration  Code = "bad-duration"
	CodeNegative     Code = "negative-duration"
	CodeZero         Code = "zero"
	CodeBadSize      Code = "bad-size"
	CodeOpenSecret   Code = "open-secret"
	CodeBadSecret    Code = "bad-secret"
	CodeBadName      Code = "unsafe-name"
	CodeBadUser      Code = "bad-user"
	CodeBadGlob      Code = "bad-glob"
	CodeBadPath      Code = "bad-path"
	CodeBadProgram   Code = "bad-program"
	CodeBadText      Code = "bad-text"
	CodeBadURL       Code = "bad-url"
	CodeBadAddress   Code = "bad-address"
	CodeBadCron      Code = "bad-cron"
	CodeNeverFires   Code = "never-fires"
	CodeBadZone      Code = "bad-time-zone"
	CodeBadInterval  Code = "bad-interval"
	CodeBadStart     Code = "bad-start"
)

// How they go together:
const (
	CodeDuplicateName    Code = "duplicate-name"
	CodeDuplicateEntry   Code = "duplicate-entry"
	CodeOutOfPlace       Code = "out-of-place"
	CodeExactlyOne       Code = "exactly-one"
	CodeTooFewSites      Code = "too-few-sites"
	CodeTwoWaySites      Code = "two-way-sites"
	CodeUnknownSite      Code = "unknown-site"
	CodeSameCluster      Code = "same-cluster"
	CodeSameClusterName  Code = "same-cluster-name"
	CodeSameMirrorName   Code = "same-mirror-name"
	CodeNoImages         Code = "no-images"
	CodeCreateGlob       Code = "create-glob"
	CodeSnapshotPoolMode Code = "snapshot-pool-mode"
	CodeFeatures         Code = "feature-conflict"
	CodeObjectSize       Code = "bad-object-size"
	CodeExcluded         Code = "excluded-image"
	CodeImpossibleRPO    Code = "impossible-rpo"
	CodeReserved         Code = "reserved-namespace"
	CodeUnknownPool      Code = "unknown-pool"
	CodeUnplannedImage   Code = "unplanned-image"
	CodeImageTwice       Code = "image-twice"
	CodeUnknownWave      Code = "unknown-wave"
	CodeUnknownGroup     Code = "unknown-group"
	CodeUnknownChannel   Code = "unknown-channel"
	CodeDrillSite        Code = "drill-site"
	CodeOpenListener     Code = "open-listener"
)

// codes is the table of all kinds of mistake, with what each means.
var codes = map[Code]string{
	CodeTooLarge:       "the file is too large to be a plan",
	CodeNotUTF8:        "the file is not UTF-8 text",
	CodeControl:        "the file holds a control character",
	CodeEmpty:          "the file says nothing",
	CodeSyntax:         "the file is not YAML",
	CodeTab:            "a line is indented with a tab",
	CodeTooDeep:        "values are nested too deep",
	CodeSecondDocument: "the file holds more than one YAML document",
	CodeAliasBomb:      "aliases expand to too much",
	CodeAliasCycle:     "an alias stands for a value that holds it",
	CodeBadMerge:       "a merge key does not merge mappings",
	CodeBadTag:         "a value has a YAML tag that plans do not know",
	CodeTooMany:        "there are more mistakes than are shown",

	CodeUnknownKey:   "the plan language has no such key here",
	CodeDuplicateKey: "a key is given twice",
	CodeMissing:      "a key that is needed is not given",
	CodeNoValue:      "a key has no value",
	CodeWrongType:    "a value is of another type",
	CodeBadWord:      "a value is none of the words allowed",
	CodeBadNumber:    "a number is not whole or out of range",
	CodeBadDuration:  "a value is not a length of time",
	CodeNegative:     "a length of time is negative",
	CodeZero:         "a value must be greater than zero",
	CodeBadSize:      "a value is not a size",
	CodeOpenSecret:   "a secret is written in the plan",
	CodeBadSecret:    "a secret is not {file: …}, {env: …} or {credential: …}",
	CodeBadName:      "a name holds what would break paths, specs or commands",
	CodeBadUser:      "a cephx user is not client.NAME",
	CodeBadGlob:      "a shell pattern is broken or is none",
	CodeBadPath:      "a path cannot be one",
	CodeBadProgram:   "a program is neither an absolute path nor a bare name",
	CodeBadText:      "a text has characters that it must not have",
	CodeBadURL:       "an address is not an http or https URL",
	CodeBadAddress:   "an address is not host:port, not a mail address, or not as its service wants it",
	CodeBadCron:      "a cron line is broken",
	CodeNeverFires:   "a cron line never comes true",
	CodeBadZone:      "a time zone is not in the IANA list",
	CodeBadInterval:  "a schedule's interval is not one that Ceph takes",
	CodeBadStart:     "a schedule's start time is not one that Ceph takes",

	CodeDuplicateName:    "two things of one kind have one name",
	CodeDuplicateEntry:   "a list holds an entry twice",
	CodeOutOfPlace:       "a key means nothing beside the others",
	CodeExactlyOne:       "exactly one of several keys must be given",
	CodeTooFewSites:      "a plan needs two sites",
	CodeTwoWaySites:      "two-way mirroring is between exactly two sites",
	CodeUnknownSite:      "no site of the plan has this name",
	CodeSameCluster:      "one cluster is named as two sites",
	CodeSameClusterName:  "peers by conf need a cluster name of its own for each site",
	CodeSameMirrorName:   "two sites would have one name in Ceph",
	CodeNoImages:         "a pool in image mode lists no images",
	CodeCreateGlob:       "a glob cannot be created",
	CodeSnapshotPoolMode: "pool mode mirrors journaled images only",
	CodeFeatures:         "image features do not go together",
	CodeObjectSize:       "an object size that Ceph does not take",
	CodeExcluded:         "an image is listed and excluded",
	CodeImpossibleRPO:    "the schedule can never meet the objective",
	CodeReserved:         "a RADOS namespace is used for something else",
	CodeUnknownPool:      "the plan has no such pool",
	CodeUnplannedImage:   "the plan does not protect this image",
	CodeImageTwice:       "an image would move twice",
	CodeUnknownWave:      "the plan has no such wave",
	CodeUnknownGroup:     "the plan has no such group",
	CodeUnknownChannel:   "the plan has no such channel",
	CodeDrillSite:        "a drill needs one secondary",
	CodeOpenListener:     "the endpoint would be open to the network",
}

// Codes returns every kind of mistake, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(codes)) }

// Meaning says in a few words what the kind of mistake is.
func (c Code) Meaning() string { return codes[c] }
