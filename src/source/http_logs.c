#include "source/http_logs.h"

#include "base/backoff.h"
#include "base/time.h"
#include "source/gap_track.h"
#include "source/logs_api.h"
#include "source/positions.h"
#include "source/reading.h"
#include "source/recent.h"
#include "source/vouch.h"

#include <poll.h>
#include <stdlib.h>

#define REACH_NS (NS_PER_S * 24 * 3600 * LOGS_API_DAYS)

struct app {
	char name[LOGS_API_APP_BYTES];
	struct reading at;
	int64_t due_ns;   /* on the monotonic clock: the next page */
	int64_t again_ns; /* on the monotonic clock: the next page of the second reading */
	int64_t idle_ms;
	unsigned failures; /* in a row */
	bool gone;         /* a 404: until the list has it again */
};

/* Positions on their way to the disk. */
struct snapshot {
	struct positions at;
	bool taken;
	const struct batch *awaited; /* it has to come back first; NULL: it has */
	bool counted;                /* the spool was asked what it has been given */
	uint64_t appended;
	int64_t settled_ns; /* on the monotonic clock; 0: not accepted yet */
	int64_t next_ns;    /* on the monotonic clock: when the next one is taken */
};

struct http_logs {
	/* const after open */
	char *folder;
	bool (*spool_seqs)(void *ctx, uint64_t *ret_appended, uint64_t *ret_accepted);
	void *ctx;
	int64_t late_ns;
	int64_t list_every_ns;

	/* owned by the source thread */
	struct logs_api *api;
	struct recent *recent;
	struct app *apps;    /* LOGS_API_APPS_MAX */
	size_t count, awake; /* all; without those that are gone */
	int64_t began_ns;
	int64_t list_due_ns; /* on the monotonic clock */
	int64_t known_ns;    /* who printed something before this is on the list that was read */
	unsigned list_failures;
	bool too_many;
	unsigned failures; /* of any request, in a row */
	bool refused;      /* the last request: the token, or the organisation */
	bool reached;      /* something was answered since the start */
	struct vouch vouch;
	const struct batch *filled; /* the last one with anything in it; NULL: it is back */
	struct snapshot snapshot;

	/* any thread */
	_Atomic(const char *) why;
};

static const char WHY_NOT_YET[] = "Fly's API was not asked yet";
static const char WHY_AWAY[] = "Fly's HTTP logs API cannot be reached, or does not answer as it "
			       "should: check FLYTRAIL_API_URL and FLYTRAIL_MACHINES_URL";
static const char WHY_REFUSED[] =
	"Fly's API refuses the token, or knows no such organisation: check ACCESS_TOKEN and ORG";
static const char WHY_NO_LIST[] = "the list of applications cannot be read: new ones are not seen; "
				  "check FLYTRAIL_MACHINES_URL";
static const char WHY_TOO_MANY[] = "the organisation has more applications than can be polled";

/* ---- what is known of the applications ---- */

static struct app *find_app(const struct http_logs *h, const char *name)
{
	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->apps[i].name, name) == 0)
			return &h->apps[i];
	return NULL;
}

/* Up to when all lines of all applications were read; those that Fly does not know have none. */
static int64_t read_until(const struct http_logs *h)
{
	int64_t until_ns = h->known_ns;

	for (size_t i = 0; i < h->count; i++)
		if (!h->apps[i].gone)
			until_ns = time_earlier(until_ns,
						reading_vouched_ns(&h->apps[i].at, h->late_ns));
	return h->too_many ? 0 : until_ns;
}

/* What was read up to read_ns goes on at edge_ns at the earliest. */
static void note_edge(struct http_logs *h, int64_t read_ns, int64_t edge_ns)
{
	if (read_ns < edge_ns)
		vouch_lost(&h->vouch, GAP_disconnect, read_until(h), edge_ns);
}

/* Where an application is read from that was never polled. */
static int64_t first_position(const struct http_logs *h)
{
	int64_t edge_ns = time_now_ns() - REACH_NS;

	return h->began_ns > edge_ns ? h->began_ns : edge_ns;
}

