#include "source/positions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FILE_BYTES_MAX = (LOGS_API_APPS_MAX + 3) * 160, /* more than its lines take */
	PATH_BYTES = 1100,
	WORDS_MAX = 4,
};

static const char first_line[] = "flytrail http positions 1";

void positions_release(struct positions *p)
{
	free(p->apps);
	*p = (struct positions){.apps = NULL};
}

/* Takes the piece before the separator, or all of it, off the front. */
static struct span take(struct span *left, char separator)
{
	const char *at = left->len > 0 ? memchr(left->data, separator, left->len) : NULL;
	struct span piece = span_of(left->data, at ? (size_t)(at - left->data) : left->len);

	*left = span_after(*left, at ? piece.len + 1 : piece.len);
	return piece;
}

/* A whole number that is not negative. */
static bool read_number(struct span text, int64_t *ret)
{
	int64_t number = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9' ||
		    __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, text.data[i] - '0', &number))
			return false;
	}
	*ret = number;
	return text.len > 0;
}

static bool read_app(struct positions *p, const struct span words[WORDS_MAX])
{
	struct position *app = &p->apps[p->count];

	if (p->count == LOGS_API_APPS_MAX || words[1].len == 0 ||
	    words[1].len >= LOGS_API_APP_BYTES || !read_number(words[2], &app->sure_ns) ||
	    !read_number(words[3], &app->checked_ns))
		return false;
	memcpy(app->app, words[1].data, words[1].len);
	app->app[words[1].len] = '\0';
	p->count++;
	return true;
}

static bool read_line(struct positions *p, struct span line)
{
	struct span words[WORDS_MAX];

	for (size_t i = 0; i < WORDS_MAX; i++)
		words[i] = take(&line, ' ');
	if (line.len > 0)
		return false;
	if (span_is(words[0], "app"))
		return read_app(p, words);
	if (words[2].len > 0)
		return false;
	if (span_is(words[0], "began"))
		return read_number(words[1], &p->began_ns);
	return span_is(words[0], "listened") && read_number(words[1], &p->listened_ns);
}

static bool read_text(struct positions *p, struct span text)
{
	if (!span_is(take(&text, '\n'), first_line))
		return false;
	while (text.len > 0)
		if (!read_line(p, take(&text, '\n')))
			return false;
	return p->began_ns > 0 && p->listened_ns > 0;
}

enum err_kind positions_read(const char *folder, struct positions *ret, struct err *err)
{
	struct positions p = {.apps = calloc(LOGS_API_APPS_MAX, sizeof(*p.apps))};
	enum err_kind rc = ERR_NONE;
	char path[PATH_BYTES];
	struct buf text;

	if (!p.apps)
		return err_set(err, ERR_FATAL, "out of memory for the positions of %d applications",
			       LOGS_API_APPS_MAX);
	(void)snprintf(path, sizeof(path), "%s/" POSITIONS_NAME, folder);
	buf_init(&text, FILE_BYTES_MAX);
	if (!file_is_missing(path))
		rc = file_read_all(path, &text, err);
	if (rc == ERR_FULL)
		rc = ERR_NONE; /* longer than ours can be */
	else if (rc == ERR_NONE && text.len > 0 && !text.failed &&
		 !read_text(&p, span_of(text.data, text.len))) {
		p.count = 0;
		p.began_ns = 0;
		p.listened_ns = 0;
	}
	buf_release(&text);
	if (rc)
		positions_release(&p);
	else
		*ret = p;
	return rc;
}

enum err_kind positions_write(const char *folder, const struct positions *p, struct err *err)
{
	enum err_kind rc;
	struct buf text;

	buf_init(&text, FILE_BYTES_MAX);
	buf_fmt(&text, "%s\nbegan %" PRId64 "\nlistened %" PRId64 "\n", first_line, p->began_ns,
		p->listened_ns);
	for (size_t i = 0; i < p->count; i++)
		buf_fmt(&text, "app %s %" PRId64 " %" PRId64 "\n", p->apps[i].app,
			p->apps[i].sure_ns, p->apps[i].checked_ns);
	rc = buf_check(&text, err);
	if (rc == ERR_NONE)
		rc = file_replace(folder, POSITIONS_NAME, text.data, text.len, err);
	buf_release(&text);
	return rc;
}
