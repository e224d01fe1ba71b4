#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static _Atomic bool armed;
static _Atomic bool persistent_fault;
static _Atomic unsigned failing_call;
static _Atomic unsigned calls;
static _Atomic int64_t clock_step_ns, wall_step_ns;
static _Atomic bool clocks_stopped;
static struct timespec stopped_wall, stopped_monotonic;
static const struct fault_disk *disk;

void fault_arm(unsigned nth, bool persistent)
{
	persistent_fault = persistent;
	failing_call = nth;
	calls = 0;
	armed = true;
}

unsigned fault_disarm(void)
{
	armed = false;
	return calls;
}

void fault_pause(void)
{
	armed = false;
}

void fault_resume(void)
{
	armed = true;
}

void fault_everywhere(void (*body)(void *), void *arg)
{
	unsigned count;

	fault_arm(0, false);
	body(arg);
	count = fault_disarm();
	if (count == 0)
		abort(); /* a test that can fail nowhere tests nothing */
	for (unsigned nth = 1; nth <= count; nth++) {
		fault_arm(nth, false);
		body(arg);
		(void)fault_disarm();
		fault_arm(nth, true);
		body(arg);
		(void)fault_disarm();
	}
}

void fault_set_disk(const struct fault_disk *d)
{
	disk = d;
}

void fault_step_clock(int64_t ns)
{
	clock_step_ns += ns;
}

void fault_set_wall_clock(int64_t ns)
{
	wall_step_ns += ns;
}

/* Counts a call; true: it has to fail, with this errno. */
static bool fails(int number)
{
	unsigned nth, at;

	if (!armed)
		return false;
	at = atomic_fetch_add(&calls, 1) + 1;
	nth = failing_call;
	if (nth == 0 || at < nth || (at > nth && !persistent_fault))
		return false;
	errno = number;
	return true;
}

/* NAME is a libc function; __wrap_NAME stands in for it, __real_NAME is it. */
#define WRAPPED(type, name, parameters, arguments, number, failed)         \
	type __real_##name parameters;                                     \
	type __wrap_##name parameters;                                     \
	type __wrap_##name parameters                                      \
	{                                                                  \
		return fails(number) ? (failed) : __real_##name arguments; \
	}

WRAPPED(void *, malloc, (size_t len), (len), ENOMEM, NULL)
WRAPPED(void *, calloc, (size_t count, size_t len), (count, len), ENOMEM, NULL)
WRAPPED(void *, realloc, (void *old, size_t len), (old, len), ENOMEM, NULL)
WRAPPED(int, fstat, (int fd, struct stat *st), (fd, st), EIO, -1)
WRAPPED(int, ftruncate, (int fd, off_t len), (fd, len), EIO, -1)
WRAPPED(int, unlink, (const char *path), (path), EIO, -1)
WRAPPED(int, mkdir, (const char *path, mode_t mode), (path, mode), EIO, -1)
WRAPPED(int, statvfs, (const char *path, struct statvfs *vfs), (path, vfs), EIO, -1)
WRAPPED(ssize_t, getrandom, (void *bytes, size_t len, unsigned flags), (bytes, len, flags), EIO, -1)

/* The same, with a test's disk between. */
#define WRAPPED_DISK(type, name, parameters, arguments, number, failed)                     \
	type __real_##name parameters;                                                      \
	type __wrap_##name parameters;                                                      \
	type fault_real_##name parameters                                                   \
	{                                                                                   \
		return __real_##name arguments;                                             \
	}                                                                                   \
	type __wrap_##name parameters                                                       \
	{                                                                                   \
		if (fails(number))                                                          \
			return failed;                                                      \
		return disk && disk->name ? disk->name arguments : __real_##name arguments; \
	}

WRAPPED_DISK(ssize_t, pread, (int fd, void *bytes, size_t len, off_t at), (fd, bytes, len, at), EIO,
	     -1)
WRAPPED_DISK(ssize_t, pwrite, (int fd, const void *bytes, size_t len, off_t at),
	     (fd, bytes, len, at), ENOSPC, -1)
WRAPPED_DISK(int, fdatasync, (int fd), (fd), EIO, -1)
WRAPPED_DISK(int, fsync, (int fd), (fd), EIO, -1)
WRAPPED_DISK(int, posix_fallocate, (int fd, off_t at, off_t len), (fd, at, len), ENOSPC, ENOSPC)
WRAPPED_DISK(int, rename, (const char *from, const char *to), (from, to), EIO, -1)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = (mode_t)va_arg(args, unsigned);
		va_end(args);
	}
	return fails(EIO) ? -1 : __real_open(path, flags, mode);
}

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	const int64_t second_ns = 1000000000;
	int64_t step_ns = clock_step_ns + (clock == CLOCK_REALTIME ? wall_step_ns : 0), ns;
	int rc = __real_clock_gettime(clock, ts);

	if (clocks_stopped)
		*ts = clock == CLOCK_REALTIME ? stopped_wall : stopped_monotonic;
	ns = ts->tv_nsec + step_ns % second_ns;
	if (ns < 0) {
		ns += second_ns;
		ts->tv_sec--;
	}
	ts->tv_sec += step_ns / second_ns + ns / second_ns;
	ts->tv_nsec = ns % second_ns;
	return rc;
}

void fault_stop_clocks(void)
{
	(void)__real_clock_gettime(CLOCK_REALTIME, &stopped_wall);
	(void)__real_clock_gettime(CLOCK_MONOTONIC, &stopped_monotonic);
	clocks_stopped = true;
}

void fault_go_on(void)
{
	clocks_stopped = false;
}
