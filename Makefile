# The commands that developers and CI use. `make` lists them.

GO      ?= go
NODE    ?= node
LINT    := $(GO) tool -modfile=$(CURDIR)/tools.mod golangci-lint
NESTED  := $(wildcard bench examples/cluster/manifests packaging) # modules of their own
PACK    := $(GO) -C packaging run .
# Where a binary was built, and with which C library, leaves no trace in it.
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w"
FUZZ    ?= 60s
# Packages that start many processes and nodes: one at a time, behind the others.
ALONE   := /e2e(/|$$)|/natsengine$$
SOAK    ?= 5m

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## build bin/skein
	$(BUILD) -o bin/skein ./cmd/skein

.PHONY: cross
cross: ## build for TARGET=os/arch into bin/
	GOOS=$(word 1,$(subst /, ,$(TARGET))) GOARCH=$(word 2,$(subst /, ,$(TARGET))) $(BUILD) -o bin/skein-$(subst /,-,$(TARGET)) ./cmd/skein

.PHONY: check
check: lint test ## everything that CI runs

.PHONY: lint
lint: licenses ## format, vet, golangci-lint, tidy modules, generated files, licences
	$(GO) vet ./...
	$(LINT) run ./...
	$(GO) mod tidy -diff
	@set -e; for dir in $(NESTED); do echo "== $$dir"; (cd $$dir && $(GO) vet ./... && $(LINT) run -c $(CURDIR)/.golangci.yml ./...); done
	GOOS=darwin $(GO) build ./...
	GOOS=windows $(GO) build ./...

.PHONY: licenses
licenses: ## check the licences of what is linked, and write their texts to dist/
	@$(PACK) licenses .. ../dist

.PHONY: sbom
sbom: build ## a bill of materials of bin/skein in dist/
	@$(PACK) sbom .. ../bin/skein ../dist

.PHONY: dist
dist: ## archives of the commit for all platforms, with bills and sums, in dist/
	@rm -rf dist
	@$(PACK) dist .. ../dist

.PHONY: reproducible
reproducible: ## build the commit twice from nothing and compare: a few minutes
	@$(PACK) reproduce ..

.PHONY: test
test: deps ## all tests: race, scenarios, captures, conformance, examples, browser
	$(GO) test -race -shuffle=on -timeout 10m $$($(GO) list ./... | grep -vE '$(ALONE)')
	$(GO) test -race -shuffle=on -timeout 15m -p 1 $$($(GO) list ./... | grep -E '$(ALONE)')
	@set -e; for dir in $(NESTED); do echo "== $$dir"; $(GO) -C $$dir test -count=1 -timeout 5m ./...; done

.PHONY: deps
deps: node_modules chromium ## what the tests need besides Go: npm packages and a browser

.PHONY: node_modules
node_modules:
	@command -v $(NODE) >/dev/null || { echo "make: the tests need Node.js 20.19 or newer: install it and try again" >&2; exit 1; }
	@set -e; for dir in e2e/clients bench; do (cd $$dir && { \
		[ -f node_modules/.package-lock.json ] && [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund; }); done

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ command -v apt-get >/dev/null && $$( [ "$$(id -u)" = 0 ] || echo sudo ) sh -c 'apt-get update -qq && apt-get install -y -qq chromium' >/dev/null; } || \
		{ echo "make: the browser test needs chromium: install it and try again" >&2; exit 1; }

.PHONY: acceptance
acceptance: deps ## the acceptance scenario against the built binary
	$(GO) test -count=1 -v -run TestAcceptance ./e2e/...

.PHONY: fuzz
fuzz: ## fuzz every parser and model, FUZZ=60s each
	@# Inputs whose coverage varies, as with goroutines, would be minimised for a minute each.
	@set -e; $(MAKE) -s fuzz-list | while read -r dir name; do \
		echo "== $$dir $$name"; $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZ) -fuzzminimizetime 100x $$dir; \
	done

.PHONY: fuzz-list
fuzz-list: ## list what make fuzz runs: folder and name
	@grep -roE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | grep -v node_modules | sort | sed 's|/[^/]*:func | |'

.PHONY: corpus
corpus: ## keep in testdata the few inputs that the fuzzer has found and that reach most: DIR=./internal/ws NAME=FuzzDecoder
	$(GO) run ./e2e/corpus $(DIR) $(NAME)

.PHONY: soak
soak: ## all kinds of clients and faults at once on three nodes, SOAK=5m long; more flags with ARGS
	$(GO) run ./e2e/soak -duration $(SOAK) $(ARGS)

.PHONY: bench
bench: node_modules ## compare with other servers, a few minutes
	cd bench && $(GO) run .

.PHONY: bench-full
bench-full: node_modules ## the same in full, and write docs/performance.md: half an hour
	cd bench && $(GO) run . -full

.PHONY: security
security: node_modules ## conformance and attacks, against other servers too: ten minutes
	sh bench/security.sh

.PHONY: cover
cover: ## coverage of the packages that carry the promises
	$(GO) test -cover . ./internal/... ./engine ./auth ./client

.PHONY: generate
generate: ## write the generated pages of docs/ anew
	$(GO) test ./skeincmd -run TestTheDocumentation -update

.PHONY: vuln
vuln: ## known vulnerabilities; needs its database from the network
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...
