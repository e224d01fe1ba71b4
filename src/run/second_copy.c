#include "run/second_copy.h"

#include "base/time.h"
#include "stage/stages.h"

#include <stdlib.h>

enum {
	ORIGINALS_BYTES_MAX = 2 * (BATCH_BYTES_FULL + RAW_BYTES_MAX),
	SETTLE_LOOK_MS = 50,
	POOL_WAIT_MS = 100,
	/* of a wait, so that a lease is renewed and the end of the program noticed */
	WAIT_STEP_MS = 5000,
};

_Static_assert((int)LOGS_API_PAGE_LINES_MAX <= (int)RECOVERY_LINES_MAX,
	       "a page is looked up at once");

struct second_copy {
	struct second_copy_options o; /* const after second_copy_new() */
	struct stages *stages;
	struct record record;
	struct batch *page;
	struct buf originals; /* the page's bytes, which the stages unescape in place */
	uint64_t ordinal;
	uint64_t sent_count; /* of lines, to the pipeline, since the start */
	/* of the present page */
	struct recovery_line lines[RECOVERY_LINES_MAX];
	size_t raw_idx[RECOVERY_LINES_MAX]; /* where each stands in the page */
	size_t count;
	/* all of the page before, whose last lines come again at the boundary, and of the present
	 * one */
	struct ids {
		struct id ids[RECOVERY_LINES_MAX];
		int64_t occurred_ns[RECOVERY_LINES_MAX];
		size_t count;
	} pages[2], *before, *present;
	/* up to where the last comparison came, and of which application; it was without error */
	int64_t through_ns;
	char app[LOGS_API_APP_BYTES];
	bool fly_failed;      /* the newest request, and not what was done with its answer */
	size_t redacted_from; /* of lines: the first that had something to redact; count: none */
};

enum err_kind second_copy_new(struct second_copy **ret, const struct second_copy_options *options,
			      struct err *err)
{
	const struct stages_options stages = {.org = options->org, .own_app = options->own_app};
	struct second_copy *c = calloc(1, sizeof(*c));
	enum err_kind rc;

	if (!c)
		return err_set(err, ERR_FATAL, "out of memory for comparing with Fly's copy");
	c->o = *options;
	c->present = &c->pages[0];
	buf_init(&c->originals, ORIGINALS_BYTES_MAX);
	rc = stages_new(&c->stages, &stages, err);
	if (!rc)
		rc = batch_new(&c->page, err);
	if (rc) {
		second_copy_free(c);
		return rc;
	}
	*ret = c;
	return ERR_NONE;
}

void second_copy_free(struct second_copy *c)
{
	if (!c)
		return;
	stages_free(c->stages);
	batch_free(c->page);
	buf_release(&c->originals);
	free(c);
}

const char *copy_result_lack(const struct copy_result *result)
{
	if (result->unreachable)
		return "more lines of one nanosecond than a page of Fly's holds";
	return result->unreadable > 0 ? "entries of Fly's that have no exact time of their own"
				      : NULL;
}

static enum err_kind tick(struct second_copy *c, struct err *err)
{
	if (life_state(c->o.life) != LIFE_RUNNING)
		return err_set(err, ERR_FULL, "the program is ending");
	return c->o.tick(c->o.arg, err);
}

static enum err_kind wait_for(struct second_copy *c, int64_t ns, struct err *err)
{
	int64_t until_ns = time_monotonic_ns() + ns;

	for (;;) {
		int64_t rest_ns = until_ns - time_monotonic_ns();
		enum err_kind rc = tick(c, err);

		if (rc || rest_ns <= 0)
			return rc;
		life_wait(c->o.life,
			  rest_ns < WAIT_STEP_MS * NS_PER_MS ? rest_ns : WAIT_STEP_MS * NS_PER_MS);
	}
}

enum err_kind second_copy_await_api(struct second_copy *c, struct err *err)
{
	return wait_for(c, logs_api_wait_ns(c->o.api), err);
}

/* The next page, however often Fly has to be asked, up to a bound; the API has its own waits. */
static enum err_kind fetch(struct second_copy *c, const char *app, int64_t after_ns,
			   struct logs_page *ret, struct err *err)
{
	for (unsigned attempt = 1;; attempt++) {
		enum err_kind rc = second_copy_await_api(c, err);

		c->fly_failed = false;
		if (rc)
			return rc;
		batch_reset(c->page);
		rc = logs_api_page(c->o.api, app, after_ns, c->page, ret, err);
		c->fly_failed = rc == ERR_RETRY || rc == ERR_CONFIG;
		if (rc == ERR_NONE) {
			atomic_fetch_add(&c->o.status->api_pages, 1);
			return ERR_NONE;
		}
		atomic_fetch_add(&c->o.status->api_errors, 1);
		if (rc != ERR_RETRY || attempt == SECOND_COPY_ATTEMPTS)
			return rc;
	}
}

/* The time is in the id; few others have the same one, and it is compared in no time. */
static bool is_among(const struct ids *ids, const struct record *r)
{
	for (size_t i = 0; i < ids->count; i++)
		if (ids->occurred_ns[i] == r->occurred_ns && id_compare(&ids->ids[i], &r->id) == 0)
			return true;
	return false;
}

