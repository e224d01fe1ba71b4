#include "run/notifier.h"

#include "base/backoff.h"
#include "base/json.h"
#include "base/log.h"
#include "base/time.h"
#include "run/pace.h"
#include "run/sink_trail.h"
#include "sink/notify_message.h"
#include "store/untold.h"

#include <stdlib.h>

struct receiver {
	struct notify *to;
	struct fresh_taker taker;
	struct sink_status *status;
	_Atomic bool *elsewhere; /* of the status: another replica tells it */
	struct sink_trail record;
	struct pace pace;
	struct notify_message message;
	struct id first; /* of the message's facts */
	enum action first_action;
	int64_t renewed_ns;          /* the lease */
	bool mine;                   /* that one */
	int64_t not_before_ns;       /* on the monotonic clock */
	bool is_gathering;           /* there is something, and more may come */
	bool is_cut_off;             /* its status says that Postgres gives nothing */
	size_t facts_max;            /* of a message */
	size_t suspects;             /* one of the next so many is refused; 0: not known */
	unsigned failures, refusals; /* in a row */
};

struct notifier {
	const struct leased_options *o;
	char holder[LEASE_TEXT_BYTES];
	struct untold *db; /* NULL: to be connected */
	unsigned failures; /* of Postgres, in a row */
	struct receiver receiver;
};

bool notifier_wants_slack(const struct config *c)
{
	return c->slack_webhook_url[0] != '\0';
}

bool notifier_wants_webhook(const struct config *c)
{
	return c->webhook_url[0] != '\0';
}

/* --- open and close --- */

static enum err_kind open_receiver(struct notifier *n, enum notify_kind kind, struct err *err)
{
	static const char *const takers[] = {
		[NOTIFY_SLACK] = "notifier.slack", [NOTIFY_WEBHOOK] = "notifier.webhook"};
	const struct config *c = n->o->config;
	const struct notify_options options = {
		.kind = kind,
		.url = kind == NOTIFY_SLACK ? c->slack_webhook_url : c->webhook_url,
		.key = c->webhook_key,
		.cut = &n->o->life->cut,
	};
	struct receiver *r = &n->receiver;

	notify_message_init(&r->message, kind);
	r->status = &n->o->status->told[kind];
	r->elsewhere = &n->o->status->notify_elsewhere[kind];
	r->taker = (struct fresh_taker){.name = takers[kind],
					.least = (enum severity)c->notify_severity};
	r->record = (struct sink_trail){
		.sink = notify_name(kind),
		.trail = n->o->trail,
		.spool = n->o->spool,
		.life = n->o->life,
		.status = r->status,
	};
	r->pace.per_minute = (unsigned)c->notify_per_minute;
	r->facts_max = NOTIFIER_FACTS_MAX;
	sink_status_set(r->status, SINK_STARTING, "");
	return notify_open(&r->to, &options, err);
}

static void release(struct notifier *n)
{
	struct receiver *r = &n->receiver;

	if (n->db && r->mine)
		untold_give_back(n->db, &r->taker, n->holder);
	untold_close(n->db);
	notify_close(r->to);
	notify_message_release(&r->message);
	free(n);
}

/* --- what it says --- */

static void say(struct receiver *r, enum sink_state state, const char *error)
{
	if (state == SINK_WORKING || state == SINK_STARTING)
		atomic_store(&r->status->failing_ns, 0);
	else if (atomic_load(&r->status->failing_ns) == 0)
		atomic_store(&r->status->failing_ns, time_now_ns());
	r->is_cut_off = false;
	sink_status_set(r->status, state, error);
}

static void wait_ms(struct receiver *r, int64_t ms)
{
	r->not_before_ns = time_monotonic_ns() + ms * NS_PER_MS;
}

/* The facts are as they were. */
static void wait_after(struct receiver *r, enum err_kind rc, unsigned wait_seconds,
		       const struct err *why)
{
	const char *name = r->record.sink;
	int64_t ms = rc == ERR_CONFIG ? NOTIFIER_PARKED_MS : backoff_random_ms(++r->failures);

	ms = time_later(ms, (int64_t)wait_seconds * 1000);
	wait_ms(r, ms);
	atomic_fetch_add(&r->status->retries, 1);
	if (rc == ERR_CONFIG) {
		say(r, SINK_PARKED, why->text);
		log_error(notify_parked, LOG_TEXT("receiver", name), LOG_TEXT("error", why->text));
	} else {
		say(r, SINK_RETRYING, why->text);
		log_warn(notify_retry, LOG_TEXT("receiver", name), LOG_TEXT("error", why->text),
			 LOG_NUMBER("wait_ms", ms));
	}
}

/* --- a message --- */

