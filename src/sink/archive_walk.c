#include "sink/archive_walk.h"

#include "base/backoff.h"
#include "base/time.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { FOLDER_BYTES = ARCHIVE_PREFIX_BYTES_MAX + 64 };

static const char *const folders[ARCHIVE_KINDS] = {
	[ARCHIVE_LINES] = "lines/",
	[ARCHIVE_SECURITY] = "events/class=security/",
	[ARCHIVE_OPERATIONS] = "events/class=operations/",
	[ARCHIVE_INDEX] = "index/",
};

struct walk {
	const struct archive_walk_options *options;
	const struct archive_walk_calls *calls;
	struct s3_list *list;
	bool is_behind; /* a key was of a time behind the one that is asked for */
	struct archive_walk_object page[S3_LIST_PAGE_MAX];
};

bool archive_walk_again(enum err_kind rc, unsigned tries, const _Atomic bool *cut)
{
	if (rc != ERR_RETRY || tries >= ARCHIVE_WALK_TRIES || (cut && atomic_load(cut)))
		return false;
	backoff_wait(tries, 0);
	return true;
}

static enum err_kind begin(struct walk *w, struct err *err)
{
	const struct archive_walk_options *o = w->options;
	char folder[FOLDER_BYTES], after[FOLDER_BYTES + TIME_TEXT_BYTES], at[TIME_TEXT_BYTES];

	(void)snprintf(folder, sizeof(folder), "%s%s%s", o->prefix, o->prefix[0] != '\0' ? "/" : "",
		       folders[o->kind]);
	/* What begins so stands behind it. */
	(void)snprintf(after, sizeof(after), "%sdate=%.10s", folder, time_format(o->since_ns, at));
	return (o->versions ? s3_list_new_versions : s3_list_new)(&w->list, o->client, folder,
								  after, err);
}

static size_t take(struct walk *w, const struct s3_listed *listed, size_t count)
{
	const struct archive_walk_options *o = w->options;
	size_t taken = 0;

	for (size_t i = 0; i < count && !w->is_behind; i++) {
		struct archive_walk_object *object = &w->page[taken];

		if (!archive_name_parse(o->prefix, listed[i].key, &object->name) ||
		    object->name.kind != o->kind)
			continue;
		w->is_behind = object->name.from_ns >= o->until_ns;
		if (w->is_behind || object->name.until_ns <= o->since_ns)
			continue;
		object->listed = listed[i];
		taken++;
	}
	return taken;
}

static enum err_kind next_page(struct walk *w, size_t *ret_count, struct err *err)
{
	const struct s3_listed *listed = NULL;
	unsigned tries = 0;
	enum err_kind rc;

	do
		rc = s3_list_page(w->list, &listed, ret_count, err);
	while (archive_walk_again(rc, ++tries, w->options->cut));
	if (!rc && *ret_count > 0) {
		size_t taken = take(w, listed, *ret_count);

		if (taken > 0)
			rc = w->calls->page(w->calls->arg, w->page, taken, err);
	}
	return rc;
}

enum err_kind archive_walk(const struct archive_walk_options *options,
			   const struct archive_walk_calls *calls, struct err *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	size_t count = 0;
	enum err_kind rc;

	if (!w)
		return err_set(err, ERR_FATAL, "out of memory for the archive's names");
	w->options = options;
	w->calls = calls;
	rc = begin(w, err);
	do
		if (!rc)
			rc = next_page(w, &count, err);
	while (!rc && count > 0 && !w->is_behind);
	s3_list_free(w->list);
	free(w);
	return rc;
}
