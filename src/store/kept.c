/*
 *	a file, little-endian
 *	0    8   "FLYKEPT1"
 *	8    8   when it was taken, in nanoseconds
 *	16   1   whether there is a snapshot, and not only why it cannot be looked at
 *	17   16  four lengths, of: resource, scope, why, content
 *	33       these
 *	     4   CRC-32 of all before it
 */

#include "store/kept.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/gzip.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER_NAME "snapshots"
#define FRESH_SUFFIX ".new" /* of base/file.h's */

enum {
	MAGIC_BYTES = 8,
	TEXTS = 4,
	LENGTHS_AT = 17,
	HEAD_BYTES = LENGTHS_AT + TEXTS * 4,
	CRC_BYTES = 4,
	NAME_DIGITS = 32,
};

static const char magic[MAGIC_BYTES + 1] = "FLYKEPT1";

struct entry {
	char name[NAME_DIGITS + 1];
	uint64_t bytes;
};

struct kept {
	char folder[PATH_MAX - NAME_DIGITS -
		    sizeof("/" FRESH_SUFFIX)]; /* const after kept_open() */

	struct hasher *hasher;
	struct entry *entries;
	size_t count, capacity;
	uint64_t bytes; /* of all files */
	bool full;
	uint64_t damaged;
	struct buf file;  /* as it is on the disk */
	struct buf texts; /* what kept_get() lends, each with a NUL */
};

static enum err_kind no_memory(struct err *err)
{
	return err_set(err, ERR_FATAL, "out of memory for snapshots");
}

/* What Postgres is not there for, the disk may not be either: it is tried again. */
static enum err_kind tried_again(enum err_kind rc, struct err *err)
{
	if (rc != ERR_NONE && rc != ERR_FATAL)
		err->kind = rc = ERR_RETRY;
	return rc;
}

/* --- which there are --- */

static struct entry *find(const struct kept *k, const char *name)
{
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(k->entries[i].name, name) == 0)
			return &k->entries[i];
	return NULL;
}

static enum err_kind add(struct kept *k, const char *name, uint64_t bytes, struct err *err)
{
	if (k->count == k->capacity) {
		size_t capacity = k->capacity > 0 ? 2 * k->capacity : 64;
		struct entry *more = realloc(k->entries, capacity * sizeof(*more));

		if (!more)
			return no_memory(err);
		k->entries = more;
		k->capacity = capacity;
	}
	k->entries[k->count] = (struct entry){.bytes = bytes};
	(void)snprintf(k->entries[k->count].name, sizeof(k->entries[0].name), "%s", name);
	k->count++;
	k->bytes += bytes;
	return ERR_NONE;
}

static void path_of(const struct kept *k, const char *name, char ret[PATH_MAX])
{
	(void)snprintf(ret, PATH_MAX, "%s/%s", k->folder, name);
}

/* The last takes its place. */
static enum err_kind drop(struct kept *k, size_t idx, struct err *err)
{
	char path[PATH_MAX];
	enum err_kind rc;

	path_of(k, k->entries[idx].name, path);
	/* Somebody may have cleared the folder. */
	rc = file_is_missing(path) ? ERR_NONE : tried_again(file_remove(path, err), err);
	if (rc)
		return rc;
	k->bytes -= k->entries[idx].bytes;
	k->entries[idx] = k->entries[--k->count];
	return ERR_NONE;
}

static bool is_name(const char *name, size_t len)
{
	return len == NAME_DIGITS && strspn(name, "0123456789abcdef") >= NAME_DIGITS;
}

static enum err_kind take_name(struct kept *k, const char *name, struct err *err)
{
	size_t len = strlen(name);
	char path[PATH_MAX];
	uint64_t bytes = 0;
	int fd = -1;
	enum err_kind rc;

	if (!is_name(name, len)) {
		/* What a crash left half written. */
		if (len == NAME_DIGITS + strlen(FRESH_SUFFIX) && is_name(name, NAME_DIGITS) &&
		    strcmp(name + NAME_DIGITS, FRESH_SUFFIX) == 0) {
			path_of(k, name, path);
			(void)unlink(path);
		}
		return ERR_NONE;
	}
	path_of(k, name, path);
	rc = file_open(&fd, path, FILE_READ, err);
	if (!rc)
		rc = file_size(fd, &bytes, err);
	file_close(&fd);
	return rc ? tried_again(rc, err) : add(k, name, bytes, err);
}

