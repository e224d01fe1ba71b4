/*
 * No bytes crash the JSON forms of decode(), what comes out fits the columns, and the scanners
 * read whatever they accept as base/json.h does.
 */

#include "base/utf8.h"
#include "stage/draft.h"

#include <stdlib.h>

#define SUBJECT "logs.web-1.ams.0e286551c30586" /* where a line may have what it lacks from */

enum {
	ARENA_BYTES_MAX = 64 * 1024 * 1024,
	MARKS_MAX = 7, /* all but those of a line that was cut */
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool same(struct span a, struct span b)
{
	return a.data && b.data && span_equal(a, b);
}

static void compare_scan(struct arena *arena, struct span line, enum raw_form form)
{
	static struct record record;
	struct decode_context ctx = {.arena = arena, .org = SPAN(""), .app = SPAN("")};
	struct draft a = {.ctx = &ctx, .record = &record, .line = line, .form = form};
	struct draft b = a;
	char *copy = malloc(line.len + 1);
	bool is_nats = form == RAW_NATS_JSON;

	REQUIRE(copy != NULL);
	memcpy(copy, line.data, line.len);
	record.attr_count = 0;
	if (is_nats ? scan_nats(&a, copy, line.len) : scan_fly(&a, copy, line.len)) {
		read_json(&b);
		REQUIRE(b.undecoded == UNDECODED_no && !b.in_raw && record.attr_count == 0);
		/* The API's form names neither. */
		REQUIRE(is_nats ? same(a.app, b.app) && same(a.host, b.host)
				: !a.app.data && !a.host.data && !b.app.data && !b.host.data);
		REQUIRE(same(a.region, b.region));
		REQUIRE(same(a.machine_id, b.machine_id) && same(a.provider, b.provider));
		REQUIRE(same(a.level, b.level) && same(a.time, b.time));
		REQUIRE(same(a.message, b.message));
	} else {
		REQUIRE(memcmp(copy, line.data, line.len) == 0 && !a.message.data);
	}
	free(copy);
}

static void check_text(struct span s, size_t max)
{
	REQUIRE(s.data != NULL);
	REQUIRE(s.len <= max && utf8_is_text(s));
}

static void check_record(const struct record *r, struct span line)
{
	check_text(r->message, 3 * line.len);
	check_text(r->app, 3 * line.len + sizeof(SUBJECT));
	check_text(r->machine_id, 3 * line.len + sizeof(SUBJECT));
	check_text(r->provider, 3 * line.len);
	REQUIRE(r->attr_count <= DECODE_FIELDS_MAX + MARKS_MAX);
	for (size_t i = 0; i < r->attr_count; i++) {
		check_text(r->attrs[i].key, RECORD_FIELD_BYTES_MAX);
		if (r->attrs[i].type == ATTR_TEXT)
			check_text(r->attrs[i].text, 3 * line.len + RECORD_FIELD_BYTES_MAX);
	}
	/* Nothing is lost: an undecoded line stands in message, or in raw. */
	REQUIRE(r->decoded || span_equal(r->raw.data ? r->raw : r->message, line));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct batch *batch;
	static struct arena arena;
	static struct record record;
	struct decode_context ctx = {.arena = &arena, .org = SPAN("o"), .app = SPAN("a")};
	struct span line = span_of(bytes, len);
	struct err err;

	if (!batch) {
		enum err_kind rc = batch_new(&batch, &err);

		REQUIRE(rc == ERR_NONE);
		arena_init(&arena, ARENA_BYTES_MAX);
	}
	compare_scan(&arena, line, RAW_NATS_JSON);
	compare_scan(&arena, line, RAW_FLY_JSON);
	for (int form = RAW_NATS_JSON; form <= RAW_FLY_JSON; form++) {
		struct raw *raw;

		arena_reset(&arena);
		batch_reset(batch);
		raw = batch_add(batch, SPAN(SUBJECT), line);
		REQUIRE(raw != NULL);
		raw->form = (enum raw_form)form;
		decode(&ctx, batch, raw, &record);
		check_record(&record, line);
	}
	return 0;
}
