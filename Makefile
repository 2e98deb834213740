# SPDX-License-Identifier: MIT
# Chat-as-a-Service, for GNU make.
#   make                      both programs, optimised, in build/
#   make SAN=address,undefined BUILD=build/san test
#   make static               the same without shared objects, stripped, in build/static/
#   make install PREFIX=/usr DESTDIR=/some/folder
#
# Variables: BUILD, SAN, CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, WERROR=1, V=1 (show the commands),
# TLS=no (refuse rediss://, which is built in where hiredis_ssl is), IO_URING= (without liburing),
# DOCS=no (leave out /docs, 220 KB; /openapi.json and /asyncapi.json stay).

BUILD  ?= build
PREFIX ?= /usr/local
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))
CFLAGS ?= $(if $(SAN),-O1,-O2) -g
PKG_CONFIG ?= pkg-config
DOCS   ?= yes
VIEWER := $(if $(filter no,$(DOCS)),,rapidoc-min.js)
TLS    := $(or $(TLS),$(shell $(PKG_CONFIG) --exists hiredis_ssl openssl && echo yes))
IO_URING ?= $(shell $(PKG_CONFIG) --exists liburing && echo liburing)
TLS_PACKAGES := $(if $(filter yes,$(TLS)),hiredis_ssl openssl)
PACKAGES     := libevent_extra libevent_core json-c sqlite3 zlib $(TLS_PACKAGES) hiredis $(IO_URING)
# The headers of libraries count as the system's: they give no warnings.
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PACKAGES)))
LIBS       := $(shell $(PKG_CONFIG) $(if $(STATIC),--static) --libs $(PACKAGES)) -lm

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual \
    -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wformat=2 -Wwrite-strings -Wpointer-arith \
    -Wnull-dereference -Wvla -Wimplicit-fallthrough -Wno-format-zero-length $(if $(WERROR),-Werror)
HARDENING := -fstack-protector-strong -fstack-clash-protection -fPIE -fno-omit-frame-pointer \
    -ffunction-sections \
    $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
DIALECT   := -std=c11 -D_GNU_SOURCE -I. $(PKG_CFLAGS) $(if $(TLS_PACKAGES),-DCHAT_TLS) \
    $(if $(IO_URING),-DHAVE_LIBURING) $(if $(VIEWER),-DCHAT_DOCS)
COMPILE   := $(CC) $(DIALECT) $(WARNINGS) $(HARDENING) $(CFLAGS) $(CPPFLAGS)
LINK      := $(CC) $(if $(STATIC),-static-pie -s,-pie) -Wl,-z,relro,-z,now,--gc-sections \
    $(HARDENING) $(CFLAGS) $(LDFLAGS)

SCRIPTS   := $(wildcard common/*.lua)
SOURCES   := $(wildcard common/*.c gateway/*.c persister/*.c)
TESTS     := $(wildcard tests/unit/*/test_*.c tests/fuzz/*/fuzz_*.c)
ECHO      := $(BUILD)/tests/conformance/ws_echo
HEADERS   := $(wildcard common/*.h gateway/*.h persister/*.h)
FORMATTED := $(SOURCES) $(HEADERS) $(wildcard tests/*/*.[ch] tests/*/*/*.[ch])
PROGRAMS  := $(BUILD)/chat-gateway $(BUILD)/chat-persister
TEST_BINS := $(TESTS:%.c=$(BUILD)/%)
FUZZ_BINS := $(filter $(BUILD)/tests/fuzz/%,$(TEST_BINS))

objects = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/main.c,$(filter $(1)/%,$(SOURCES))))
MAKEFLAGS += --no-builtin-rules
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s%s\n' $(1) $(2))
.DELETE_ON_ERROR .SECONDEXPANSION .SECONDARY:
.PHONY: all static unit-programs fuzz-programs unit fuzz test bench bench-programs format
.PHONY: check-format lint install uninstall clean FORCE

all: $(PROGRAMS)

# What the linker says of getaddrinfo does not matter: evdns looks names up, without glibc.
static:
	$(Q)$(MAKE) all BUILD='$(BUILD)/static' STATIC=1

# Changes when the compiler or a flag does, and everything is built anew.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(COMPILE) $(LINK) $(LIBS)' | cmp -s - $@ || echo '$(COMPILE) $(LINK) $(LIBS)' >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags
	$(Q)$(COMPILE) -c -o $@ $<

