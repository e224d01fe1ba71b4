#ifndef RUN_TRAIL_H
#define RUN_TRAIL_H

/*
 * trail: flytrail's facts about itself, as events of the class `trail`.
 *
 * Only the pipeline thread appends to the spool, so other threads leave their
 * facts in the mailbox here, and the pipeline fetches them; its own (gaps, times of
 * listening) it appends itself, so that none is dropped. What a consumer has
 * to tell about records that it cannot deliver takes the place of those records
 * in its batch instead (run/consumer.h).
 *
 *	any thread         trail_post(), trail_offer(); trail_encode() with a hasher of its own
 *	pipeline thread    trail_peek(), trail_encode(), append, trail_pop()
 *
 * A gap is one id: of stream, reason and start. gap_opened, gap_progress and
 * gap_closed carry it as correlation_id, and gap_start, gap_end (RFC 3339;
 * absent while not known), reason, lines_lost and stream as attributes. What
 * recovery tells of a gap names it, since it may be another stream's, and has
 * lines_recovered: by that the view `gaps` knows it from what the gap's own
 * stream says about its end. Ids are functions of the fact, so a fact told
 * twice is one row.
 *
 * What was listened is told in pieces that touch (listening_start, listening_end; shared where a
 * queue group's others took lines, too; subject where only a part was subscribed to). Such a fact
 * stands in the spool behind all lines that it vouches for, so where it is stored, they are.
 *
 * Ownership: trail_self's texts must outlive the trail.
 * Threads:   trail_post() and trail_offer() any (lock `facts`); trail_encode() any, it
 *            reads what is constant; trail_peek() and trail_pop() are the pipeline thread's.
 * Limits:    TRAIL_FACTS_MAX wait; beyond, a posted fact is dropped, and the log says so.
 *            Offered ones fill TRAIL_OFFERED_MAX of that at most, and are never dropped.
 * Errors:    ERR_FATAL out of memory.
 */

#include "base/buf.h"
#include "model/event.h"
#include "spool/spool.h"

enum { TRAIL_FACTS_MAX = 64, TRAIL_OFFERED_MAX = TRAIL_FACTS_MAX / 2 };
enum { TRAIL_OLD_DAYS_MAX = 390, TRAIL_APP_BYTES = 65, FACT_JSON_BYTES = 2048 };

/* The attribute `input` of a start or stop; others have none. */
#define TRAIL_INPUT_FILES "files"

struct trail_self {
	struct span org, app, region, machine;
	struct span subject; /* what listening is to; empty: all that the organisation prints */
	struct spool_stream stream;
};

/* What a comparison with Fly's second copy came to. */
struct fact_found {
	char subject[ID_TEXT_BYTES]; /* the gap's id, the line's, a sink's or a partition's name,
					the kind of rows that came too late; empty: not about one */
	char app[TRAIL_APP_BYTES];   /* empty: all of them */
	char event[ID_TEXT_BYTES];   /* of which somebody could not be told; empty: not about one */
	const char *state;           /* of what is done with: a constant word; NULL: it goes on */
	bool is_loss;                /* lines are missing for good */
	bool hour_done;              /* of a window: its hour and application are dealt with */
	uint64_t lines_seen, lines_recovered, id_mismatches;
};

struct fact {
	enum action action; /* of class trail */
	int64_t noticed_ns;
	/* Of a gap, a time of listening, a window, a line, of when what a sink has not taken was
	 * observed, of when what came too late (lines_lost: its rows) occurred; times of 0 are not
	 * known. */
	struct gap gap;
	uint64_t first_seq, last_seq; /* of the records it is about; 0: none */
	char why[ERR_TEXT_BYTES];     /* of a dead letter, of what became of a gap or a window */
	bool from_files;              /* of a start or stop: the run reads files, nothing live */
	bool shared;                  /* of listening: a queue group, so others took lines, too */
	struct fact_found found;      /* of what recovery and reconciling tell */
	char found_json[FACT_JSON_BYTES]; /* of a sink's place, a JSON object; empty: none */
};

struct trail;

NODISCARD enum err_kind trail_new(struct trail **ret, const struct trail_self *self,
				  struct err *err);
void trail_free(struct trail *t); /* NULL is fine */

/* For a fact that nobody can tell again later. */
void trail_post(struct trail *t, const struct fact *fact);

/* For many facts. False: it was not taken, so that others have room, and is to be offered again. */
NODISCARD bool trail_offer(struct trail *t, const struct fact *fact);

/* The oldest fact, which stays in the mailbox. False: there is none. */
bool trail_peek(struct trail *t, struct fact *ret);
void trail_pop(struct trail *t);

/* Any thread: all that was put into the mailbox is in the spool, if not accepted yet. */
bool trail_is_empty(struct trail *t);

/* Any thread: how many facts were put into the mailbox, and how many of these are in the spool. */
uint64_t trail_put_count(struct trail *t);
uint64_t trail_popped_count(struct trail *t);

/* Appends the fact's payload to out. */
NODISCARD enum err_kind trail_encode(const struct trail *t, struct hasher *hasher,
				     const struct fact *fact, struct buf *out, struct err *err);

/* The fact about frames that cannot be read any more: a gap GAP_MARGIN_NS wider than they. */
struct fact trail_damage(enum gap_reason reason, const struct spool_damage *damage);

#endif
