# cluarun: builds the program, the libraries and the module; tests; installs.
#
#   make deps          install what building and testing need (Debian)
#   make               build/cluarun, libcluarun.{a,so}, cluarun.so, cluarun.pc
#   make docs          build/docs: the reference, definitions for editors
#   make test          every test; `make check` adds lint
#   make SANITIZER=address,undefined test        (or thread) in a build of its own
#   make valgrind      the tests under valgrind
#   make MINUTES=60 soak   the search for rare failures; `make fuzz` for bad input
#
# Everything generated lies in build/. V=1 shows the commands.

# User settings
ifeq ($(origin CC),default)
CC = $(if $(SANITIZER),$(SANITIZER_CC),gcc)
endif
AR ?= ar
OBJCOPY ?= objcopy
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
DESTDIR ?=
SANITIZER ?=
# Older sanitizers do not hold their locks over a fork: a child may wait for ever.
SANITIZER_CC ?= clang-19
SECONDS ?= 60
MINUTES ?= 10
JOBS ?= $(shell nproc)

VERSION = 0.1.0
SONAME = libcluarun.so.0
BUILDING = make gcc binutils libc6-dev pkg-config liblua5.4-dev libreadline-dev
PACKAGES = $(BUILDING) lua5.4 lua-check clang clang-format clang-tidy cppcheck \
  clang-19 libclang-rt-19-dev perl procps python3-minimal util-linux valgrind

# Flags. pkg-config is asked late, so that `make deps` can install it first.
BUILD = build$(addprefix /,$(SANITIZER))
WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
  -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wundef -Wvla
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) -fno-common -fPIC \
  -fvisibility=hidden -ftls-model=initial-exec -pthread -MMD -MP $(CFLAGS)
# Symbols are bound at once: a forked child must not do it page by page.
ALL_LDFLAGS = -pthread -Wl,-z,now $(LDFLAGS)
LUA_CFLAGS = $(shell pkg-config --cflags lua5.4)
LUA_LIBS = $(shell pkg-config --libs lua5.4)
LUA_STATIC = $(shell $(CC) -print-file-name=liblua5.4.a)
# Signal and fork handlers stay: a library that has been loaded is not unloaded.
SHARED = -shared -Wl,-z,nodelete
ifdef WERROR
ALL_CFLAGS += -Werror
endif
ifneq ($(SANITIZER),)
ALL_CFLAGS += -fsanitize=$(SANITIZER) -fno-sanitize-recover=all \
  -fno-omit-frame-pointer -DSANITIZED
ALL_LDFLAGS += -fsanitize=$(SANITIZER)
endif
ifneq ($(V),1)
Q = @
say = @printf '  %-7s %s\n' $(1) '$(2)';
endif

