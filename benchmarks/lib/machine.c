/* SPDX-License-Identifier: MIT */
/* machine.c - see machine.h. */
#include "benchmarks/lib/machine.h"

#include "benchmarks/lib/measure.h"
#include "codec/codec.h"

#include <lz4.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zstd.h>

unsigned machine_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* The first line of /proc/cpuinfo that begins so, without what begins it. */
static void processor_name(char *text, size_t size)
{
	static const char *const keys[] = {"model name", "CPU part"};
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(text, size, "unknown");
	while (file && fgets(line, sizeof line, file)) {
		for (unsigned i = 0; i < 2; i++) {
			const char *value = strchr(line, ':');
			if (strncmp(line, keys[i], strlen(keys[i])) != 0 || !value)
				continue;
			snprintf(text, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
			fclose(file);
			return;
		}
	}
	if (file)
		fclose(file);
}

static void print_caches(void)
{
	long first = sysconf(_SC_LEVEL1_DCACHE_SIZE), second = sysconf(_SC_LEVEL2_CACHE_SIZE);

	if (first > 0 && second > 0)
		printf("* caches of a core: %ld KiB of data, %ld KiB second level; ", first >> 10,
		       second >> 10);
	else
		printf("* caches: not told; ");
	printf("all buffers are reused and warm, unless said otherwise\n");
}

void machine_print(void)
{
	struct utsname system;
	char name[128];
	double load[1] = {0}, clock = measure_clock();

	processor_name(name, sizeof name);
	uname(&system);
	if (getloadavg(load, 1) < 1)
		load[0] = -1;
	printf("* %s, %s, %u processors", system.machine, name, machine_processors());
	if (clock > 0)
		printf(", %.2f GHz measured", clock / 1e9);
	printf("\n");
	print_caches();
	printf("* %s %s, load average %.2f\n", system.sysname, system.release, load[0]);
	printf("* compiler %s; zstd %s, lz4 %s; kernel in use: %s\n", __VERSION__,
	       ZSTD_versionString(), LZ4_versionString(), codec_kernel_in_use()->name);
	printf("\n");
}
