#include "run/watch_store.h"

#include "base/backoff.h"
#include "base/time.h"
#include "run/leased.h"
#include "store/kept.h"
#include "store/snapshots.h"

#include <stdio.h>
#include <stdlib.h>

/* Less than who waits for another's files to go first leaves them: LEASED_OTHER_MS. */
enum { AWAY_RETRY_MS_MAX = 10 * 1000 };

struct watch_store {
	struct watch_store_options o; /* const after watch_store_new() */
	struct kept *kept;

	struct snapshots *db; /* NULL: to be connected */
	bool held;            /* the lease, as far as is known */
	bool others;          /* another replica has it, or goes first */
	bool saw_other;       /* another had it when Postgres was last asked */
	bool yields;          /* and Postgres has been away since */
	int64_t renewed_ns;   /* on the monotonic clock */
	int64_t retry_ns;     /* likewise: when Postgres is tried again */
	unsigned failures;    /* in a row */
	char why[ERR_TEXT_BYTES];
};

enum err_kind watch_store_new(struct watch_store **ret, const struct watch_store_options *options,
			      struct err *err)
{
	struct watch_store *s = calloc(1, sizeof(*s));
	enum err_kind rc;

	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for watching");
	s->o = *options;
	rc = kept_open(&s->kept, options->spool_folder, err);
	if (rc)
		watch_store_free(s);
	else
		*ret = s;
	return rc;
}

void watch_store_free(struct watch_store *s)
{
	if (!s)
		return;
	snapshots_close(s->db);
	kept_close(s->kept);
	free(s);
}

bool watch_store_is_others(const struct watch_store *s)
{
	return s->others;
}

const char *watch_store_away(const struct watch_store *s)
{
	return s->held && !s->db ? s->why : NULL;
}

uint64_t watch_store_damaged(const struct watch_store *s)
{
	return kept_damaged(s->kept);
}

/* --- Postgres comes and goes --- */

/* Whether Postgres cannot be used any more, which closes the connection. */
static bool has_lost(struct watch_store *s, enum err_kind rc, const struct err *why)
{
	int64_t wait_ms;

	if (rc != ERR_RETRY && rc != ERR_CONFIG)
		return false;
	/* The lease stays: who goes on without Postgres must not be followed meanwhile. */
	snapshots_drop(s->db);
	s->db = NULL;
	s->yields = s->saw_other;
	wait_ms = time_earlier(backoff_random_ms(++s->failures), AWAY_RETRY_MS_MAX);
	s->retry_ns = time_monotonic_ns() + wait_ms * NS_PER_MS;
	(void)snprintf(s->why, sizeof(s->why), "%s", why->text);
	return true;
}

/* Postgres takes no older one in place of a newer. What it will never take is not kept for ever. */
static enum err_kind give(void *arg, const struct kept_snapshot *k, struct err *err)
{
	struct watch_store *s = arg;
	enum err_kind rc = ERR_NONE;

	if (k->found)
		rc = snapshots_save(s->db, k->resource, k->scope, k->content, k->taken_ns, err);
	if (!rc && k->why[0] != '\0')
		rc = snapshots_unobserve(s->db, k->resource, k->scope, k->why, err);
	return rc == ERR_REJECT ? ERR_NONE : rc;
}

static enum err_kind connect(struct watch_store *s, struct err *err)
{
	const struct snapshots_options options = {
		.url = s->o.url,
		.replica = s->o.replica,
		.stream = s->o.stream,
	};
	const struct kept_taker to = {.take = give, .arg = s};
	enum err_kind rc;

	if (s->db)
		return ERR_NONE;
	rc = snapshots_open(&s->db, &options, err);
	return rc ? rc : kept_hand_over(s->kept, &to, err);
}

