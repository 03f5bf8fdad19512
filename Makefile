# SPDX-License-Identifier: MIT
#
# entrofs: everything is built under build/.
#
#   make deps           install what building and testing needs (Debian, Ubuntu; uses sudo unless root)
#   make                build all programs and benchmarks
#   make demo           pack the bundled model, mount it, run it
#   make check          build and run every test
#   make check-clients  install llama.cpp, ONNX Runtime, PyTorch ... into build/clients, run them on mounts
#   make check-arm64    cross-build, run the unit tests and a real mount under emulation
#   make bench          run the benchmarks; make fuzz: run each fuzz target for FUZZ_SECONDS
#   make lint           formatting, static analysis, licence lines
#   make install        into $(DESTDIR)$(PREFIX), mount.entrofs into $(DESTDIR)$(HELPER_DIR);
#                       make uninstall; make clean
#
# Variables: V=1 shows commands; SAN=address,undefined or SAN=thread; CROSS=aarch64-linux-gnu;
# CC, CFLAGS, LDFLAGS as usual (yours come last); BUILD is the output folder.

VERSION      := 0.1.0
PREFIX       ?= /usr/local
# mount(8) looks for its helpers in /sbin alone, wherever programs are installed. Where that is a link
# to /usr/sbin, a package must not bring a folder of this name.
HELPER_DIR   ?= $(realpath /sbin)
FUZZ_SECONDS ?= 60
PYTHON       ?= /usr/bin/python3
comma        := ,

ifdef CROSS
ifeq ($(origin CC),default)
CC := $(CROSS)-gcc
endif
ifeq ($(origin AR),default)
AR := $(CROSS)-ar
endif
variant := /$(CROSS)
endif
ifdef SAN
variant := $(variant)/$(subst $(comma),-,$(SAN))
endif
BUILD ?= build$(variant)

# --- flags -------------------------------------------------------------------------------------

ARCH := $(firstword $(subst -, ,$(or $(CROSS),$(shell uname -m))))

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Werror=implicit-function-declaration
BASE_CPPFLAGS := -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DENTROFS_VERSION='"$(VERSION)"'
# No contraction: an image's bytes depend on floating point and must not depend on the machine.
BASE_CFLAGS  := -std=c11 -O2 -g -ffp-contract=off -fno-strict-aliasing -pthread $(WARN)
BASE_LDFLAGS := -pthread

ifdef SAN
BASE_CFLAGS  += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
BASE_LDFLAGS += -fsanitize=$(SAN)
ifneq ($(findstring thread,$(SAN)),)
BASE_CPPFLAGS += -isystem tests/tsan
endif
else
BASE_CPPFLAGS += -D_FORTIFY_SOURCE=2
endif

PKG_CONFIG ?= pkg-config
ifdef CROSS
SYSROOT := build/sysroot-$(CROSS)
export PKG_CONFIG_LIBDIR := $(abspath $(SYSROOT))/usr/lib/$(CROSS)/pkgconfig
export PKG_CONFIG_SYSROOT_DIR := $(abspath $(SYSROOT))
BASE_CPPFLAGS += --sysroot=$(abspath $(SYSROOT))
BASE_LDFLAGS  += --sysroot=$(abspath $(SYSROOT))
endif
FUSE_CFLAGS = $(shell $(PKG_CONFIG) --cflags fuse3 liburing)
FUSE_LIBS   = $(shell $(PKG_CONFIG) --libs fuse3 liburing)

IMAGE_LIBS := -lzstd -lisal -lcrypto
JSON_LIBS  := -ljansson

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)';)

# --- sources -----------------------------------------------------------------------------------

