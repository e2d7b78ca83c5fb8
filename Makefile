# make demo   build, import real data, search it, kill it, reopen it
# make test   the whole suite
# make lint   formatting, clippy, docs, licences
# make bench  every benchmark
# make stress  the index alone under sanitizers and a model checker
# make crash KILLS=n, make damage TRIALS=n, make freeze   long campaigns; the summary is the last line
# make codes KILLS=100   kills while codes are replaced
# make history SECONDS=n   holds every answer of every read against a twin, while others write
#
# One target folder outside the checkout and one profile for everything: RocksDB is compiled once.
CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vectrove/target
export CARGO_TARGET_DIR

CARGO ?= cargo
KILLS ?= 1000
TRIALS ?= 5000
SECONDS ?= 600
TORTURE = $(CARGO) run --quiet --release --features failpoints --bin vectrove-torture --

.PHONY: demo test lint bench codes crash damage freeze history power disk-full fuzz sanitize stress prepare

demo: prepare
	$(CARGO) build --release --features cli --bin vectrove
	VECTROVE_BIN="$(CARGO_TARGET_DIR)/release/vectrove" sh examples/demo.sh

test: prepare
	$(CARGO) test --release --all-features

lint: prepare
	$(CARGO) fmt --check
	$(CARGO) clippy --release --all-targets -- -D warnings
	$(CARGO) clippy --release --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --no-deps --all-features --document-private-items
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --all-features check licenses bans sources

bench: prepare
	$(CARGO) bench --features cli

crash: prepare
	$(TORTURE) crash --kills $(KILLS)

codes: prepare
	$(TORTURE) codes --kills $(KILLS)

damage: prepare
	$(TORTURE) damage --trials $(TRIALS)

freeze: prepare
	$(TORTURE) freeze --trials 100

history: prepare
	$(TORTURE) history --seconds $(SECONDS)

power: prepare
	$(TORTURE) power --trials 20

disk-full: prepare
	$(TORTURE) disk-full --rounds 5

# Coverage-guided, SECONDS for each target; needs cargo-fuzz and a nightly toolchain.
fuzz:
	cd fuzz && for target in filter lookup records superblock words; do \
	  mkdir -p corpus/$$target; \
	  CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)/fuzz" $(CARGO) +nightly fuzz run $$target corpus/$$target seeds/$$target -- \
	    -max_total_time=$(SECONDS) -rss_limit_mb=512 -timeout=5 -dict=filter.dict || exit 1; \
	done

# The suite under AddressSanitizer; needs a nightly toolchain. RocksDB itself is linked as it was compiled before.
sanitize: prepare
	sh .ci/sanitize

# Arena, graph and tail, without RocksDB, under AddressSanitizer, ThreadSanitizer and loom; needs a nightly toolchain.
stress:
	sh .ci/stress

prepare:
	@sh .ci/prepare