/* What is about this very receiver: it would be refused, and told, for ever. */
static bool is_about(const struct receiver *r, const struct event *e)
{
	const struct json *sink;
	struct json *attributes;
	struct err aside;
	bool is;

	if (e->action != ACTION_trail_untold || json_parse(&attributes, e->attributes, &aside))
		return false;
	sink = json_member(attributes, "sink");
	is = sink && json_type(sink) == JSON_TEXT && span_is(json_text(sink), r->record.sink);
	json_free(attributes);
	return is;
}

/* Of a page, what finds room. */
static size_t add_page(struct receiver *r, const struct fresh_page *page, size_t max)
{
	size_t i = 0;

	for (; i < page->count && i < max && !notify_message_is_full(&r->message); i++) {
		if (is_about(r, &page->facts[i]))
			continue;
		if (r->message.count == 0) {
			r->first = page->facts[i].id;
			r->first_action = page->facts[i].action;
		}
		notify_message_add(&r->message, &page->facts[i]);
	}
	return i;
}

/* *ret_taken: with those that are not told. */
static enum err_kind compose(struct notifier *n, size_t *ret_taken, struct err *err)
{
	struct receiver *r = &n->receiver;
	const struct fresh_page *page;
	enum err_kind rc = ERR_NONE;

	*ret_taken = 0;
	notify_message_begin(&r->message, span_text(n->o->config->org));
	while (*ret_taken < r->facts_max && !notify_message_is_full(&r->message)) {
		size_t count;

		rc = untold_read(n->db, &r->taker, &page, err);
		if (rc || page->count == 0)
			break;
		count = add_page(r, page, r->facts_max - *ret_taken);
		rc = untold_mark(n->db, &r->taker, count, err);
		if (rc)
			break;
		*ret_taken += count;
	}
	return rc;
}

static void note_told(struct receiver *r, size_t taken)
{
	struct sink_status *s = r->status;

	pace_note(&r->pace, time_monotonic_ns());
	r->failures = r->refusals = 0;
	r->suspects = r->suspects > taken ? r->suspects - taken : 0;
	r->facts_max = r->suspects > 0 ? (r->suspects + 1) / 2 : NOTIFIER_FACTS_MAX;
	atomic_fetch_add(&s->deliveries, 1);
	atomic_fetch_add(&s->records, r->message.count);
	atomic_store(&s->delivered_ns, time_now_ns());
	say(r, SINK_WORKING, "");
}

/*
 * One fact alone: it is on record that it is not told, before it counts as taken. Where it says
 * that another receiver refused something the log has to do: else the two could go on so for ever.
 */
static enum err_kind give_up(struct notifier *n, const struct err *why, struct err *err)
{
	struct receiver *r = &n->receiver;

	r->refusals++;
	r->suspects = 0;
	r->facts_max = NOTIFIER_FACTS_MAX;
	wait_ms(r, NOTIFIER_REFUSED_MS);
	sink_trail_untold(&r->record, &r->first, r->first_action != ACTION_trail_untold, why->text);
	return sink_trail_await(&r->record) ? untold_keep(n->db, err) : untold_undo(n->db, err);
}

static enum err_kind note_refused(struct notifier *n, size_t taken, struct err *why,
				  struct err *err)
{
	struct receiver *r = &n->receiver;

	if (taken > 1) {
		r->suspects = taken;
		r->facts_max = taken / 2;
		wait_ms(r, NOTIFIER_REFUSED_MS);
	} else if (r->refusals == NOTIFIER_REFUSALS_MAX) {
		r->refusals--; /* the next one goes; so one that is at fault holds up nobody */
		why->kind = ERR_CONFIG;
		(void)err_wrap(why, "%d messages were refused one after the other",
			       NOTIFIER_REFUSALS_MAX + 1);
		wait_after(r, ERR_CONFIG, 0, why);
	} else {
		return give_up(n, why, err);
	}
	return untold_undo(n->db, err);
}

/* Errors are Postgres' alone, and this program's own. */
static enum err_kind tell(struct notifier *n, struct err *err)
{
	struct receiver *r = &n->receiver;
	unsigned wait_seconds;
	struct span body;
	struct err why;
	size_t taken;
	enum err_kind rc = untold_begin(n->db, err);

	if (!rc)
		rc = compose(n, &taken, err);
	if (!rc && r->message.count > 0)
		rc = notify_message_end(&r->message, &body, err);
	if (rc)
		return rc;
	if (r->message.count == 0) {
		r->is_gathering = false;
		return untold_keep(n->db, err);
	}
	rc = notify_send(r->to, body, &wait_seconds, &why);
	if (!rc) {
		r->is_gathering = false;
		note_told(r, taken);
		return untold_keep(n->db, err);
	}
	if (rc == ERR_REJECT)
		return note_refused(n, taken, &why, err);
	if (rc == ERR_FATAL) {
		*err = why;
		return rc;
	}
	wait_after(r, rc, wait_seconds, &why);
	return untold_undo(n->db, err);
}

