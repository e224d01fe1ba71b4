#include "run/retention.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ARCHIVE_BYTES_MAX = RETENTION_KEYS_BYTES_MAX + 4096 };

/* Why one stays; the other words are retention_state()'s. */
static const char BUSY[] = "busy", ARCHIVE[] = "archive", REFUSED[] = "refused";

static const char OVER[] = "it was ended before it was done";

struct apply {
	const struct retention_options *o;
	struct retention_result *result;
	struct retention *db; /* NULL: it was lost */
	struct {
		size_t count; /* of partitions in a row that the same kept */
		const char *kind, *state;
		struct err why;
	} trouble;
};

static bool is_over(const struct apply *a)
{
	return a->o->calls.is_over(a->o->calls.arg);
}

static void wait_a_while(const struct apply *a)
{
	a->o->calls.wait(a->o->calls.arg, RETENTION_AGAIN_SECONDS * NS_PER_S);
}

/* --- what the archive said --- */

void retention_add_key(struct retention_archive *a, struct span key)
{
	if (a->key_count >= RETENTION_KEYS_MAX)
		return;
	if (a->key_count++ > 0)
		buf_u8(&a->keys, ',');
	json_write_text(&a->keys, key);
}

void retention_write_archive(const struct retention_archive *a, const char *failure,
			     struct buf *out)
{
	buf_fmt(out, "{\"rows\":%" PRIu64 ",\"apart\":%" PRIu64 ",\"objects\":%" PRIu64, a->rows,
		a->apart, a->objects);
	json_write_key(out, "digest");
	json_write_text(out, span_text(a->digest));
	json_write_key(out, "index");
	buf_u8(out, '[');
	buf_span(out, span_of(a->keys.data, a->keys.len));
	buf_u8(out, ']');
	if (failure) {
		json_write_key(out, "failure");
		json_write_text(out, span_text(failure));
	}
	buf_u8(out, '}');
}

const char *retention_state(const char *why)
{
	if (strncmp(why, "hold ", strlen("hold ")) == 0)
		return "hold";
	return strncmp(why, "a gap", strlen("a gap")) == 0 ? "gap" : REFUSED;
}

/* --- putting back --- */

/* While somebody uses the parent it waits, but not for ever. */
static enum err_kind attach(struct apply *a, const char *leaving, struct err *err)
{
	enum err_kind rc = ERR_RETRY;

	for (int i = 0; i < RETENTION_ATTACH_TRIES && rc == ERR_RETRY; i++) {
		if (i > 0)
			wait_a_while(a);
		rc = retention_attach(a->db, leaving, err);
		if (rc == ERR_RETRY && retention_is_lost(a->db))
			return rc;
		/* A wait is cut short then, so that trying again comes to nothing. */
		if (rc == ERR_RETRY && i > 0 && is_over(a))
			return rc;
	}
	return rc;
}

static enum err_kind attach_leftovers(struct apply *a, struct err *err)
{
	struct retention_names left = {.count = 0};
	enum err_kind rc = retention_leftovers(a->db, &left, err);

	for (size_t i = 0; !rc && i < left.count; i++) {
		rc = attach(a, left.names[i], err);
		if (rc)
			return err_wrap(err, "table %s could not be attached again", left.names[i]);
		a->result->attached++;
		a->o->calls.attached(a->o->calls.arg, left.names[i]);
	}
	return rc;
}

/* The lock may be held for a while yet by a session whose client is gone. */
static enum err_kind reconnect(struct apply *a, struct err *err)
{
	bool mine = false;
	enum err_kind rc;

	retention_close(a->db);
	a->db = NULL;
	rc = retention_open(&a->db, a->o->url, err);
	for (int i = 0; i < RETENTION_ATTACH_TRIES && !rc && !mine; i++) {
		if (i > 0)
			wait_a_while(a);
		rc = retention_lock(a->db, &mine, err);
		if (i > 0 && is_over(a))
			break;
	}
	if (!rc && !mine)
		rc = err_set(err, ERR_RETRY, "another session has retention's lock");
	return rc;
}