static enum err_kind take_lease(struct watch_store *s, int64_t now_ns, bool *ret_anew,
				struct err *err)
{
	/* One that has lapsed may have been another's meanwhile. */
	bool had_it = s->held && now_ns - s->renewed_ns < LEASED_SECONDS * NS_PER_S;
	bool mine = false;
	enum err_kind rc = ERR_NONE;

	if (!s->yields)
		rc = snapshots_take_lease(s->db, LEASED_SECONDS, &mine, err);
	if (rc)
		return rc;
	s->yields = false;
	s->failures = 0;
	s->held = mine;
	s->others = s->saw_other = !mine;
	s->renewed_ns = now_ns;
	*ret_anew = !had_it;
	return mine ? ERR_NONE : err_set(err, ERR_RETRY, "another replica watches");
}

/* Without Postgres, as long as what is found can be kept. */
static enum err_kind go_on(const struct watch_store *s, struct err *err)
{
	if (kept_has_room(s->kept))
		return ERR_NONE;
	return err_set(err, ERR_RETRY,
		       "no more snapshots can be kept while Postgres is away, which is waited for");
}

enum err_kind watch_store_hold(struct watch_store *s, bool *ret_anew, struct err *err)
{
	int64_t now_ns = time_monotonic_ns();
	enum err_kind rc;

	*ret_anew = false;
	if (s->db && s->held && now_ns - s->renewed_ns < LEASED_RENEW_SECONDS * NS_PER_S)
		return ERR_NONE;
	if (!s->db && s->held && now_ns < s->retry_ns)
		return go_on(s, err);
	s->others = false;
	rc = connect(s, err);
	if (!rc)
		rc = take_lease(s, now_ns, ret_anew, err);
	if (s->others || !has_lost(s, rc, err))
		return rc;
	return s->held ? go_on(s, err) : rc;
}

/* --- snapshots --- */

enum err_kind watch_store_load(struct watch_store *s, const char *resource, const char *scope,
			       struct watch_snapshot *ret, struct err *err)
{
	struct snapshot found = {.found = false};
	struct kept_snapshot kept;
	enum err_kind rc;

	if (s->db) {
		rc = snapshots_load(s->db, resource, scope, ret->content, &found, err);
		ret->found = found.found;
		ret->unobserved = found.unobserved;
		ret->taken_ns = found.taken_ns;
		if (!has_lost(s, rc, err))
			return rc;
	}
	rc = kept_get(s->kept, resource, scope, &kept, err);
	if (!rc && !kept.found)
		rc = err_set(err, ERR_RETRY, "a snapshot that is in Postgres alone, which is away");
	if (rc)
		return rc;
	ret->found = true;
	ret->unobserved = kept.why[0] != '\0';
	ret->taken_ns = kept.taken_ns;
	buf_span(ret->content, kept.content);
	return buf_check(ret->content, err);
}

enum err_kind watch_store_save(struct watch_store *s, const char *resource, const char *scope,
			       struct span content, int64_t taken_ns, struct err *err)
{
	const struct kept_snapshot kept = {.resource = resource,
					   .scope = scope,
					   .found = true,
					   .taken_ns = taken_ns,
					   .content = content,
					   .why = ""};
	enum err_kind rc;

	if (s->db) {
		rc = snapshots_save(s->db, resource, scope, content, taken_ns, err);
		if (!has_lost(s, rc, err))
			return rc;
	}
	return kept_put(s->kept, &kept, err);
}

enum err_kind watch_store_unobserve(struct watch_store *s, const char *resource, const char *scope,
				    const char *why, struct err *err)
{
	struct kept_snapshot kept;
	enum err_kind rc;

	if (s->db) {
		rc = snapshots_unobserve(s->db, resource, scope, why, err);
		if (!has_lost(s, rc, err))
			return rc;
	}
	rc = kept_get(s->kept, resource, scope, &kept, err);
	if (rc)
		return rc;
	kept.resource = resource;
	kept.scope = scope;
	kept.why = why;
	return kept_put(s->kept, &kept, err);
}