static void add_app(struct http_logs *h, const char *name, int64_t sure_ns, int64_t checked_ns)
{
	struct app *app = &h->apps[h->count];

	if (h->count == LOGS_API_APPS_MAX) {
		h->too_many = true;
		return;
	}
	*app = (struct app){
		.at = {.head_ns = sure_ns, .sure_ns = sure_ns, .checked_ns = checked_ns}};
	memcpy(app->name, name, strlen(name) + 1);
	app->idle_ms = HTTP_LOGS_IDLE_MS_MIN;
	h->count++;
	h->awake++;
}

/* Those whose last line is further back than Fly keeps any. */
static void forget_gone(struct http_logs *h)
{
	int64_t edge_ns = time_now_ns() - REACH_NS;
	size_t kept = 0;

	for (size_t i = 0; i < h->count; i++) {
		const struct app *app = &h->apps[i];

		if (!app->gone || app->at.head_ns > edge_ns || app->at.checked_ns > edge_ns)
			h->apps[kept++] = *app;
	}
	h->count = kept;
}

static void take_list(struct http_logs *h, const struct logs_api_apps *list)
{
	forget_gone(h);
	h->too_many = list->more;
	for (size_t i = 0; i < list->count; i++) {
		struct app *app = find_app(h, list->names[i]);

		if (!app)
			add_app(h, list->names[i], first_position(h), h->known_ns + h->late_ns);
		else if (app->gone)
			h->awake++;
		if (app && app->gone) {
			app->gone = false;
			app->due_ns = 0;
		}
	}
}

/* ---- how requests went ---- */

static void tell_why(struct http_logs *h)
{
	const char *why = NULL;

	if (h->refused)
		why = WHY_REFUSED;
	else if (!h->reached || h->failures >= HTTP_LOGS_FAILURES_TOLD)
		why = h->failures > 0 ? WHY_AWAY : WHY_NOT_YET;
	else if (h->list_failures >= HTTP_LOGS_FAILURES_TOLD)
		why = WHY_NO_LIST;
	else if (h->too_many)
		why = WHY_TOO_MANY;
	atomic_store(&h->why, why);
}

static void note_reached(struct http_logs *h)
{
	h->reached = true;
	h->failures = 0;
	h->refused = false;
}

static void note_failure(struct http_logs *h, enum err_kind rc)
{
	h->failures++;
	h->refused = rc == ERR_CONFIG;
}

static int64_t after_failures(unsigned failures)
{
	return time_monotonic_ns() + backoff_random_ms(failures) * NS_PER_MS;
}

/* Each list that is read is the time for a word of what was listened to since the last. */
static enum err_kind refresh_list(struct http_logs *h, struct batch *batch, struct err *err)
{
	int64_t asked_ns = time_now_ns();
	struct logs_api_apps list;
	enum err_kind rc = logs_api_apps(h->api, &list, err);

	if (rc == ERR_FATAL)
		return rc;
	if (rc) {
		h->list_failures++;
		h->list_due_ns = after_failures(h->list_failures);
		note_failure(h, rc);
		return ERR_NONE;
	}
	h->list_failures = 0;
	h->list_due_ns = time_monotonic_ns() + h->list_every_ns;
	note_reached(h);
	note_edge(h, h->known_ns, asked_ns - REACH_NS);
	take_list(h, &list);
	logs_api_apps_release(&list);
	if (asked_ns - h->late_ns > h->known_ns)
		h->known_ns = asked_ns - h->late_ns;
	vouch_report(&h->vouch, batch, read_until(h));
	return ERR_NONE;
}

/* ---- a page of an application ---- */

/* Takes out of the batch what was read a short while ago. */
static enum err_kind leave_out_known(struct http_logs *h, const struct app *app,
				     struct batch *batch, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	size_t kept = 0;

	for (size_t i = 0; i < batch->count && !rc; i++) {
		struct span line = batch_line(batch, &batch->raws[i]);
		bool known = false;

		rc = recent_look(h->recent, span_text(app->name), line, &known, err);
		if (!known)
			batch->raws[kept++] = batch->raws[i];
	}
	batch->count = kept;
	return rc;
}

