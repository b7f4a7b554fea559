# Every target with a "##" is shown by `make help`. No target needs the network but for crates and base images.

CARGO ?= cargo
DOCKER ?= docker
IMAGE ?= netdrift
# The base images, for where no registry can be reached: make docker-prod BUILD_IMAGE=my-rust. Dockerfile says what they have to bring.
BUILD_IMAGE ?= rust:1-alpine
RUN_IMAGE ?= scratch
# That of the harness, with a shell.
SHELL_IMAGE ?= debian:bookworm-slim

release := $(abspath $(or $(CARGO_TARGET_DIR),target))/release
docker_build = $(DOCKER) build --build-arg BUILD_IMAGE=$(BUILD_IMAGE) --build-arg RUN_IMAGE=

.DEFAULT_GOAL := help
.PHONY: help tools build build-pgo build-test build-faulty build-loadgen clean demo run-proxy run-test-proxies test test-unit \
  test-integration test-metrics test-dashboard test-deploy test-docker dist test-package \
  test-faultyproxy test-faultyproxy-full test-faultyproxy-bench check bench bench-guard tunnels \
  scenarios parity sweep bench-simulator stress tunnels-10k bench-memory bench-loadgen soak docker-prod docker-test docker-harness fuzz test-ten-minutes \
  docker-build docker-run docker-clean bench-peers bench-scale bench-far mutations canary nightly mutants search \
  matrix fidelity old-new

help: tools ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-23s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: ## Check for the programs needed, and say how to get what is missing
	@missing=; \
	for tool in $(CARGO) cc curl openssl; do command -v "$$tool" >/dev/null 2>&1 || missing="$$missing $$tool"; done; \
	test -z "$$missing" || { \
	  echo "missing:$$missing"; \
	  echo "  cargo    the Rust toolchain: https://rustup.rs"; \
	  echo "  cc       apt-get install gcc libc6-dev   (or: dnf install gcc, xcode-select --install)"; \
	  echo "  curl     apt-get install curl            (or: dnf install curl)"; \
	  echo "  openssl  apt-get install openssl         (or: dnf install openssl)"; \
	  exit 1; } >&2

# Release binaries are built one package at a time: built together they would share tokio's test features.

build: tools ## Build the proxy: bin/proxy
	@mkdir -p bin
	$(CARGO) build --locked --release -p proxy
	@ln -sfn $(release)/proxy bin/proxy

build-pgo: tools ## The same by a profile of its branches under load, for a tenth to a fifth less processor time; needs llvm-tools
	@mkdir -p bin
	@binary=$$(CARGO="$(CARGO)" scripts/pgo.sh) && ln -sfn "$$binary" bin/proxy

build-test: tools ## Build the mock upstreams: bin/test-proxy
	@mkdir -p bin
	$(CARGO) build --locked --release -p mock-upstreams
	@ln -sfn $(release)/mock-upstreams bin/test-proxy

build-faulty: tools ## Build the faulty upstream: bin/faulty-proxy
	@mkdir -p bin
	$(CARGO) build --locked --release -p faulty-upstream
	@ln -sfn $(release)/faulty-upstream bin/faulty-proxy

build-loadgen: tools ## Build the load generator: bin/loadgen
	@mkdir -p bin
	$(CARGO) build --locked --release -p loadgen
	@ln -sfn $(release)/loadgen bin/loadgen

clean: ## Remove everything that was built
	rm -rf bin dist
	$(CARGO) clean

dist: tools ## Build what is released into dist/: static binary, Debian package, SBOM, checksums
	@CARGO="$(CARGO)" scripts/dist.sh

test-package: ## Install, start, upgrade and remove the Debian package of dist/ in a folder of its own; as root
	@scripts/test-package.sh

demo: build build-test ## Show shares, failover, recovery and drain on real sockets
	@scripts/demo.sh

run-proxy: build ## Run the proxy with configs/us.json, on port 3130
	bin/proxy --config configs/us.json

run-test-proxies: build-test ## Run two mock upstreams, on ports 3025 and 3026
	bin/test-proxy 3025 3026

test: tools ## Basic connectivity test of the two above, while they run
	@scripts/test-runner.sh check

