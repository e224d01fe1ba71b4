#include "sink/cursor.h"

#include "base/file.h"
#include "base/json.h"

#include <limits.h>
#include <stdio.h>

enum { NAME_BYTES = 64 };

void cursor_init(struct cursor *c, const struct spool_stream *stream)
{
	*c = (struct cursor){.stream = *stream};
	buf_init(&c->cut, CURSOR_BYTES_MAX);
	buf_init(&c->place, CURSOR_PLACE_BYTES_MAX);
}

void cursor_release(struct cursor *c)
{
	buf_release(&c->cut);
	buf_release(&c->place);
}

/* The cut is kept as text: what it means is the sink's. */
static bool read_all(struct cursor *c, const struct json *root)
{
	const struct json *stream = json_member(root, "stream"), *cut = json_member(root, "cut");
	const struct json *place = json_member(root, "place");

	if (!place || json_type(place) != JSON_TEXT || !stream || json_type(stream) != JSON_TEXT ||
	    !cut || json_type(cut) != JSON_TEXT || !id_parse(json_text(stream), &c->stream.uuid) ||
	    !json_read_digits(root, "epoch", &c->stream.epoch) ||
	    !json_read_digits(root, "delivered_seq", &c->delivered_seq) ||
	    !json_read_digits(root, "cut_seq", &c->cut_seq))
		return false;
	buf_reset(&c->cut);
	buf_span(&c->cut, json_text(cut));
	buf_reset(&c->place);
	buf_span(&c->place, json_text(place));
	if (c->cut_seq == 0)
		return json_text(cut).len == 0;
	return c->cut_seq > c->delivered_seq;
}

enum err_kind cursor_load(struct cursor *c, const char *folder, const char *sink, bool *ret_found,
			  struct err *err)
{
	char path[PATH_MAX];
	struct json *root = NULL;
	struct buf text;
	enum err_kind rc;
	int len = snprintf(path, sizeof(path), "%s/%s.cursor", folder, sink);

	REQUIRE(len > 0 && (size_t)len < sizeof(path));
	*ret_found = !file_is_missing(path);
	if (!*ret_found)
		return ERR_NONE;
	buf_init(&text, CURSOR_BYTES_MAX);
	rc = file_read_all(path, &text, err);
	if (!rc && json_parse(&root, span_of(text.data, text.len), err) == ERR_FATAL)
		rc = ERR_FATAL;
	if (!rc && (!root || !read_all(c, root)))
		rc = err_set(err, ERR_CORRUPT, "%s/%s.cursor is damaged", folder, sink);
	if (!rc)
		rc = buf_check(&c->cut, err);
	if (!rc)
		rc = buf_check(&c->place, err);
	json_free(root);
	buf_release(&text);
	return rc;
}

static struct span text_of(const struct buf *b)
{
	return b->len > 0 ? span_of(b->data, b->len) : SPAN("");
}

enum err_kind cursor_save(const struct cursor *c, const char *folder, const char *sink,
			  struct err *err)
{
	char name[NAME_BYTES], uuid[ID_TEXT_BYTES];
	int len = snprintf(name, sizeof(name), "%s.cursor", sink);
	struct buf text;
	enum err_kind rc;

	REQUIRE(len > 0 && (size_t)len < sizeof(name));
	buf_init(&text, CURSOR_BYTES_MAX);
	buf_u8(&text, '{');
	json_write_key(&text, "stream");
	json_write_text(&text, span_text(id_format(&c->stream.uuid, uuid)));
	json_write_digits(&text, "epoch", c->stream.epoch);
	json_write_digits(&text, "delivered_seq", c->delivered_seq);
	json_write_digits(&text, "cut_seq", c->cut_seq);
	json_write_key(&text, "cut");
	json_write_text(&text, text_of(&c->cut));
	json_write_key(&text, "place");
	json_write_text(&text, text_of(&c->place));
	buf_str(&text, "}\n");
	rc = buf_check(&text, err);
	if (!rc)
		rc = file_replace(folder, name, text.data, text.len, err);
	buf_release(&text);
	return rc;
}