KERNELS.x86_64  := $(wildcard codec/x86/*.c)
KERNELS.aarch64 := $(wildcard codec/arm/*.c)

CODEC     := $(wildcard codec/*.c) $(KERNELS.$(ARCH))
IMAGE     := $(wildcard image/*.c)
QUANTIZER := $(wildcard quantizer/*.c)
MKFS_MAIN := mkfs/mkentrofs.c mkfs/fsck.entrofs.c mkfs/dump.entrofs.c
MKFS      := $(filter-out $(MKFS_MAIN),$(wildcard mkfs/*.c))
HTML_SCRIPTS := $(addprefix mkfs/html/,base.js summary.js plots.js treemap.js histogram.js tensors.js page.js)
FS_MAIN   := fs/entrofs.c
FS        := $(filter-out $(FS_MAIN),$(wildcard fs/*.c))
DEMO_MAIN := runtime-demo/entrofs-run.c
DEMO      := $(filter-out $(DEMO_MAIN),$(wildcard runtime-demo/*.c))
UNIT      := $(wildcard tests/unit/*.c)
FUZZ      := $(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))
HOSTILE   := tests/hostile/write.c
BENCH_MAIN := $(wildcard benchmarks/*.c)
BENCH     := $(wildcard benchmarks/lib/*.c)

programs   := $(patsubst mkfs/%.c,$(BUILD)/%,$(wildcard $(MKFS_MAIN))) \
	$(patsubst fs/%.c,$(BUILD)/%,$(wildcard $(FS_MAIN))) $(BUILD)/mount.entrofs \
	$(patsubst runtime-demo/%.c,$(BUILD)/%,$(wildcard $(DEMO_MAIN)))
benchmarks := $(BENCH_MAIN:%.c=$(BUILD)/%)
unit_tests := $(UNIT:%.c=$(BUILD)/%)
replays    := $(FUZZ:%.c=$(BUILD)/%)
hostile    := $(HOSTILE:%.c=$(BUILD)/%)

.PHONY: all deps deps-dev demo check check-threads check-clients check-arm64 bench fuzz lint install uninstall clean tests
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

all: $(programs) $(benchmarks)
tests: $(unit_tests) $(replays) $(hostile)

# --- rules -------------------------------------------------------------------------------------

# Objects are rebuilt when the compiler or its flags change.
flags := $(CC) $(BASE_CPPFLAGS) $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS)
$(shell mkdir -p $(BUILD); \
	printf '%s\n' '$(subst ','"'"',$(flags))' | cmp -s - $(BUILD)/flags || \
	printf '%s\n' '$(subst ','"'"',$(flags))' > $(BUILD)/flags)

$(BUILD)/fs/%.o $(BUILD)/benchmarks/%.o: EXTRA_CPPFLAGS = $(FUSE_CFLAGS)
# Only a kernel file may use more than the baseline instruction set; it runs after a CPU check.
$(BUILD)/codec/x86/%_bmi2.o: EXTRA_CFLAGS = -mbmi -mbmi2 -mpopcnt
$(BUILD)/codec/x86/%_avx2.o: EXTRA_CFLAGS = -mavx2 -mbmi -mbmi2 -mpopcnt
$(BUILD)/codec/x86/%_avx512.o: EXTRA_CFLAGS = -mavx512f -mavx512bw -mavx512dq -mavx512vl \
	-mavx512vbmi -mavx512vbmi2 -mavx512vpopcntdq -mvpclmulqdq -mpclmul \
	-mbmi -mbmi2 -mpopcnt -mprefer-vector-width=512
$(BUILD)/codec/x86/dequant_avx2.o: EXTRA_CFLAGS = -mavx2 -mfma -mf16c
$(BUILD)/codec/x86/dequant_avx512.o: EXTRA_CFLAGS = -mavx512f -mavx512bw -mavx512vbmi \
	-mprefer-vector-width=512
# Their loops over arrays are written for the vectoriser, which gcc 12 runs fully at -O3 only.
$(BUILD)/codec/dequant_scalar.o $(BUILD)/codec/planes_scalar.o $(BUILD)/quantizer/%.o: EXTRA_CFLAGS = -O3
# Vectorised, but in the order that is written: a seed gives the same text on every machine.
$(BUILD)/runtime-demo/%.o: EXTRA_CFLAGS = -O3 -fno-math-errno -fno-trapping-math

compile = $(CC) $(BASE_CPPFLAGS) $(EXTRA_CPPFLAGS) $(BASE_CFLAGS) $(EXTRA_CFLAGS) $(CPPFLAGS) $(CFLAGS) \
	-MMD -MP -c -o $@ $<

# "make deps check" installs before it compiles, also with parallel jobs.
$(BUILD)/%.o: %.c $(BUILD)/flags | $(filter deps deps-dev,$(MAKECMDGOALS))
	@mkdir -p $(@D)
	$(call say,CC,$<)$(compile)

# The page of dump.entrofs becomes C arrays by POSIX tools alone.
$(BUILD)/mkfs/html/script.js: $(HTML_SCRIPTS)
	@mkdir -p $(@D)
	$(call say,CAT,$@)cat $^ > $@

$(BUILD)/mkfs/html/assets.c: mkfs/html/page.html mkfs/html/page.css $(BUILD)/mkfs/html/script.js Makefile
	@mkdir -p $(@D)
	$(call say,BYTES,$@){ \
		printf '/* Made by the Makefile from mkfs/html/. */\n#include "mkfs/html/assets.h"\n'; \
		for part in page=$(word 1,$^) style=$(word 2,$^) script=$(word 3,$^); do \
			printf 'static const char %s[] = {\n' $${part%%=*}; \
			od -An -v -td1 $${part#*=} | sed 's/  *\([-0-9][0-9]*\)/\1,/g'; \
			printf '0};\nconst struct html_asset html_%s = {%s, sizeof %s - 1};\n' \
				$${part%%=*} $${part%%=*} $${part%%=*}; \
		done; } > $@

$(BUILD)/mkfs/html/assets.o: $(BUILD)/mkfs/html/assets.c $(BUILD)/flags
	$(call say,CC,$<)$(compile)

define archive
$(BUILD)/lib$(1).a: $(2:%.c=$(BUILD)/%.o)
	$$(call say,AR,$$@)rm -f $$@; $$(AR) rcs $$@ $$^
endef
$(eval $(call archive,codec,$(CODEC)))
$(eval $(call archive,image,$(IMAGE)))
$(eval $(call archive,quantizer,$(QUANTIZER)))
$(eval $(call archive,mkfs,$(MKFS) mkfs/html/assets.c))
$(eval $(call archive,fs,$(FS)))
$(eval $(call archive,demo,$(DEMO)))
$(eval $(call archive,bench,$(BENCH)))

link = $(call say,LD,$@)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ \
	$(filter %.o,$^) $(filter %.a,$^) $(LIBS)

MKFS_ARCHIVES := $(BUILD)/libmkfs.a $(BUILD)/libquantizer.a $(BUILD)/libimage.a $(BUILD)/libcodec.a
ALL_ARCHIVES  := $(BUILD)/libfs.a $(BUILD)/libdemo.a $(MKFS_ARCHIVES)

$(MKFS_MAIN:mkfs/%.c=$(BUILD)/%): LIBS = $(IMAGE_LIBS) $(JSON_LIBS) -lm
$(MKFS_MAIN:mkfs/%.c=$(BUILD)/%): $(BUILD)/%: $(BUILD)/mkfs/%.o $(MKFS_ARCHIVES)
	$(link)

$(BUILD)/entrofs: LIBS = $(FUSE_LIBS) $(IMAGE_LIBS) $(JSON_LIBS)
$(BUILD)/entrofs: $(BUILD)/fs/entrofs.o $(BUILD)/libfs.a $(BUILD)/libimage.a $(BUILD)/libcodec.a
	$(link)

# One program of two names.
$(BUILD)/mount.entrofs: $(BUILD)/entrofs
	$(call say,LN,$@)ln -sf entrofs $@

# It links nothing of ours: a program that knows only the files it reads.
$(BUILD)/entrofs-run: LIBS = $(JSON_LIBS) -lm
$(BUILD)/entrofs-run: $(BUILD)/runtime-demo/entrofs-run.o $(BUILD)/libdemo.a
	$(link)

$(unit_tests) : LIBS = -lcriterion $(FUSE_LIBS) $(IMAGE_LIBS) $(JSON_LIBS) -lm
$(unit_tests): $(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(ALL_ARCHIVES)
	$(link)

$(replays): LIBS = $(IMAGE_LIBS) $(JSON_LIBS) -lm
$(replays): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o \
		$(BUILD)/libdemo.a $(MKFS_ARCHIVES)
	$(link)

$(hostile): LIBS = $(IMAGE_LIBS)
$(hostile): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libimage.a $(BUILD)/libcodec.a
	$(link)

$(benchmarks): LIBS = $(FUSE_LIBS) $(IMAGE_LIBS) $(JSON_LIBS) -llz4 -lm
$(benchmarks): $(BUILD)/benchmarks/%: $(BUILD)/benchmarks/%.o $(BUILD)/libbench.a $(ALL_ARCHIVES)
	$(link)

-include $(patsubst %.c,$(BUILD)/%.d,$(CODEC) $(IMAGE) $(QUANTIZER) $(MKFS_MAIN) $(MKFS) $(FS_MAIN) $(FS) \
	$(DEMO_MAIN) $(DEMO) $(UNIT) $(FUZZ) tests/fuzz/replay.c $(HOSTILE) $(BENCH_MAIN) $(BENCH) \
	mkfs/html/assets.c)

# --- targets -----------------------------------------------------------------------------------

PACKAGES := build-essential pkg-config fuse3 libfuse3-dev liburing-dev libzstd-dev liblz4-dev \
	libisal-dev libssl-dev libjansson-dev libcriterion-dev zstd python3 python3-numpy bindfs
PACKAGES_DEV := clang clang-tools clang-format clang-tidy cppcheck llvm mandoc shellcheck \
	gcc-aarch64-linux-gnu qemu-user-static qemu-user gnuplot-nox fio squashfuse squashfs-tools erofs-utils
# Debian has it as a package; tests that need it are skipped where there is none.
BROWSER := chromium
apt = $(if $(filter 0,$(shell id -u)),,sudo )env DEBIAN_FRONTEND=noninteractive apt-get

deps:
	$(apt) -q update
	$(apt) -q -y --no-install-recommends install $(PACKAGES)

deps-dev: deps
	$(apt) -q -y --no-install-recommends install $(PACKAGES_DEV) \
		$$(apt-cache search --names-only '^$(BROWSER)$$' | cut -d' ' -f1)

demo: all
	$(Q)runtime-demo/demo.sh $(BUILD)

check: all tests
	$(Q)$(PYTHON) tests/run.py --build $(BUILD)

# The suites that run threads of ours, for SAN=thread.
check-threads: all tests
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) unit/image_roundtrip unit/image_cache unit/fs_ \
		unit/mkfs_pool unit/demo_team tests/mount/ test_fsck test_mkentrofs:Determinism

# Those that nothing is installed for are skipped, as they are in "make check".
check-clients: all
	$(Q)tests/clients/setup.sh build/clients
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) tests/clients/

