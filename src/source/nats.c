#include "source/nats.h"

#include "base/backoff.h"
#include "base/file.h"
#include "base/time.h"
#include "source/gap_track.h"
#include "source/heartbeat.h"
#include "source/nats_check.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	CONNECT_MS = 5000,
	ANSWER_MS = 1000, /* for a question to the server (PING); lines come meanwhile */
	ASK_EVERY_MS = 2000,
	SUBJECT_BYTES_MAX = 4096, /* nats-server lets no longer one through, unless told to */
	LOOK_AT_CLOCK_EVERY = 32, /* lines that are there already: some microseconds */
	BREATH_MS = 2,            /* the queue is looked into so often, not at every line */
	CLOSE_MS = 5000,
	CONNECT_OTHER_BYTES = 256, /* of a CONNECT line, beside user and password */
	CLOCKS_APART_MS = 100,     /* both are looked at within this, or not at all */
	BEAT_LINES_MAX = 1024,     /* of this machine's own, that may wait */
	BEAT_BYTES_MAX = 1024 * 1024,
	BEAT_LINES_A_READ = 256,
};

struct nats {
	/* const after open */
	char *url, *user, *password, *subject, *queue;
	int beat_fd;

	/* owned by the source thread */
	natsOptions *options;
	natsConnection *nc;
	natsSubscription *sub, *beat_sub;
	struct heartbeat beats;
	natsMsg *held;                     /* a line that the last batch had no room for */
	natsMsg *taken[BATCH_RECORDS_MAX]; /* copied into the present batch */
	size_t taken_count;
	struct hasher *hasher;
	struct gap_track gaps;
	uint64_t ordinal;
	int64_t now_ns; /* when lines of the present batch are taken; 0: the clock is to be asked */
	unsigned losses_seen;
	unsigned attempt;     /* to connect, since the last success */
	int64_t try_again_ns; /* on the monotonic clock */
	int64_t asked_ns;     /* on the monotonic clock: the last question to the server */
	bool confirmed;       /* the server has the subscription */

	/* any thread */
	_Atomic unsigned losses; /* of the connection, told by the library */
	_Atomic(const char *) why;
};

static const char WHY_NOT_YET[] = "not connected yet";
static const char WHY_AWAY[] = "the NATS server cannot be reached: check NATS_URL or NETWORK, and "
			       "that this machine is in the organisation's private network";
static const char WHY_REFUSED[] =
	"the NATS server refuses the credentials: check ORG and ACCESS_TOKEN";
static const char WHY_TOO_LONG[] =
	"the NATS server ends the connection at once: ACCESS_TOKEN may be longer than it takes "
	"(nats-server's max_control_line is 4096 bytes); make a token for this purpose alone";
static const char WHY_DENIED[] =
	"the NATS server refuses the subscription: the token may not read SUBJECT";
static const char WHY_LOST[] = "the connection to the NATS server was lost";
static const char WHY_SILENT[] = "the NATS server does not answer";
static const char WHY_NO_BEAT[] = "flytrail's own lines do not come back: it subscribes anew";

/* The library's callbacks: they run on its threads and only leave a mark. */

static void on_lost(natsConnection *nc, void *arg)
{
	struct nats *n = arg;

	(void)nc;
	atomic_fetch_add(&n->losses, 1);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *arg)
{
	/* Without a handler the library prints to stderr; drops are read from its counter. */
	(void)nc;
	(void)sub;
	(void)status;
	(void)arg;
}

static int64_t on_wait(natsConnection *nc, int attempt, void *arg)
{
	(void)nc;
	(void)arg;
	return backoff_random_ms(attempt > 0 ? (unsigned)attempt : 1);
}

static void look_at_drops(struct nats *n)
{
	int64_t dropped;

	if (natsSubscription_GetDropped(n->sub, &dropped) == NATS_OK && dropped >= 0)
		gap_track_dropped(&n->gaps, (uint64_t)dropped, time_now_ns());
}

static void stop_watching(struct nats *n)
{
	natsSubscription_Destroy(n->beat_sub);
	n->beat_sub = NULL;
	heartbeat_unwatch(&n->beats);
}

