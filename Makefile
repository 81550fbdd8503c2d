# SPDX-License-Identifier: MIT
# make                 programs into build/bin
# make install         under DESTDIR and PREFIX
# make check           all tests (tests/run.sh installs what they need first)
# make lint asan soak bench
PREFIX ?= /usr/local
DESTDIR ?=
B ?= build
VERSION := 0.1.0

CC ?= cc
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wvla -Wno-format-truncation -Werror
ALL_CFLAGS := -std=gnu11 $(WARN) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DEDGE_VERSION='"$(VERSION)"' \
	-fstack-protector-strong -I. -MMD -MP $(CFLAGS)
ALL_LDFLAGS := -Wl,--as-needed -Wl,-z,relro -Wl,-z,now $(LDFLAGS)
LDLIBS := -ljq -lssh2 -lcrypto -lzstd -lxxhash -lpthread

# One program per file in cmds/; each links only what it uses of the archive and, by --as-needed, of the libraries.
PROGRAMS := $(patsubst cmds/%.c,%,$(wildcard cmds/edge*.c))
LIB_SRC := $(wildcard lib/*/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
UNITS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*_test.c))
TOOLS := $(patsubst %.c,%,$(wildcard examples/lab/*.c tests/bench/*.c tests/tools/*.c))

# V=1 shows the commands.
Q := $(if $(V),,@)

all: $(PROGRAMS:%=$(B)/bin/%) tools
tools: $(TOOLS:%=$(B)/%)
units: $(UNITS:%=$(B)/tests/unit/%)

$(B)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -ffunction-sections -fdata-sections -c -o $@ $<

$(B)/libedge.a: $(LIB_OBJ)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/bin/%: $(B)/cmds/%.o $(B)/libedge.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wl,--gc-sections -o $@ $< $(B)/libedge.a $(LDLIBS)

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libedge.a
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(B)/libedge.a $(LDLIBS)

$(TOOLS:%=$(B)/%): $(B)/%: $(B)/%.o $(B)/libedge.a
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(B)/libedge.a $(LDLIBS)

clean:
	rm -rf $(B)

.PHONY: all tools units clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