check-arm64:
	+$(Q)tests/arm64/run.sh

bench: all
	$(Q)benchmarks/run.sh $(BUILD)

fuzz:
	+$(Q)tests/fuzz/run.sh $(FUZZ_SECONDS)

lint:
	+$(Q)tests/lint.sh

man_pages  = $(wildcard man/*.[1-8])
helper_dir = $(DESTDIR)$(HELPER_DIR)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin
	install -m 755 $(BUILD)/mkentrofs $(BUILD)/entrofs $(BUILD)/entrofs-run $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/fsck.entrofs $(BUILD)/dump.entrofs $(DESTDIR)$(PREFIX)/sbin
	for page in $(man_pages); do install -D -m 644 $$page \
		$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
	$(if $(DESTDIR),install -d $(helper_dir))
	@if [ -w $(helper_dir) ]; then \
		set -x; ln -sf $(PREFIX)/bin/entrofs $(helper_dir)/mount.entrofs; \
	else \
		echo "$(helper_dir) is not writable: no mount.entrofs in it, so 'mount -t entrofs' will" \
			"not work; 'entrofs' itself does"; \
	fi

# The helper may be that of an installation elsewhere.
uninstall:
	if [ "$$(readlink $(helper_dir)/mount.entrofs)" = $(PREFIX)/bin/entrofs ]; then \
		rm -f $(helper_dir)/mount.entrofs; fi
	cd $(DESTDIR)$(PREFIX) && rm -f bin/mkentrofs bin/entrofs bin/entrofs-run \
		sbin/fsck.entrofs sbin/dump.entrofs
	for page in $(man_pages); do rm -f \
		$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done

clean:
	rm -rf build
