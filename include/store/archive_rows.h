#ifndef STORE_ARCHIVE_ROWS_H
#define STORE_ARCHIVE_ROWS_H

/*
 * archive_rows: the ids that an archive holds, beside a table of the trail: are all of its rows
 * there?
 *
 *	archive_rows_new(&r, session, "log_lines", "log_lines_20261126_leaving", err)
 *	archive_rows_cover(r, range, err) ...			of indexes
 *	archive_rows_uncovered(r, ranges, count, is_uncovered, err)	of objects
 *	archive_rows_begin(r, err); archive_rows_put(r, id, err) ...; archive_rows_end(r, err)
 *	archive_rows_compare(r, &result, err)
 *
 * What is put stands in temporary tables of the session, by binary COPY, an object at a time; an
 * id may be put more than once. Rows with the number 0 are commands' facts, which come to an
 * archive by run/mirror.h; they are counted apart, and are in no digest.
 *
 * A row is looked for by its id alone, which is made of what it is. So it counts as archived also
 * where another replica gave it another time, and it stands in another day's object;
 * archive_rows_days() says which days these can be.
 *
 * Ownership: the session is lent until archive_rows_free(), and is in no transaction. Other
 *            statements may be asked of it meanwhile, but not between a begin and its end.
 * Threads:   one.
 * Limits:    a piece of COPY_CHUNK_BYTES here; ids are the server's to keep, of which an object
 *            has some 44 bytes a record. ARCHIVE_ROWS_RANGES_MAX ranges at once.
 * Errors:    the session's (store/session.h). ERR_REJECT: the table's name is none of flytrail's.
 */

#include "model/id.h"
#include "store/session.h"

#include <stdint.h>

enum {
	ARCHIVE_ROWS_RANGES_MAX = 1000,
	ARCHIVE_ROWS_DAYS_MAX = 32,
	ARCHIVE_ROWS_DIGEST_BYTES = 65,
};

struct archive_rows;

/* kind: log_lines, security or operations; table: in the schema flytrail, attached or not. */
NODISCARD enum err_kind archive_rows_new(struct archive_rows **ret, struct session *session,
					 const char *kind, const char *table, struct err *err);
void archive_rows_free(struct archive_rows *r); /* NULL is fine */

/* What a name in the archive says of its records' numbers. */
struct archive_rows_range {
	struct id stream;
	uint64_t epoch, first_seq, last_seq;
};

NODISCARD enum err_kind archive_rows_cover(struct archive_rows *r,
					   const struct archive_rows_range *range, struct err *err);
/* Sets ret of each: whether no range that was covered holds all of it. */
NODISCARD enum err_kind archive_rows_uncovered(struct archive_rows *r,
					       const struct archive_rows_range *ranges,
					       size_t count, bool *ret, struct err *err);

/* The ids of one object: all of them stand from the end on, and none before. */
NODISCARD enum err_kind archive_rows_begin(struct archive_rows *r, struct err *err);
NODISCARD enum err_kind archive_rows_put(struct archive_rows *r, const struct id *id,
					 struct err *err);
NODISCARD enum err_kind archive_rows_end(struct archive_rows *r, struct err *err);
/* Instead of the end: none of them stands. */
NODISCARD enum err_kind archive_rows_drop(struct archive_rows *r, struct err *err);

struct archive_rows_result {
	uint64_t rows, missing; /* those of the table, and of these the ones that were not put */
	uint64_t apart, apart_found; /* further ones of no spool, and those that were put */
	/* flytrail.digest_of_ids() of the others; "" where any is missing. */
	char digest[ARCHIVE_ROWS_DIGEST_BYTES];
};

NODISCARD enum err_kind archive_rows_compare(struct archive_rows *r,
					     struct archive_rows_result *ret, struct err *err);

/*
 * Days, each by its beginning and in their order, that are not in [from_ns, until_ns) and in
 * which a missing row may stand: that of its arrival, and that which it claims, where the claim
 * was not believed. Of more than ARCHIVE_ROWS_DAYS_MAX, the first.
 */
NODISCARD enum err_kind archive_rows_days(struct archive_rows *r, int64_t from_ns, int64_t until_ns,
					  int64_t ret[ARCHIVE_ROWS_DAYS_MAX], size_t *ret_count,
					  struct err *err);

#endif
