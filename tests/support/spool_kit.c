#include "spool_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	KIT_RANDOM_BYTES = 1000,
	KIT_BATCH_FRAMES = 1000,
	KIT_BATCH_BYTES = 1024 * 1024,
	KIT_SPOOL_MIB = 64,
};

int64_t kit_observed_ns(uint64_t seq)
{
	return INT64_C(1750000000000000000) + (int64_t)seq * NS_PER_MS;
}

struct span kit_payload(uint64_t seq, size_t len)
{
	static uint8_t bytes[RECORD_PAYLOAD_BYTES_MAX];
	uint64_t x = seq * UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < len && i < KIT_RANDOM_BYTES; i++) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		bytes[i] = (uint8_t)(x >> 32);
	}
	/* The rest of a large one repeats that. */
	for (size_t i = KIT_RANDOM_BYTES; i < len; i += KIT_RANDOM_BYTES)
		memcpy(bytes + i, bytes, len - i < KIT_RANDOM_BYTES ? len - i : KIT_RANDOM_BYTES);
	return span_of(bytes, len);
}

struct spool *kit_open(const char *folder)
{
	struct spool_options options = {
		.folder = folder,
		.max_bytes = (uint64_t)KIT_SPOOL_MIB << 20,
		.keep_ns = 3600 * NS_PER_S,
	};
	struct spool *s = NULL;
	struct err err = {0};

	if (spool_open(&s, &options, &err))
		fail_msg("spool_open: %s", err.text);
	return s;
}

void kit_append(struct spool *s, size_t count, size_t len)
{
	struct spool_stats st;
	struct err err = {0};

	spool_stats(s, &st);
	for (size_t i = 1; i <= count; i++) {
		uint64_t seq = st.appended_seq + i;

		if (spool_append(s, kit_payload(seq, len), kit_observed_ns(seq), SPOOL_ORDINARY,
				 &err))
			fail_msg("spool_append: %s", err.text);
	}
}

void kit_commit(struct spool *s)
{
	struct spool_stats st;
	struct err err = {0};
	bool done;

	do {
		spool_flush(s);
		if (spool_commit(s, 0, &done, &err))
			fail_msg("spool_commit: %s", err.text);
		spool_stats(s, &st);
	} while (st.accepted_seq < st.appended_seq);
}

static void take_batch(struct kit_read *r, const struct spool_batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct span got = spool_batch_payload(b, i);

		assert_true(span_equal(got, kit_payload(b->frames[i].seq, got.len)));
		assert_true(b->frames[i].observed_ns == kit_observed_ns(b->frames[i].seq) ||
			    b->frames[i].observed_ns == 0);
		assert_true(r->count < KIT_READ_MAX);
		r->seqs[r->count++] = b->frames[i].seq;
	}
	if (b->damage.first_seq != 0) {
		assert_true(r->damage_count < KIT_DAMAGES_MAX);
		r->damages[r->damage_count++] = b->damage;
	}
}

void kit_read_all(struct spool *s, uint64_t after_seq, struct kit_read *ret)
{
	struct spool_reader *r = NULL;
	struct spool_batch b;
	struct err err = {0};
	bool more = true;

	*ret = (struct kit_read){0};
	assert_int_equal(spool_batch_init(&b, KIT_BATCH_FRAMES, KIT_BATCH_BYTES, &err), ERR_NONE);
	assert_int_equal(spool_reader_new(&r, s, "kit", after_seq, &err), ERR_NONE);
	while (more) {
		spool_batch_reset(&b);
		if (spool_reader_read(r, &b, 0, 0, &err))
			fail_msg("spool_reader_read: %s", err.text);
		take_batch(ret, &b);
		more = b.count > 0 || b.damage.first_seq != 0;
	}
	spool_reader_free(r);
	spool_batch_release(&b);
}

bool kit_is_range(const struct kit_read *r, uint64_t first, uint64_t last, uint64_t lost_first,
		  uint64_t lost_last)
{
	size_t at = 0;

	for (uint64_t seq = first; seq <= last; seq++) {
		if (seq >= lost_first && seq <= lost_last)
			continue;
		if (at == r->count || r->seqs[at] != seq)
			return false;
		at++;
	}
	return at == r->count;
}
