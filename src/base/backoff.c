#include "base/backoff.h"

#include "base/hash.h"
#include "base/time.h"

#include <errno.h>
#include <time.h>

int64_t backoff_ms(unsigned attempt, uint64_t random)
{
	int64_t ms = BACKOFF_MS_MIN;

	for (unsigned i = 1; i < attempt && ms < BACKOFF_MS_MAX; i++)
		ms *= 2;
	if (ms > BACKOFF_MS_MAX)
		ms = BACKOFF_MS_MAX;
	return ms / 2 + (int64_t)(random % (uint64_t)(ms / 2 + 1));
}

int64_t backoff_random_ms(unsigned attempt)
{
	struct err ignored;
	uint64_t random = 0;

	/* Without randomness the jitter is that of the clock: good enough for a wait. */
	if (hash_random(&random, sizeof(random), &ignored))
		random = (uint64_t)time_now_ns() / 1000;
	return backoff_ms(attempt, random);
}

void backoff_wait(unsigned attempt, unsigned seconds_min)
{
	int64_t ms = backoff_random_ms(attempt);
	struct timespec left;

	if (ms < (int64_t)seconds_min * 1000)
		ms = (int64_t)seconds_min * 1000;
	left = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}