# A file as a C array: $(call embed,symbol).
define embed
	@mkdir -p $(@D)
	$(call say,EMBED,$<)
	$(Q)common/embed $(1) $< >$@
endef

$(BUILD)/gen/%.lua.c: common/%.lua common/embed
	$(call embed,script_$*)

include gateway/web.mk
$(BUILD)/common.a: $(call objects,common) $(SCRIPTS:common/%=$(BUILD)/gen/%.o)
$(BUILD)/gateway.a: $(call objects,gateway) $(WEB_OBJECTS)
$(BUILD)/persister.a: $(call objects,persister)
$(BUILD)/%.a:
	@mkdir -p $(@D) && rm -f $@
	$(Q)ar rcs $@ $^

# A program each, over <area>.a and common.a; replay.c drives a fuzz target, or libFuzzer.
$(PROGRAMS): $(BUILD)/chat-%: $(BUILD)/%/main.o $(BUILD)/%.a $(BUILD)/common.a
$(ECHO): $(ECHO).o $(BUILD)/gateway.a $(BUILD)/common.a
$(FUZZ_BINS): EXTRA = $(if $(LIBFUZZER),-fsanitize=fuzzer)
$(FUZZ_BINS): $(if $(LIBFUZZER),,$(BUILD)/tests/fuzz/replay.o)
$(BUILD)/tests/unit/%: EXTRA = $(shell $(PKG_CONFIG) --libs cmocka)
$(TEST_BINS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/$$(notdir $$(*D)).a $(BUILD)/common.a
$(PROGRAMS) $(ECHO) $(TEST_BINS):
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS) $(EXTRA)
-include $(patsubst %.c,$(BUILD)/%.d,$(SOURCES) $(TESTS)) $(ECHO).d

include $(wildcard tests/*/*.mk)

unit-programs: $(TEST_BINS) $(ECHO)
fuzz-programs: $(FUZZ_BINS)
fuzz: # with libFuzzer, in build/fuzz/: ./dev fuzz runs them
	$(Q)$(MAKE) fuzz-programs BUILD='$(BUILD)/fuzz' CC=clang LIBFUZZER=1 \
	    SAN=fuzzer-no-link,address,undefined
unit: unit-programs
	tests/run $(BUILD) --unit
test: all unit-programs
	tests/run $(BUILD)

format:
	clang-format -i $(FORMATTED)
check-format:
	clang-format --dry-run -Werror $(FORMATTED)

# One stamp per source, so that make -j lints in parallel and only what changed.
$(BUILD)/lint/%.tidy: %.c $(HEADERS) .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)gcc $(DIALECT) -O1 -fanalyzer -Werror -c -o /dev/null $<
	@out=$$(clang-tidy --quiet $< -- $(DIALECT) 2>&1) || { printf '%s\n' "$$out"; exit 1; }
	@touch $@

lint: check-format $(SOURCES:%.c=$(BUILD)/lint/%.tidy)
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 \
	    --inline-suppr -D_GNU_SOURCE -I. $(SOURCES)
	shellcheck dev .ci/run common/embed tests/run tests/*/run tests/*/*/run tests/*/*.sh \
	    tests/*/*/*.sh tests/fuzz/coverage

compile_commands.json: $(SOURCES) $(TESTS) Makefile
	@{ sep='['; for file in $(SOURCES) $(TESTS); do \
	  printf '%s\n{"directory":"%s","file":"%s","command":"%s"}' "$$sep" "$(CURDIR)" "$$file" \
	    "$(COMPILE) -c $$file"; sep=','; done; printf '\n]\n'; } >$@

BINDIR := $(DESTDIR)$(PREFIX)/bin
DOCDIR := $(DESTDIR)$(PREFIX)/share/doc/chat-as-a-service
install: all
	install -d '$(BINDIR)' '$(DOCDIR)'
	install -m 755 $(PROGRAMS) '$(BINDIR)'
	install -m 644 LICENSE $(wildcard *.md docs/*.md) '$(DOCDIR)'
uninstall:
	rm -rf $(PROGRAMS:$(BUILD)/%='$(BINDIR)/%') '$(DOCDIR)'
clean:
	rm -rf $(BUILD) compile_commands.json
