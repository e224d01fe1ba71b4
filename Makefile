# flytrail: `make` builds build/flytrail; `make demo`, `make check`, `make soak`, `make bench` say what they do.

BUILD ?= build
# PACKAGES=no leaves installing packages to you.
PACKAGES ?= yes
PACKAGES_FOR = $(if $(filter yes,$(PACKAGES)),tests/support/install-packages.sh,:)

# V=1 shows the commands.
V ?= 0
SAY = @$(if $(filter 0,$(V)),echo "  $(1) $@";,set -x;)

ifeq ($(origin CC),default)
CC = gcc
endif
WERROR ?= -Werror
# address,undefined or thread: a build of its own, under another BUILD
SAN ?=

PKGS = libnats libpq libcurl libcjson libpcre2-8 libmicrohttpd libcrypto zlib libisal expat
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wcast-align \
	-Wpointer-arith -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wformat=2 -Wundef -Wvla -Wswitch-enum -Wdouble-promotion \
	-Wnull-dereference -Wimplicit-fallthrough -fno-common
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null | head -1))
HARDEN = -fstack-protector-strong -fstack-clash-protection -fPIE
ifeq ($(IS_CLANG),)
HARDEN += -ftrivial-auto-var-init=zero
endif
ifeq ($(shell uname -m),x86_64)
HARDEN += -fcf-protection
endif
ifeq ($(SAN),)
OPT = -O2 -g -D_FORTIFY_SOURCE=3 $(HARDEN)
LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack
# For the program alone: 4 % fewer instructions a record than -O2.
SRC_OPT = -O3
else
OPT = -O1 -g -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK = -fsanitize=$(SAN)
endif

CFLAGS_ALL = -std=c17 -D_GNU_SOURCE -Iinclude -I$(BUILD)/gen $(WARN) $(WERROR) $(OPT) $(TARGET_OPT) $(PKG_CFLAGS) \
	-pthread -MMD -MP $(CFLAGS)
LIBS = $(PKG_LIBS) -pthread

SRC := $(sort $(wildcard src/*/*.c))
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB = $(BUILD)/libflytrail.a
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
# Programs that tests, bench and demo run; the rest of tests/support is linked into unit tests.
TOOLS := $(BUILD)/tests/support/natspub $(BUILD)/tests/support/store_driver \
	$(BUILD)/tests/support/s3_driver $(BUILD)/tests/support/archive_driver \
	$(BUILD)/tests/support/retention_driver $(BUILD)/tests/support/fresh_driver \
	$(BUILD)/tests/support/netswitch $(BUILD)/tests/support/netenter \
	$(BUILD)/tests/crash/spool_writer
SUPPORT := $(filter-out $(TOOLS:%=%.o),$(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/support/*.c))))
SQL := $(sort $(wildcard sql/*.sql))

# Calls that tests make fail; tests/support/fault.c counts them.
WRAP = malloc calloc realloc open pwrite pread fdatasync fsync fstat ftruncate posix_fallocate \
	rename unlink mkdir statvfs getrandom clock_gettime
WRAP_FLAGS = $(WRAP:%=-Wl,--wrap=%)

.PHONY: all unit fuzz-targets check check-all fuzz soak clean demo bench format cflags
.SECONDARY:
all: $(BUILD)/flytrail $(TOOLS)

$(BUILD)/flytrail: $(BUILD)/src/main.o $(LIB)
	$(call SAY,LINK) $(CC) $(LINK) -o $@ $^ $(LIBS)

$(LIB): $(OBJ)
	$(call SAY,AR) rm -f $@ && ar rcs $@ $^

$(BUILD)/src/%.o: TARGET_OPT = $(SRC_OPT)
$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(call SAY,CC) $(CC) $(CFLAGS_ALL) -include include/banned.h -c -o $@ $<

# The migrations, as C strings.
$(BUILD)/gen/migrations.inc: $(SQL) sql/embed.py
	@mkdir -p $(@D)
	python3 sql/embed.py $(SQL) > $@.tmp && mv $@.tmp $@
$(BUILD)/src/store/migrate.o: $(BUILD)/gen/migrations.inc

$(BUILD)/tests/support/%.o: tests/support/%.c
	@mkdir -p $(@D)
	$(call SAY,CC) $(CC) $(CFLAGS_ALL) -c -o $@ $<

$(BUILD)/tests/crash/%.o: tests/crash/%.c
	@mkdir -p $(@D)
	$(call SAY,CC) $(CC) $(CFLAGS_ALL) -c -o $@ $<

$(TOOLS): %: %.o $(LIB)
	$(call SAY,LINK) $(CC) $(LINK) -o $@ $^ $(LIBS)

$(BUILD)/tests/unit/%: tests/unit/%.c $(SUPPORT) $(LIB)
	@mkdir -p $(@D)
	$(call SAY,CC) $(CC) $(CFLAGS_ALL) -Itests/support $(LINK) $(WRAP_FLAGS) -o $@ $< $(SUPPORT) $(LIB) -lcmocka $(LIBS)

unit: $(UNIT)

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(LIB)
	@mkdir -p $(@D)
	$(call SAY,CC) $(CC) $(CFLAGS_ALL) -fsanitize=fuzzer -o $@ $< $(LIB) $(LIBS)

# Built as `make fuzz` and `make check` do, with libFuzzer's sanitizers.
fuzz-targets: $(FUZZ)

# An incident in an organisation that does not exist, on private servers, told by SQL.
demo:
	@$(PACKAGES_FOR) demo
	@$(MAKE) --no-print-directory all
	@python3 deploy/demo/demo.py

# Every test there is. pkg-config is asked by the second make, when the packages are there.
check:
	@$(PACKAGES_FOR) check
	@$(MAKE) --no-print-directory check-all

check-all:
	@python3 tests/run.py

# For longer: make fuzz FLYTRAIL_CHECK_FUZZ_SECONDS=3600
fuzz:
	@$(PACKAGES_FOR) check
	@python3 tests/run.py --only fuzz

# Proof by force: kills, pauses, cuts and full disks by a seed. Again: make soak SEED=17 SECONDS_=60
SECONDS_ ?= 600
SEED ?=
soak:
	@$(PACKAGES_FOR) demo
	@$(MAKE) --no-print-directory all
	@python3 tests/soak/soak.py --seconds $(SECONDS_) $(SEED:%=--seed %)

# What tools that read the source are told.
cflags:
	@echo $(filter-out -MMD -MP,$(CFLAGS_ALL))

$(BUILD)/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call SAY,CC) $(CC) $(CFLAGS_ALL) $(LINK) -o $@ $< $(LIBS)

# The program itself, which tells when each commit was done.
$(BUILD)/tests/bench/flytrail_timed: tests/bench/commit_times.c $(BUILD)/src/main.o $(LIB)
	@mkdir -p $(@D)
	$(call SAY,CC) $(CC) $(CFLAGS_ALL) $(LINK) -Wl,--wrap=spool_commit -o $@ $(filter %.c %.o %.a,$^) $(LIBS)

# Ratios measured in one run; tests/bench/RESULTS.md keeps what it printed.
bench:
	@$(PACKAGES_FOR) demo
	@$(MAKE) --no-print-directory all $(BUILD)/tests/bench/count_nats $(BUILD)/tests/bench/flytrail_timed
	@python3 tests/bench/bench.py $(BUILD)

format:
	clang-format-14 -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD)

# build/image is what tests keep of the image: a whole system, with files of any name.
-include $(shell find $(BUILD) -path '*/image' -prune -o -name '*.d' -print 2>/dev/null)
