# Everything that is done with this tree. `make` alone lists the targets.
#
# demo and test bring what they need with them: on a Debian or Ubuntu machine with git, make and Go, they install the
# three packages of tools that they drive (iptables, nftables, ipset) if those are missing, and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(PATH):/usr/sbin:/sbin
# A tree that is not a clone, or belongs to somebody else, builds too.
export GOFLAGS := -buildvcs=false $(filter-out -buildvcs=false,$(GOFLAGS))

# In continuous integration a test that finds no kernel to ask fails; elsewhere it says loudly that it was skipped.
ifeq ($(CI),true)
export HOOKLINE_REQUIRE_KERNEL ?= 1
endif

PACKAGES ?= ./...
# Packages that neither run tools nor need a kernel: the race detector and the fuzzers work on these.
PURE := ./dsl/... ./compiler/... ./backend/recorded/... ./internal/imports/...
FUZZTIME ?= 20s
BENCH ?= .
COUNT ?= 6
SYSTEMD := /usr/lib/systemd/systemd
TOOL = go tool -modfile=tools/go.mod

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install iptables, nftables and ipset if they are missing
	@tools/setup.sh

.PHONY: build
build: ## build bin/hookline
	go build -trimpath -o bin/hookline ./cmd/hookline

.PHONY: demo
demo: setup build ## mend a damaged node in a private network namespace
	@tools/demo.sh bin/hookline

.PHONY: test
test: setup ## go vet and all tests, on the kernel too
	go vet ./...
	go test -p 2 -timeout 20m $(PACKAGES)

# cloud-init is unpacked, not installed. Boots systemd in namespaces: as root only.
.PHONY: integrations
integrations: setup ## what first users start from, run by the programs it is for (root)
	@tools/setup.sh ansible-playbook=ansible-core systemd-analyze=systemd $(SYSTEMD)=systemd setpriv=util-linux curl jq shellcheck
	@tools/cloud-init.sh $(CURDIR)/dist/cloud-init
	HOOKLINE_REQUIRE_INTEGRATIONS=1 HOOKLINE_REQUIRE_KERNEL=1 go test -p 2 -timeout 9m ./integrations

.PHONY: check
check: format-check lint imports generate-check ## formatting, lint, import rules, generated files, tests with -race
	@tools/setup.sh gcc
	CGO_ENABLED=1 go test -race -p 2 -timeout 20m $(PURE)

.PHONY: format-check
format-check:
	$(TOOL) golangci-lint fmt --diff

.PHONY: format
format: ## gofumpt and gci over the tree
	$(TOOL) golangci-lint fmt

.PHONY: lint
lint:
	$(TOOL) golangci-lint run $(PACKAGES)

.PHONY: imports
imports:
	go test -count=1 ./internal/imports

.PHONY: generate
generate: ## write the generated files anew
	go generate ./...

.PHONY: generate-check
generate-check:
	@tools/unchanged.sh make generate

.PHONY: golden
golden: setup ## rewrite want/ of the golden scenarios; fails if anything changed, so that the diff is read
	go test ./golden -update

.PHONY: field-tests
field-tests: setup ## run the scenarios and field tests and write docs/field-tests.md from their results
	@tools/field-tests.sh docs/field-tests.md

.PHONY: bench
bench: ## benchmarks, in a form for benchstat (BENCH=regexp COUNT=6)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PACKAGES) | tee bench.txt
	$(TOOL) benchstat bench.txt

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME=20s
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

.PHONY: corpora
corpora: setup ## tests over the recorded corpora (HOOKLINE_SHARED=folder, default ../shared)
	@test -d "$${HOOKLINE_SHARED:-../shared}/corpora" || { echo "no corpora in $${HOOKLINE_SHARED:-../shared}: set HOOKLINE_SHARED" >&2; exit 1; }
	go test -p 2 -count=1 -timeout 30m -v -run 'Corpus|Corpora' ./... | grep -vE '^(=== |\?|PASS|testing: warning|ok .*no tests to run)'

.PHONY: long
long: setup ## property tests in 2,000 rounds
	HOOKLINE_LONG=1 go test -p 2 -count=1 -timeout 60m $(PACKAGES)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist bench.txt
	go clean -testcache
