# Builds, tries, tests, measures and installs sprat. `make` alone lists the targets.

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DESTDIR    ?=
HAPROXY    ?= haproxy

.PHONY: help setup build wheel haproxy docs demo demo-c demo-keys test test-all test-haproxy soak lint bench bench-haproxy fuzz tsan install uninstall clean

help:
	@echo 'make demo           a load balancer and web servers: they join, drain, crash, are cut off;'
	@echo '                    a minute once built. KEEP=1 keeps it running at the end'
	@echo 'make demo-c         stock Serf agents and a C program form one cluster; half a minute once built'
	@echo 'make demo-keys      the key of such a cluster changes while its members send events; 15 seconds'
	@echo 'make test           lint, tests, examples, documentation, installation; 12 minutes'
	@echo 'make test-all       the same with every seed and every case, on the builds that are shipped; fuzzing'
	@echo 'make test-haproxy   the tests of the HAProxy module; HAPROXY=/path/to/haproxy tests with another one'
	@echo 'make soak           each group of tests five times while the processors are busy; hours'
	@echo 'make bench          resources and reaction times, compared with those of other programs; 25 minutes'
	@echo 'make bench-haproxy  HAProxy as a member, compared with an agent that reloads it; 7 minutes'
	@echo 'make fuzz           a minute of libFuzzer on each decoder and reader, on a node and on C calls; FUZZ_SECONDS=60'
	@echo 'make tsan           the tests that use threads, under ThreadSanitizer; 7 minutes'
	@echo 'make lint           formatting, clippy, C warnings, Python types and style'
	@echo 'make build          the library: libsprat.so and libsprat.a, release profile; SPRAT_FEATURES=mdns adds mDNS'
	@echo 'make wheel          the Python package: a manylinux2014 wheel and the source distribution'
	@echo 'make haproxy        the module for HAProxy, and sprat-hap, in target/haproxy'
	@echo 'make docs           the references: Rust in target/doc, Python in target/docs/python'
	@echo 'make install        PREFIX=$(PREFIX) LIBDIR=$(LIBDIR) INCLUDEDIR=$(INCLUDEDIR) DESTDIR=$(DESTDIR)'
	@echo 'make uninstall      removes what install put there'
	@echo 'make clean          removes what was built'

setup:
	@scripts/setup.sh

build:
	@bash -c '. scripts/env.sh && build_release'

wheel: setup
	@scripts/wheel.sh

haproxy: setup
	@scripts/haproxy.sh

docs: setup
	@scripts/docs.sh

demo: setup
	@examples/haproxy/run.sh

demo-c: setup
	@examples/cluster/run.sh

demo-keys: setup
	@examples/cluster/keys.sh

test: setup
	@scripts/test.sh

test-all: setup
	@scripts/test.sh all

test-haproxy: setup
	@HAPROXY='$(HAPROXY)' scripts/test-haproxy.sh

soak: setup
	@scripts/soak.sh

lint: setup
	@scripts/lint.sh

bench: setup
	@scripts/bench.sh

bench-haproxy: setup
	@scripts/bench-haproxy.sh

fuzz: setup
	@scripts/fuzz.sh

tsan: setup
	@scripts/tsan.sh

# `install` builds only what was not built before, so that `sudo make install` after `make build`
# needs no compiler.
install uninstall:
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' \
	    scripts/install.sh $@

clean:
	@bash -c '. scripts/env.sh && cargo clean'
