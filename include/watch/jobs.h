#ifndef WATCH_JOBS_H
#define WATCH_JOBS_H

/*
 * jobs: what there is to look at, and when: a job for each resource of the
 * organisation, and for each item that has one of its own.
 *
 * What a look changed follows by jobs_follow(): new items get their jobs, those that
 * are gone lose them, and what a change stirs is due at once.
 *
 * Ownership: the table owns the jobs and their snapshots. A pointer to a job lives until
 *            the next jobs_follow().
 * Threads:   one, the watcher's.
 * Limits:    JOBS_MAX; what is more is not looked at, which jobs_unobserved() counts.
 * Errors:    ERR_FATAL: no memory; ERR_REJECT: a snapshot that is none.
 */

#include "watch/resource.h"

enum {
	JOBS_MAX = 16384,
	JOB_ITEM_BYTES_MAX = 255,
	JOB_STIRS = 3,       /* a list may be behind what stirred it */
	JOB_ITEM_STIRS = 1,  /* an item is newer than its list, and five machines have ten */
	JOBS_PLAIN_EACH = 8, /* each so-many-th look is at what is due first, whatever it is */
};

struct job {
	const struct watch_resource *resource;
	char app[RECORD_APP_BYTES_MAX + 1]; /* whose it is; "": the organisation's */
	char item[JOB_ITEM_BYTES_MAX + 1];  /* "": of no item */
	int64_t due_ns, all_due_ns;         /* on the monotonic clock: a look; one at all of it */
	unsigned stirs;                     /* looks that are made soon, the next included */
	unsigned refusals, failures;        /* since it was seen: answers of no use, and none */
	unsigned parts;                     /* answers in a row that some of it is not in */
	size_t missed;                      /* of its items, those that there is no room for */
	bool loaded, found;                 /* of the snapshot */
	bool unobserved;                    /* that is on record */
	struct buf content;                 /* the snapshot, as JSON */
	int64_t taken_ns;
};

struct jobs {
	struct job *list; /* the first is the list of applications */
	size_t count;
	unsigned turn;
};

NODISCARD enum err_kind jobs_init(struct jobs *j, struct err *err); /* the organisation's */
void jobs_release(struct jobs *j);

/* "APP", "APP/ITEM" or "": what its snapshot is found by. */
enum { JOB_SCOPE_BYTES = RECORD_APP_BYTES_MAX + 1 + JOB_ITEM_BYTES_MAX + 1 };
void job_scope(const struct job *job, char ret[JOB_SCOPE_BYTES]);

/* The application of an item of a job's list, which has to do with it alone; or empty. */
struct span job_app_of(const struct job *job, const struct item *item);

/* The nth resource that items of another have; NULL: there are no more. */
const struct watch_resource *watch_child(const struct watch_resource *parent, size_t nth);

/* What a child of an item of a job's list is called: an application is not its own item. */
struct span job_item_of(const struct job *job, const struct item *item);

/* The jobs of the items of a list of a job's. */
NODISCARD enum err_kind jobs_follow(struct jobs *j, size_t parent, const struct listing *list,
				    struct err *err);

/* An item of a job's list has changed: what that stirs is due. */
void jobs_stir(struct jobs *j, const struct job *parent, const struct item *item);

/* What a job belongs to cannot be found: who lists it is asked again, soon. */
void jobs_doubt(struct jobs *j, const struct job *job);

/* How many cannot be looked at, for a refusal or for want of room. */
size_t jobs_unobserved(const struct jobs *j);

/*
 * The index of the one that is due first. Of those that are due, what is quick or stirred goes
 * before the rest, and what is looked at in each full interval before the details of items, of
 * which thousands may be due at once, as after a start; but not each time, so that the rest is
 * never put off for ever.
 */
size_t jobs_next(struct jobs *j, int64_t now_ns);

#endif
