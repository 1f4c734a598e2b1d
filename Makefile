# The project's commands. Each installs what it needs and this machine lacks (as root on Debian and Ubuntu), or says
# what that is. The work is done by the scripts in scripts/.

.PHONY: help run check test build dist lint format bench instructions soak chaos fuzz fuzz-asan adversary sanitize servers v8-from-source clean
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

run: ## start a server with the module and show the quick start; PORT=, REDIS_SERVER=
	@scripts/setup run
	@scripts/cargo build --release
	@scripts/python-runtime optional
	@scripts/run

test: ## every test, on every server there is; REDIS_SERVER=, PYTEST_ARGS=
	@scripts/setup test
	@scripts/test

check: lint ## what a change should pass before all else: lints, Rust tests, flow tests on one server; REDIS_SERVER=
	@scripts/setup test
	@scripts/test quick

build: ## target/release/libredisgears.so
	@scripts/setup build
	@scripts/cargo build --release
	@scripts/python-runtime optional

dist: ## target/dist: archives, a Debian package, checksums
	@scripts/setup dist
	@scripts/cargo build --release
	@scripts/python-runtime
	@scripts/dist

lint: ## formatting, clippy and ruff, warnings as errors
	@scripts/setup lint
	@scripts/cargo fmt --all --check
	@scripts/cargo clippy --release --workspace --all-targets -- -D warnings
	@target/venv/bin/ruff check --quiet --cache-dir target/ruff

format: ## format the Rust code
	@scripts/setup lint
	@scripts/cargo fmt --all

bench: ## every benchmark, and docs/benchmarks.md of it; CASE= for some, BENCH_ARGS=, REDIS_SERVER=
	@scripts/setup bench
	@scripts/cargo build --release --package redisgears --package native
	@target/venv/bin/python -m benches.full $(BENCH_ARGS) -- $(CASE)

instructions: ## the instructions that hot paths take, against those kept; CASES=, ACCEPT="why"
	@scripts/setup instructions
	@target/venv/bin/python -m benches.instructions $(CASES) --accept "$$ACCEPT"

soak: ## half an hour of mixed load; SOAK_ARGS=, REDIS_SERVER=
	@scripts/setup test
	@scripts/cargo build --release
	@scripts/python-runtime
	@target/venv/bin/python -m soak.run $(SOAK_ARGS)

chaos: ## SIGKILL 700 times, a quarter of an hour; CHAOS_ARGS=, REDIS_SERVER=
	@scripts/setup test
	@scripts/cargo build --release
	@scripts/python-runtime
	@target/venv/bin/python -m chaos.run $(CHAOS_ARGS)

fuzz: ## random operations for half an hour, and new cases for the models; FUZZ_ARGS=, REDIS_SERVER=
	@scripts/setup test
	@scripts/cargo build --release
	@scripts/python-runtime
	@target/venv/bin/python -m fuzz.run $(FUZZ_ARGS)
	@PROPTEST_RNG_SEED=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') PROPTEST_CASES=$${PROPTEST_CASES:-20000} \
	  scripts/cargo test --release -p gears-core --test delivery_model --test policy_model

fuzz-asan: ## random operations under AddressSanitizer; FUZZ_ARGS=, REDIS_SERVER=
	@scripts/setup test
	@scripts/fuzz-asan $(FUZZ_ARGS)

adversary: ## hostile scripts, several minutes; REDIS_SERVER=, PYTEST_ARGS=
	@scripts/setup test
	@scripts/cargo build --release
	@scripts/python-runtime
	@target/venv/bin/python -m pytest pytests/adversary $(PYTEST_ARGS)

sanitize: ## the Rust tests under AddressSanitizer
	@scripts/setup test
	@scripts/python-runtime
	@scripts/sanitize

servers: ## fetch Redis 8.0, 8.6 and Valkey 9, for make test and REDIS_SERVER=
	@scripts/setup servers
	@scripts/get-servers

v8-from-source: ## build V8's library: half an hour to an hour on two cores
	@scripts/setup build
	@scripts/v8-from-source

clean: ## remove what was built, but for V8's library
	@if [ -d target ]; then find target -mindepth 1 -maxdepth 1 ! -name 'v8*' -exec rm -rf {} +; fi