static void drop_connection(struct nats *n)
{
	stop_watching(n);
	if (n->sub)
		look_at_drops(n);
	natsSubscription_Destroy(n->sub);
	n->sub = NULL;
	natsConnection_Destroy(n->nc);
	n->nc = NULL;
	n->confirmed = false;
}

/* Gives up this connection; the next one is tried after a while. */
static void give_up(struct nats *n, const char *why)
{
	drop_connection(n);
	gap_track_lost(&n->gaps, time_now_ns());
	atomic_store(&n->why, why);
	n->attempt++;
	n->try_again_ns = time_monotonic_ns() + backoff_random_ms(n->attempt) * NS_PER_MS;
}

static const char *why_not_connected(const struct nats *n, natsStatus s)
{
	if (s == NATS_CONNECTION_AUTH_FAILED || s == NATS_NOT_PERMITTED)
		return WHY_REFUSED;
	if (s != NATS_NO_SERVER && s != NATS_TIMEOUT &&
	    strlen(n->user) + strlen(n->password) + CONNECT_OTHER_BYTES > NATS_CONNECT_BYTES_USUAL)
		return WHY_TOO_LONG;
	return WHY_AWAY;
}

static void try_to_connect(struct nats *n)
{
	natsStatus s;

	s = natsConnection_Connect(&n->nc, n->options);
	if (s != NATS_OK) {
		n->nc = NULL;
		give_up(n, why_not_connected(n, s));
		return;
	}
	if (n->queue)
		s = natsConnection_QueueSubscribeSync(&n->sub, n->nc, n->subject, n->queue);
	else
		s = natsConnection_SubscribeSync(&n->sub, n->nc, n->subject);
	if (s == NATS_OK)
		s = natsSubscription_SetPendingLimits(n->sub, NATS_PENDING_LINES,
						      NATS_PENDING_BYTES);
	if (s != NATS_OK) {
		give_up(n, WHY_DENIED);
		return;
	}
	n->losses_seen = atomic_load(&n->losses);
	n->asked_ns = 0;
	gap_track_new_subscription(&n->gaps);
}

/*
 * The server has the lines' own subscription. Only then is the one for the heartbeat made, so
 * that a refusal can be told from one of the other; it stands when the server has answered again.
 */
static void watch_beats(struct nats *n)
{
	const char *text;
	natsStatus s;

	if (!heartbeat_is_on(&n->beats) || n->beats.denied || n->beats.watching)
		return;
	if (!n->beat_sub) {
		s = natsConnection_SubscribeSync(&n->beat_sub, n->nc, n->beats.subject);
		if (s == NATS_OK)
			s = natsSubscription_SetPendingLimits(n->beat_sub, BEAT_LINES_MAX,
							      BEAT_BYTES_MAX);
		if (s != NATS_OK)
			stop_watching(n); /* tried again after the server's next answer */
		else
			n->asked_ns = 0;
	} else if (natsConnection_GetLastError(n->nc, &text) == NATS_NOT_PERMITTED) {
		stop_watching(n);
		heartbeat_deny(&n->beats);
	} else {
		heartbeat_watch(&n->beats, time_now_ns(), time_monotonic_ns());
	}
}

/* The server's answer to a PING proves that what it sent before has arrived. */
static void ask_server(struct nats *n)
{
	int64_t asked_ns = time_now_ns();
	const char *text;

	if (natsConnection_FlushTimeout(n->nc, ANSWER_MS) != NATS_OK) {
		if (n->confirmed)
			atomic_store(&n->why, WHY_SILENT);
		n->asked_ns = time_monotonic_ns();
		return;
	}
	if (!n->confirmed && natsConnection_GetLastError(n->nc, &text) == NATS_NOT_PERMITTED) {
		give_up(n, WHY_DENIED);
		return;
	}
	if (!n->confirmed)
		gap_track_subscribed(&n->gaps, time_now_ns());
	else
		gap_track_answered(&n->gaps, asked_ns);
	n->confirmed = true;
	n->attempt = 0;
	n->asked_ns = time_monotonic_ns();
	atomic_store(&n->why, NULL);
	watch_beats(n);
}