static void add_entry(struct second_copy *c, size_t raw_idx, const struct copy_range *range,
		      const struct logs_page *page, struct copy_result *ret)
{
	const struct record *r = &c->record;

	if (r->occurred_ns < range->from_ns || r->occurred_ns >= range->to_ns)
		return;
	/* The page may end among lines of one nanosecond: all of them come with the next. */
	if (!page->end && r->occurred_ns > page->next_ns)
		return;
	if (!r->decoded || !r->exact_time || r->foreign_time) {
		ret->unreadable++;
		return;
	}
	if (c->present->count == RECOVERY_LINES_MAX || is_among(c->present, r))
		return;
	c->present->ids[c->present->count] = r->id;
	c->present->occurred_ns[c->present->count++] = r->occurred_ns;
	if (is_among(c->before, r))
		return;
	c->lines[c->count] = (struct recovery_line){
		.id = r->id,
		.occurred_ns = r->occurred_ns,
		.machine_id = r->machine_id,
		.is_event = r->class != CLASS_app_log,
	};
	if (stages_redacted(c->stages) && c->redacted_from > c->count)
		c->redacted_from = c->count;
	c->raw_idx[c->count++] = raw_idx;
}

/* The page's lines as the pipeline would make records of them. */
static enum err_kind read_page(struct second_copy *c, const struct copy_range *range,
			       const struct logs_page *page, struct copy_result *ret,
			       struct err *err)
{
	enum err_kind rc;

	buf_reset(&c->originals);
	buf_add(&c->originals, c->page->bytes.data, c->page->bytes.len);
	rc = buf_check(&c->originals, err);
	c->count = 0;
	c->redacted_from = SIZE_MAX;
	c->before = c->present;
	c->present = c->before == &c->pages[0] ? &c->pages[1] : &c->pages[0];
	c->present->count = 0;
	stages_begin_batch(c->stages);
	for (size_t i = 0; i < c->page->count && !rc; i++) {
		rc = stages_take(c->stages, c->page, &c->page->raws[i], &c->record, err);
		if (!rc)
			add_entry(c, i, range, page, ret);
	}
	ret->seen += c->count;
	return rc;
}

/* As it came; the copy is at the same places. */
static bool put_line(struct second_copy *c, struct batch *batch, const struct raw *from)
{
	const char *bytes = (const char *)c->originals.data;
	struct span subject = span_of(bytes + from->offset - from->subject_len, from->subject_len);
	struct raw *raw = batch_add(batch, subject, span_of(bytes + from->offset, from->len));

	if (!raw)
		return false;
	raw->form = from->form;
	raw->received_ns = from->received_ns;
	raw->ordinal = ++c->ordinal;
	raw->full_len = from->full_len;
	memcpy(raw->full_sha256, from->full_sha256, sizeof(raw->full_sha256));
	return true;
}

/* A free batch of the source's pool, which is empty while the spool is full. */
static enum err_kind await_batch(struct second_copy *c, struct batch **ret, struct err *err)
{
	for (;;) {
		enum err_kind rc = tick(c, err);

		if (rc)
			return rc;
		*ret = queue_get(c->o.pool, POOL_WAIT_MS * NS_PER_MS);
		if (*ret)
			return ERR_NONE;
	}
}

static enum err_kind pass_on(struct second_copy *c, struct batch *batch, struct err *err)
{
	size_t count = batch->count;

	batch->source = SOURCE_HTTP;
	batch->recovered = true;
	atomic_fetch_add(&c->o.status->lines_received, count);
	if (queue_put(c->o.filled, batch)) {
		c->sent_count += count;
		return ERR_NONE;
	}
	atomic_fetch_sub(&c->o.status->lines_received, count);
	batch_reset(batch);
	REQUIRE(queue_put(c->o.pool, batch));
	return err_set(err, ERR_FULL, "the program is ending");
}

static bool has_missing(const struct second_copy *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->lines[i].found == LINE_MISSING)
			return true;
	return false;
}

static enum err_kind recover(struct second_copy *c, struct copy_result *ret, struct err *err)
{
	struct batch *batch = NULL;
	bool any_missing = has_missing(c);
	size_t i = 0;

	while (i < c->count) {
		bool is_missing = c->lines[i].found == LINE_MISSING;
		enum err_kind rc = ERR_NONE;

		/*
		 * What redaction makes of a line may depend on those before it: the body of a key
		 * on its first line. So all that follows one that was redacted goes along; what is
		 * stored already stays one row.
		 */
		if (!is_missing && (i < c->redacted_from || !any_missing)) {
			i++;
			continue;
		}
		if (!batch)
			rc = await_batch(c, &batch, err);
		if (rc)
			return rc;
		if (put_line(c, batch, &c->page->raws[c->raw_idx[i]])) {
			ret->recovered += is_missing;
			i++;
			continue;
		}
		rc = pass_on(c, batch, err);
		batch = NULL;
		if (rc)
			return rc;
	}
	return batch ? pass_on(c, batch, err) : ERR_NONE;
}

