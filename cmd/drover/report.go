package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
)

func newReport(s *session) *cobra.Command {
	var to, key string
	c := &cobra.Command{
		Use:   "report FILE [ID]",
		Short: "Show what a drill or a run came to, for people, auditors and CI",
		Long: `Report shows a drill or a run (switchover, failover, failback, resync): what was done
to which images, the checks with their output, the age of the data that came up (RPO)
and the time that it took (RTO) against the objectives, and the steps in order. ID is
that of a drill or a run, or a drill's name for its newest; without one, the newest of
all. Reports of drills are recorded at both sites; that of a run is made of its records.

With --file it is written to a file: .json, .md, .xml (JUnit) or .html (one page that
needs nothing else, with the trend of past drills). With --sign beside it goes its
Ed25519 signature, FILE.sig, by a private key in PEM (openssl genpkey -algorithm
ed25519); drover report verify checks it, and so does openssl.`,
		Example: `  drover report plan.yaml
  drover report plan.yaml nightly -o html > nightly.html
  drover report plan.yaml drill-20261129T020000Z-ab12 --file drill.json --sign key.pem
  drover report list plan.yaml
  drover report verify drill.json --key public.pem`,
		Args:              arguments(1, 2),
		ValidArgsFunction: completePlan,
		Annotations:       map[string]string{writesMarkdown: "yes", writesReports: "yes"},
		RunE: func(c *cobra.Command, args []string) error {
			return s.report(c, args[0], argument(args, 1), to, key)
		},
	}
	c.Flags().StringVar(&to, "file", "", "write it to this file; the form follows its name's end")
	c.Flags().StringVar(&key, "sign", "", "sign the file with this private key (PEM, Ed25519)")
	c.AddCommand(newReportList(s), newReportVerify(s))
	return c
}

func (s *session) report(c *cobra.Command, file, id, to, key string) error {
	form, known := report.FormatOf(to)
	switch {
	case to != "" && !known:
		return view.Next(fmt.Errorf("--file %s: no form of report ends like that", to), "name it .json, .md, .xml or .html")
	case key != "" && to == "":
		return view.Next(errors.New("--sign signs a file"), "say which to write: --file report.json")
	}
	plan, err := loadPlan(file)
	if err != nil {
		return err
	}
	return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
		reports, faults, err := orchestrator.Reports(c.Context(), plan, sites)
		if err != nil {
			return err
		}
		s.unreadReports(faults)
		r, err := orchestrator.FindReport(reports, id)
		if err != nil {
			return err
		}
		past := summaries(reports, func(*report.Report) bool { return true })
		if to != "" {
			return s.writeReport(to, form, key, r, past)
		}
		switch s.format {
		case view.Table:
			return view.NewReport(r).Table(s.out, s.outPalette())
		case view.YAML:
			return view.Encode(s.out, s.format, r)
		}
		return report.Write(s.out, report.Format(s.format), r, past)
	})
}

// writeReport writes a report to a file, whole or not at all, and signs it.
func (s *session) writeReport(to string, form report.Format, key string, r *report.Report, past []report.Summary) error {
	var signer ed25519.PrivateKey
	if key != "" {
		var err error
		if signer, err = report.LoadPrivateKey(key); err != nil {
			return err
		}
	}
	part := to + ".part"
	file, err := os.Create(part)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	err = errors.Join(report.Write(file, form, r, past), file.Close())
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the report: %w", err), os.Remove(part))
	}
	fmt.Fprintf(s.err, "%s %s: %s\n", s.errPalette().Good("written"), to, r.ID)
	if key == "" {
		return nil
	}
	signature, err := report.SignFile(to, signer)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%s %s\n", s.errPalette().Good("signed"), signature)
	return nil
}

func newReportList(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "list FILE",
		Short:             "List all drills and runs that are recorded, the newest last",
		Example:           `  drover report list plan.yaml -o json`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
				reports, faults, err := orchestrator.Reports(c.Context(), plan, sites)
				if err != nil {
					return err
				}
				s.unreadReports(faults)
				v := view.NewReports(plan.Name, summaries(reports, func(*report.Report) bool { return true }))
				return s.show(v, v.Table)
			})
		},
	}
}

func newReportVerify(s *session) *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "verify REPORT",
		Short: "Check the signature of a report's file",
		Long: `Verify checks that a report's file is what was signed: REPORT.sig lies beside it, and
--key names the public key in PEM (openssl pkey -pubout). It asks no site anything.`,
		Example: `  drover report verify drill.json --key public.pem`,
		Args: func(c *cobra.Command, args []string) error {
			return view.Next(cobra.ExactArgs(1)(c, args), "%s --help", c.CommandPath())
		},
		RunE: func(_ *cobra.Command, args []string) error {
			public, err := report.LoadPublicKey(key)
			if err != nil {
				return err
			}
			data, err := report.VerifyFile(args[0], public)
			if err != nil {
				return err
			}
			said := "the signature holds"
			if r, err := report.Parse(data); err == nil {
				said += fmt.Sprintf(": %s %s of plan %s, %s", r.Kind, r.ID, r.Plan, r.Verdict)
			}
			_, err = fmt.Fprintf(s.out, "%s: %s\n", args[0], said)
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "public key (PEM, Ed25519)")
	if err := c.MarkFlagRequired("key"); err != nil {
		panic(err) // a flag that was not declared above
	}
	return c
}