static void look_at_connection(struct nats *n)
{
	natsConnStatus status = natsConnection_Status(n->nc);
	unsigned losses = atomic_load(&n->losses);

	if (losses != n->losses_seen) {
		n->losses_seen = losses;
		n->confirmed = false;
		n->asked_ns = 0;
		stop_watching(n);
		atomic_store(&n->why, WHY_LOST);
		gap_track_lost(&n->gaps, time_now_ns());
	}
	if (status == NATS_CONN_STATUS_CLOSED) {
		const char *text;
		natsStatus s = natsConnection_GetLastError(n->nc, &text);

		give_up(n, s == NATS_CONNECTION_AUTH_FAILED ? WHY_REFUSED : WHY_LOST);
		return;
	}
	if (status == NATS_CONN_STATUS_CONNECTED &&
	    time_monotonic_ns() - n->asked_ns >= ASK_EVERY_MS * NS_PER_MS)
		ask_server(n);
}

/* Adds the held line. False in *ret_added: the batch has no room for it, it stays held. */
static enum err_kind add_held(struct nats *n, struct batch *batch, bool *ret_added, struct err *err)
{
	struct span whole =
		span_of(natsMsg_GetData(n->held), (size_t)natsMsg_GetDataLength(n->held));
	struct span subject = span_text(natsMsg_GetSubject(n->held));
	struct span line = whole;
	enum err_kind rc = ERR_NONE;
	struct raw *raw;

	if (line.len > RAW_BYTES_MAX)
		line.len = RAW_BYTES_MAX;
	if (subject.len > SUBJECT_BYTES_MAX)
		subject.len = SUBJECT_BYTES_MAX;
	raw = batch_add(batch, subject, line);
	if (!raw && batch->count == 0)
		return err_set(err, ERR_FATAL, "out of memory for a line of %zu bytes", line.len);
	*ret_added = raw != NULL;
	if (!raw)
		return ERR_NONE;
	raw->form = RAW_NATS_JSON;
	if (n->now_ns == 0 || batch->count % LOOK_AT_CLOCK_EVERY == 1)
		n->now_ns = time_now_ns();
	raw->received_ns = n->now_ns;
	raw->ordinal = ++n->ordinal;
	raw->full_len = whole.len;
	if (whole.len > line.len)
		rc = hasher_digest(n->hasher, whole, raw->full_sha256, err);
	n->taken[n->taken_count++] = n->held;
	n->held = NULL;
	return rc;
}

/*
 * The next line into n->held. Waits for the first of a batch on the library's
 * condition; for the others it looks again after a breath, because being woken
 * for every line costs more than the line. False: the batch is done.
 */
static bool next_line(struct nats *n, const struct batch *batch, int64_t gather_until_ns)
{
	for (;;) {
		natsStatus s = natsSubscription_NextMsg(&n->held, n->sub, 0);

		if (s == NATS_SLOW_CONSUMER) /* said once an episode; GetDropped has the count */
			continue;
		if (s == NATS_OK)
			return true;
		n->held = NULL;
		if (s != NATS_TIMEOUT)
			return false;
		gap_track_drained(&n->gaps);
		if (batch->count == 0) {
			s = natsSubscription_NextMsg(&n->held, n->sub, SOURCE_WAIT_MS);
			return s == NATS_OK;
		}
		if (time_monotonic_ns() >= gather_until_ns)
			return false;
		nats_Sleep(BREATH_MS);
		n->now_ns = 0;
	}
}

/*
 * The library has a thread that frees messages, and wakes it for each one it is
 * given while that sleeps. Given all of a batch at once, it sleeps once.
 */
static void give_back(struct nats *n)
{
	while (n->taken_count > 0)
		natsMsg_Destroy(n->taken[--n->taken_count]);
}

static enum err_kind take_lines(struct nats *n, struct batch *batch, struct err *err)
{
	int64_t gather_until_ns = 0;
	enum err_kind rc;
	bool added;

	while (!batch_is_full(batch)) {
		if (!n->held && !next_line(n, batch, gather_until_ns))
			break;
		rc = add_held(n, batch, &added, err);
		if (rc)
			return rc;
		if (!added)
			break;
		if (batch->count == 1)
			gather_until_ns = time_monotonic_ns() + SOURCE_GATHER_MS * NS_PER_MS;
	}
	return ERR_NONE;
}

