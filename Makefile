# SPDX-License-Identifier: MIT
# make                 programs into build/bin
# make install         under DESTDIR and PREFIX; uninstall takes it away again
# make check           all tests; installs what they need first (as root)
# make lint            clang-tidy, cppcheck, shellcheck, perl and mandoc
# make asan            the tests with ASan and UBSan, built into build/asan
# make soak SOAK=N     each service moves there and back 5 times; then N moves, each with a fault at a random moment
# make bench           measured moves, latencies and decisions, beside the ways of today (FULL=1: also cbc and glpsol)
# B=DIR builds elsewhere; V=1 shows the commands
PREFIX ?= /usr/local
DESTDIR ?=
B ?= build
VERSION := 0.1.0

CC ?= cc
STRIP ?= strip
CLANG ?= clang
BPFTOOL ?= $(shell PATH=$$PATH:/usr/sbin:/sbin command -v bpftool)
CFLAGS ?= -O2 -g
SANITIZE ?=
# A newer compiler or library may warn of what nobody has seen yet: an error in CI only.
WARN := -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wvla -Wno-format-truncation $(if $(CI),-Werror)
FLAGS := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DEDGE_VERSION='"$(VERSION)"' -I.
# Nobody unwinds stacks but a debugger, which has -g. What is not called a million times a second is made small.
ALL_CFLAGS = $(FLAGS) $(WARN) -fstack-protector-strong -fno-asynchronous-unwind-tables -MMD -MP $(CFLAGS)
HOT := tests/% examples/% lib/place/% lib/base/json_scan lib/base/stream lib/base/lines lib/measure/probe% lib/move/pages% \
	lib/move/image% lib/move/memory lib/move/pagemap lib/move/track lib/move/lazy% lib/move/receiver lib/move/wire lib/move/store
SIZE = $(if $(filter -O2,$(CFLAGS)),$(if $(filter $(HOT),$*),,-Os))
ALL_LDFLAGS := -Wl,--as-needed -Wl,-z,relro -Wl,-z,now -Wl,-z,noseparate-code -Wl,-z,pack-relative-relocs $(LDFLAGS)
LDLIBS := -ljq -lyaml -lzstd -lxxhash -lbpf -lmaxminddb -lncursesw -ltinfo -lpthread -lm