static enum err_kind attend(struct notifier *n, struct err *err)
{
	struct receiver *r = &n->receiver;
	int64_t now_ns = time_monotonic_ns();
	bool any;
	enum err_kind rc;

	if (now_ns < r->not_before_ns || pace_wait_ns(&r->pace, now_ns) > 0)
		return ERR_NONE;
	if (r->is_gathering)
		return tell(n, err);
	rc = untold_look(n->db, &r->taker, &any, err);
	if (!rc && any) {
		r->is_gathering = true;
		wait_ms(r, NOTIFIER_GATHER_MS);
	}
	return rc;
}

/* --- the thread --- */

static enum err_kind hold_lease(struct notifier *n, struct err *err)
{
	struct receiver *r = &n->receiver;
	int64_t now_ns = time_monotonic_ns();
	enum err_kind rc;

	if (r->renewed_ns != 0 && now_ns - r->renewed_ns < NOTIFIER_RENEW_SECONDS * NS_PER_S)
		return ERR_NONE;
	rc = untold_hold(n->db, &r->taker, n->holder, NOTIFIER_LEASE_SECONDS, &r->mine, err);
	r->renewed_ns = rc ? 0 : now_ns;
	if (!rc && !r->mine) {
		r->is_gathering = false;
		say(r, SINK_STARTING, "");
	}
	atomic_store(r->elsewhere, !rc && !r->mine);
	return rc;
}

static enum err_kind step(struct notifier *n, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (!n->db)
		rc = untold_open(&n->db, n->o->config->database_url, err);
	if (!rc)
		rc = hold_lease(n, err);
	if (!rc && n->receiver.mine)
		rc = attend(n, err);
	return rc;
}

/*
 * Postgres may well store all that comes, and give nothing to who tells, as when somebody took the
 * right to it: a receiver that has no failure of its own says so.
 */
static void note_postgres(struct receiver *r, enum err_kind rc, const struct err *why)
{
	if (rc && (r->is_cut_off || atomic_load(&r->status->failing_ns) == 0)) {
		say(r, rc == ERR_CONFIG ? SINK_PARKED : SINK_RETRYING, why->text);
		r->is_cut_off = true;
	} else if (!rc && r->is_cut_off) {
		say(r, SINK_STARTING, "");
	}
}

/* What was marked and not kept is as it was when the connection has ended. */
static void disconnect(struct notifier *n)
{
	untold_close(n->db);
	n->db = NULL;
	n->receiver.renewed_ns = 0;
	atomic_store(n->receiver.elsewhere, false); /* it is not known */
}

static void work(struct notifier *n, struct err *err)
{
	while (life_state(n->o->life) == LIFE_RUNNING) {
		int64_t ms = NOTIFIER_LOOK_MS;
		enum err_kind rc = ERR_NONE;

		/* Why Postgres cannot be reached at the start is told by the consumer. */
		if (atomic_load(&n->o->status->stored_known))
			rc = step(n, err);
		if (rc == ERR_FATAL)
			return;
		n->failures = rc ? n->failures + 1 : 0;
		note_postgres(&n->receiver, rc, err);
		if (rc) {
			ms = backoff_random_ms(n->failures);
			log_warn(notify_waits, LOG_TEXT("error", err->text),
				 LOG_NUMBER("wait_ms", ms));
			disconnect(n);
		}
		life_wait(n->o->life, ms * NS_PER_MS);
	}
	err->kind = ERR_NONE;
}

static void run(const struct leased_options *options, enum notify_kind kind)
{
	const struct spool_stream stream = spool_stream(options->spool);
	struct notifier *n = calloc(1, sizeof(*n));
	struct err err = {.kind = ERR_NONE};

	if (!n) {
		(void)err_set(&err, ERR_FATAL, "out of memory for the notifier");
		life_fail(options->life, &err);
		return;
	}
	n->o = options;
	(void)lease_holder(options->replica, &stream, n->holder);
	if (open_receiver(n, kind, &err) == ERR_NONE)
		work(n, &err);
	if (err.kind == ERR_FATAL)
		life_fail(options->life, &err);
	release(n);
}

void notifier_run_slack(const struct leased_options *options)
{
	run(options, NOTIFY_SLACK);
}

void notifier_run_webhook(const struct leased_options *options)
{
	run(options, NOTIFY_WEBHOOK);
}