/* leaving: what is known to be detached; NULL: nothing, but the answer may have been lost. */
static enum err_kind put_back(struct apply *a, const char *leaving, bool is_lost, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (!is_lost)
		return leaving ? attach(a, leaving, err) : ERR_NONE;
	rc = reconnect(a, err);
	return rc ? rc : attach_leftovers(a, err);
}

/* --- one partition --- */

static enum err_kind detach(struct apply *a, const struct retention_row *row,
			    char leaving[RETENTION_NAME_BYTES], struct err *err)
{
	enum err_kind rc = ERR_RETRY;

	for (int i = 0; i < RETENTION_DETACH_TRIES && rc == ERR_RETRY; i++) {
		if (i > 0)
			wait_a_while(a);
		if (is_over(a))
			return err_set(err, ERR_FULL, "%s", OVER);
		rc = retention_detach(a->db, row->partition, leaving, err);
		if (rc == ERR_RETRY && retention_is_lost(a->db))
			return rc;
	}
	return rc;
}

/* Puts what the archive has of it, or why that is not known, into json; nothing where nothing is
 * archived. */
static enum err_kind ask_archive(struct apply *a, const struct retention_row *row,
				 const char *leaving, struct buf *json, struct err *err)
{
	const struct retention_calls *calls = &a->o->calls;
	struct retention_digest digest;
	const struct retention_part part = {
		.kind = row->kind,
		.partition = row->partition,
		.leaving = leaving,
		.from_ns = row->from_ns,
		.to_ns = row->to_ns,
		.digest = &digest,
	};
	struct retention_archive has = {.rows = 0};
	enum err_kind rc = retention_digest(a->db, leaving, &digest, err);

	if (rc)
		return rc;
	buf_init(&has.keys, RETENTION_KEYS_BYTES_MAX);
	rc = calls->check_archive(calls->archive_arg, a->db, &part, &has, err);
	/* The upper limit holds without an archive, too; what was wrong with it is on record. */
	if (!rc || (row->is_past_keep_at_most && rc != ERR_FATAL && !is_over(a))) {
		if (rc)
			has = (struct retention_archive){.keys = has.keys};
		if (!has.is_none)
			retention_write_archive(&has, rc ? err->text : NULL, json);
		rc = buf_check(json, err);
	} else {
		(void)err_wrap(err, "its archive");
	}
	buf_release(&has.keys);
	return rc;
}

static enum err_kind drop(struct apply *a, const struct retention_row *row, const char *leaving,
			  const char **ret_state, struct err *err)
{
	bool asks = a->o->calls.check_archive && !a->o->without_archive;
	struct buf json;
	enum err_kind rc = ERR_NONE;

	buf_init(&json, ARCHIVE_BYTES_MAX);
	if (asks)
		rc = ask_archive(a, row, leaving, &json, err);
	if (rc)
		*ret_state = ARCHIVE;
	else if (is_over(a))
		rc = err_set(err, ERR_FULL, "%s", OVER);
	if (!rc) {
		rc = retention_drop(a->db, leaving, json.len > 0 ? (const char *)json.data : NULL,
				    a->o->without_archive, err);
		*ret_state = rc == ERR_RETRY                          ? BUSY
			     : rc && retention_archive_differs(a->db) ? ARCHIVE
								      : REFUSED;
	}
	buf_release(&json);
	return rc;
}

static void note_trouble(struct apply *a, const struct retention_row *row, const char *state,
			 const struct err *why)
{
	bool is_busy = state == BUSY;
	bool is_same = a->trouble.count > 0 && state == a->trouble.state &&
		       (!is_busy || strcmp(row->kind, a->trouble.kind) == 0);
	bool is_common = is_busy ||
			 (state == ARCHIVE && (why->kind == ERR_RETRY || why->kind == ERR_CONFIG));

	a->trouble.count = !is_common ? 0 : is_same ? a->trouble.count + 1 : 1;
	a->trouble.kind = row->kind;
	a->trouble.state = state;
	a->trouble.why = *why;
}

