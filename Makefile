# Two commands: `make demo` (L3DSR at work on this machine) and `make test` (everything, as CI runs it).
# Each first installs what a fresh Debian 12 with npm lacks, and says so. Everything runs on the Node of the
# packages, which npm installs into the checkout: the machine's own Node does not matter.

NODE      := node_modules/.bin/node --conditions=@l3dsr/source
# Each test file runs in its own process; a shared cache of compiled imports halves the time.
CACHED    := NODE_COMPILE_CACHE=$(CURDIR)/node_modules/.cache/node $(NODE)
NODE_TEST := $(CACHED) --test --test-concurrency=2
TEST      := $(CACHED) scripts/test.ts
TESTS     := $(shell find test packages -name '*.test.ts' -not -path '*/node_modules/*' | sort)

.PHONY: setup setup-test demo test check schema format golden screenshots bench bench-quick hot-functions agent-day agent-kills soak soak-director soak-end-to-end check-hosts two-writers properties differential test-kernels clean
.PHONY: packages deb rpm tarball npm packaging-setup test-packages

setup:
	@sh scripts/setup.sh

setup-test:
	@sh scripts/setup.sh test

demo:
	@sh scripts/setup.sh demo
	@bin/l3dsr lab

test: setup-test check
	@$(TEST) $(TESTS)

# Format and lint, types, layer rules, English, generated files. These programs also run on the checkout's Node.
check: export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
check:
	@node_modules/.bin/biome ci --colors=off .
	@node_modules/.bin/tsc --noEmit
	@node_modules/.bin/tsc --noEmit -p packages/web
	@$(NODE) scripts/check-layers.ts
	@$(NODE) scripts/check-english.ts
	@$(NODE) scripts/config-schema.ts --check

# Regenerates the JSON Schemas and the OpenAPI document.
schema: setup
	@$(NODE) scripts/config-schema.ts

format: setup
	@node_modules/.bin/biome check --write .

# Regenerates the golden files; review the difference before you commit it.
golden: setup-test
	@UPDATE_GOLDEN=1 $(TEST) $(TESTS)

# Measures the cost of rewriting and writes the tables of docs/performance.md. Takes minutes on an idle machine.
bench: setup-test
	@$(NODE) bench/main.ts

# Lists the functions that the build compiles ahead: those that the benchmark's commands run.
hot-functions: setup-test
	@$(NODE) bench/hot-functions.ts

bench-quick: setup-test
	@$(NODE) bench/main.ts --quick

# Takes the pictures of the agent's page in README and docs, with the machine's fonts: Inter and JetBrains Mono look best.
screenshots: setup-test
	@$(NODE) packages/web/test/take-screenshots.ts docs/pictures

# Replaces the rules under 50,000 packets a second, for ten seconds each: the eBPF program 200 times a second at each
# hook of tc, and the nftables rules 20 times a second. One after the other, because each needs two processors.
soak: setup-test
	@L3DSR_SOAK_SECONDS=10 $(NODE) --test --test-concurrency=1 packages/l3dsr/test/rewrite/ebpf/under-load.test.ts \
		packages/l3dsr/test/rewrite/nft/under-load.test.ts

# 1,000 commands and 10,000 changes beside a firewall that reloads without a pause (about ten minutes).
two-writers: setup-test
	@L3DSR_TWO_WRITERS=1000 $(NODE) --test packages/l3dsr/test/cli/iptables/two-writers.test.ts

# The director under 50,000 packets a second: 2,000 table changes, 1,000 replacements of the program, and 100 kills of
# its process; then 100 kills of its commands and agent (half an hour in total).
soak-director: setup-test
	@L3DSR_DIRECTOR_CHANGES=2000 L3DSR_DIRECTOR_REPLACEMENTS=1000 L3DSR_DIRECTOR_KILLS=100 \
		L3DSR_COMMAND_KILLS=100 $(NODE) --test --test-concurrency=1 \
		packages/l3dsr/test/balance/under-load.test.ts packages/l3dsr/test/cli/director/killed.test.ts