static enum err_kind list(struct kept *k, struct err *err)
{
	DIR *dir = opendir(k->folder);
	const struct dirent *entry;
	enum err_kind rc = ERR_NONE;

	if (!dir && errno == ENOENT)
		return ERR_NONE;
	if (!dir)
		return err_errno(err, ERR_RETRY, "cannot list %s", k->folder);
	while (!rc && k->count < KEPT_FILES_MAX && (entry = readdir(dir)))
		rc = take_name(k, entry->d_name, err);
	(void)closedir(dir);
	return rc;
}

enum err_kind kept_open(struct kept **ret, const char *spool_folder, struct err *err)
{
	struct kept *k = calloc(1, sizeof(*k));
	enum err_kind rc;
	int len;

	if (!k)
		return no_memory(err);
	buf_init(&k->file, HEAD_BYTES + KEPT_BYTES_MAX + CRC_BYTES);
	buf_init(&k->texts, KEPT_BYTES_MAX + TEXTS);
	len = snprintf(k->folder, sizeof(k->folder), "%s/" FOLDER_NAME, spool_folder);
	if (len < 0 || (size_t)len >= sizeof(k->folder))
		rc = err_set(err, ERR_CONFIG, "the path of the spool is too long");
	else
		rc = hasher_new(&k->hasher, err);
	if (!rc)
		rc = list(k, err);
	if (rc) {
		kept_close(k);
		err->kind = rc = ERR_FATAL; /* somebody has to see to the folder */
	} else {
		*ret = k;
	}
	return rc;
}

void kept_close(struct kept *k)
{
	if (!k)
		return;
	hasher_free(k->hasher);
	buf_release(&k->file);
	buf_release(&k->texts);
	free(k->entries);
	free(k);
}

size_t kept_count(const struct kept *k)
{
	return k->count;
}

bool kept_has_room(const struct kept *k)
{
	return !k->full;
}

uint64_t kept_damaged(const struct kept *k)
{
	return k->damaged;
}

/* --- a file --- */

