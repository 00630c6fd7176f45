# `make help` lists the targets. Each is a line or two; what they do lives in the crates.
CARGO ?= cargo
DEMO := $(if $(KEEP),--keep,)
# Control planes side by side while tests run.
export NODEPOOL_TESTBED_LANES ?= 2
# The cases of properties are drawn by a seed, the same in every run, so that a failure can be had again; another draws others.
export PROPTEST_RNG_SEED ?= 1
# The folder whose advisory/advisory-db.tar.gz `make deny` reads; without it the advisories are fetched.
export NODEPOOL_SHARED ?= ../shared

.DEFAULT_GOAL := help
.PHONY: help demo test story faults soak differential worlds mutants unit interop bench fuzz lint crds fields deploy workflows check-generated deny sbom assets fmt image image-test upgrade-test

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: assets ## Tells what the operator does on a local AKS (KEEP=1 leaves it running)
	@$(CARGO) build --quiet --bins -p nodepool-operator -p testbed && exec target/debug/testbed demo $(DEMO)

test: assets ## Runs all tests, on a real control plane where there is something to run on
	$(CARGO) test --workspace

story: assets ## Runs the stories whose names contain NAME, e.g. make story NAME=demote
	$(CARGO) test -p nodepool-operator --test stories -- $(NAME)

faults: assets ## Every fault and a crash at every request of a step (some 35 minutes; make test tells a sample)
	NODEPOOL_FAULTS=all $(CARGO) test -p nodepool-operator --test stories -- at_every_request

soak: assets ## Two replicas and whatever a seed draws: RUNS=200 runs (some 20 minutes; make test tells 10)
	NODEPOOL_SOAK=$(or $(RUNS),200) $(CARGO) test -p nodepool-operator --test stories -- befalls

differential: assets ## Compares the kernel with Kubernetes itself: 3,000 placements, 500 taints, 500 evictions (PODS=, EVICTIONS=, SEED=)
	NODEPOOL_DIFFERENTIAL=$(or $(PODS),3000) NODEPOOL_EVICTIONS=$(or $(EVICTIONS),500) NODEPOOL_SEED=$(or $(SEED),1) $(CARGO) test -p nodepool-operator --test differential

worlds: ## Judges every step in every small cluster (some minutes; make test judges a sample)
	NODEPOOL_WORLDS=all $(CARGO) test --release -p nodepool-kernel --test worlds -- --nocapture

mutants: ## Changes the rules in every way that cargo-mutants knows; unit tests must notice each (some hours; needs cargo-mutants)
	$(CARGO) mutants --package nodepool-kernel

unit: ## Runs the tests that need no control plane
	$(CARGO) test --workspace --lib && $(CARGO) test -p nodepool-kernel

interop: ## Drives the emulator with clients that others wrote: SDKs of several languages (missing ones are skipped)
	@for run in interop/*/run.sh; do "$$run" || exit 1; done

bench: assets ## Measures the operator, the kernel and the emulator, and prints what docs/benchmarks.md is about (some 10 minutes)
	$(CARGO) bench -p nodepool-operator --bench operator
	$(CARGO) bench -p nodepool-kernel --bench pass
	$(CARGO) bench -p aks-emulator --bench pools

fuzz: ## Feeds the emulator requests, the ARM client answers and the kernel snapshots of any form for SECONDS=60 a target (needs cargo-fuzz)
	cd aks-emulator && $(CARGO) fuzz run request --dev --sanitizer none -- -dict=fuzz/request.dict -max_len=4096 -max_total_time=$(or $(SECONDS),60)
	cd kernel && $(CARGO) fuzz run snapshot --dev --sanitizer none -- -len_control=0 -max_len=4096 -max_total_time=$(or $(SECONDS),60)
	@for target in pool_document error_body operation_answer; do \
		$(CARGO) fuzz run $$target --dev --sanitizer none -- -dict=fuzz/arm.dict -max_len=4096 -max_total_time=$(or $(SECONDS),60) || exit 1; \
	done

assets: ## Builds the executables of the control plane and Helm, once per machine (some minutes the first time)
	@$(CARGO) run --quiet -p testbed -- assets > /dev/null

image: ## Builds the image with docker, podman or buildah: IMAGE=name:tag, PLATFORM=linux/arm64, CONTAINER_TOOL=
	@image/build.sh

image-test: assets ## Builds the image on a base made here and runs it in its pod (root, buildah, runc and mmdebstrap; minutes)
	NODEPOOL_IMAGE=$$(image/local.sh) && export NODEPOOL_IMAGE && $(CARGO) test -p nodepool-operator --test stories -- image_is_small

upgrade-test: assets ## Replaces the operator that is released by this one, half-way through its work (minutes)
	NODEPOOL_PREVIOUS=$$(tools/previous) && export NODEPOOL_PREVIOUS && $(CARGO) test -p nodepool-operator --test stories -- an_upgrade_of_the_operator

crds: ## Writes the CRDs anew from the types, and into the chart
	@for plural in nodepoolpolicies nodepoolinventories; do \
		$(CARGO) run --quiet -p nodepool-operator -- crd $$plural > crds/.generated && mv crds/.generated crds/$$plural.aks.nodepool.dev.yaml || exit 1; \
	done
	@cp crds/*.yaml charts/nodepool-operator/files/crds/

deploy: ## Writes the plain manifests anew from the chart
	$(CARGO) run --quiet -p testbed -- manifests deploy/base

fields: ## Writes docs/fields.md anew from the types
	$(CARGO) run --quiet -p nodepool-operator -- fields > docs/.generated && mv docs/.generated docs/fields.md

lint: ## Checks format and lints
	$(CARGO) fmt --all --check && $(CARGO) fmt --manifest-path interop/rust/Cargo.toml --check && $(CARGO) clippy --workspace --all-targets --locked -- -D warnings

workflows: ## Checks the workflows of GitHub and the scripts (shellcheck where it is installed)
	@tools/workflows

check-generated: crds fields deploy ## Checks that generated files are committed as they are generated
	git diff --exit-code -- crds docs/fields.md charts/nodepool-operator/files/crds deploy/base

deny: ## Checks bans, licences, sources and advisories of every lock file (builds cargo-deny once per machine)
	@tools/deny

sbom: ## Writes what is in the operator's binary as CycloneDX into target/sbom, and checks it (builds cargo-cyclonedx once per machine)
	@tools/sbom

fmt: ## Formats everything
	$(CARGO) fmt --all && $(CARGO) fmt --manifest-path interop/rust/Cargo.toml