test-unit: tools ## Unit and property tests
	$(CARGO) test --locked --workspace --lib --bins

simulator = $(CARGO) run --locked --release -p simulator --

test-integration: build ## Integration tests, the real binaries together, and the scenarios that real sockets can play
	$(CARGO) test --locked --workspace --test '*'
	@MAKE="$(MAKE)" scripts/test-runner.sh
	$(simulator) run --engine live --scale 0.25 --jobs 6 --where-possible scenarios
	$(simulator) run --engine live scenarios/recovery-by-check.json

test-ten-minutes: tools ## The commands of "Ten minutes with your own pool" in simulator/README.md, beside a proxy with a bad minute
	@CARGO="$(CARGO)" scripts/test-ten-minutes.sh

test-metrics: build build-test ## The metrics, by promtool and a real Prometheus (Debian's package prometheus)
	@scripts/test-metrics.sh

test-dashboard: build build-test ## The dashboard in headless Chromium (Debian's package chromium); SHOTS=FOLDER keeps pictures
	@scripts/test-dashboard.sh

test-docker: ## Build the images and try the compose files, with an engine of its own and no registry; as root
	@scripts/test-docker.sh

test-deploy: ## Check the units and manifests of deploy/ with the tools that read them, and run the steps of deploy/ci; says which tool is missing
	@scripts/test-deploy.sh

test-faultyproxy: tools ## Unit tests of the faulty upstream
	$(CARGO) test --locked -p faulty-upstream --lib --bins

test-faultyproxy-full: tools ## Every fault against the proxy: tests, the matrix, the real binaries
	@CARGO="$(CARGO)" scripts/test-faultyproxy.sh all

test-faultyproxy-bench: tools ## Benchmarks of the faulty upstream
	$(CARGO) bench --locked -p faulty-upstream

GATE_RUNS = 30

check: tools ## The whole gate: format, lints, documentation, every test, a sweep on each simulated engine, a canary
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	$(CARGO) test --locked --workspace
	$(CARGO) run --locked -p simulator -- sweep --runs $(GATE_RUNS) --seed 1
	$(CARGO) run --locked -p simulator -- sweep --runs $(GATE_RUNS) --seed 1 --engine turmoil
	@CARGO="$(CARGO)" scripts/mutations.sh --canary

bench: tools ## Benchmarks of the proxy
	$(CARGO) bench --locked -p proxy

bench-peers: tools ## Beside haproxy, squid, tinyproxy and nginx in one run: rates, latencies, processor time, memory
	@CARGO="$(CARGO)" scripts/bench-peers.sh

bench-guard: tools ## System calls, instructions, allocations of a tunnel, a request, a pick: none 5 % above what is recorded
	@CARGO="$(CARGO)" scripts/bench-guard.sh

tunnels: tools ## Hold thousands of idle tunnels and tell bytes and descriptors each
	$(CARGO) bench --locked -p proxy --bench tunnels

bench-scale: build ## A tunnel beside 8,000 others, with 1,000 upstreams, with 1 to 4 threads; what pages and reloads hold up
	$(CARGO) bench --locked -p proxy --bench scale -- --proxy $(release)/proxy
	$(CARGO) bench --locked -p proxy --bench holds

scenarios: tools ## Play the shipped scenarios in the simulator
	$(simulator) run scenarios

parity: build ## Play them in every engine and hold the outcomes against each other: bin/parity.md, bin/parity.json
	$(simulator) parity --scale 0.25 --jobs 6 --markdown bin/parity.md --json bin/parity.json scenarios

fidelity: build ## Play them on real sockets, record the proxy's own logs and replay these: the same ejections, recoveries and failures, within stated bounds
	$(simulator) fidelity --live --scale 0.25 --jobs 6 scenarios

TIMES ?= 3

matrix: build ## Play every fault against every proxy that is installed and ask each for what it claims, TIMES (3) times, each for half an hour: simulator/COMPARISON.md
	$(simulator) matrix --times $(TIMES) --json simulator/comparison.json --page simulator/COMPARISON.md

