#include "store/untold.h"

#include "store/migrate.h"

#include <stdlib.h>

struct untold {
	struct session *session;
	struct fresh_page page;
};

enum err_kind untold_open(struct untold **ret, const char *url, struct err *err)
{
	const struct session_options options = {
		.url = url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = UNTOLD_CONNECT_SECONDS,
		.answer_seconds = UNTOLD_ANSWER_SECONDS,
	};
	struct untold *u = calloc(1, sizeof(*u));
	enum err_kind rc;

	if (!u)
		return err_set(err, ERR_FATAL, "out of memory for what is to be told");
	rc = session_open(&u->session, &options, err);
	if (!rc)
		rc = migrate_check_database(u->session, err);
	if (rc)
		untold_close(u);
	else
		*ret = u;
	return rc;
}

void untold_close(struct untold *u)
{
	if (!u)
		return;
	fresh_release(&u->page);
	session_close(u->session);
	free(u);
}

enum err_kind untold_hold(struct untold *u, const struct fresh_taker *taker, const char *holder,
			  int seconds, bool *ret_mine, struct err *err)
{
	struct lease lease;
	enum err_kind rc = lease_take(u->session, taker->name, holder, seconds, &lease, err);

	*ret_mine = !rc && lease.mine;
	return rc;
}

void untold_give_back(struct untold *u, const struct fresh_taker *taker, const char *holder)
{
	struct err aside;

	if (lease_give_back(u->session, taker->name, holder, &aside))
		return; /* it expires */
}

enum err_kind untold_look(struct untold *u, const struct fresh_taker *taker, bool *ret_any,
			  struct err *err)
{
	enum err_kind rc = fresh_read(u->session, taker, &u->page, err);

	*ret_any = !rc && u->page.count > 0;
	return rc;
}

enum err_kind untold_begin(struct untold *u, struct err *err)
{
	/* Where the server ends idle transactions sooner, who answers slowly would be told again.
	 */
	return session_run(u->session,
			   "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '60s'", err);
}

enum err_kind untold_read(struct untold *u, const struct fresh_taker *taker,
			  const struct fresh_page **ret, struct err *err)
{
	enum err_kind rc = session_run(u->session, "SAVEPOINT page", err);

	if (!rc)
		rc = fresh_read(u->session, taker, &u->page, err);
	if (!rc)
		rc = session_run(u->session, "ROLLBACK TO SAVEPOINT page; RELEASE SAVEPOINT page",
				 err);
	/* What the read did of that was undone with it. */
	if (!rc && u->page.count == 0 && u->page.unknown == 0)
		rc = fresh_reached(u->session, taker, err);
	*ret = &u->page;
	return rc;
}

enum err_kind untold_mark(struct untold *u, const struct fresh_taker *taker, size_t count,
			  struct err *err)
{
	struct fresh_key keys[FRESH_FACTS_MAX];

	REQUIRE(count <= u->page.count);
	for (size_t i = 0; i < count; i++)
		keys[i] = fresh_key(&u->page.facts[i]);
	return count > 0 ? fresh_taken(u->session, taker, keys, count, err) : ERR_NONE;
}

enum err_kind untold_keep(struct untold *u, struct err *err)
{
	return session_run(u->session, "COMMIT", err);
}

enum err_kind untold_undo(struct untold *u, struct err *err)
{
	return session_run(u->session, "ROLLBACK", err);
}