# One program per file in cmds/; each links only what it uses of the archive and, by --as-needed, of the libraries.
PROGRAMS := $(patsubst cmds/%.c,%,$(wildcard cmds/edge*.c))
LIB_SRC := $(wildcard lib/*/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
UNITS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*_test.c))
TOOLS := $(patsubst %.c,%,$(wildcard examples/lab/*.c tests/bench/*.c tests/tools/*.c))
# Some of them are moved, and CRIU cannot move the terabytes of a sanitizer. What is moved must not include anything of lib/.
PLAIN := $(basename $(shell grep -L '"lib/' $(TOOLS:=.c)))
MANUALS := $(wildcard man/*.[1-8])

Q := $(if $(V),,@)

all: $(PROGRAMS:%=$(B)/bin/%) tools
tools: $(TOOLS:%=$(B)/%)
units: $(UNITS:%=$(B)/tests/unit/%)

$(B)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SIZE) $(if $(filter $(PLAIN),$*),,$(SANITIZE)) -ffunction-sections -fdata-sections -c -o $@ $<

# The kernel's side: compiled for BPF, and put into the object that loads it.
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Werror -I. -I/usr/include/$(shell $(CC) -print-multiarch)

$(B)/%.bpf.o: %.bpf.c $(wildcard bpf/*.h)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(B)/%.skel.h: $(B)/%.bpf.o
	$(Q)$(BPFTOOL) gen object $@.o $< # without the debugger's sections
	$(Q)$(BPFTOOL) gen skeleton $@.o name $(*F)_bpf >$@.new && mv $@.new $@

LOADS_BPF := $(foreach f,lib/measure/rtt lib/engine/vma_flags lib/move/lazy_guards,$(B)/$f.o $(B)/lint/$f.c.tidy)
$(LOADS_BPF): $(B)/bpf/rtt.skel.h $(B)/bpf/vmas.skel.h $(B)/bpf/guards.skel.h
$(LOADS_BPF): FLAGS += -I$(B)

$(B)/libedge.a: $(LIB_OBJ)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/bin/%: $(B)/cmds/%.o $(B)/libedge.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SANITIZE) $(ALL_LDFLAGS) -Wl,--gc-sections -o $@ $< $(B)/libedge.a $(LDLIBS)

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libedge.a
	$(Q)$(CC) $(ALL_CFLAGS) $(SANITIZE) $(ALL_LDFLAGS) -o $@ $< $(B)/libedge.a $(LDLIBS)

$(TOOLS:%=$(B)/%): $(B)/%: $(B)/%.o $(B)/libedge.a
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(filter $(PLAIN),$*),,$(SANITIZE)) $(ALL_LDFLAGS) -o $@ $< $(B)/libedge.a $(LDLIBS)

# --- installing

SHARE := $(DESTDIR)$(PREFIX)/share
EXAMPLES := $(SHARE)/edgetools/examples
UNITDIR := $(DESTDIR)$(PREFIX)/lib/systemd/system
SYSTEMD := $(wildcard examples/systemd/*.service examples/systemd/*.timer examples/systemd/*.socket)

install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(EXAMPLES)/lab $(SHARE)/bash-completion/completions \
		$(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	$(Q)install -s --strip-program=$(STRIP) $(PROGRAMS:%=$(B)/bin/%) $(DESTDIR)$(PREFIX)/bin
	$(Q)set -e; for p in $(PROGRAMS); do \
		$(B)/bin/$$p --completion bash >$(SHARE)/bash-completion/completions/$$p; \
		$(B)/bin/$$p --completion zsh >$(SHARE)/zsh/site-functions/_$$p; \
		$(B)/bin/$$p --completion fish >$(SHARE)/fish/vendor_completions.d/$$p.fish; done
	$(Q)set -e; for m in $(MANUALS); do install -D -m 644 -t $(SHARE)/man/man$${m##*.} $$m; done
	$(Q)install -s --strip-program=$(STRIP) $(B)/examples/lab/edge-wire $(EXAMPLES)/lab
	$(Q)install -t $(EXAMPLES)/lab examples/lab/lab
	$(Q)install -m 644 -t $(EXAMPLES)/lab examples/lab/*.sh
	$(Q)install -t $(EXAMPLES) examples/get-criu examples/install-packages examples/user-sim examples/rescue.sh examples/follow-user.sh \
		examples/swarm-offload.sh
	$(Q)install -m 644 -t $(EXAMPLES) examples/edge.schema
	$(Q)install -D -m 644 -t $(UNITDIR) $(SYSTEMD)
	$(Q)sed -i 's|^ExecStart=/usr/local/|ExecStart=$(PREFIX)/|' $(SYSTEMD:examples/systemd/%=$(UNITDIR)/%)

uninstall:
	$(Q)rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%) $(PROGRAMS:%=$(SHARE)/bash-completion/completions/%) \
		$(PROGRAMS:%=$(SHARE)/zsh/site-functions/_%) $(PROGRAMS:%=$(SHARE)/fish/vendor_completions.d/%.fish) \
		$(foreach m,$(MANUALS),$(SHARE)/man/man$(subst .,,$(suffix $m))/$(notdir $m)) \
		$(SYSTEMD:examples/systemd/%=$(UNITDIR)/%)
	$(Q)rm -rf $(SHARE)/edgetools

# --- testing

check:
	$(Q)B=$(B) tests/run.sh $(TESTS)

asan:
	$(Q)B=$(B)/asan TEST_SECONDS=1800 CFLAGS='-O1 -g -fno-omit-frame-pointer' \
		SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -include tests/asan.h' tests/run.sh $(TESTS)

soak: all
	$(Q)B=$(B) MOVES=5 LOOPS=50 TEST_SECONDS=3600 tests/run.sh tests/move/
	$(Q)B=$(B) SOAK=$(SOAK) tests/move/soak

bench: all
	$(Q)B=$(B) tests/bench/move
	$(Q)B=$(B) tests/bench/flat
	$(Q)B=$(B) tests/bench/latency
	$(Q)B=$(B) tests/bench/place
	$(Q)B=$(B) tests/bench/invite
	$(Q)B=$(B) tests/bench/rescue
	$(Q)B=$(B) tests/bench/offload

# --- linting

C_SRC := $(filter-out bpf/%,$(shell git ls-files '*.c' 2>/dev/null || find cmds lib tests examples -name '*.c'))
SCRIPTS := $(shell git grep -lE '^\#!.*sh$$' 2>/dev/null || grep -rlE '^\#!.*sh$$' --exclude-dir=.git --exclude-dir=build .)
PERL := $(shell git grep -lE '^\#!.*perl' -- examples tests 2>/dev/null || grep -rlE '^\#!.*perl' examples tests)
# Leaks: it does not know the cleanup attribute of AUTO_ variables.
CPPCHECK_OFF := missingIncludeSystem memleak resourceLeak
TIDIED := $(C_SRC:%=$(B)/lint/%.tidy)

lint: $(TIDIED)
	$(Q)cppcheck --quiet --enable=warning,performance,portability --error-exitcode=1 --inline-suppr --std=c11 \
		$(CPPCHECK_OFF:%=--suppress=%) -D_GNU_SOURCE -DEDGE_VERSION='""' -I. $(C_SRC)
	$(Q)shellcheck -x -P SCRIPTDIR -S warning $(SCRIPTS)
	$(Q)for p in $(PERL); do perl -I tests/tools -c $$p 2>$(B)/lint/perl || { cat $(B)/lint/perl; exit 1; }; done
	$(Q)$(if $(MANUALS),mandoc -T lint -W warning $(MANUALS))

$(B)/lint/%.c.tidy: %.c .clang-tidy
	$(Q)mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(FLAGS) >$@.out 2>&1 && touch $@ || { cat $@.out; exit 1; }

clean:
	rm -rf $(B)

.PHONY: all tools units install uninstall check asan soak bench lint clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' -type f 2>/dev/null)