bench-far: tools ## How long a tunnel through a far upstream takes to open, with warm connections and without
	$(CARGO) bench --locked -p proxy --bench far

bench-simulator: tools ## What a virtual minute costs in the simulator
	$(CARGO) bench --locked -p simulator

mutations: tools ## Break the proxy on purpose in every way of simulator/mutations/: does the simulator notice?
	@CARGO="$(CARGO)" scripts/mutations.sh

ROOM ?= core

mutants: tools ## Change one operator or function of ROOM (core) at a time: what share do the tests catch? BY=--sweep asks a sweep alone
	@CARGO="$(CARGO)" scripts/mutants.sh $(BY) $(ROOM)

search: tools ## Every order of what can happen to two or three upstreams, deeper than the gate goes
	NETDRIFT_SEARCH_DEEPER=2 $(CARGO) test --locked --release -p proxy --lib core::search

canary: tools ## Break the proxy in one way: do the stories that name it notice?
	@CARGO="$(CARGO)" scripts/mutations.sh --canary

fuzz: tools ## Feed every parser with made-up bytes for FUZZ seconds (60) each, from SEED: needs cargo-fuzz
	@CARGO="$(CARGO)" SEED="$(SEED)" scripts/fuzz.sh

old-new: tools ## Play the scenarios as they were at REV and as they are now, and tell what differs in the words of the laws; SCENARIOS names some
	@test -n "$(REV)" || { echo "usage: make old-new REV=HEAD~30 [SCENARIOS='one-refuses flapping']" >&2; exit 64; }
	@CARGO="$(CARGO)" scripts/old-new.sh "$(REV)" $(SCENARIOS)

nightly: build build-test build-loadgen ## Sweeps, mutations, parity, fidelity, our column of the matrix, soak and fuzzing by the date's SEED; runs/index.html shows all of them
	@CARGO="$(CARGO)" MAKE="$(MAKE)" scripts/nightly.sh

SWEEP ?= 1m
SEED ?= 1

sweep: tools ## Play made-up scenarios from one SEED for SWEEP (1m); those that fail are kept in sweep/
	$(simulator) sweep --time $(SWEEP) --seed $(SEED)

stress: build build-test build-loadgen ## 100,000 requests from 100 clients: exact shares, no error, every request accounted for
	@scripts/stress.sh

tunnels-10k: build build-test build-loadgen ## 10,000 tunnels at once, all echoing: memory and descriptors each
	@scripts/tunnels-10k.sh

bench-memory: build build-test build-loadgen ## Less than 10 MB of growth over 1,000,000 requests
	@scripts/bench-memory.sh

bench-loadgen: build-loadgen ## The load generator beside wrk and ab, in front of haproxy: requests and processor time
	@scripts/bench-loadgen.sh

soak: build build-test build-faulty build-loadgen ## Faults and reloads under load (DURATION=60): nothing lost, nothing left over
	@scripts/soak.sh

docker-prod: ## Build the production image (proxy only)
	$(docker_build)$(RUN_IMAGE) -f Dockerfile -t $(IMAGE):latest .

docker-test: ## Build the test image (proxy and mock upstreams)
	$(docker_build)$(RUN_IMAGE) -f Dockerfile.test -t $(IMAGE):test .

docker-harness: ## Build the image of the harness, netdrift-harness: all five programs
	$(docker_build)$(SHELL_IMAGE) -f Dockerfile.harness -t $(IMAGE)-harness:latest .

docker-build: docker-prod ## The same as docker-prod

# As compose has it, so that variables, limits and folders are said in one place.
docker-run: docker-prod ## Run a single production container in the foreground, on port 3130, as docker-compose.prod.yml says
	$(DOCKER) compose -f docker-compose.prod.yml run --rm --service-ports --name netdrift proxy

docker-clean: ## Remove containers, networks, volumes and images of this project
	-$(DOCKER) compose -f docker-compose.prod.yml down --volumes --remove-orphans
	-$(DOCKER) compose -f docker-compose.test.yml down --volumes --remove-orphans
	-$(DOCKER) rm -f netdrift
	-$(DOCKER) rmi -f $(IMAGE):latest $(IMAGE):test $(IMAGE)-harness:latest
