#ifndef SINK_S3_LIST_H
#define SINK_S3_LIST_H

/*
 * s3_list: what a bucket holds under a prefix, a page at a time, in the order of keys.
 *
 *	s3_list_new(&l, client, "flytrail/lines/", "", err)
 *	s3_list_page(l, &objects, &count, err) ...		until count is 0
 *
 * By ListObjectsV2, which tells the newest version of each object, and not what lies behind a
 * marker that deletes it; or by ListObjectVersions, which tells all versions, and here no
 * markers. Keys are asked for as they stand in a URL, because others' keys may hold what no XML
 * can; here they are as they are.
 *
 * Ownership: the client is lent until s3_list_free(); it may do other work between pages.
 *            Objects are lent until the next page.
 * Threads:   those of the client.
 * Limits:    S3_LIST_PAGE_MAX objects a page, S3_LIST_ANSWER_BYTES_MAX of it, S3_LIST_PAGES_MAX.
 * Errors:    those of sink/s3_client.h. After ERR_RETRY the same page may be asked for
 *            again; an answer that is no listing is ERR_RETRY, too. ERR_FULL: the limits.
 */

#include "sink/s3_client.h"

enum {
	S3_LIST_PAGE_MAX = 1000, /* S3's own */
	S3_LIST_ANSWER_BYTES_MAX = 8 * 1024 * 1024,
	S3_LIST_PAGES_MAX = 1000 * 1000,
};

struct s3_list;

struct s3_listed {
	struct span key;
	struct span version; /* "null": of a bucket that had no versions then; "": not asked for */
	uint64_t bytes;
	int64_t stored_ns; /* LastModified; 0: it says no time */
};

/* after: a key, "" for none; what does not come behind it is left out. */
NODISCARD enum err_kind s3_list_new(struct s3_list **ret, struct s3_client *client,
				    const char *prefix, const char *after, struct err *err);
/* Of all versions; those of one key follow each other. */
NODISCARD enum err_kind s3_list_new_versions(struct s3_list **ret, struct s3_client *client,
					     const char *prefix, const char *after,
					     struct err *err);
void s3_list_free(struct s3_list *l); /* NULL is fine */

NODISCARD enum err_kind s3_list_page(struct s3_list *l, const struct s3_listed **ret,
				     size_t *ret_count, struct err *err);

#endif
