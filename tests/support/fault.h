#ifndef SUPPORT_FAULT_H
#define SUPPORT_FAULT_H

/*
 * fault: makes the n-th wrapped call of our own code fail.
 *
 * Unit tests are linked with -Wl,--wrap for each call that stands in the
 * Makefile's WRAP. A test runs its body once with no fault, to count the calls,
 * then once for each call with that one failing (once: a transient fault; it
 * and all after it: a persistent one).
 *
 * A failing call says ENOMEM, ENOSPC (writes and allocations of room) or EIO.
 * Threads: the counter is shared by all of them.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

void fault_arm(unsigned nth, bool persistent); /* nth from 1; 0 counts only */
unsigned fault_disarm(void);                   /* returns the calls seen */

/* Around what a body does only to look: these calls neither count nor fail. */
void fault_pause(void);
void fault_resume(void);

/* Runs body() under every fault; body asserts what must hold on success and on failure. */
void fault_everywhere(void (*body)(void *), void *arg);

/*
 * A disk of the test's own under our code; an empty slot is the real
 * call. It reaches the real disk through the fault_real_ functions.
 */
struct fault_disk {
	ssize_t (*pread)(int fd, void *bytes, size_t len, off_t at);
	ssize_t (*pwrite)(int fd, const void *bytes, size_t len, off_t at);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*posix_fallocate)(int fd, off_t at, off_t len);
	int (*rename)(const char *from, const char *to);
};

void fault_set_disk(const struct fault_disk *disk); /* NULL: the real one again */
ssize_t fault_real_pread(int fd, void *bytes, size_t len, off_t at);
ssize_t fault_real_pwrite(int fd, const void *bytes, size_t len, off_t at);
int fault_real_fdatasync(int fd);
int fault_real_fsync(int fd);
int fault_real_posix_fallocate(int fd, off_t at, off_t len);
int fault_real_rename(const char *from, const char *to);

/* Puts both clocks forward, for this process. */
void fault_step_clock(int64_t ns);

/*
 * From now on no time passes for our own code but what is stepped, so that what it makes of times
 * does not depend on how long the machine lets it stand still.
 */
void fault_stop_clocks(void);
void fault_go_on(void); /* they are as late as before they stopped */

/* Sets the wall clock forward, or back where ns is below 0; the monotonic one goes on. */
void fault_set_wall_clock(int64_t ns);

#endif