/* Prints the next one, if that can be done without waiting. */
static void print_beat(struct nats *n)
{
	char text[HEARTBEAT_TEXT_BYTES];
	uint64_t nonce;
	struct err ignored;
	bool printed = hash_random(&nonce, sizeof(nonce), &ignored) == ERR_NONE;

	heartbeat_make(&n->beats, printed ? nonce : 0, time_now_ns(), time_monotonic_ns(), text);
	printed = printed && file_write_at_once(n->beat_fd, text, strlen(text));
	heartbeat_printed(&n->beats, printed, time_now_ns(), time_monotonic_ns());
}

/* What this machine printed and the stream brought back: the heartbeats in it. */
static void take_beats(struct nats *n)
{
	natsMsg *msg;

	for (unsigned i = 0; i < BEAT_LINES_A_READ; i++) {
		natsStatus s = natsSubscription_NextMsg(&msg, n->beat_sub, 0);

		if (s == NATS_SLOW_CONSUMER) /* only own lines are dropped: heartbeats, at worst */
			continue;
		if (s != NATS_OK)
			return;
		if (heartbeat_take(
			    &n->beats,
			    span_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg)),
			    time_now_ns(), time_monotonic_ns()))
			gap_track_beat(&n->gaps, time_now_ns());
		natsMsg_Destroy(msg);
	}
}

static void look_at_beats(struct nats *n)
{
	take_beats(n);
	if (heartbeat_is_missed(&n->beats, time_monotonic_ns())) {
		heartbeat_silent(&n->beats);
		gap_track_silent(&n->gaps);
		drop_connection(n);
		atomic_store(&n->why, WHY_NO_BEAT);
	} else if (heartbeat_due(&n->beats, time_monotonic_ns())) {
		print_beat(n);
	}
}

static void look_at_clocks(struct nats *n)
{
	int64_t steady_ns = time_monotonic_ns(), wall_ns = time_now_ns();

	/* Stopped between the two, the process would take its own pause for a jump. */
	if (time_monotonic_ns() - steady_ns > CLOCKS_APART_MS * NS_PER_MS)
		return;
	if (gap_track_clocks(&n->gaps, wall_ns, steady_ns))
		heartbeat_clock_set(&n->beats, wall_ns);
}

/* Waits for the time of the next attempt, no longer than a read may take. */
static void wait_to_connect(const struct nats *n)
{
	int64_t rest_ms = (n->try_again_ns - time_monotonic_ns()) / NS_PER_MS;

	if (rest_ms > 0)
		nats_Sleep(rest_ms < SOURCE_WAIT_MS ? rest_ms : SOURCE_WAIT_MS);
}

/* What is told of the batch, and behind it. */
static void report(struct nats *n, struct batch *batch, bool last)
{
	gap_track_sure(&n->gaps, heartbeat_sure_ns(&n->beats));
	gap_track_report(&n->gaps, batch, time_now_ns(), last);
	batch->shared = n->queue != NULL;
}

static enum err_kind nats_read(void *ctx, struct batch *batch, struct err *err)
{
	struct nats *n = ctx;
	enum err_kind rc = ERR_NONE;

	batch->source = SOURCE_NATS;
	look_at_clocks(n);
	if (!n->nc && time_monotonic_ns() < n->try_again_ns)
		wait_to_connect(n);
	else if (!n->nc)
		try_to_connect(n);
	if (n->nc)
		look_at_connection(n);
	if (n->sub) {
		rc = take_lines(n, batch, err);
		give_back(n);
		look_at_drops(n);
	}
	if (n->beat_sub)
		look_at_beats(n);
	report(n, batch, false);
	return rc;
}

static void nats_last_gaps(void *ctx, struct batch *batch)
{
	struct nats *n = ctx;

	batch->source = SOURCE_NATS;
	if (n->sub)
		look_at_drops(n);
	report(n, batch, true);
}

static bool nats_connected(void *ctx, const char **ret_why)
{
	struct nats *n = ctx;

	*ret_why = atomic_load(&n->why);
	return *ret_why == NULL;
}

static void nats_pulse(void *ctx, struct source_pulse *ret)
{
	const struct nats *n = ctx;

	heartbeat_pulse(&n->beats, ret);
	ret->jumps = n->gaps.jumps;
	ret->jumped_ns = n->gaps.jumped_ns;
	ret->jump_ns = n->gaps.jump_ns;
}

