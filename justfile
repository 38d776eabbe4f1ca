# Commands for development; `just` lists them. CI is `.ci/run`.

[private]
default:
    @just --list

# Play the viral Reel on this machine
story *options:
    cargo run --release -- {{ options }}

# The tests of one crate, unoptimised: the fastest answer after a change
check crate="spillway-core":
    cargo test -p {{ crate }}

# Everything that the README's test command covers
test:
    cargo test --workspace --release

# Take pictures of the console in Chromium, into target/tmp/console, and put the first into the README
pictures:
    .ci/browser cargo test --release -p spillway-local --test browser
    cp target/tmp/console/story-overview-light.png infra/console/picture.png

# Everything that a change must pass
ci:
    .ci/run

# The operator's tool to hand out, stripped: target/dist/spillway
dist:
    cargo build --profile dist -p spillway-cli

# Play seeds: `just seeds 5000..6000`
seeds range="1..1001":
    cargo run --release -p spillway-simulation --bin simulate -- --seeds {{ range }}

# Known vulnerabilities of the dependencies, by a database from outside
advisories:
    cargo deny check advisories

# What CI has no time for: 10,000 seeds, a kill at every request, a hundred weeks of outages, a million comments, advisories
nightly: && advisories
    cargo run --release -p spillway-simulation --bin simulate -- --seeds 1..10001
    for theme in campaign refusals crowd upkeep administration public-replies triggers; do \
        cargo run --release -p spillway-simulation --bin simulate -- --theme $theme || exit 1; \
    done
    cargo run --release -p spillway-simulation --bin simulate -- --optimum
    cargo run --release -p spillway-simulation --bin scale
    cargo test --workspace --release --test all -- --ignored
    cargo build --release
    for seed in $(seq 90001 90100); do \
        target/release/spillway-local drill --days 7 --seed $seed --json || exit 1; \
    done