static int64_t idle_ms_max(const struct http_logs *h)
{
	int64_t shared_ms = (int64_t)h->awake * 1000 / HTTP_LOGS_IDLE_PER_SECOND;

	return shared_ms > HTTP_LOGS_IDLE_MS_MAX ? shared_ms : HTTP_LOGS_IDLE_MS_MAX;
}

static void after_first_reading(struct http_logs *h, struct app *app, const struct logs_page *page,
				int64_t asked_ns, bool any_new)
{
	int64_t mono_ns = time_monotonic_ns();

	reading_first(&app->at, page, asked_ns, h->late_ns);
	if (!page->end && page->count >= LOGS_API_PAGE_LINES) {
		app->due_ns = mono_ns;
		return;
	}
	app->idle_ms =
		any_new ? HTTP_LOGS_IDLE_MS_MIN : time_earlier(2 * app->idle_ms, idle_ms_max(h));
	app->due_ns = mono_ns + app->idle_ms * NS_PER_MS;
}

static void after_second_reading(struct http_logs *h, struct app *app, const struct logs_page *page)
{
	reading_second(&app->at, page);
	app->again_ns = time_monotonic_ns() + (app->at.until_ns != 0 ? 0 : h->late_ns);
}

static void put_tie(struct http_logs *h, struct batch *batch, const struct logs_page *page)
{
	const struct gap gap = {
		.reason = GAP_tie_cut, .start_ns = page->last_ns, .end_ns = page->last_ns + 1};

	if (!page->tie_cut)
		return;
	(void)batch_add_gap(batch, &gap);
	vouch_leave_out(&h->vouch, gap.start_ns, gap.end_ns);
}

static enum err_kind take_page(struct http_logs *h, struct app *app, bool again,
			       struct batch *batch, struct err *err)
{
	int64_t asked_ns = time_now_ns(), edge_ns = asked_ns - REACH_NS;
	int64_t after_ns = again ? app->at.sure_ns : app->at.head_ns;
	struct logs_page page;
	enum err_kind rc = logs_api_page(h->api, app->name, after_ns > edge_ns ? after_ns : edge_ns,
					 batch, &page, err);

	if (rc == ERR_FATAL)
		return rc;
	if (rc == ERR_REJECT) {
		app->gone = true;
		h->awake--;
		note_reached(h);
		return ERR_NONE;
	}
	if (rc) {
		app->failures++;
		app->due_ns = after_failures(app->failures);
		app->again_ns = app->due_ns;
		note_failure(h, rc);
		return ERR_NONE;
	}
	app->failures = 0;
	note_reached(h);
	note_edge(h, reading_vouched_ns(&app->at, h->late_ns), edge_ns);
	rc = leave_out_known(h, app, batch, err);
	if (again)
		after_second_reading(h, app, &page);
	else
		after_first_reading(h, app, &page, asked_ns, batch->count > 0);
	put_tie(h, batch, &page);
	return rc;
}

/* ---- which one is next ---- */

/* Begins a second reading where there is something to read a second time. */
static void look_for_second_reading(const struct http_logs *h, struct app *app, int64_t mono_ns,
				    int64_t now_ns)
{
	if (app->at.until_ns != 0 || app->again_ns > mono_ns)
		return;
	if (!reading_begin_second(&app->at, now_ns, h->late_ns))
		app->again_ns = mono_ns + h->late_ns;
}

struct task {
	struct app *app; /* NULL: the list */
	bool again;
	int64_t due_ns;
};

static struct task next_task(struct http_logs *h)
{
	int64_t mono_ns = time_monotonic_ns(), now_ns = time_now_ns();
	struct task task = {.app = NULL, .due_ns = h->list_due_ns};

