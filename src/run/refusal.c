#include "run/refusal.h"

void refusal_note(struct refusal *r, uint64_t after_seq, bool unknown)
{
	if (!unknown || r->after_seq != after_seq)
		*r = (struct refusal){.after_seq = after_seq};
	r->count += unknown;
}

void refusal_moved(struct refusal *r, uint64_t after_seq, bool done)
{
	r->after_seq = after_seq;
	if (done)
		r->count = 0;
}

bool refusal_doubts(const struct refusal *r, uint64_t after_seq)
{
	return r->count >= REFUSAL_ATTEMPTS && r->after_seq == after_seq;
}

enum { LINES = 1, EVENTS = 2 };

/* The tables that a payload has rows for. */
static unsigned tables_of(struct span payload, struct record *scratch)
{
	struct err ignored;

	if (payload_kind(payload) == PAYLOAD_EVENT)
		return EVENTS;
	if (record_decode(payload, scratch, &ignored))
		return 0;
	return scratch->class == CLASS_app_log ? LINES : LINES | EVENTS;
}

/* *ret_taken: the store takes the record at, or would; it is rolled back. */
static enum err_kind try_other(struct store *store, const struct spool_batch *batch, size_t at,
			       bool *ret_taken, struct err *err)
{
	const struct store_job job = {
		.batch = batch, .first = at, .count = 1, .doubted = true, .trial = true};
	struct store_result result = {0};
	enum err_kind rc = store_write(store, &job, &result, err);

	*ret_taken = rc == ERR_NONE && !store_has_expired(&result);
	return rc == ERR_REJECT ? ERR_NONE : rc;
}

enum err_kind refusal_prove(struct store *store, const struct spool_batch *batch, size_t idx,
			    struct err *err)
{
	struct record scratch;
	unsigned tables = tables_of(spool_batch_payload(batch, idx), &scratch);
	bool taken = false;
	enum err_kind rc = ERR_NONE;

	/* Behind it, then before it. */
	for (size_t i = 1, found = 0; i < batch->count && !rc && !taken; i++) {
		bool behind = idx + i < batch->count;
		size_t at = behind ? idx + i : batch->count - 1 - i;

		if (i == batch->count - idx)
			found = 0;
		if ((tables_of(spool_batch_payload(batch, at), &scratch) & tables) != tables)
			continue;
		found++;
		if (found <= REFUSAL_NEAR || (found & (found - 1)) == 0)
			rc = try_other(store, batch, at, &taken, err);
	}
	if (rc || taken)
		return rc;
	err->kind = ERR_RETRY; /* the text is that of the newest refusal */
	return err_wrap(err, "no record like it is taken either");
}