# Files
objects = $(patsubst src/%.c,$(BUILD)/%.o,$(wildcard src/$(1)/*.c))
CORE_OBJECTS = $(call objects,base) $(call objects,sync)
LIB_OBJECTS = $(CORE_OBJECTS) \
  $(filter-out %/interpose.o,$(call objects,bind))
HOST_OBJECTS = $(call objects,host) $(BUILD)/bind/interpose.o
LUA_FILES = $(wildcard lua/*.lua)
C_TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/c/*.c \
  tests/c/bind/*.c tests/c/host/*.c))
FUZZED = decode options complete
FUZZ_REPLAYS = $(FUZZED:%=$(BUILD)/tests/fuzz/replay_%)
C_HEAVY = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/c/heavy/*.c))
LUA_TESTS = $(wildcard tests/*.lua tests/regress/*.lua)
ifneq ($(SANITIZER),)
RUN = env ASAN_OPTIONS=$(SYMBOLIZER) TSAN_OPTIONS=$(SYMBOLIZER)
SYMBOLIZER = external_symbolizer_path=/usr/bin/addr2line
endif
# With the thread sanitizer signals come late to threads that compute, so switches
# are forced; a child of a process with threads cannot start one; and of Lua only
# the program's own is prepared for it. The tests with threads that need none of
# these.
ifeq ($(SANITIZER),thread)
RUN = env CLUARUN_SWITCH=1000 TSAN_OPTIONS=$(SYMBOLIZER):atexit_sleep_ms=0:$\
  suppressions=tests/lib/tsan.supp
C_TESTS := $(filter %/c/join %/c/lock,$(C_TESTS))
FUZZ_REPLAYS =
LUA_TESTS = $(patsubst %,tests/%.lua,thread thread_sync thread_end local \
  io_threads pool_threads deadlock_threads hooks pipe lock event wait_any)
endif
PRODUCTS = $(addprefix $(BUILD)/,cluarun libcluarun.a libcluarun.so cluarun.so \
  cluarun.pc)
C_FILES = $(wildcard include/*.h src/*/*.[ch] tests/c/*.[ch] \
  tests/c/*/*.[ch] tests/fuzz/*.[ch])
LUA_CHECKED = $(LUA_FILES) $(wildcard src/tool/*.lua scripts/*.lua tests/*.lua tests/*/*.lua)

all: $(PRODUCTS)

# The layers: each folder sees only those below it.
$(BUILD)/base/%.o: INC = -Isrc/base
$(BUILD)/sync/%.o: INC = -Isrc/base -Isrc/sync
$(BUILD)/bind/%.o: INC = -Isrc/base -Isrc/sync -Isrc/bind -Iinclude \
  -I$(BUILD) $(LUA_CFLAGS)
$(BUILD)/host/%.o: INC = -Iinclude $(LUA_CFLAGS)
$(BUILD)/tool/%.o: INC = $(LUA_CFLAGS)
$(BUILD)/tests/c/%: INC = -Isrc/base -Isrc/sync
$(BUILD)/tests/c/embed $(BUILD)/tests/c/host/%: INC = -Iinclude -Itests/c \
  $(LUA_CFLAGS)

$(BUILD)/%.o: src/%.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(INC) -c -o $@ $<

# The files of lua/, compiled, as bytes, and a table of them.
$(BUILD)/bind/embed.o: $(BUILD)/lua.inc
$(BUILD)/lua.inc: $(BUILD)/embed $(LUA_FILES)
	$(call say,EMBED,lua/*.lua)$(RUN) $< $(LUA_FILES) >$@.new && mv $@.new $@
$(BUILD)/embed: $(BUILD)/tool/embed.o
	$(call say,LINK,$@)$(CC) -o $@ $^ $(ALL_LDFLAGS) $(LUA_STATIC) -lm -ldl

$(BUILD)/libcore.a: $(CORE_OBJECTS)
$(BUILD)/libcluarun.a: $(LIB_OBJECTS)
$(BUILD)/%.a:
	$(call say,AR,$@)rm -f $@; $(AR) rcs $@ $^

$(BUILD)/libcluarun.so: $(LIB_OBJECTS)
	$(call say,LINK,$@)$(CC) $(SHARED) -Wl,-soname,$(SONAME) -o $@ $^ \
	  $(ALL_LDFLAGS) $(LUA_LIBS) -lm
	$(Q)ln -sf libcluarun.so $(BUILD)/$(SONAME)

# For a stock lua5.4, which brings the Lua library itself.
$(BUILD)/cluarun.so: $(LIB_OBJECTS)
	$(call say,LINK,$@)$(CC) $(SHARED) -o $@ $^ $(ALL_LDFLAGS) -lm

# The system's Lua with other names for the functions that interpose.c puts its
# own in front of. Only where they are defined: who calls them gets ours.
INTERPOSED = resume resetthread newthread sethook gethook gethookmask gethookcount
# The thread sanitizer does not know the name by which Lua calls glibc's longjmp.
ifeq ($(SANITIZER),thread)
INTERPOSED_ALSO = --redefine-sym __longjmp_chk=longjmp
endif
$(BUILD)/liblua.a: Makefile
	$(call say,LUA,$@)rm -rf $(BUILD)/lua && mkdir -p $(BUILD)/lua && \
	  cp $(LUA_STATIC) $@.new && cd $(BUILD)/lua && \
	  $(AR) x ../liblua.a.new ldo.o lstate.o ldebug.o && \
	  for o in *.o; do $(OBJCOPY) $(foreach f,$(INTERPOSED), \
	    --redefine-sym lua_$(f)=cr_real_$(f)) $(INTERPOSED_ALSO) $$o; done && \
	  $(OBJCOPY) --redefine-sym luaD_shrinkstack=cr_real_shrinkstack ldo.o && \
	  $(AR) x ../liblua.a.new lauxlib.o && $(OBJCOPY) \
	    --redefine-sym luaL_loadfilex=cr_real_loadfilex lauxlib.o && \
	  $(AR) r ../liblua.a.new *.o && mv ../liblua.a.new ../liblua.a

# All of Lua is linked in and exported, for modules written in C.
$(BUILD)/cluarun: $(HOST_OBJECTS) $(BUILD)/libcluarun.a $(BUILD)/liblua.a
	$(call say,LINK,$@)$(CC) -o $@ $(HOST_OBJECTS) $(BUILD)/libcluarun.a \
	  $(ALL_LDFLAGS) -Wl,-E -Wl,--whole-archive $(BUILD)/liblua.a \
	  -Wl,--no-whole-archive -lm -ldl

PC = { echo 'prefix=$(PREFIX)'; echo 'libdir=$${prefix}/lib'; \
  echo 'includedir=$${prefix}/include'; echo; echo 'Name: cluarun'; \
  echo 'Description: processes, threads and queues for Lua 5.4'; \
  echo 'Version: $(VERSION)'; echo 'Requires: lua5.4'; \
  echo 'Libs: -L$${libdir} -lcluarun'; echo 'Libs.private: -pthread -lm'; \
  echo 'Cflags: -I$${includedir}'; }
$(BUILD)/cluarun.pc: Makefile
	$(Q)mkdir -p $(@D)
	$(Q)$(PC) >$@

# Tests. C tests use base and sync only: those layers need no Lua.
HOST_TEST = $(CC) $(ALL_CFLAGS) $(INC) -o $@ $< -L$(BUILD) -lcluarun \
  -Wl,-rpath,'$$ORIGIN/../..' -Wl,-rpath,'$$ORIGIN/../../..' $(ALL_LDFLAGS) \
  $(LUA_LIBS)
$(BUILD)/tests/c/embed: tests/c/embed.c $(BUILD)/libcluarun.so
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(HOST_TEST)
$(BUILD)/tests/c/host/%: tests/c/host/%.c $(BUILD)/libcluarun.so
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(HOST_TEST)
$(BUILD)/tests/c/bind/%: INC = -Isrc/base -Isrc/sync -Isrc/bind -Iinclude \
  -Itests/c $(LUA_CFLAGS)
$(BUILD)/tests/c/bind/%: tests/c/bind/%.c $(BUILD)/libcluarun.a
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(INC) -o $@ $< \
	  $(BUILD)/libcluarun.a $(ALL_LDFLAGS) $(LUA_STATIC) -lm -ldl
# Fuzz targets, for libFuzzer and for the inputs that are kept. They use all layers.
FUZZ_TEST = mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Isrc/base -Isrc/sync \
  -Isrc/bind -Iinclude -Itests/c $(LUA_CFLAGS) -DTARGET='"$*"' -o $@ \
  $(filter %.c,$^) $(BUILD)/libcluarun.a $(ALL_LDFLAGS) $(LUA_STATIC) -lm -ldl
fuzz_source = tests/fuzz/$(if $(wildcard tests/fuzz/$(1).c),$(1),script).c
.SECONDEXPANSION:
$(BUILD)/tests/fuzz/replay_%: tests/fuzz/replay.c $$(call fuzz_source,$$*) \
    $(BUILD)/libcluarun.a
	$(call say,CC,$@)$(FUZZ_TEST)
$(BUILD)/tests/fuzz/fuzz_%: $$(call fuzz_source,$$*) $(BUILD)/libcluarun.a
	$(call say,CC,$@)$(FUZZ_TEST) -fsanitize=fuzzer
$(BUILD)/tests/fuzz/seed: tests/fuzz/seed.c $(BUILD)/libcluarun.a
	$(call say,CC,$@)$(FUZZ_TEST)
# Pseudo terminals, for the tests in Lua.
$(BUILD)/tests/pty.so: INC = $(LUA_CFLAGS)
$(BUILD)/tests/pty.so: tests/c/lib/ptylib.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(INC) $(SHARED) -o $@ $< \
	  $(ALL_LDFLAGS) -lutil
$(BUILD)/tests/%: tests/%.c $(BUILD)/libcore.a
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(INC) -o $@ $< \
	  $(BUILD)/libcore.a $(ALL_LDFLAGS) -lm

PROVE = prove --norc --merge --timer --failures --comments -j$(JOBS) \
  --exec 'sh tests/lib/run.sh $(BUILD) $(RUN)'
test: all docs $(C_TESTS) $(FUZZ_REPLAYS) $(BUILD)/tests/pty.so
	$(Q)$(PROVE) $(LUA_TESTS) $(C_TESTS) $(FUZZ_REPLAYS) | awk -f tests/lib/count.awk

# What does not take too long there: the test programs and what they fork.
VALGRIND = valgrind -q --leak-check=no --error-exitcode=99 \
  --suppressions=tests/lib/valgrind.supp
VALGRIND_TESTS = $(patsubst %,tests/%.lua,array barrier condition errors event \
  fork lock local pipe pool process rlock semaphore thread thread_sync value wait)
valgrind:
	$(Q)$(MAKE) --no-print-directory RUN='$(VALGRIND)' FUZZ_REPLAYS= \
	  LUA_TESTS='$(VALGRIND_TESTS)' C_TESTS='$(filter-out %/watch,$(C_TESTS))' \
	  test

# The reference, and definitions for lua-language-server.
docs: $(BUILD)/docs/reference.md $(BUILD)/docs/cluarun.d.lua
$(BUILD)/docs/reference.md: FORM = markdown
$(BUILD)/docs/cluarun.d.lua: FORM = luacats
$(BUILD)/docs/%: src/tool/docs.lua lua/help.lua $(wildcard lua/reference_*.lua) \
  | $(BUILD)/cluarun
	$(Q)mkdir -p $(@D)
	$(call say,DOCS,$@)$(RUN) $(BUILD)/cluarun $< $(FORM) >$@

check: test lint analyze

# What takes longer to look for: two minutes.
ANALYZED = -std=c11 -D_GNU_SOURCE -Isrc/base -Isrc/sync -Isrc/bind -Iinclude \
  -I$(BUILD) $(LUA_CFLAGS) -include src/tool/analyze.h
analyze: $(BUILD)/lua.inc
	$(call say,ANALYZE,cppcheck)cppcheck -q --std=c11 --error-exitcode=1 \
	  --enable=warning,portability,performance --suppress=internalAstError \
	  --suppress=ctuuninitvar \
	  --suppress=nullPointerRedundantCheck -Isrc/base -Isrc/sync -Isrc/bind -Iinclude src
	$(call say,ANALYZE,clang-tidy)printf '%s\n' $(wildcard src/*/*.c) | \
	  xargs -P $(JOBS) -I{} clang-tidy --quiet {} -- $(ANALYZED) 2>/dev/null

lint:
	$(call say,FORMAT,clang-format)clang-format --dry-run -Werror $(C_FILES)
	$(call say,LINT,luacheck)luacheck -q $(LUA_CHECKED)
	$(Q)$(MAKE) --no-print-directory BUILD=build/gcc CC=gcc WERROR=1 objects
	$(Q)$(MAKE) --no-print-directory BUILD=build/clang CC=clang WERROR=1 objects
objects: $(LIB_OBJECTS) $(HOST_OBJECTS) $(BUILD)/tool/embed.o

# SIGKILL after every single instruction; random kills; figures.
step: $(C_HEAVY)
	$(Q)for t in $(filter %/step_base %/step_queue %/step_synch,$^); do \
	  $(RUN) $$t || echo "ended: $$t, status $$?"; \
	done | awk -f tests/lib/kills.awk
HEAVY = $(BUILD)/tests/c/heavy
torture: all $(C_HEAVY)
	$(Q){ tenths() { n=$$1; shift; \
	    $(RUN) "$$@" $$(($(SECONDS) * n / 10)) || echo "ended: $$*, $$?"; }; \
	  tenths 2 $(HEAVY)/torture_queue; \
	  tenths 2 $(HEAVY)/torture_synch; \
	  tenths 1 $(HEAVY)/torture_leak; \
	  tenths 2 $(BUILD)/cluarun tests/torture/language.lua; \
	  tenths 1 $(BUILD)/cluarun tests/torture/fork_threads.lua; \
	  tenths 2 $(BUILD)/cluarun tests/torture/pool.lua; \
	} | awk -f tests/lib/kills.awk
# Everything that kills or exhausts, after each other; the stepping comes first
# and takes its own time.
SOAKED = language fork_threads pool steady prompt
soak: all $(C_HEAVY) $(BUILD)/tests/pty.so
	$(Q){ share() { $(RUN) "$$@" $$(($(MINUTES) * 60 / 9)) \
	    || echo "ended: $$*, $$?"; }; \
	  for t in $(foreach s,base queue synch,$(HEAVY)/step_$s); do \
	    $(RUN) $$t || echo "ended: $$t, $$?"; \
	  done; \
	  for t in queue synch leak; do share $(HEAVY)/torture_$$t; done; \
	  for t in $(SOAKED); do share $(BUILD)/cluarun tests/torture/$$t.lua; done; \
	  $(RUN) $(BUILD)/cluarun tests/limits.lua || echo "ended: limits, $$?"; \
	} | awk -f tests/lib/kills.awk
# Inputs that libFuzzer makes up. What it finds wrong lies in build/fuzz; what is
# worth keeping comes into tests/fuzz/corpus with `make corpus`.
FUZZ = build/fuzz
# (Looking for leaks after every input takes nine tenths of the time.)
FUZZ_OPTIONS = -timeout=20 -rss_limit_mb=2000 -detect_leaks=0
fuzz: fuzzers
	$(Q)good=yes; for t in $(FUZZED); do \
	  $(FUZZ)/tests/fuzz/fuzz_$$t $(FUZZ_OPTIONS) -artifact_prefix=$(FUZZ)/$$t- \
	    -max_total_time=$$(($(MINUTES) * 60 / $(words $(FUZZED)))) \
	    $(FUZZ)/corpus/$$t tests/fuzz/corpus/$$t || good=no; \
	done; [ $$good = yes ]
corpus: fuzzers
	$(Q)for t in $(FUZZED); do \
	  $(FUZZ)/tests/fuzz/fuzz_$$t $(FUZZ_OPTIONS) -merge=1 tests/fuzz/corpus/$$t \
	    $(FUZZ)/corpus/$$t; \
	done
ifneq ($(BUILD),$(FUZZ))
fuzzers:
	$(Q)$(MAKE) --no-print-directory BUILD=$(FUZZ) CC=$(SANITIZER_CC) \
	  SANITIZER=fuzzer-no-link,address,undefined fuzzers
	$(Q)mkdir -p $(FUZZED:%=$(FUZZ)/corpus/%) $(FUZZED:%=tests/fuzz/corpus/%)
	$(Q)$(FUZZ)/tests/fuzz/seed $(FUZZ)/corpus/decode
else
fuzzers: $(FUZZED:%=$(BUILD)/tests/fuzz/fuzz_%) $(BUILD)/tests/fuzz/seed
endif
bench: all
	$(Q)sh tests/bench/run $(BUILD)/cluarun

demo:
	$(Q)$(MAKE) --no-print-directory deps PACKAGES='$(BUILDING)'
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(BUILD)/cluarun scripts/queue.lua

deps:
	$(Q)have=$$(dpkg-query -W -f '$${db:Status-Status}\n' $(PACKAGES) \
	  2>/dev/null | grep -cx installed); \
	if [ "$$have" -ne $(words $(PACKAGES)) ]; then \
	  sudo=; [ "$$(id -u)" -eq 0 ] || sudo=$$(command -v sudo); \
	  $$sudo apt-get -qq update && $$sudo env DEBIAN_FRONTEND=noninteractive \
	    apt-get -qq install -y --no-install-recommends $(PACKAGES) >/dev/null; \
	fi
ifneq ($(filter deps,$(MAKECMDGOALS)),)
$(LIB_OBJECTS) $(HOST_OBJECTS) $(BUILD)/tool/embed.o: | deps
endif

# The prefix may be another one than at `make`: the .pc is written anew.
ROOT = $(DESTDIR)$(PREFIX)
NO_SPACE = $(if $(word 2,x$(ROOT)),$(error no spaces in DESTDIR or PREFIX, please))
INSTALLED = bin/cluarun include/cluarun.h lib/libcluarun.a lib/libcluarun.so \
  lib/$(SONAME) lib/libcluarun.so.$(VERSION) lib/lua/5.4/cluarun.so \
  lib/pkgconfig/cluarun.pc share/man/man1/cluarun.1 \
  share/doc/cluarun/reference.md share/cluarun/cluarun.d.lua
install: all docs
	$(NO_SPACE)install -d $(addprefix $(ROOT)/,$(sort $(dir $(INSTALLED))))
	install -m 755 $(BUILD)/cluarun $(ROOT)/bin/
	install -m 644 include/cluarun.h $(ROOT)/include/
	install -m 644 $(BUILD)/libcluarun.a $(ROOT)/lib/
	install -m 755 $(BUILD)/libcluarun.so $(ROOT)/lib/libcluarun.so.$(VERSION)
	ln -sf libcluarun.so.$(VERSION) $(ROOT)/lib/$(SONAME)
	ln -sf $(SONAME) $(ROOT)/lib/libcluarun.so
	install -m 755 $(BUILD)/cluarun.so $(ROOT)/lib/lua/5.4/
	$(PC) >$(ROOT)/lib/pkgconfig/cluarun.pc
	install -m 644 src/cluarun.1 $(ROOT)/share/man/man1/
	install -m 644 $(BUILD)/docs/reference.md $(ROOT)/share/doc/cluarun/
	install -m 644 $(BUILD)/docs/cluarun.d.lua $(ROOT)/share/cluarun/
# In a DESTDIR the folders go, too, unless something else is in them.
uninstall:
	$(NO_SPACE)rm -f $(addprefix $(ROOT)/,$(INSTALLED))
ifneq ($(DESTDIR),)
	cd $(DESTDIR) && rmdir -p --ignore-fail-on-non-empty \
	  $(addprefix $(PREFIX:/%=%)/,$(sort $(dir $(INSTALLED))))
endif

format:
	clang-format -i $(C_FILES)
clean:
	rm -rf build

.PHONY: all docs test valgrind check lint analyze objects step torture soak fuzz corpus fuzzers \
  bench demo deps \
  install uninstall format clean
.DELETE_ON_ERROR:

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/tests/c/*.d $(BUILD)/tests/c/heavy/*.d)
