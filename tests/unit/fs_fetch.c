/* SPDX-License-Identifier: MIT */
/*
 * fs_fetch.c - stored bytes by every engine, past the page cache and through it: the right ones,
 * at the right place, and errors where there are none.
 */
#include "fs/fetch_engine.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FILE_SIZE = 1000003, BUFFER_SIZE = 300000, READS = 300, AT_ONCE = 100 };
enum { AHEAD_SIZE = 20480, STRIDE = AHEAD_SIZE + FETCH_OVERHEAD }; /* of a read ahead */

struct fixture {
	int fd;
	uint8_t *content;
	struct fetch *fetch;
};

/* A file of random bytes in a folder that may allow direct reads: /var/tmp is seldom in memory. */
static void set_up(struct fixture *f, uint64_t base, enum fetch_mode mode)
{
	char path[] = "/var/tmp/entrofs-fetch-XXXXXX";
	uint64_t seed = 7;
	f->fd = mkstemp(path);
	cr_assert_geq(f->fd, 0);
	unlink(path);
	f->content = malloc(FILE_SIZE);
	for (size_t i = 0; i < FILE_SIZE; i++)
		f->content[i] = (uint8_t)build_random(&seed);
	cr_assert_eq(write(f->fd, f->content, FILE_SIZE), FILE_SIZE);
	cr_assert_eq(fetch_create(&f->fetch, f->fd, base, mode), 0);
}

static void tear_down(struct fixture *f)
{
	fetch_destroy(f->fetch);
	close(f->fd);
	free(f->content);
}

static void *buffer_of(size_t size)
{
	return aligned_alloc(FETCH_ALIGN,
			     (size + FETCH_OVERHEAD + FETCH_ALIGN - 1) / FETCH_ALIGN * FETCH_ALIGN);
}

static void check_reads(uint64_t base, enum fetch_mode mode)
{
	struct fixture f;
	uint64_t seed = 3;
	uint8_t *buffer = buffer_of(BUFFER_SIZE);
	set_up(&f, base, mode);
	for (int i = 0; i < READS; i++) {
		uint64_t offset = build_random(&seed) % (FILE_SIZE - base);
		size_t rest = (size_t)(FILE_SIZE - base - offset);
		size_t size = 1 + build_random(&seed) % (i % 3 ? 5000 : BUFFER_SIZE - 1);
		if (i % 10 == 0 || size > rest)
			size = rest < BUFFER_SIZE ? rest : BUFFER_SIZE;
		cr_assert_eq(fetch_read(f.fetch, offset, size, buffer), 0);
		cr_assert_arr_eq(buffer + fetch_lead(f.fetch, offset), f.content + base + offset,
				 size);
	}
	cr_assert_eq(fetch_read(f.fetch, FILE_SIZE - base - 10, 11, buffer), -EIO, "past the end");
	cr_assert_eq(fetch_read(f.fetch, FILE_SIZE + 100000, 1, buffer), -EIO);
	tear_down(&f);
	free(buffer);
}

/* Any range, at any offset of the image in its file, up to the last byte and not beyond. */
Test(fs_fetch, reads)
{
	check_reads(0, FETCH_BUFFERED);
	check_reads(0, FETCH_DIRECT);
	check_reads(4096, FETCH_DIRECT);
	check_reads(777, FETCH_DIRECT);
	check_reads(777, FETCH_BUFFERED);
}

struct read_ahead {
	struct fetch_request request; /* first */
	struct reads *all;
	int error;
	bool done;
};

struct reads {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned done;
	struct read_ahead read[AT_ONCE];
};

static void note(struct fetch_request *request, int error)
{
	struct read_ahead *read = (struct read_ahead *)request;
	pthread_mutex_lock(&read->all->lock);
	read->error = error;
	read->done = true;
	read->all->done++;
	pthread_cond_signal(&read->all->more);
	pthread_mutex_unlock(&read->all->lock);
}

