package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/exit"
	"github.com/drover-io/drover/cmd/drover/view"
)

func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "drover",
		Short: "Disaster recovery for Ceph RBD images, from one plan",
		Long: `Drover keeps the RBD images of two or more Ceph clusters mirrored as a plan
(a YAML file) says, shows how far the copies are behind, proves that they are
equal, and moves them to the other site when it has to be.

Results go to stdout, progress and errors to stderr. See also:
drover help exit-codes.`,
		Example: `  drover plan validate plan.yaml
  drover plan diff plan.yaml
  drover plan apply plan.yaml
  drover status plan.yaml --watch
  drover verify plan.yaml
  drover switchover plan.yaml --dry-run`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: s.prepare,
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&s.output, "output", "o", string(view.Table), "how results are written: "+strings.Join(view.Formats, ", "))
	flags.StringVar(&s.color, "color", string(view.Auto), "colour: auto, always, never (auto: on a terminal, unless NO_COLOR is set)")
	flags.StringVar(&s.logLevel, "log-level", "warn", "what is logged to stderr: debug, info, warn, error")
	flags.StringVar(&s.logFormat, "log-format", "text", "how it is logged: text, json")
	for name, words := range map[string][]string{
		"output": view.Formats, "color": {"auto", "always", "never"},
		"log-level": {"debug", "info", "warn", "error"}, "log-format": {"text", "json"},
	} {
		if err := root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // a flag that was not declared above: a mistake in this function
		}
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return view.Next(err, "%s --help", c.CommandPath())
	})
	root.AddCommand(newPlan(s), newStatus(s), newVerify(s), newDrill(s), newReport(s), newSwitchover(s), newFailover(s), newFailback(s), newResync(s), newPreserved(s), newRuns(s), newHalt(s), newSilence(s), newAcknowledge(s), newDaemon(s), newHistory(s), newNotify(s), newVersion(s), newExitCodes())
	return root
}

// newExitCodes is a help topic: drover help exit-codes.
func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What drover's exit codes mean",
		Long:  exit.Documentation(),
	}
}

// oneFile is the argument of a verb that takes a plan file.
func oneFile(c *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(c, args); err != nil {
		return view.Next(err, "%s --help", c.CommandPath())
	}
	return nil
}

// completePlan completes plan files.
func completePlan(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
