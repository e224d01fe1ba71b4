#include "run/pace.h"

#include "base/time.h"

static int64_t rest_ns(int64_t before_ns, int64_t apart_ns, int64_t now_ns)
{
	return before_ns != 0 && before_ns + apart_ns > now_ns ? before_ns + apart_ns - now_ns : 0;
}

int64_t pace_wait_ns(const struct pace *p, int64_t now_ns)
{
	unsigned newest = (p->next + p->per_minute - 1) % p->per_minute;

	/* What is to be written over is the oldest of the last minute's. */
	return time_later(rest_ns(p->last_ns[p->next], 60 * NS_PER_S, now_ns),
			  rest_ns(p->last_ns[newest], NS_PER_S, now_ns));
}

void pace_note(struct pace *p, int64_t now_ns)
{
	p->last_ns[p->next] = now_ns;
	p->next = (p->next + 1) % p->per_minute;
}