/* More reads at once than the engine takes, one of them past the end of the file. */
static void check_ahead(struct fixture *f, uint8_t *memory)
{
	static struct reads reads = {.lock = PTHREAD_MUTEX_INITIALIZER,
				     .more = PTHREAD_COND_INITIALIZER};
	uint64_t seed = 11;
	unsigned started = 0;
	reads.done = 0;
	for (unsigned i = 0; i < AT_ONCE; i++) {
		struct read_ahead *read = &reads.read[i];
		uint64_t offset =
		    i == 5 ? FILE_SIZE - 10 : build_random(&seed) % (FILE_SIZE - AHEAD_SIZE);
		*read = (struct read_ahead){.all = &reads};
		read->request = (struct fetch_request){offset, 1 + build_random(&seed) % AHEAD_SIZE,
						       memory + i * (size_t)STRIDE, note, NULL};
		if (i)
			reads.read[i - 1].request.next = &read->request;
	}
	fetch_ahead(f->fetch, &reads.read[0].request);
	pthread_mutex_lock(&reads.lock);
	while (reads.done < AT_ONCE)
		pthread_cond_wait(&reads.more, &reads.lock);
	pthread_mutex_unlock(&reads.lock);
	for (unsigned i = 0; i < AT_ONCE; i++) {
		struct fetch_request *request = &reads.read[i].request;
		if (reads.read[i].error == -EBUSY)
			continue;
		started++;
		cr_assert_eq(reads.read[i].error, i == 5 && request->size > 10 ? -EIO : 0);
		if (!reads.read[i].error)
			cr_assert_arr_eq(request->buffer + fetch_lead(f->fetch, request->offset),
					 f->content + request->offset, request->size);
	}
	cr_assert_geq(started, 32);
}

static struct fetch_buffers create_buffers(void)
{
	uint8_t *memory = mmap(NULL, (size_t)AT_ONCE * STRIDE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(memory, MAP_FAILED);
	return (struct fetch_buffers){memory, STRIDE, AT_ONCE};
}

static void free_buffers(const struct fetch_buffers *buffers)
{
	munmap(buffers->memory, buffers->count * buffers->size);
}

static void check_engine(int (*start)(struct fetch *, const struct fetch_buffers *),
			 const char *name)
{
	struct fixture f;
	struct fetch_buffers buffers = create_buffers();
	for (enum fetch_mode mode = FETCH_DIRECT; mode <= FETCH_BUFFERED; mode++) {
		set_up(&f, 0, mode);
		cr_assert_str_eq(fetch_engine(f.fetch), "none");
		if (start(f.fetch, &buffers)) {
			fprintf(stderr, "skipped: no %s here\n", name);
			tear_down(&f);
			break;
		}
		cr_assert_str_eq(fetch_engine(f.fetch), name);
		check_ahead(&f, buffers.memory);
		check_ahead(&f, buffers.memory);
		tear_down(&f);
	}
	free_buffers(&buffers);
}

static int start_threads(struct fetch *fetch, const struct fetch_buffers *buffers)
{
	(void)buffers;
	return fetch_threads_start(fetch);
}

Test(fs_fetch, io_uring)
{
	check_engine(fetch_uring_start, "io_uring");
}

/* How many pages of some buffers are in memory. */
static size_t pages_present(const struct fetch_buffers *buffers)
{
	size_t size = buffers->count * buffers->size, pages = size / (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *present = calloc(pages, 1);
	size_t count = 0;
	cr_assert_eq(mincore(buffers->memory, size, present), 0);
	for (size_t i = 0; i < pages; i++)
		count += present[i] & 1;
	free(present);
	return count;
}

/* Buffers take memory when they are used; those besides them may be used, too, though they cannot
 * be registered. */
Test(fs_fetch, buffers)
{
	struct fixture f;
	struct fetch_buffers buffers = create_buffers();
	const struct fetch_buffers registered = {buffers.memory, STRIDE, AT_ONCE / 2};
	madvise(buffers.memory, buffers.count * buffers.size, MADV_NOHUGEPAGE);
	set_up(&f, 0, FETCH_DIRECT);
	if (fetch_uring_start(f.fetch, &registered)) {
		fprintf(stderr, "skipped: no io_uring here\n");
	} else {
		cr_assert_eq(pages_present(&buffers), 0);
		check_ahead(&f, buffers.memory);
		cr_assert_gt(pages_present(&buffers), AT_ONCE / 4);
	}
	tear_down(&f);
	free_buffers(&buffers);
}

/* From now on this process may lock so much memory; false: it may not be limited. */
static bool limit_locked_memory(rlim_t size)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	const struct rlimit limit = {size, size};
	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, data) == 0 && setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
}