static enum err_kind compare_page(struct second_copy *c, struct recovery *db,
				  const struct copy_range *range, const struct logs_page *page,
				  struct copy_result *ret, struct err *err)
{
	uint64_t confirmed = 0;
	enum err_kind rc = read_page(c, range, page, ret, err);

	if (!rc)
		rc = recovery_look_up(db, range->app, c->lines, c->count, err);
	if (!rc)
		rc = recovery_confirm(db, c->lines, c->count, &confirmed, err);
	if (rc)
		return rc;
	atomic_fetch_add(&c->o.status->lines_confirmed, confirmed);
	for (size_t i = 0; i < c->count; i++)
		ret->mismatches += c->lines[i].found == LINE_MISMATCH;
	return recover(c, ret, err);
}

enum err_kind second_copy_compare(struct second_copy *c, struct recovery *db,
				  const struct copy_range *range, struct copy_result *ret,
				  struct err *err)
{
	int64_t after_ns = range->from_ns - 1;
	bool done = range->from_ns >= range->to_ns;
	enum err_kind rc = ERR_NONE;

	ret->through_ns = range->from_ns;
	/* Else it goes on from there. */
	if (range->from_ns != c->through_ns || strcmp(range->app, c->app) != 0)
		c->present->count = 0;
	while (!done && (range->pages_max == 0 || ret->pages < range->pages_max)) {
		struct logs_page page;

		rc = fetch(c, range->app, after_ns, &page, err);
		if (!rc && page.ahead) {
			c->fly_failed = true;
			rc = err_set(err, ERR_RETRY,
				     "Fly's HTTP logs API shows only times to come of %s",
				     range->app);
		}
		if (!rc) {
			rc = compare_page(c, db, range, &page, ret, err);
			if (rc == ERR_REJECT) /* that is Fly's word alone, about an application */
				err->kind = rc = ERR_RETRY;
		}
		if (rc) /* nothing of this page counts as looked at */
			break;
		ret->pages++;
		ret->unreachable =
			ret->unreachable || (page.tie_cut && page.last_ns < range->to_ns);
		done = page.end || page.next_ns >= range->to_ns;
		after_ns = page.next_ns;
		ret->through_ns = done ? range->to_ns : page.next_ns;
	}
	c->through_ns = rc ? INT64_MIN : ret->through_ns;
	(void)snprintf(c->app, sizeof(c->app), "%s", range->app);
	atomic_fetch_add(&c->o.status->id_mismatches, ret->mismatches);
	return rc;
}

enum err_kind second_copy_settle(struct second_copy *c, struct err *err)
{
	int64_t until_ns = time_monotonic_ns() + SECOND_COPY_SETTLE_SECONDS * NS_PER_S;
	struct spool_stats stats;
	bool appended = false;

	for (;;) {
		enum err_kind rc = tick(c, err);

		if (rc)
			return rc;
		if (!appended && atomic_load(&c->o.status->lines_recovered) >= c->sent_count &&
		    trail_is_empty(c->o.trail)) {
			appended = true;
			spool_stats(c->o.spool, &stats);
		}
		if (appended && atomic_load(&c->o.status->stored_seq) >= stats.appended_seq)
			return ERR_NONE;
		if (time_monotonic_ns() > until_ns)
			return err_set(err, ERR_RETRY,
				       "what the spool has is not stored in time: lines on their "
				       "way would look missing");
		life_wait(c->o.life, SETTLE_LOOK_MS * NS_PER_MS);
	}
}

enum err_kind second_copy_tell(struct second_copy *c, struct trail *trail, const struct fact *fact,
			       struct err *err)
{
	while (!trail_offer(trail, fact)) {
		enum err_kind rc = tick(c, err);

		if (rc)
			return rc;
		life_wait(c->o.life, SETTLE_LOOK_MS * NS_PER_MS);
	}
	return ERR_NONE;
}

bool second_copy_fly_failed(const struct second_copy *c)
{
	return c->fly_failed;
}

/* Whether Fly shows a line of the witness's own time. */
static enum err_kind look_for(struct second_copy *c, const char *app,
			      const struct recovery_claim *witness, bool *ret, struct err *err)
{
	struct logs_page page;
	enum err_kind rc = fetch(c, app, witness->occurred_us * NS_PER_US - 1, &page, err);

	*ret = false;
	stages_begin_batch(c->stages);
	for (size_t i = 0; i < c->page->count && !rc && !*ret; i++) {
		rc = stages_take(c->stages, c->page, &c->page->raws[i], &c->record, err);
		*ret = !rc && c->record.occurred_ns / NS_PER_US <= witness->occurred_us;
	}
	return rc;
}

enum err_kind second_copy_reaches(struct second_copy *c, struct recovery *db,
				  const struct recovery_part *before, bool *ret, struct err *err)
{
	struct recovery_claim witness;
	bool any = false;
	enum err_kind rc = recovery_find_witness(db, before, &witness, &any, err);

	c->fly_failed = false;
	*ret = true;
	return rc || !any ? rc : look_for(c, before->app, &witness, ret, err);
}
