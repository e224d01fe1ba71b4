/*
 * No bytes crash logs_page_read(); a page that is read goes on or ends, and its lines are bytes
 * of the page.
 */

#include "source/logs_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_page(const struct logs_page *page, const struct logs_page_question *q,
		       const struct batch *batch, struct span body)
{
	REQUIRE(page->count == batch->count);
	REQUIRE(page->end ? page->next_ns >= q->after_ns : page->next_ns > q->after_ns);
	REQUIRE(page->next_ns <= q->now_ns || page->next_ns == q->after_ns ||
		page->next_ns == q->after_ns + 1);
	REQUIRE(page->last_ns <= q->now_ns);
	REQUIRE(!page->ahead || (page->last_ns == 0 && page->count > 0));
	for (size_t i = 0; i < batch->count; i++) {
		struct span line = batch_line(batch, &batch->raws[i]);

		REQUIRE(line.len > 0 && memmem(body.data, body.len, line.data, line.len));
		REQUIRE(span_is(batch_subject(batch, &batch->raws[i]), "logs.web-1"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct hasher *hasher;
	static struct batch *batch;
	struct logs_page_question q = {.app = "web-1", .now_ns = INT64_C(1790000000000000000)};
	struct span body = span_of(bytes, len);
	struct logs_page page;
	struct err err;

	if (!batch) {
		enum err_kind rc = batch_new(&batch, &err);

		REQUIRE(rc == ERR_NONE);
		rc = hasher_new(&hasher, &err);
		REQUIRE(rc == ERR_NONE);
	}
	/* The first byte chooses what is asked for. */
	if (len > 0) {
		q.after_ns = q.now_ns + ((int64_t)bytes[0] - 128) * NS_PER_S;
		body = span_after(body, 1);
	}
	q.hasher = hasher;
	batch_reset(batch);
	if (logs_page_read(body, &q, batch, &page, &err) == ERR_NONE)
		check_page(&page, &q, batch, body);
	else
		REQUIRE(batch->count == 0);
	return 0;
}
