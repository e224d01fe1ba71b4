#include "one_line.h"

enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

void one_line_init(struct one_line *l)
{
	struct err err;
	enum err_kind rc;

	*l = (struct one_line){.org = SPAN("example-org"), .app = SPAN("given-app")};
	arena_init(&l->arena, ARENA_BYTES_MAX);
	rc = batch_new(&l->batch, &err);
	REQUIRE(rc == ERR_NONE);
}

void one_line_release(struct one_line *l)
{
	batch_free(l->batch);
	arena_release(&l->arena);
}

struct one_line line;

int one_line_set_up(void **state)
{
	(void)state;
	one_line_init(&line);
	return 0;
}

int one_line_tear_down(void **state)
{
	(void)state;
	one_line_release(&line);
	return 0;
}

void one_line_put(struct one_line *l, enum raw_form form, struct span subject, struct span text)
{
	struct raw *raw;

	batch_reset(l->batch);
	arena_reset(&l->arena);
	raw = batch_add(l->batch, subject, text);
	REQUIRE(raw != NULL);
	raw->form = form;
	raw->received_ns = ONE_LINE_RECEIVED_NS;
	raw->ordinal = 1;
}

const struct record *one_line_decode(struct one_line *l)
{
	struct decode_context ctx = {.arena = &l->arena, .org = l->org, .app = l->app};

	/* What decode() leaves out would be seen. */
	memset(&l->record, 0xa5, sizeof(l->record));
	decode(&ctx, l->batch, &l->batch->raws[0], &l->record);
	return &l->record;
}

const struct record *one_line(struct one_line *l, enum raw_form form, struct span text)
{
	one_line_put(l, form, SPAN(""), text);
	return one_line_decode(l);
}

const struct attr *one_line_attr(const struct record *r, const char *key)
{
	for (size_t i = 0; i < r->attr_count; i++) {
		if (span_is(r->attrs[i].key, key))
			return &r->attrs[i];
	}
	return NULL;
}

bool one_line_attr_is(const struct record *r, const char *key, const char *text)
{
	const struct attr *attr = one_line_attr(r, key);

	return attr && attr->type == ATTR_TEXT && span_is(attr->text, text);
}
