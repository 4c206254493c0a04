# ecauto: an online shop's automation inside its database.
#
#   make, make install, make installcheck     as for every PGXS extension
#   make test, make demo                      every test; the demonstration
#
# PG_CONFIG chooses the server to build for, WERROR=1 turns warnings into
# errors (CI does), COVERAGE=1 builds for gcov, SANITIZE=undefined or
# SANITIZE=address,undefined for sanitizers, FUZZ=1 (with CC=clang) for libFuzzer.

EXTENSION = ecauto
EC_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" ecauto.control)

MODULE_big = ecauto
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

# Updates lead to this version from each one that was released (test/freeze.sh).
RELEASED = $(filter-out $(EC_VERSION),$(patsubst test/released/%.install,%,$(wildcard test/released/*.install)))
UPDATES = $(patsubst %,ecauto--%--$(EC_VERSION).sql,$(RELEASED))
DATA_built = ecauto--$(EC_VERSION).sql $(UPDATES)
SQL_DOMAINS = $(shell sed -n 's/^\([a-z]*\):.*/\1/p' src/modules.txt)
SQL_SOURCES = $(sort $(wildcard sql/*/*.sql sql/*/*/*.sql sql/*/*/*.json sql/*/*.html))

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=ecauto
ISOLATION = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=ecauto

EXTRA_CLEAN = ecauto--*.sql build results tmp_check output_iso log

PG_CPPFLAGS = -I$(srcdir)/src -DEC_VERSION='"$(EC_VERSION)"' $(shell curl-config --cflags)
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK = $(shell curl-config --libs)
ifdef WERROR
PG_CFLAGS += -Werror
endif
ifdef COVERAGE
PG_CFLAGS += -O0 -fprofile-arcs -ftest-coverage
SHLIB_LINK += -lgcov
endif

ifdef SANITIZE
# float to int out of range is undefined, which "undefined" alone leaves out
SANITIZERS = -fsanitize=$(SANITIZE),float-cast-overflow
PG_CFLAGS += -O1 -fno-omit-frame-pointer $(SANITIZERS)
SHLIB_LINK += $(SANITIZERS)
endif
ifdef FUZZ
# not the address sanitizer: a server that is not built with it cannot load it
OBJS += test/fuzz/fuzz.o
PG_CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,undefined,float-cast-overflow \
	-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes
SHLIB_LINK += $(foreach part,fuzzer_no_main ubsan_standalone,$(shell $(CC) -print-file-name=libclang_rt.$(part)-$(shell uname -m).a)) -lstdc++ -lm
endif

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Loops over floats that are worth vector instructions.
src/recommend/recommend_solve.o: CFLAGS += $(CFLAGS_UNROLL_LOOPS) $(CFLAGS_VECTORIZE)

src/core/core_state.o: ecauto.control

# PGXS knows nothing of our headers.
$(OBJS): $(wildcard src/*.h src/*/*.h)

ecauto--$(EC_VERSION).sql: sql/assemble.sh src/modules.txt $(SQL_SOURCES)
	sh sql/assemble.sh "$(EC_VERSION)" $(SQL_DOMAINS) > $@.tmp
	mv $@.tmp $@

$(UPDATES): ecauto--%--$(EC_VERSION).sql: sql/assemble.sh src/modules.txt $(SQL_SOURCES) $(wildcard sql/*--*.sql)
	sh sql/assemble.sh --from $* "$(EC_VERSION)" $(SQL_DOMAINS) > $@.tmp
	mv $@.tmp $@

.PHONY: pgtap isolation bench bench-outbox demo demo-stop test test-matrix headerscheck check-modules format format-check coverage dist deb freeze asan fuzz
pgtap isolation bench bench-outbox demo demo-stop test test-matrix headerscheck check-modules format format-check coverage dist deb freeze asan fuzz:
	PG_CONFIG="$(PG_CONFIG)" sh test/target.sh $@