	for (size_t i = 0; i < h->count; i++) {
		struct app *app = &h->apps[i];

		if (app->gone)
			continue;
		look_for_second_reading(h, app, mono_ns, now_ns);
		if (app->due_ns < task.due_ns)
			task = (struct task){.app = app, .due_ns = app->due_ns};
		if (app->at.until_ns != 0 && app->again_ns < task.due_ns)
			task = (struct task){.app = app, .again = true, .due_ns = app->again_ns};
	}
	return task;
}

/* ---- positions ---- */

static enum err_kind take_snapshot(struct http_logs *h, struct err *err)
{
	struct snapshot *s = &h->snapshot;

	if (!s->at.apps)
		s->at.apps = calloc(LOGS_API_APPS_MAX, sizeof(*s->at.apps));
	if (!s->at.apps)
		return err_set(err, ERR_FATAL, "out of memory for positions");
	s->at.began_ns = h->began_ns;
	s->at.listened_ns = h->vouch.from_ns;
	s->at.count = h->count;
	for (size_t i = 0; i < h->count; i++) {
		struct position *p = &s->at.apps[i];

		memcpy(p->app, h->apps[i].name, sizeof(p->app));
		p->sure_ns = h->apps[i].at.sure_ns;
		p->checked_ns = reading_checked_ns(&h->apps[i].at);
	}
	s->awaited = h->filled;
	s->taken = true;
	s->counted = false;
	s->settled_ns = 0;
	return ERR_NONE;
}

/* Goes on with the way of a snapshot to the disk. */
static void carry_snapshot(struct http_logs *h)
{
	struct snapshot *s = &h->snapshot;
	uint64_t appended, accepted;
	struct err ignored;
	int64_t pause_ns = HTTP_LOGS_WRITE_SECONDS * NS_PER_S;

	if (s->awaited || !h->spool_seqs(h->ctx, &appended, &accepted))
		return;
	if (!s->counted) {
		s->counted = true;
		s->appended = appended;
	}
	if (accepted < s->appended)
		return;
	if (s->settled_ns == 0)
		s->settled_ns = time_monotonic_ns() + HTTP_LOGS_SETTLE_MS * NS_PER_MS;
	if (time_monotonic_ns() < s->settled_ns)
		return;
	/* A disk that is full costs a longer overlap at the next start, and nothing more. */
	if (positions_write(h->folder, &s->at, &ignored))
		pause_ns *= 2;
	s->next_ns = time_monotonic_ns() + pause_ns;
	s->taken = false;
}

static enum err_kind keep_positions(struct http_logs *h, const struct batch *batch, struct err *err)
{
	struct snapshot *s = &h->snapshot;

	if (batch == h->filled)
		h->filled = NULL;
	if (batch == s->awaited)
		s->awaited = NULL;
	if (!h->spool_seqs)
		return ERR_NONE;
	if (s->taken)
		carry_snapshot(h);
	else if (time_monotonic_ns() >= s->next_ns)
		return take_snapshot(h, err);
	return ERR_NONE;
}

/* ---- as a source ---- */

static void wait_until(int64_t mono_ns)
{
	int64_t rest_ms = (mono_ns - time_monotonic_ns()) / NS_PER_MS + 1;

	if (rest_ms > 0)
		(void)poll(NULL, 0, (int)time_earlier(rest_ms, SOURCE_WAIT_MS));
}

static enum err_kind http_logs_read(void *ctx, struct batch *batch, struct err *err)
{
	struct http_logs *h = ctx;
	enum err_kind rc = keep_positions(h, batch, err);
	struct task task;
	int64_t due_ns;

	if (rc)
		return rc;
	batch->source = SOURCE_HTTP;
	task = next_task(h);
	due_ns = time_monotonic_ns() + logs_api_wait_ns(h->api);
	if (task.due_ns > due_ns)
		due_ns = task.due_ns;
	if (due_ns > time_monotonic_ns())
		wait_until(due_ns);
	else if (task.app)
		rc = take_page(h, task.app, task.again, batch, err);
	else
		rc = refresh_list(h, batch, err);
	tell_why(h);
	vouch_report_lost(&h->vouch, batch);
	if (batch->count > 0 || batch->gap_count > 0 || batch->listened_count > 0)
		h->filled = batch;
	return rc;
}