/* Where only some buffers may be registered, the others are read into nevertheless. */
Test(fs_fetch, buffers_refused)
{
	struct fixture f;
	struct fetch_buffers buffers = create_buffers();
	if (!limit_locked_memory(AT_ONCE / 4 * (rlim_t)STRIDE)) {
		fprintf(stderr, "skipped: locked memory cannot be limited here\n");
		free_buffers(&buffers);
		return;
	}
	set_up(&f, 0, FETCH_DIRECT);
	if (fetch_uring_start(f.fetch, &buffers))
		fprintf(stderr, "skipped: no io_uring here\n");
	else
		check_ahead(&f, buffers.memory);
	tear_down(&f);
	free_buffers(&buffers);
}

Test(fs_fetch, threads)
{
	check_engine(start_threads, "pread");
}

/* From now on this process may make rings and not enter them; false: there are no such filters. */
static bool forbid_entering_rings(void)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Where a filter of system calls is in the way of io_uring, threads read. */
Test(fs_fetch, io_uring_is_filtered)
{
	struct fixture f;
	struct fetch_buffers buffers = create_buffers();
	if (!forbid_entering_rings()) {
		fprintf(stderr, "skipped: no filters of system calls here\n");
		free_buffers(&buffers);
		return;
	}
	set_up(&f, 0, FETCH_DIRECT);
	cr_assert_eq(fetch_start(f.fetch, &buffers), 0);
	cr_assert_str_eq(fetch_engine(f.fetch), "pread");
	check_ahead(&f, buffers.memory);
	tear_down(&f);
	free_buffers(&buffers);
}

struct counted {
	struct fetch_request request; /* first */
	_Atomic unsigned *done;
};

static void count(struct fetch_request *request, int error)
{
	cr_assert_eq(error, 0);
	atomic_fetch_add(((struct counted *)request)->done, 1);
}

enum { COUNTED = 16 };

/* In a child that shares our memory: 0 if all reads are done before long. */
static int await_counted(void *done)
{
	const struct timespec nap = {0, 1000000};
	for (int i = 0; i < 10000; i++) {
		if (atomic_load((_Atomic unsigned *)done) == COUNTED)
			return 0;
		nanosleep(&nap, NULL);
	}
	return 1;
}

/* Reads end while the thread that asked for them cannot run, nor return from the kernel: as it may
 * be waiting there for a page that somebody else fills from these reads. Here it waits as the
 * parent of a vfork(); what is counted lies in shared memory, as an emulator may fork instead. */
Test(fs_fetch, whose_asker_is_stuck)
{
	enum { STACK = 65536, SIZE = 40960 };
	static struct counted reads[COUNTED];
	const struct fetch_buffers none = {NULL, 0, 0};
	struct fixture f;
	_Atomic unsigned *done =
	    mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t *memory = buffer_of(COUNTED * ((size_t)SIZE + FETCH_OVERHEAD)),
		*stack = malloc(STACK);
	int status = -1;
	cr_assert_neq(done, MAP_FAILED);
	set_up(&f, 0, FETCH_DIRECT);
	cr_assert_eq(fsync(f.fd), 0);
	cr_assert_eq(fetch_start(f.fetch, &none), 0);
	for (unsigned i = 0; i < COUNTED; i++) {
		reads[i] = (struct counted){.done = done};
		reads[i].request = (struct fetch_request){
		    i * (uint64_t)SIZE, SIZE, memory + i * ((size_t)SIZE + FETCH_OVERHEAD), count,
		    NULL};
		if (i)
			reads[i - 1].request.next = &reads[i].request;
	}
	fetch_ahead(f.fetch, &reads[0].request);
	pid_t child =
	    clone(await_counted, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)done);
	cr_assert_gt(child, 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "only %u reads were done", *done);
	tear_down(&f);
	munmap(done, sizeof(*done));
	free(stack);
	free(memory);
}
