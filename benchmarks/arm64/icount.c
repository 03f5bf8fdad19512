/* SPDX-License-Identifier: MIT */
/*
 * icount.c - a plugin of QEMU's user-mode emulator: how many instructions a program executes
 * between its marks.
 *
 * A mark is a call of getppid(2), which nothing else in the program makes. At each mark the number
 * of instructions executed so far is written as a line to the file named by ICOUNT_OUT. Counts are
 * added per translated block, which runs as a whole unless a signal interrupts it: they repeat
 * exactly.
 *
 * QEMU's packages bring no header before version 9; these declarations are those of its plugin
 * API, version 1, as documented (docs/devel/tcg-plugins).
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

typedef void tb_translated(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void syscall_made(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
			  uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_translated *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *,
					      uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_made *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
EXPORT int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);
extern EXPORT int qemu_plugin_version;

enum { GETPPID = 173 }; /* on arm64 */

int qemu_plugin_version = 1;

static uint64_t executed;
static FILE *out;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &executed,
						 qemu_plugin_tb_n_insns(tb));
}

static void called(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t a, uint64_t b,
		   uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
	(void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
	if (number != GETPPID)
		return;
	fprintf(out, "%llu\n", (unsigned long long)executed);
	fflush(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	const char *path = getenv("ICOUNT_OUT");

	(void)info, (void)argc, (void)argv;
	out = path ? fopen(path, "w") : NULL;
	if (!out) {
		fprintf(stderr, "icount: cannot write the file that ICOUNT_OUT names\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_vcpu_syscall_cb(id, called);
	return 0;
}
