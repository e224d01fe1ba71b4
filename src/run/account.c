#include "run/account.h"

#include "base/time.h"

void account_connected(struct status *s, uint64_t opened_seq, uint64_t cursor)
{
	uint64_t before = atomic_load(&s->stored_seq);

	if (!atomic_load(&s->stored_known)) {
		if (cursor < opened_seq)
			atomic_fetch_add(&s->records_found, opened_seq - cursor);
		before = cursor > opened_seq ? opened_seq : cursor;
	}
	if (cursor > before) {
		atomic_fetch_add(&s->records_unanswered, cursor - before);
		atomic_fetch_add(&s->records_passed, cursor - before);
	} else {
		atomic_fetch_add(&s->records_forgotten, before - cursor);
	}
	atomic_store(&s->stored_seq, cursor);
	atomic_store(&s->stored_known, true);
}

void account_cursor(struct status *s, uint64_t cursor)
{
	uint64_t before = atomic_load(&s->stored_seq);

	if (cursor > before) /* not past a fact about what came before this spool */
		atomic_fetch_add(&s->records_passed, cursor - before);
	atomic_store(&s->stored_seq, cursor);
}

void account_written(struct status *s, const struct store_result *result, int64_t took_ns)
{
	atomic_fetch_add(&s->lines_stored, result->lines);
	atomic_fetch_add(&s->events_stored, result->events);
	atomic_fetch_add(&s->duplicates, result->duplicates);
	atomic_fetch_add(&s->lines_duplicate, result->line_duplicates);
	for (size_t i = 0; i < LIMITS_KINDS; i++)
		atomic_fetch_add(&s->expired[i], result->expired[i].rows);
	atomic_store(&s->last_stored_ns, time_now_ns());
	histogram_add(&s->transactions, took_ns);
}

void account_oldest(struct status *s, int64_t observed_ns)
{
	atomic_store(&s->oldest_unstored_ns, observed_ns);
}
