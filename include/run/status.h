#ifndef RUN_STATUS_H
#define RUN_STATUS_H

/*
 * status: what the threads of `flytrail run` say about themselves, for serve/
 * to read. Nothing here decides anything.
 *
 * Counters count from the start of the process. They are monotonic, each is
 * exact, and together they may be some microseconds apart. A line is counted at
 * every hand-over, so that the place of a loss can be told from them:
 *
 *	published        = lines_received + lines_lost + what the gaps are about
 *	lines_received   = lines_accepted + what is in the memory between the two
 *	lines_accepted   = lines_stored + lines_duplicate + expired[LIMITS_LINES] + dead_letters +
 *	                   lines in the spool
 *
 * A record is what the spool numbers: a line, or a fact of the trail. By the
 * numbers alone, so at any time and after any failure,
 *
 *	accepted + records_found = records_passed - records_forgotten + records in the spool
 *
 * where accepted is spool_stats' accepted_seq - opened_seq. With found,
 * forgotten, unanswered or damaged records, the third line above is so many off.
 *
 * Times ending in _ns are of the real-time clock, 0: never, unless they say
 * something else.
 *
 * Ownership: cmd/run.c owns it, for longer than any thread lives.
 * Threads:   atomics for any thread; the rest under the lock `status`, which is held while
 *            the spool is asked, so that nobody closes it meanwhile.
 */

#include "base/err.h"
#include "base/histogram.h"
#include "base/lock.h"
#include "sink/notify.h"
#include "spool/spool.h"
#include "store/limits.h"

#include <stdatomic.h>

enum store_state {
	STORE_STARTING, /* not connected yet                                     */
	STORE_WORKING,  /* connected; the last write went well                   */
	STORE_RETRYING, /* away: retried with back-off, nothing is lost          */
	STORE_PARKED,   /* an operator must act; store_error says what to do     */
};

enum sink_id { SINK_S3, SINK_DATADOG, SINK_COUNT };

enum sink_state {
	SINK_OFF,      /* not configured                                       */
	SINK_STARTING, /* nothing was delivered yet                            */
	SINK_WORKING,  /* the last delivery went well                          */
	SINK_RETRYING, /* away: retried with back-off, nothing is lost         */
	SINK_PARKED,   /* an operator must act; error says what to do          */
};

/* What run/forwarder.c says of one sink. */
struct sink_status {
	_Atomic enum sink_state state;
	_Atomic uint64_t records, deliveries;
	_Atomic uint64_t retries;
	_Atomic uint64_t dead_letters;
	_Atomic uint64_t missed; /* records that left the spool before it had taken them */
	_Atomic uint64_t late;   /* records left out for their age, as it is configured */
	_Atomic uint64_t delivered_seq;
	_Atomic int64_t delivered_ns; /* the newest delivery */
	_Atomic int64_t failing_ns;   /* since when none goes through; 0: the last one did */
	/* Bytes of the spool before it; of more than behind_bytes_max the oldest may go. */
	_Atomic uint64_t behind_bytes, behind_bytes_max;
	_Atomic int64_t behind_ns; /* when the oldest of them was observed; 0: there is none */
	struct lock lock;
	char error[ERR_TEXT_BYTES]; /* of the last failure, guarded by lock; empty while WORKING */
};

struct status {
	/* const after status_init() */
	int64_t started_ns;
	int64_t started_monotonic_ns;

	_Atomic bool was_healthy; /* serve's: /health has been green */

	/* the source thread */
	_Atomic bool source_started; /* it is read from: connected, or retrying for ever */
	_Atomic bool source_connected;
	_Atomic(const char *) source_why; /* a constant text; NULL while connected */
	_Atomic uint64_t lines_received;
	_Atomic uint64_t lines_lost; /* dropped by the source's library, which counts them */
	_Atomic int64_t last_received_ns;

	/* the pipeline thread */
	_Atomic uint64_t lines_decoded;
	_Atomic uint64_t lines_undecoded;  /* kept as they came */
	_Atomic uint64_t lines_classified; /* that are events */
	_Atomic uint64_t lines_redacted;
	_Atomic uint64_t lines_accepted;  /* handed to the spool: durable within SPOOL_COMMIT_MS */
	_Atomic uint64_t facts_accepted;  /* likewise; the trail's own */
	_Atomic uint64_t events_accepted; /* likewise; of Fly's control plane */
	_Atomic uint64_t mirrored_accepted; /* of the facts, those that Postgres had already */
	_Atomic uint64_t gaps;              /* noticed, by whichever thread */
	_Atomic bool intake_stopped;        /* the spool is full */

	/* the main thread, at the start */
	_Atomic bool spool_no_volume; /* a restart loses what is in the spool */

	/* the store's consumer */
	_Atomic enum store_state store_state;
	_Atomic uint64_t lines_stored;  /* rows written */
	_Atomic uint64_t events_stored; /* likewise; of facts, too */
	_Atomic uint64_t duplicates;    /* rows that were there already: of lines and of events */
	_Atomic uint64_t lines_duplicate;
	_Atomic uint64_t dead_letters;
	_Atomic uint64_t expired[LIMITS_KINDS]; /* rows that came past keep_at_most, not stored */
	_Atomic uint64_t stored_seq;            /* the cursor */
	_Atomic bool stored_known;              /* Postgres has said what the cursor is */
	_Atomic int64_t last_stored_ns;
	/* Postgres's clock minus the one that never steps, when connecting; 0: not known. */
	_Atomic int64_t store_clock_ns;
	/*
	 * Of the oldest record that is accepted and not stored, when it was observed; 0: all is
	 * stored. It is set when the record is in a batch, so at most CONSUMER_GATHER_MS late.
	 * Before Postgres has said what it has, it is the start of the process: what that has
	 * accepted cannot be stored yet.
	 */
	_Atomic int64_t oldest_unstored_ns;
	_Atomic uint64_t records_found;      /* accepted by a process before, not stored by it */
	_Atomic uint64_t records_passed;     /* the cursor moved past them */
	_Atomic uint64_t records_unanswered; /* of these, by a COMMIT whose answer did not come */
	_Atomic uint64_t records_damaged;    /* lost in the spool or with its oldest segment */
	_Atomic uint64_t records_forgotten;  /* the cursor went back over them: a failover */
	struct histogram transactions;       /* rows and cursor, from BEGIN to COMMIT */
	struct histogram copies;             /* of one table's rows */

