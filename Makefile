# Drover: everything a person or a machine does with this tree.
# `make help` lists the targets.

SHELL := /bin/sh
CACHE := $(CURDIR)/.cache
BIN := $(CURDIR)/bin
GO ?= go
LINT_VERSION := v2.15.0
GOFUMPT_VERSION := v0.12.0
GOTESTSUM_VERSION := v1.13.0
# The go-ceph release tag for the librbd of this machine (recursive, so that it
# is asked for only after `deps` had its turn).
TAG = $(shell sh test/setup/ceph-tag.sh)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)
# Seconds of fuzzing for each fuzz target in `make fuzz`.
FUZZTIME ?= 60s
# Random histories of runbooks in `make test-long`.
HISTORIES ?= 1000000

# Packages that need neither cgo nor Ceph.
PURE := ./plans/... ./orchestrator/... ./replay ./replay/compare/... ./replay/sim/... ./replay/sitetest/... ./replay/ceph/cls/... ./test
# Packages whose tests boot real Ceph clusters, one package after another:
# the lab is fast, but not while two of them share two cores.
REAL := ./test/lab/... ./replay/ceph ./replay/rbdmirror/... ./test/e2e/...

.PHONY: help deps build build-sim demo test test-demo test-unit test-race test-moments test-histories test-long test-real lint fmt fuzz bench lab-up lab-down clean lint-tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what is missing (Debian, Ubuntu), saying what and why
	@sh test/setup/deps.sh

build: deps ## build bin/drover against this machine's librbd
	$(GO) build -tags "$(TAG)" -ldflags "$(LDFLAGS)" -o $(BIN)/drover ./cmd/drover

build-sim: ## build bin/drover-sim: the same program over simulated clusters, no cgo, no Ceph
	CGO_ENABLED=0 $(GO) build -tags sim -ldflags "$(LDFLAGS)" -o $(BIN)/drover-sim ./cmd/drover

demo: ## the main job on two real Ceph clusters, told step by step (simulator where Ceph cannot be had)
	@log=$$(mktemp) || exit 1; trap 'rm -f "$$log"' EXIT; code=0; \
	sh test/setup/deps.sh >"$$log" 2>&1 || code=$$?; \
	case $$code in \
	0) cat "$$log"; $(MAKE) --no-print-directory build && $(GO) run ./test/demo -drover $(BIN)/drover ;; \
	3) echo "Ceph cannot be had on this machine: this demo runs on SIMULATED clusters. Why:"; cat "$$log"; \
		$(MAKE) --no-print-directory build-sim && $(GO) run ./test/demo -sim -drover $(BIN)/drover-sim ;; \
	*) cat "$$log" >&2; exit $$code ;; \
	esac

test: test-demo build ## every test: unit, contract, end-to-end on real Ceph clusters
	@real=0; $(MAKE) --no-print-directory test-real || real=$$?; \
	$(MAKE) --no-print-directory test-race test-moments test-histories && exit $$real

test-demo: deps ## vet, and the demo on simulated clusters
	@sh test/setup/promtool.sh $(CACHE)/bin || true
	$(GO) vet -tags "$(TAG)" ./...
	$(MAKE) --no-print-directory build-sim
	$(GO) run ./test/demo -sim -drover $(BIN)/drover-sim >/dev/null

test-unit: test-demo ## what needs no Ceph, in short
	$(GO) test -short $(PURE)
	$(GO) test -tags sim ./cmd/...

test-race: ## what needs no Ceph, in short, under the race detector
	$(GO) test -race -short -timeout 40m $(PURE)
	$(GO) test -race -timeout 40m -tags sim ./cmd/...

test-moments: ## all moments of all runbooks, and whole days of the daemon, which the race detector is too slow for
	$(GO) test -timeout 40m ./orchestrator ./orchestrator/alert ./orchestrator/daemon

test-histories: ## 100,000 random histories of runbooks on the simulator (about two minutes on two cores)
	DROVER_HISTORIES=100000 $(GO) test -count=1 -timeout 60m -run '^TestRunHistories$$' -v ./orchestrator

test-long: ## HISTORIES of them (default a million)
	DROVER_HISTORIES=$(HISTORIES) $(GO) test -count=1 -timeout 0 -run '^TestRunHistories$$' -v ./orchestrator

test-real: build ## what boots real Ceph clusters
	@[ "$$(id -u)" = 0 ] || echo "test: not root: the tests that cut the network between two sites are skipped"
	@mkdir -p $(CACHE); rm -f $(CACHE)/flaky
	DROVER=$(BIN)/drover $(GO) run gotest.tools/gotestsum@$(GOTESTSUM_VERSION) --format pkgname-and-test-fails \
		--rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race \
		--rerun-fails-report=$(CACHE)/flaky --jsonfile=$(CACHE)/real.json --packages="$(REAL)" -- \
		-race -tags "$(TAG)" -p 2 -parallel 3 -timeout 60m $(TESTFLAGS)
	@if [ -s $(CACHE)/flaky ]; then echo "test: these failed once and then passed; each is a bug to look for:"; cat $(CACHE)/flaky; fi

lint-tools: $(CACHE)/bin/golangci-lint-$(LINT_VERSION) $(CACHE)/bin/gofumpt-$(GOFUMPT_VERSION)

$(CACHE)/bin/golangci-lint-$(LINT_VERSION):
	GOBIN=$(CACHE)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv $(CACHE)/bin/golangci-lint $@

$(CACHE)/bin/gofumpt-$(GOFUMPT_VERSION):
	GOBIN=$(CACHE)/bin $(GO) install mvdan.cc/gofumpt@$(GOFUMPT_VERSION)
	mv $(CACHE)/bin/gofumpt $@

lint: deps lint-tools ## golangci-lint (with the import walls) and gofumpt
	$(CACHE)/bin/golangci-lint-$(LINT_VERSION) run --build-tags "$(TAG)" ./...
	$(CACHE)/bin/golangci-lint-$(LINT_VERSION) run --build-tags sim ./cmd/...
	@unformatted=$$($(CACHE)/bin/gofumpt-$(GOFUMPT_VERSION) -l cmd plans orchestrator replay test); \
	if [ -n "$$unformatted" ]; then echo "gofumpt would change:" $$unformatted; exit 1; fi

fmt: lint-tools ## format
	$(CACHE)/bin/gofumpt-$(GOFUMPT_VERSION) -w cmd plans orchestrator replay test

fuzz: ## fuzz the plan loader, every decoder of what Ceph returns, and reports, FUZZTIME each
	@for package in ./plans ./replay ./replay/ceph/cls ./orchestrator/report; do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$package/*_test.go | cut -c6-); do \
			$(GO) test $$package -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x || exit 1; \
		done; \
	done

bench: build ## time and memory on the lab, peers in the same run (table, and bench.json)
	$(GO) test -run '^$$' -bench '^BenchmarkRun$$' -benchtime 1x ./orchestrator
	$(GO) run -tags "$(TAG)" ./test/bench -drover $(BIN)/drover -json bench.json

lab-up: deps ## two real Ceph clusters on loopback, to play with
	$(GO) run ./test/lab/labctl up --dir $(CURDIR)/.lab

lab-down: ## end them
	$(GO) run ./test/lab/labctl down --dir $(CURDIR)/.lab

clean: ## remove what was built
	rm -rf $(BIN) $(CACHE) bench.json