static enum err_kind name_of(struct kept *k, const char *resource, const char *scope,
			     char ret[NAME_DIGITS + 1], struct err *err)
{
	uint8_t digest[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc = hasher_begin(k->hasher, err);

	if (rc)
		return rc;
	hasher_add(k->hasher, resource, strlen(resource) + 1);
	hasher_add(k->hasher, scope, strlen(scope));
	rc = hasher_end(k->hasher, digest, err);
	if (!rc)
		(void)snprintf(ret, NAME_DIGITS + 1, "%.*s", NAME_DIGITS, hash_hex(digest, hex));
	return rc;
}

static enum err_kind encode(const struct kept_snapshot *s, struct buf *out, struct err *err)
{
	const struct span texts[TEXTS] = {span_text(s->resource), span_text(s->scope),
					  span_text(s->why), s->content};
	uint8_t head[HEAD_BYTES], crc[CRC_BYTES];
	enum err_kind rc;

	memcpy(head, magic, MAGIC_BYTES);
	put_u64_le(head + MAGIC_BYTES, (uint64_t)s->taken_ns);
	head[LENGTHS_AT - 1] = s->found;
	buf_reset(out);
	for (size_t i = 0; i < TEXTS; i++) {
		if (texts[i].len > KEPT_BYTES_MAX)
			return err_set(err, ERR_FULL, "a snapshot that is too large to be kept");
		put_u32_le(head + LENGTHS_AT + 4 * i, (uint32_t)texts[i].len);
	}
	buf_add(out, head, sizeof(head));
	for (size_t i = 0; i < TEXTS; i++)
		buf_span(out, texts[i]);
	rc = buf_check(out, err);
	if (rc)
		return rc;
	put_u32_le(crc, gzip_crc32(0, out->data, out->len));
	buf_add(out, crc, sizeof(crc));
	return buf_check(out, err);
}

/* The texts of a file, each with a NUL behind it; false: it is none. */
static bool split(const struct buf *file, struct buf *texts, size_t starts[TEXTS])
{
	size_t at = HEAD_BYTES;
	size_t end = file->len - CRC_BYTES;

	if (file->len < HEAD_BYTES + CRC_BYTES || memcmp(file->data, magic, MAGIC_BYTES) != 0 ||
	    get_u32_le(file->data + end) != gzip_crc32(0, file->data, end))
		return false;
	buf_reset(texts);
	for (size_t i = 0; i < TEXTS; i++) {
		size_t len = get_u32_le(file->data + LENGTHS_AT + 4 * i);

		if (len > end - at)
			return false;
		starts[i] = texts->len;
		buf_add(texts, file->data + at, len);
		buf_u8(texts, '\0');
		at += len;
	}
	return at == end;
}

/* *ret_good false: the file is none of ours, or gone. */
static enum err_kind read_one(struct kept *k, const char *name, struct kept_snapshot *ret,
			      bool *ret_good, struct err *err)
{
	char path[PATH_MAX], own_name[NAME_DIGITS + 1];
	size_t starts[TEXTS] = {0};
	const char *text;
	enum err_kind rc;

	path_of(k, name, path);
	buf_reset(&k->file);
	*ret_good = false;
	if (file_is_missing(path))
		return ERR_NONE;
	rc = file_read_all(path, &k->file, err);
	if (rc == ERR_FULL)
		return ERR_NONE;
	if (rc)
		return tried_again(rc, err);
	if (!split(&k->file, &k->texts, starts))
		return ERR_NONE;
	rc = buf_check(&k->texts, err);
	if (rc)
		return rc;
	text = (const char *)k->texts.data;
	*ret = (struct kept_snapshot){
		.resource = text + starts[0],
		.scope = text + starts[1],
		.found = k->file.data[LENGTHS_AT - 1] != 0,
		.taken_ns = (int64_t)get_u64_le(k->file.data + MAGIC_BYTES),
		.why = text + starts[2],
		.content = span_of(text + starts[3], k->texts.len - 1 - starts[3]),
	};
	rc = name_of(k, ret->resource, ret->scope, own_name, err);
	*ret_good = rc == ERR_NONE && strcmp(name, own_name) == 0;
	return rc;
}

/* --- what is asked for --- */

enum err_kind kept_put(struct kept *k, const struct kept_snapshot *s, struct err *err)
{
	char name[NAME_DIGITS + 1];
	enum err_kind rc = name_of(k, s->resource, s->scope, name, err);
	struct entry *entry = rc ? NULL : find(k, name);
	uint64_t others = k->bytes - (entry ? entry->bytes : 0);

	if (!rc)
		rc = encode(s, &k->file, err);
	if (!rc &&
	    (others + k->file.len > KEPT_BYTES_MAX || (!entry && k->count >= KEPT_FILES_MAX)))
		rc = err_set(err, ERR_FULL, "no room for more snapshots while Postgres is away");
	if (!rc)
		rc = file_make_folder(k->folder, err);
	if (!rc)
		rc = file_replace(k->folder, name, k->file.data, k->file.len, err);
	k->full = rc != ERR_NONE;
	if (rc)
		return tried_again(rc, err);
	if (!entry)
		return add(k, name, k->file.len, err);
	k->bytes = others + k->file.len;
	entry->bytes = k->file.len;
	return ERR_NONE;
}

enum err_kind kept_get(struct kept *k, const char *resource, const char *scope,
		       struct kept_snapshot *ret, struct err *err)
{
	char name[NAME_DIGITS + 1];
	enum err_kind rc = name_of(k, resource, scope, name, err);
	bool good = false;

	if (!rc && find(k, name))
		rc = read_one(k, name, ret, &good, err);
	if (!rc && !good)
		*ret = (struct kept_snapshot){.resource = resource, .scope = scope, .why = ""};
	return rc;
}

enum err_kind kept_hand_over(struct kept *k, const struct kept_taker *to, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (k->count == 0) {
		k->full = false;
		return ERR_NONE;
	}
	while (!rc && k->count > 0) {
		struct kept_snapshot s;
		bool good;

		rc = read_one(k, k->entries[0].name, &s, &good, err);
		if (!rc && good)
			rc = to->take(to->arg, &s, err);
		if (rc)
			return rc;
		k->damaged += !good;
		rc = drop(k, 0, err);
	}
	if (rc)
		return rc;
	k->full = false;
	/* A file that a crash brings back must not meet what is looked at after this. */
	return tried_again(file_sync_folder(k->folder, err), err);
}