	/* the committer */
	struct histogram commits; /* a write to the spool, with its sync */

	/* the heartbeat; all 0 while it is off */
	_Atomic bool heartbeat_on;
	_Atomic int64_t heartbeat_last_ns; /* when the newest one came back */
	_Atomic uint64_t heartbeats_sent;
	_Atomic uint64_t heartbeats_returned;
	_Atomic uint64_t heartbeats_missed;  /* in a row: 0 again when one comes back */
	_Atomic uint64_t heartbeats_unsent;  /* could not be printed */
	_Atomic(const char *) heartbeat_why; /* it proves nothing now: a constant text, or NULL */

	/* the watch over the clock */
	_Atomic uint64_t clock_jumps;
	_Atomic int64_t
		clock_jumped_ns; /* when the last one was noticed, by the clock as it is now */

	/* the worker: gaps and reconciling */
	_Atomic(const char *)
		worker_why; /* why it does not work, a constant text; NULL: it is well */
	_Atomic uint64_t
		gaps_open; /* not settled yet, of all streams; 0: another replica's to tell */
	_Atomic uint64_t gaps_lost;         /* settled, and not provably whole: each time of it */
	_Atomic uint64_t lines_recovered;   /* from Fly's second copy */
	_Atomic uint64_t lines_confirmed;   /* Fly's second copy has them, too */
	_Atomic uint64_t id_mismatches;     /* it has them under another id */
	_Atomic uint64_t lines_unconfirmed; /* it does not have them */
	_Atomic uint64_t api_pages;
	_Atomic uint64_t api_errors;

	/* the watcher of Fly's control plane */
	_Atomic uint64_t watch_seconds;    /* of a full interval; 0: nothing is watched here */
	_Atomic bool watch_elsewhere;      /* another replica does it */
	_Atomic bool watch_blind;          /* the list of applications is refused */
	_Atomic bool watch_alone;          /* Postgres is away, and it goes on from memory */
	_Atomic(const char *) watch_why;   /* the newest look failed: a constant text, or NULL */
	_Atomic int64_t watch_from_ns;     /* since when it is this one's to look */
	_Atomic int64_t watch_last_ns;     /* the newest look that showed something */
	_Atomic uint64_t watch_looks;      /* all of them */
	_Atomic uint64_t watch_refusals;   /* looks that Fly refused */
	_Atomic uint64_t watch_changes;    /* facts of changes, handed to the pipeline */
	_Atomic uint64_t watch_unobserved; /* what cannot be looked at now; 0: another's to tell */

	/* the mirror */
	_Atomic(const char *) mirror_why; /* why it does not work; NULL: it is well */

	/* the retainer */
	_Atomic(const char *)
		retention_why; /* why not all is done, a constant text; NULL: it is well */
	_Atomic int64_t retention_last_ns; /* when it was last applied by this replica */
	_Atomic uint64_t partitions_dropped;
	_Atomic uint64_t partitions_waiting; /* past their terms; 0: another's to tell */
	_Atomic int64_t token_ends_ns;       /* the next of flytrail's own; 0: none is known here */

	struct sink_status sinks[SINK_COUNT];

	/* the notifier, of each who is told: records are facts, deliveries messages, dead_letters
	 * what was refused for good; of the spool's it has nothing */
	struct sink_status told[NOTIFY_COUNT];
	_Atomic bool notify_elsewhere[NOTIFY_COUNT]; /* another replica tells */

	_Atomic int64_t pinged_ns; /* when FLYTRAIL_PING_URL last answered */

	/* guarded by lock */
	struct lock lock;
	struct spool *spool;              /* NULL: not open */
	char store_error[ERR_TEXT_BYTES]; /* of the last failure; empty while WORKING */
};

void status_init(struct status *s);
void status_release(struct status *s);

void status_set_store(struct status *s, enum store_state state, const char *error);

/* A copy of store_error, NUL-terminated, into text. Returns the state it belongs to. */
enum store_state status_store(struct status *s, char text[ERR_TEXT_BYTES]);

const char *store_state_name(enum store_state state); /* "starting", "working", ... */

const char *sink_name(enum sink_id sink);           /* "s3", "datadog" */
const char *sink_state_name(enum sink_state state); /* "off", "starting", "working", ... */
void sink_status_set(struct sink_status *s, enum sink_state state, const char *error);

/* As status_store(). */
enum sink_state sink_status_read(struct sink_status *s, char text[ERR_TEXT_BYTES]);

/*
 * When the oldest of what a sink has before it will have to go, if it takes nothing until then and
 * as much comes as did; 0: no time can be told, for less than half of the room is taken and it was
 * taken within ten minutes, or it is more than ten years away.
 */
int64_t sink_status_misses_ns(const struct sink_status *s, int64_t now_ns);

/* The lifecycle's, when the spool is open, and with NULL before it is closed. */
void status_set_spool(struct status *s, struct spool *spool);

/* False while there is no spool. */
bool status_spool(struct status *s, struct spool_stats *ret);

#endif
