#ifndef STORE_RECOVERY_H
#define STORE_RECOVERY_H

/*
 * recovery: what filling gaps and comparing with Fly's second copy ask of
 * Postgres, on a connection of their own.
 *
 * A line is looked up by its key, so that a page costs as many steps in the
 * index as it has lines, however many others were printed meanwhile. A line
 * that is not there is LINE_MISSING, unless a line of the same application,
 * machine and nanosecond is there that Fly's copy does not have: then the two
 * are one line under two ids, LINE_MISMATCH. (Two lines may share a
 * nanosecond, so that another line alone proves nothing.)
 *
 * Ownership: recovery_open() makes it, recovery_close() ends it. Spans are lent.
 * Threads:   one.
 * Limits:    RECOVERY_LINES_MAX lines at once; what lists give has bounds of its own.
 * Errors:    the session's (store/session.h); after ERR_RETRY it is of no use.
 */

#include "model/record.h"
#include "spool/spool.h"

enum {
	RECOVERY_LINES_MAX = 1024,
	RECOVERY_GAPS_MAX = 64,
	RECOVERY_CLAIMS_MAX = 256,
	RECOVERY_LATE_MAX = 16, /* of those at once: each is looked for by itself */
	RECOVERY_APPS_MAX = 4096,
	RECOVERY_REASON_BYTES = 32,
	RECOVERY_NAME_BYTES = 96,
	RECOVERY_NEWEST_LINES = 20000, /* that are asked for their applications */
};

struct recovery;

struct recovery_options {
	const char *url;
	/* who this is, for the lease */
	const char *replica;
	struct spool_stream stream;
};

NODISCARD enum err_kind recovery_open(struct recovery **ret, const struct recovery_options *options,
				      struct err *err);
void recovery_close(struct recovery *r); /* NULL is fine */

/* For seconds, or as long as it is taken again: see store/lease.h. */
NODISCARD enum err_kind recovery_take_lease(struct recovery *r, const char *name, int seconds,
					    bool *ret_mine, struct err *err);
void recovery_give_back_lease(struct recovery *r, const char *name);

#define RECOVERY_NO_TIME INT64_MIN

struct recovery_gap {
	char id[ID_TEXT_BYTES];
	char stream[ID_TEXT_BYTES];
	char reason[RECOVERY_REASON_BYTES];
	int64_t start_ns; /* RECOVERY_NO_TIME: not known */
	int64_t end_ns;   /* RECOVERY_NO_TIME: it goes on */
	uint64_t lines_recovered;
};

/* The newest open gaps, those that go on last; *ret_total: how many there are. */
NODISCARD enum err_kind recovery_find_gaps(struct recovery *r,
					   struct recovery_gap ret[RECOVERY_GAPS_MAX],
					   size_t *ret_count, size_t *ret_total, struct err *err);

/* Whether another stream took all lines of a gap's time, and all of them are stored. */
struct recovery_cover {
	char by[RECOVERY_NAME_BYTES]; /* its replica; empty: there is none */
	bool is_whole; /* false: it lives, and has only vouched for the beginning so far */
};

NODISCARD enum err_kind recovery_find_cover(struct recovery *r, const struct recovery_gap *gap,
					    struct recovery_cover *ret, struct err *err);

/* Whether the trail has an event of the application within a day of the gap, or a line in the
 * minute before it. */
NODISCARD enum err_kind recovery_was_alive(struct recovery *r, const char *app,
					   const struct recovery_gap *gap, bool *ret,
					   struct err *err);

/* Calls add for each application that the trail knows of. */
NODISCARD enum err_kind recovery_find_apps(struct recovery *r,
					   void (*add)(void *arg, struct span app), void *arg,
					   struct err *err);

/* Whether Fly's second copy ever showed an event of the application. */
NODISCARD enum err_kind recovery_was_shown(struct recovery *r, const char *app, bool *ret,
					   struct err *err);

enum line_found { LINE_KNOWN, LINE_MISSING, LINE_MISMATCH };

/* A line of Fly's second copy. */
struct recovery_line {
	struct id id;
	int64_t occurred_ns;
	struct span machine_id;
	bool is_event;
	enum line_found found;
	struct id other; /* of LINE_MISMATCH: the id under which it is here */
};

/* Sets found of each. No line may be there twice. */
NODISCARD enum err_kind recovery_look_up(struct recovery *r, const char *app,
					 struct recovery_line *lines, size_t count,
					 struct err *err);

/*
 * Puts on record that Fly's second copy has the events among the known lines, too: with the source
 * `http`; with `http_differs`, where they are here with another text.
 */
NODISCARD enum err_kind recovery_confirm(struct recovery *r, const struct recovery_line *lines,
					 size_t count, uint64_t *ret_new, struct err *err);

/* An event that the log stream alone tells. */
struct recovery_claim {
	struct id id;
	int64_t occurred_us;
	/* of a late one: */
	int64_t stored_us;
	char app[RECORD_FIELD_BYTES_MAX + 1];
};

struct recovery_claims {
	struct recovery_claim list[RECOVERY_CLAIMS_MAX];
	size_t count; /* the maximum: there may be more */
};

/* [from_ns, to_ns) of an application. */
struct recovery_part {
	const char *app;
	int64_t from_ns, to_ns;
	struct id after; /* of claims at from_ns: the ids after this one; zeros: all of them */
};

/*
 * What the stream brought in the platform's name, or as an SSH session, and nothing has confirmed:
 * the oldest of that part.
 */
NODISCARD enum err_kind recovery_find_claims(struct recovery *r, const struct recovery_part *part,
					     struct recovery_claims *ret, struct err *err);

/* Whether it still is one: nothing has confirmed it, and nobody was told of it. */
NODISCARD enum err_kind recovery_is_claim(struct recovery *r, const struct recovery_claim *claim,
					  bool *ret, struct err *err);

struct recovery_late {
	int64_t stored_from_ns, stored_to_ns;
	struct id after;   /* of those stored at stored_from_ns: the ids after this one */
	int64_t oldest_ns; /* none that says it was printed before that */
};

/*
 * Those that were stored more than an hour after they say they were printed, and those of
 * applications whose name is longer than any of Fly's: in the order in which they were stored.
 */
NODISCARD enum err_kind recovery_find_late_claims(struct recovery *r,
						  const struct recovery_late *late,
						  struct recovery_claims *ret, struct err *err);

/*
 * The newest event of the part that Fly's second copy showed before, and should show again; where
 * it showed none yet, one that the stream brought in the platform's name.
 */
NODISCARD enum err_kind recovery_find_witness(struct recovery *r, const struct recovery_part *part,
					      struct recovery_claim *ret, bool *ret_any,
					      struct err *err);

/* Calls add for each hour, in seconds since 1970, that was wholly dealt with since since_ns. */
NODISCARD enum err_kind recovery_find_checked(struct recovery *r, int64_t since_ns,
					      void (*add)(void *arg, struct span app,
							  int64_t hour_s),
					      void *arg, struct err *err);

/* When the trail began to listen; RECOVERY_NO_TIME: it has not said so yet. */
NODISCARD enum err_kind recovery_find_beginning(struct recovery *r, int64_t *ret_ns,
						struct err *err);

#endif