/* Whether the others may go on after what kept one. */
static enum err_kind after_failure(struct apply *a, const struct retention_row *row,
				   const char *leaving, const char *state, struct err *err)
{
	bool is_lost = retention_is_lost(a->db);
	struct err why = *err, aside;
	enum err_kind rc = put_back(a, leaving, is_lost, &aside);

	if (rc)
		return err_set(
			err, rc,
			"%s: what is detached stays so, with all of its rows, until the next "
			"apply: %s; then: %s",
			row->partition, why.text, aside.text);
	if (is_lost)
		return err_set(err, ERR_RETRY, "%s: nothing is left detached: %s", row->partition,
			       why.text);
	if (is_over(a))
		return err_set(err, ERR_FULL, "%s: %s", row->partition, OVER);
	/* What is wrong with the database is so for all of them. */
	if (why.kind == ERR_FATAL || (why.kind == ERR_CONFIG && state != ARCHIVE))
		return err_wrap(err, "%s", row->partition);
	note_trouble(a, row, state, &why);
	a->result->failed++;
	a->o->calls.stays(a->o->calls.arg, row, state, why.text);
	return ERR_NONE;
}

static enum err_kind leave(struct apply *a, const struct retention_row *row, struct err *err)
{
	char leaving[RETENTION_NAME_BYTES];
	const char *state = BUSY;
	enum err_kind rc = detach(a, row, leaving, err);

	if (rc)
		return after_failure(a, row, NULL, rc == ERR_RETRY ? state : REFUSED, err);
	rc = drop(a, row, leaving, &state, err);
	if (rc)
		return after_failure(a, row, leaving, state, err);
	a->trouble.count = 0;
	a->result->dropped++;
	a->o->calls.dropped(a->o->calls.arg, row);
	return ERR_NONE;
}

/* --- all of them --- */

static bool stays_untried(struct apply *a, const struct retention_row *row)
{
	bool is_busy = a->trouble.state == BUSY;

	if (a->trouble.count < RETENTION_TROUBLES_MAX ||
	    (is_busy ? strcmp(row->kind, a->trouble.kind) != 0 : row->is_past_keep_at_most))
		return false;
	a->result->failed++;
	a->o->calls.stays(a->o->calls.arg, row, a->trouble.state, a->trouble.why.text);
	return true;
}

static enum err_kind follow_plan(struct apply *a, struct err *err)
{
	struct retention_plan *plan = NULL;
	enum err_kind rc = retention_plan_read(a->db, &plan, err);

	for (size_t i = 0; !rc && i < retention_plan_count(plan); i++) {
		struct retention_row row = retention_plan_row(plan, i);

		if (row.goes && !stays_untried(a, &row)) {
			rc = leave(a, &row, err);
		} else if (retention_row_waits(&row)) {
			a->result->kept++;
			a->o->calls.stays(a->o->calls.arg, &row, retention_state(row.why), row.why);
		}
	}
	retention_plan_free(plan);
	return rc;
}

static enum err_kind take_lock(struct apply *a, struct err *err)
{
	bool mine = false;
	enum err_kind rc = retention_open(&a->db, a->o->url, err);

	if (!rc)
		rc = retention_lock(a->db, &mine, err);
	if (!rc && !mine)
		rc = err_set(err, ERR_FULL,
			     "another `retention apply` or `flytrail run` is at it: this one did "
			     "nothing");
	return rc;
}

static enum err_kind name_strays(struct apply *a, struct err *err)
{
	struct retention_names strays = {.count = 0};
	enum err_kind rc = retention_strays(a->db, &strays, err);

	for (size_t i = 0; !rc && i < strays.count; i++)
		a->o->calls.stray(a->o->calls.arg, strays.names[i]);
	a->result->strays = strays.count;
	return rc;
}

enum err_kind retention_apply(const struct retention_options *options, struct retention_result *ret,
			      struct err *err)
{
	struct apply a = {.o = options, .result = ret};
	enum err_kind rc;

	*ret = (struct retention_result){.dropped = 0};
	rc = take_lock(&a, err);
	if (!rc) /* whatever the clock says: nothing goes by that */
		rc = attach_leftovers(&a, err);
	if (!rc)
		rc = name_strays(&a, err);
	if (!rc)
		rc = retention_check_clock(a.db, err);
	if (!rc)
		rc = follow_plan(&a, err);
	if (!rc)
		rc = retention_tidy(a.db, err);
	retention_close(a.db);
	return rc;
}