static void http_logs_last_gaps(void *ctx, struct batch *batch)
{
	struct http_logs *h = ctx;

	batch->source = SOURCE_HTTP;
	vouch_report(&h->vouch, batch, read_until(h));
}

static bool http_logs_connected(void *ctx, const char **ret_why)
{
	struct http_logs *h = ctx;

	*ret_why = atomic_load(&h->why);
	return *ret_why == NULL;
}

static void http_logs_close(void *ctx)
{
	struct http_logs *h = ctx;

	logs_api_free(h->api);
	recent_free(h->recent);
	positions_release(&h->snapshot.at);
	free(h->apps);
	free(h->folder);
	free(h);
}

static const struct source_ops http_logs_ops = {
	.name = "http",
	.live = true,
	.keeps = true,
	.read = http_logs_read,
	.last_gaps = http_logs_last_gaps,
	.connected = http_logs_connected,
	.close = http_logs_close,
};

/* ---- start ---- */

static void resume(struct http_logs *h, const struct positions *p)
{
	h->began_ns = p->began_ns;
	for (size_t i = 0; i < p->count; i++)
		add_app(h, p->apps[i].app, p->apps[i].sure_ns, p->apps[i].checked_ns);
}

/* What was not running is listened to all the same, as far back as Fly keeps lines. */
static enum err_kind find_start(struct http_logs *h, const struct http_logs_options *options,
				struct err *err)
{
	int64_t now_ns = time_now_ns(), live_ns = options->last_live_ns, from_ns;
	struct positions p = {.apps = NULL};
	enum err_kind rc = positions_read(options->folder, &p, err);

	if (rc)
		return rc;
	if (p.began_ns > 0)
		resume(h, &p);
	else if (live_ns > 0)
		h->began_ns =
			live_ns > GAP_MARGIN_NS ? time_earlier(live_ns - GAP_MARGIN_NS, now_ns) : 1;
	else
		h->began_ns = now_ns;
	from_ns = p.began_ns > 0 ? p.listened_ns : h->began_ns;
	h->known_ns = from_ns;
	vouch_init(&h->vouch, from_ns);
	vouch_lost(&h->vouch, GAP_start, from_ns, now_ns - REACH_NS);
	positions_release(&p);
	return ERR_NONE;
}

enum err_kind http_logs_open(struct source *ret, const struct http_logs_options *options,
			     struct err *err)
{
	const struct logs_api_options api = {
		.url = options->url,
		.machines_url = options->machines_url,
		.token = options->token,
		.org = options->org,
		.cut = options->ending,
		.seconds = HTTP_LOGS_SECONDS,
	};
	struct http_logs *h;
	enum err_kind rc;

	if (options->token[0] == '\0')
		return err_set(err, ERR_CONFIG, "ACCESS_TOKEN is not set");
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_set(err, ERR_FATAL, "out of memory for the HTTP source");
	h->spool_seqs = options->spool_seqs;
	h->ctx = options->ctx;
	h->late_ns = options->late_ns;
	h->list_every_ns = HTTP_LOGS_LIST_SECONDS * NS_PER_S;
	if (options->heartbeat_ns > 0)
		h->list_every_ns = time_earlier(h->list_every_ns,
						SOURCE_BEATS_PER_WORD * options->heartbeat_ns);
	atomic_store(&h->why, WHY_NOT_YET);
	h->folder = span_copy(span_text(options->folder));
	h->apps = calloc(LOGS_API_APPS_MAX, sizeof(*h->apps));
	if (h->folder && h->apps)
		rc = logs_api_new(&h->api, &api, err);
	else
		rc = err_set(err, ERR_FATAL, "out of memory for the HTTP source");
	if (rc == ERR_NONE)
		rc = recent_new(&h->recent, err);
	if (rc == ERR_NONE)
		rc = find_start(h, options, err);
	if (rc)
		http_logs_close(h);
	else
		*ret = (struct source){.ops = &http_logs_ops, .ctx = h};
	return rc;
}
