#ifndef SOURCE_HEARTBEAT_H
#define SOURCE_HEARTBEAT_H

/*
 * heartbeat: a line that flytrail prints and that has to come back by the log
 * stream; what proves that the way is open while nobody else has anything to say.
 *
 *	flytrail heartbeat machine=<id> nonce=<16 hex digits> count=<n>
 *
 * Each has a nonce of its own, so that nobody can answer for the stream who has
 * not seen the line. Of those that were printed the newest HEARTBEAT_OUT_MAX may
 * still come back; one that does makes the older ones count no more.
 *
 * They are missed when HEARTBEAT_MISSES in a row were printed, and as many
 * intervals have passed since one came back or since the subscription was
 * confirmed. A line that could not be printed says nothing about the stream: it
 * is counted, told by heartbeat_pulse(), and the counting of misses begins anew.
 *
 *	heartbeat_init(&h, every_ns, app, machine);
 *	heartbeat_watch(&h, wall_ns, steady_ns)          the subscription stands
 *	if (heartbeat_due(&h, steady_ns)) {
 *		heartbeat_make(&h, nonce, wall_ns, steady_ns, text);
 *		...print text...
 *		heartbeat_printed(&h, printed, wall_ns, steady_ns);
 *	}
 *	heartbeat_take(&h, message, wall_ns, steady_ns)  for each that comes
 *	if (heartbeat_is_missed(&h, steady_ns)) ...      then heartbeat_silent(&h)
 *
 * Ownership: the caller owns the struct; nothing is allocated.
 * Threads:   the source's own. No clock is read, no randomness taken, nothing printed.
 * Limits:    only the first HEARTBEAT_MESSAGE_BYTES_MAX of a message are looked at.
 */

#include "source/source.h"

enum {
	HEARTBEAT_MISSES = 3,
	HEARTBEAT_OUT_MAX = 16,
	HEARTBEAT_NAME_BYTES = 65, /* of an app or a machine, with the NUL */
	HEARTBEAT_TEXT_BYTES = 160,
	HEARTBEAT_SUBJECT_BYTES = 160,
	HEARTBEAT_MESSAGE_BYTES_MAX = 8192,
};

struct beat {
	uint64_t nonce, count;
	int64_t made_ns; /* on the wall clock */
};

struct heartbeat {
	int64_t every_ns; /* 0: off */
	char machine[HEARTBEAT_NAME_BYTES];
	char subject[HEARTBEAT_SUBJECT_BYTES]; /* of what the machine prints, in any region */

	struct beat next;                   /* made, not printed yet */
	struct beat out[HEARTBEAT_OUT_MAX]; /* printed and not come back, oldest first */
	size_t out_count;

	bool watching; /* the subscription stands: what is printed has to come back */
	bool denied;   /* the server does not let us have the subject */
	bool blocked;  /* the last one could not be printed */
	bool silent;   /* missed; none came back since */

	unsigned tried; /* printed in a row and not come back, by this subscription */
	unsigned row;   /* the same, by whatever subscription */

	int64_t due_ns, base_ns; /* on the monotonic clock: the next; whence misses are counted */
	int64_t sure_ns;         /* on the wall clock: nothing speaks against what came before */

	uint64_t sent, returned, unsent;
	int64_t returned_ns; /* on the wall clock: the last that came back; 0: none did */
};

/* Off: every_ns is 0, or one of the names is NULL, empty, or cannot stand in a subject. */
void heartbeat_init(struct heartbeat *h, int64_t every_ns, const char *app, const char *machine);
bool heartbeat_is_on(const struct heartbeat *h);

/* The server has the subscription; the first one is due at once. */
void heartbeat_watch(struct heartbeat *h, int64_t wall_ns, int64_t steady_ns);

/* The subscription is gone, which is an outage already: nothing is printed or missed meanwhile. */
void heartbeat_unwatch(struct heartbeat *h);

/* The server refuses the subscription; after heartbeat_unwatch() it may be tried again. */
void heartbeat_deny(struct heartbeat *h);

bool heartbeat_due(const struct heartbeat *h, int64_t steady_ns);

/* Writes the line, with its newline. nonce has to be random. */
void heartbeat_make(struct heartbeat *h, uint64_t nonce, int64_t wall_ns, int64_t steady_ns,
		    char text[HEARTBEAT_TEXT_BYTES]);
void heartbeat_printed(struct heartbeat *h, bool printed, int64_t wall_ns, int64_t steady_ns);

/* Looks at a message as it came. True: it is one of ours that was out. */
bool heartbeat_take(struct heartbeat *h, struct span message, int64_t wall_ns, int64_t steady_ns);

bool heartbeat_is_missed(const struct heartbeat *h, int64_t steady_ns);

/* It is known that they are missed, and the subscription is being made anew. */
void heartbeat_silent(struct heartbeat *h);

/* The wall clock was set; what is ahead of it now would be taken for later than it was. */
void heartbeat_clock_set(struct heartbeat *h, int64_t wall_ns);

/* Up to when no missed one can speak against what came, for gap_track_sure(). */
int64_t heartbeat_sure_ns(const struct heartbeat *h);

/* Fills in what it knows, and clears the rest. */
void heartbeat_pulse(const struct heartbeat *h, struct source_pulse *ret);

#endif
