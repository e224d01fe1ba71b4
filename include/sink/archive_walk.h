#ifndef SINK_ARCHIVE_WALK_H
#define SINK_ARCHIVE_WALK_H

/*
 * archive_walk: what an archive (sink/archive.h) has of a kind and a time, by its names alone,
 * a page at a time, in their order.
 *
 * The listing begins at the day that is asked for and ends behind it, whatever else the archive
 * holds. A key that is none of the layout's is passed over: `flytrail archive verify` tells it.
 *
 * Ownership: the client is lent for the call, and is free for other work while a page is looked
 *            at. A page is lent until the call for it returns.
 * Threads:   one.
 * Limits:    a page of S3_LIST_PAGE_MAX names; nothing grows with the archive. What S3 does not
 *            answer is asked for ARCHIVE_WALK_TRIES times, which takes 15 seconds of waiting.
 * Errors:    those of sink/s3_list.h, and what page() says, which is the end.
 */

#include "sink/archive_read.h"
#include "sink/s3_list.h"

enum { ARCHIVE_WALK_TRIES = 5 };

struct archive_walk_options {
	struct s3_client *client;
	const char *prefix;
	enum archive_kind kind; /* ARCHIVE_INDEX: by the days of deliveries */
	/* Those whose own hour or day is in part of this time; until is not in it. */
	int64_t since_ns, until_ns;
	const _Atomic bool *cut; /* the client's; NULL: none */
	bool versions; /* all that each object has, and those that a marker of deletion hides */
};

struct archive_walk_object {
	struct archive_name name;
	struct s3_listed listed;
};

struct archive_walk_calls {
	enum err_kind (*page)(void *arg, const struct archive_walk_object *objects, size_t count,
			      struct err *err);
	void *arg;
};

NODISCARD enum err_kind archive_walk(const struct archive_walk_options *options,
				     const struct archive_walk_calls *calls, struct err *err);

/* After a failed try, of which there were so many: true, when it has waited and another is due.
 * cut: as in sink/s3_client.h; set, there is none. */
bool archive_walk_again(enum err_kind rc, unsigned tries, const _Atomic bool *cut);

#endif
