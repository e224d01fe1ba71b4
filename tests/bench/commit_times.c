/*
 * commit_times: when what flytrail's spool took was accepted, for `make bench`.
 *
 * Linked with all of flytrail and -Wl,--wrap=spool_commit: after each commit that
 * accepted something, "SEQUENCE NANOSECONDS" is written to the file that
 * BENCH_COMMIT_TIMES names: all up to this number was synced by then, on the
 * real-time clock. A row in Postgres knows its number, and its line when it was
 * published; so nothing is done for a single line while flytrail runs.
 */

#include "spool/spool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum err_kind __real_spool_commit(struct spool *s, int64_t timeout_ns, bool *ret_done,
				  struct err *err);
enum err_kind __wrap_spool_commit(struct spool *s, int64_t timeout_ns, bool *ret_done,
				  struct err *err);

static FILE *out; /* the committer's thread is the only one here */
static uint64_t last_seq;

static void note(uint64_t seq, const struct timespec *at)
{
	const char *path = getenv("BENCH_COMMIT_TIMES");

	if (!out && path)
		out = fopen(path, "ae");
	if (!out ||
	    fprintf(out, "%" PRIu64 " %" PRId64 "\n", seq,
		    (int64_t)at->tv_sec * 1000000000 + at->tv_nsec) < 0 ||
	    fflush(out) != 0) {
		perror("BENCH_COMMIT_TIMES");
		abort();
	}
	last_seq = seq;
}

enum err_kind __wrap_spool_commit(struct spool *s, int64_t timeout_ns, bool *ret_done,
				  struct err *err)
{
	enum err_kind rc = __real_spool_commit(s, timeout_ns, ret_done, err);
	struct spool_stats stats;
	struct timespec at;

	if (clock_gettime(CLOCK_REALTIME, &at))
		abort();
	spool_stats(s, &stats);
	if (stats.accepted_seq > last_seq)
		note(stats.accepted_seq, &at);
	return rc;
}