# Real connections through two directors (about ten minutes): 10,000 of them through every change, 50 real servers that die
# silently, 100 killed processes, and a flood of a million SYNs during a drain.
soak-end-to-end: setup-test
	@L3DSR_E2E_FLOWS=10000 L3DSR_E2E_UDP=2000 L3DSR_E2E_DEATHS=50 L3DSR_E2E_KILLS=100 L3DSR_E2E_SYNS=1000000 \
		$(NODE) --test --test-concurrency=1 packages/l3dsr/test/balance/end-to-end/*.test.ts

# 24 hours of the agent in fast motion (about 15 minutes): 49,500 events, 500 faults, 10,000 scrapes, 1,000 reconfigurations. Fails if
# memory or descriptors grow after the warm-up, and plots docs/pictures/agent-day.svg. L3DSR_AGENT_DAY=0.1 runs a tenth, without a plot.
agent-day: setup-test
	@$(NODE) bench/day-main.ts

# An agent killed 50 times during its start and 50 times during a repair (about three minutes).
agent-kills: setup-test
	@L3DSR_AGENT_KILLS=50 $(NODE) --test packages/l3dsr/test/agent/survival.test.ts

# Compares check and probe with real clients on 200 random hosts (about ten minutes).
check-hosts: setup-test
	@L3DSR_HOSTS=200 $(NODE) --test packages/l3dsr/test/truth/hosts.test.ts

# All properties and fuzz tests with many more random cases than in `make test`, each for at most a minute.
PROPERTIES = $(shell grep -lE 'fast-check|property-runs' $(TESTS))
TIMES     ?= 50
properties: setup-test
	@L3DSR_PROPERTY_TIMES=$(TIMES) $(CACHED) --import ./test/support/property-runs.ts scripts/test.ts $(PROPERTIES)

# Random packets through random rules (about ten minutes), compared with the reference: a million in eBPF programs, a
# hundred thousand across a kernel with nftables rules, and two million in the director's programs.
differential: setup-test
	@L3DSR_DIRECTOR_PACKETS=2000000 $(NODE) --test packages/l3dsr/test/balance/differential.test.ts
	@L3DSR_DIFFERENTIAL_RULESETS=10500 L3DSR_NFT_DIFFERENTIAL_RULESETS=2000 $(NODE_TEST) \
		packages/l3dsr/test/rewrite/ebpf/differential.test.ts packages/l3dsr/test/rewrite/nft/differential.test.ts

# Tests on the kernels of Debian 11, 12 and 13, each in an emulated machine: see test/kernels/README.md. KERNELS=trixie runs
# one of them, ONLY='*differential*' some of the tests.
KERNELS ?= bullseye bookworm trixie
test-kernels: setup-test
	@for suite in $(KERNELS); do sh test/kernels/boot.sh $$suite "ONLY='$(ONLY)' sh test/kernels/check.sh" || exit; done

# Builds packages into build/packages: see packaging/README.md. SUITE selects the .deb, DIST the .rpm, ARCH the processor.
packages: packaging-setup
	@for suite in deb12 deb13 ubuntu24.04 ubuntu26.04; do SUITE=$$suite sh packaging/deb.sh || exit; done
	@for dist in el8 el9 el10 fc43; do DIST=$$dist sh packaging/rpm.sh || exit; done
	@sh packaging/npm.sh

deb: setup
	@sh packaging/setup.sh deb
	@sh packaging/prebuilt.sh fetch
	@sh packaging/deb.sh

rpm: packaging-setup
	@sh packaging/rpm.sh

tarball: packaging-setup
	@sh packaging/tarball.sh

npm: setup
	@sh packaging/npm.sh

packaging-setup: setup
	@sh packaging/setup.sh
	@sh packaging/prebuilt.sh fetch all

# Builds all kinds of packages, then installs, upgrades and removes them on hosts without Node. Run it as root on Debian.
# These need not be small.
test-packages: export XZ_LEVEL := 0
test-packages: setup-test packaging-setup
	@sh packaging/setup.sh test
	@sh packaging/test/build.sh
	@$(NODE_TEST) packaging/test/*.test.ts

clean:
	rm -rf build dist bin packages/*/dist node_modules .setup-stamp
