#include "run/mirror.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "run/event_feed.h"
#include "store/fresh.h"
#include "store/lease.h"

enum { CONNECT_SECONDS = 10, ANSWER_SECONDS = 60 };

static const char LEASE[] = "mirror";
static const char WHY_STORE[] = "Postgres does not answer, or refuses; the log's `mirror_waits` "
				"says why";
static const char WHY_NEWER[] = "facts wait for a newer flytrail, which wrote them";

static const struct fresh_taker taker = {.name = "spool", .is_apart = true};

struct mirror {
	const struct leased_options *o;
	char holder[LEASE_TEXT_BYTES];
	struct session *session; /* NULL: to be connected */
	struct event_feed feed;
	struct fresh_page page;
	bool mine;          /* the lease */
	bool is_others;     /* another replica has it */
	int64_t renewed_ns; /* on the monotonic clock */
	unsigned failures;  /* in a row */
};

/* --- Postgres comes and goes --- */

static enum err_kind connect(struct mirror *m, struct err *err)
{
	const struct session_options options = {
		.url = m->o->config->database_url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};

	return m->session ? ERR_NONE : session_open(&m->session, &options, err);
}

/* A connection that failed is of no use; one that did not is taken for that, too. */
static void disconnect(struct mirror *m)
{
	session_close(m->session);
	m->session = NULL;
	m->mine = false;
}

/* Takes the lease, or keeps it. ERR_RETRY: another replica has it, or Postgres is away. */
static enum err_kind hold(void *arg, struct err *err)
{
	struct mirror *m = arg;
	int64_t now_ns = time_monotonic_ns();
	struct lease lease;
	enum err_kind rc;

	if (m->mine && now_ns - m->renewed_ns < LEASED_RENEW_SECONDS * NS_PER_S)
		return ERR_NONE;
	rc = lease_take(m->session, LEASE, m->holder, LEASED_SECONDS, &lease, err);
	if (rc)
		return rc;
	m->mine = lease.mine;
	m->is_others = !lease.mine;
	m->renewed_ns = now_ns;
	return m->mine ? ERR_NONE : err_set(err, ERR_RETRY, "another replica passes facts on");
}

/* --- facts --- */

/* How old a fact is does not count: it is new in the spool. */
static enum err_kind put(struct mirror *m, const struct event *fact, struct err *err)
{
	enum err_kind rc = event_feed_put(&m->feed, fact, time_now_ns(), err);
	char id[ID_TEXT_BYTES];

	if (rc != ERR_REJECT)
		return rc;
	log_error(mirror_refused, LOG_TEXT("event_id", id_format(&fact->id, id)),
		  LOG_TEXT("error", err->text));
	return ERR_NONE;
}

static enum err_kind pass_on(struct mirror *m, struct err *err)
{
	struct fresh_key keys[FRESH_FACTS_MAX];
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < m->page.count && !rc; i++) {
		keys[i] = fresh_key(&m->page.facts[i]);
		rc = put(m, &m->page.facts[i], err);
	}
	if (!rc)
		rc = event_feed_settle(&m->feed, hold, m, err);
	return rc ? rc : fresh_taken(m->session, &taker, keys, m->page.count, err);
}

static void note_unknown(struct mirror *m)
{
	const char *why = m->page.unknown > 0 ? WHY_NEWER : NULL;

	if (why && atomic_load(&m->o->status->mirror_why) != why)
		log_warn(mirror_waits, LOG_TEXT("error", why));
	atomic_store(&m->o->status->mirror_why, why);
}

/* Passes on all that there are. */
static enum err_kind look(struct mirror *m, struct err *err)
{
	enum err_kind rc = connect(m, err);
	bool more = true;

	while (!rc && more && life_state(m->o->life) == LIFE_RUNNING) {
		rc = hold(m, err);
		if (!rc)
			rc = fresh_read(m->session, &taker, &m->page, err);
		more = m->page.count > 0;
		if (!rc && more)
			rc = pass_on(m, err);
	}
	if (!rc)
		note_unknown(m);
	return rc;
}

/* Returns how long to wait. */
static int64_t note_failure(struct mirror *m, const struct err *why)
{
	int64_t wait_ms = backoff_random_ms(++m->failures);

	atomic_store(&m->o->status->mirror_why, WHY_STORE);
	log_warn(mirror_waits, LOG_TEXT("error", why->text), LOG_NUMBER("wait_ms", wait_ms));
	disconnect(m);
	return wait_ms;
}

static void run(struct mirror *m, struct err *err)
{
	while (life_state(m->o->life) == LIFE_RUNNING) {
		int64_t wait_ms = LEASED_IDLE_MS;
		enum err_kind rc;

		/* Why Postgres cannot be reached is told by the consumer. */
		if (!m->session && atomic_load(&m->o->status->store_state) != STORE_WORKING) {
			life_wait(m->o->life, wait_ms * NS_PER_MS);
			continue;
		}
		m->is_others = false;
		rc = look(m, err);
		if (rc == ERR_FATAL)
			return;
		if (m->is_others) {
			atomic_store(&m->o->status->mirror_why, NULL);
			wait_ms = LEASED_OTHER_MS;
		} else if (rc && rc != ERR_FULL) {
			wait_ms = note_failure(m, err);
		} else if (!rc) {
			m->failures = 0;
			wait_ms = MIRROR_SECONDS * (NS_PER_S / NS_PER_MS);
		}
		life_wait(m->o->life, wait_ms * NS_PER_MS);
	}
	err->kind = ERR_NONE;
}

void mirror_run(const struct leased_options *options)
{
	const struct spool_stream stream = spool_stream(options->spool);
	struct mirror m = {.o = options, .page = FRESH_PAGE_EMPTY};
	struct err err = {.kind = ERR_NONE};

	(void)lease_holder(options->replica, &stream, m.holder);
	event_feed_init(&m.feed, options, SOURCE_TRAIL, &options->status->mirrored_accepted);
	run(&m, &err);
	if (err.kind == ERR_FATAL)
		life_fail(options->life, &err);
	event_feed_release(&m.feed);
	fresh_release(&m.page);
	/* Where that fails it expires. */
	if (m.session && m.mine)
		(void)!lease_give_back(m.session, LEASE, m.holder, &err);
	disconnect(&m);
}