static void nats_release(struct nats *n)
{
	hasher_free(n->hasher);
	free(n->url);
	free(n->user);
	secret_free(n->password);
	free(n->subject);
	free(n->queue);
	free(n);
}

static void nats_close(void *ctx)
{
	struct nats *n = ctx;

	natsMsg_Destroy(n->held);
	drop_connection(n);
	natsOptions_Destroy(n->options);
	/* The library's threads may still call back: without their end, nothing is freed. */
	if (nats_CloseAndWait(CLOSE_MS) == NATS_OK)
		nats_release(n);
}

static const struct source_ops nats_ops = {
	.name = "nats",
	.live = true,
	.read = nats_read,
	.last_gaps = nats_last_gaps,
	.connected = nats_connected,
	.pulse = nats_pulse,
	.close = nats_close,
};

static natsStatus set_options(struct nats *n)
{
	natsStatus s;

	s = natsOptions_Create(&n->options);
	if (s == NATS_OK)
		s = natsOptions_SetURL(n->options, n->url);
	if (s == NATS_OK)
		s = natsOptions_SetUserInfo(n->options, n->user, n->password);
	if (s == NATS_OK)
		s = natsOptions_SetName(n->options, "flytrail");
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(n->options, CONNECT_MS);
	if (s == NATS_OK)
		s = natsOptions_SetPingInterval(n->options, NATS_PING_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxPingsOut(n->options, NATS_PINGS_OUT);
	if (s == NATS_OK)
		s = natsOptions_SetMaxReconnect(n->options, -1);
	if (s == NATS_OK)
		s = natsOptions_SetCustomReconnectDelay(n->options, on_wait, NULL);
	if (s == NATS_OK)
		s = natsOptions_SetDisconnectedCB(n->options, on_lost, n);
	if (s == NATS_OK)
		s = natsOptions_SetErrorHandler(n->options, on_error, n);
	return s;
}

static void set_beats(struct nats *n, const struct nats_options *o)
{
	heartbeat_init(&n->beats, o->heartbeat_ns, o->app, o->machine);
	n->beat_fd = o->heartbeat_fd;
	gap_track_init(&n->gaps, o->last_live_ns, time_now_ns());
	if (o->heartbeat_ns > 0)
		n->gaps.tell_every_ns = SOURCE_BEATS_PER_WORD * o->heartbeat_ns;
}

enum err_kind nats_open(struct source *ret, const struct nats_options *options, struct err *err)
{
	struct span password = nats_bare_token(span_text(options->password));
	bool has_queue = options->queue && options->queue[0] != '\0';
	struct nats *n = NULL;
	enum err_kind rc;
	natsStatus s;

	rc = nats_check_url(options->url, err);
	if (rc == ERR_NONE)
		rc = nats_check_credential("ORG", span_text(options->user), err);
	if (rc == ERR_NONE)
		rc = nats_check_credential("ACCESS_TOKEN", password, err);
	if (rc)
		return rc;
	n = calloc(1, sizeof(*n));
	if (!n)
		return err_set(err, ERR_FATAL, "out of memory for the NATS source");
	n->url = span_copy(span_text(options->url));
	n->user = span_copy(span_text(options->user));
	n->password = span_copy(password);
	n->subject = span_copy(span_text(options->subject));
	n->queue = has_queue ? span_copy(span_text(options->queue)) : NULL;
	rc = hasher_new(&n->hasher, err);
	if (rc)
		goto out;
	if (!n->url || !n->user || !n->password || !n->subject || (has_queue && !n->queue)) {
		rc = err_set(err, ERR_FATAL, "out of memory for the NATS source");
		goto out;
	}
	s = set_options(n);
	if (s != NATS_OK) {
		rc = err_set(err, ERR_CONFIG, "NATS_URL cannot be used: %s", natsStatus_GetText(s));
		goto out;
	}
	atomic_store(&n->why, WHY_NOT_YET);
	set_beats(n, options);
	*ret = (struct source){.ops = &nats_ops, .ctx = n};
out:
	if (rc) {
		natsOptions_Destroy(n->options);
		nats_release(n);
	}
	return rc;
}

const char *nats_library_version(void)
{
	return nats_GetVersion();
}
