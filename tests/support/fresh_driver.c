/*
 * fresh_driver: store/fresh.h, driven line by line from stdin, for tests/integration/test_fresh.py.
 *
 *	fresh_driver URL TAKER LEAST all|apart
 *
 *	read		-> ok COUNT UNKNOWN, and each fact of the page as a line of NDJSON
 *	take COUNT	marks the first of the page as taken -> ok
 *
 * What fails answers its kind and text.
 */

#include "model/ndjson.h"
#include "names.h"
#include "store/fresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMAND_BYTES = 64 };

static int answer(enum err_kind rc, const struct err *err)
{
	if (rc)
		(void)printf("%s %s\n", err_kind_name(rc), err->text);
	return rc != ERR_NONE;
}

static void print(const struct fresh_page *page)
{
	struct buf out;

	(void)printf("ok %zu %zu\n", page->count, page->unknown);
	for (size_t i = 0; i < page->count; i++) {
		buf_init(&out, RECORD_PAYLOAD_BYTES_MAX);
		ndjson_write_event(&page->facts[i], &out);
		REQUIRE(!out.failed);
		(void)fwrite(out.data, 1, out.len, stdout);
		buf_release(&out);
	}
}

static void read_page(struct session *s, const struct fresh_taker *taker, struct fresh_page *page)
{
	struct err err;

	if (!answer(fresh_read(s, taker, page, &err), &err))
		print(page);
}

static void take(struct session *s, const struct fresh_taker *taker, const struct fresh_page *page,
		 size_t count)
{
	struct fresh_key keys[FRESH_FACTS_MAX];
	struct err err;

	REQUIRE(count <= page->count);
	for (size_t i = 0; i < count; i++)
		keys[i] = fresh_key(&page->facts[i]);
	if (!answer(fresh_taken(s, taker, keys, count, &err), &err))
		(void)printf("ok\n");
}

int main(int argc, char **argv)
{
	const struct session_options options = {.url = argc == 5 ? argv[1] : "",
						.url_name = "URL",
						.connect_seconds = 30,
						.answer_seconds = 30};
	const struct fresh_taker taker = {
		.name = argc == 5 ? argv[2] : "",
		.least = argc == 5 ? (enum severity)strtoul(argv[3], NULL, 10) : SEVERITY_UNKNOWN,
		.is_apart = argc == 5 && strcmp(argv[4], "apart") == 0,
	};
	struct fresh_page page = FRESH_PAGE_EMPTY;
	struct session *s = NULL;
	char line[COMMAND_BYTES];
	struct err err;

	if (session_open(&s, &options, &err)) {
		(void)fprintf(stderr, "fresh_driver: %s\n", err.text);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, "take ", 5) == 0)
			take(s, &taker, &page, strtoul(line + 5, NULL, 10));
		else
			read_page(s, &taker, &page);
		(void)fflush(stdout);
	}
	fresh_release(&page);
	session_close(s);
	return 0;
}
