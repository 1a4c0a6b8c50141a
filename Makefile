# The two commands of the README, `make demo` and `make test`, do all the set-up themselves (scripts/setup).

CARGO ?= cargo
# On two cores, a release build without LTO is what the tests can afford.
RUN = target/release/wasmo
SCHEME = guests/built/interp.wasm

.PHONY: help setup build demo test test-aarch64 quick-aarch64 lint unit spec real guests invariants fuzz bench slim install

# Where `make install` puts things; DESTDIR stands before it, for those who make packages.
PREFIX ?= /usr/local
DESTDIR ?=

help:
	@echo 'make demo    build wasmo and run a Scheme program on it'
	@echo 'make test    lints, unit tests, conformance, differential and real programs, and a part of it all on AArch64, emulated'
	@echo 'make real    the real programs only (CPython, resvg, QuickJS, Graphviz)'
	@echo 'make test-aarch64   conformance, tests and real programs on AArch64, emulated: all of it'
	@echo 'make fuzz    differential testing without end (N=modules, SEED=first seed)'
	@echo 'make bench   wasmo and its peers side by side (BENCH=--help: of what it measures, some alone)'
	@echo 'make slim    the command without its compiler, which runs compiled modules only (target/slim/wasmo)'
	@echo 'make install the command and its completions for shells to PREFIX ($(PREFIX))'

setup:
	@scripts/setup

build: setup
	$(CARGO) build --release --locked

# The guest runs a program, compiles what is called often to a module of its own, has that linked into itself, and runs the program again.
demo: build
	$(RUN) run --stats $(SCHEME) --demo

test: setup lint invariants unit guests real quick-aarch64

# What of AArch64 is worth eight minutes of every `make test`. `make test AARCH64=no` leaves it out, for machines that cannot have an emulator.
AARCH64 ?= yes
quick-aarch64: setup
	@[ "$(AARCH64)" = no ] || scripts/test-aarch64 quick

# All of it takes longer.
test-aarch64: setup
	scripts/test-aarch64

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings

# What ARCHITECTURE.md promises about who knows whom.
invariants:
	@CARGO=$(CARGO) scripts/invariants

unit:
	$(CARGO) test --release --workspace --locked
	$(CARGO) check --release --locked -p wasmo --no-default-features
	$(CARGO) test --release --locked -p wasmo-cli --no-default-features

# The built guests in the tree are what their sources give.
guests:
	guests/check-built.sh

real: build
	scripts/setup gdb
	scripts/fetch-real
	$(CARGO) test --release --locked --test real -- --ignored

N ?= 0
SEED ?= 0
fuzz: setup
	$(CARGO) run --release --locked -p wasmo-fuzz -- --modules $(N) --seed $(SEED)

# `make bench BENCH='--sections tiers,late'` measures these alone; `BENCH=--help` lists all sections and what else can be chosen.
BENCH ?=
bench: build
	scripts/fetch-real
	cd bench && $(CARGO) build --release --locked && $(CARGO) run --release --locked -- $(BENCH)

# What it promises: less than 6 MB, no LLVM, and it runs what the whole command has compiled.
SLIM = target/slim/wasmo
slim: build
	$(CARGO) build --profile slim --no-default-features --locked -p wasmo-cli
	@size=$$(wc -c <$(SLIM)) && echo "$(SLIM): $$size bytes" && [ $$size -lt 6000000 ] || { echo 'it must be less than 6 MB'; exit 1; }
	@! ldd $(SLIM) | grep -iE 'llvm|stdc\+\+' || { echo 'it must not need LLVM'; exit 1; }
	@$(RUN) compile -o $(SLIM)-interp.wasmo $(SCHEME)
	@echo '(display (* 6 7))' >$(SLIM)-answer.scm
	@answer=$$($(SLIM) run --dir $(dir $(SLIM)) $(SLIM)-interp.wasmo $(SLIM)-answer.scm) && [ "$$answer" = 42 ] || { echo "it must run compiled modules: $$answer"; exit 1; }
	@refusal=$$($(SLIM) run $(SCHEME) 2>&1) && { echo 'it must refuse what is not compiled'; exit 1; } || echo "$$refusal" | grep -q compile || { echo "it must say that it has no compiler: $$refusal"; exit 1; }

install: build
	install -D -m 755 $(RUN) $(DESTDIR)$(PREFIX)/bin/wasmo
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(RUN) completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/wasmo
	$(RUN) completions zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_wasmo
	$(RUN) completions fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/wasmo.fish
