/*
 * store_driver: the store alone, driven line by line from stdin, for
 * tests/integration/test_store.py.
 *
 *	store_driver URL STREAM EPOCH
 *
 *	connect                              -> ok CURSOR
 *	mark                                 -> ok MARK, of the cursor that the last connect found
 *	clear SEQ                            empties the batch; the next frame is SEQ
 *	line NS CLASS ACTION MESSAGE         adds a line; equal ones have equal ids
 *	lines COUNT NS STEP_NS               adds application lines, every hundredth an exit
 *	event NS                             adds a fact that is no line
 *	bytes                                adds a line whose message is no UTF-8
 *	garbage                              adds a payload that is none
 *	cut NS                               adds a line's payload without its last byte
 *	write AFTER_SEQ [FIRST COUNT]        -> ok LINES EVENTS DUPLICATES MEANWHILE WALL_US CPU_US
 *	late                                 -> ok LINES SECURITY OPERATIONS FIRST LAST NOTED
 *	                                     of the last write: rows past keep_at_most, the
 *	                                     numbers of the lines, where the cursor was to be
 *	apart SEQ                            adds the batch past the cursor, numbered from SEQ -> ok
 *	settle                               commits what was added so -> ok LINES EVENTS DUPLICATES
 *	forget                               closes it without a commit -> ok
 *	partitions                           -> ok
 *	lease NAME HOLDER SECONDS            -> ok yes|no HOLDER; on a connection of its own
 *	give NAME HOLDER                     -> ok
 *
 * What fails answers its kind and text: "retry Postgres says ...".
 */

#include "base/time.h"
#include "model/event.h"
#include "store/apart.h"
#include "store/lease.h"
#include "store/postgres.h"
#include "names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Of the frame with this number. */
#define MARK(seq) ((uint64_t)(seq) << 32 | 7)

enum { COMMAND_BYTES = 4096, NUMBERS_MAX = 3, EXIT_EVERY = 100 };

struct driver {
	const char *url;
	struct store *store;
	struct session *session; /* of the leases; NULL: to be opened */
	struct apart *apart;     /* NULL: to be opened */
	struct id stream;
	struct spool_batch batch;
	struct hasher *hasher;
	struct buf payload;
	struct record record; /* too large for the stack of every call */
	uint64_t next_seq;
	unsigned meanwhile_calls;
	struct store_result written;
	uint64_t noted_seq; /* of the newest late rows; 0: none */
	struct err err;
};

static void must(enum err_kind rc, const struct err *err)
{
	if (rc) {
		(void)fprintf(stderr, "store_driver: %s\n", err->text);
		exit(1);
	}
}

static void add_frame(struct driver *d, struct span payload)
{
	struct spool_frame *f = &d->batch.frames[d->batch.count];

	REQUIRE(d->batch.count < d->batch.frames_max);
	*f = (struct spool_frame){.seq = d->next_seq,
				  .offset = d->batch.bytes.len,
				  .len = payload.len,
				  .mark = MARK(d->next_seq)};
	d->next_seq++;
	buf_span(&d->batch.bytes, payload);
	d->batch.count++;
	must(buf_check(&d->batch.bytes, &d->err), &d->err);
}

static void add_record(struct driver *d, int64_t ns, enum line_class class, enum action action,
		       struct span message)
{
	struct record *r = &d->record;

	r->occurred_ns = ns;
	r->observed_ns = ns + NS_PER_MS;
	r->source = SOURCE_FILE;
	r->org = SPAN("example-org");
	r->app = SPAN("web-1");
	r->region = SPAN("ams");
	r->machine_id = SPAN("0e286551c30586");
	r->host = SPAN("0ad1");
	r->provider = SPAN("app");
	r->level = SPAN("info");
	r->message = message;
	r->raw = (struct span){NULL, 0};
	r->class = class;
	r->action = action;
	r->finding = (struct finding){
		.rule = "driver", .trust = TRUST_GUEST, .outcome = SPAN("success")};
	r->attr_count = 0;
	if (class != CLASS_app_log)
		record_attr_number(r, SPAN("exit_code"), 1);
	must(id_line(d->hasher,
		     &(struct id_parts){.app = r->app,
					.instance = r->machine_id,
					.message = message,
					.occurred_ns = ns},
		     &r->id, &d->err),
	     &d->err);
	buf_reset(&d->payload);
	record_encode(r, &d->payload);
	must(buf_check(&d->payload, &d->err), &d->err);
	add_frame(d, span_of(d->payload.data, d->payload.len));
}

static bool parse_action(const char *name, enum action *ret)
{
	for (int a = 0; a < ACTION_COUNT; a++) {
		*ret = (enum action)a;
		if (strcmp(name, action_name(*ret)) == 0)
			return true;
	}
	return false;
}

static void add_line(struct driver *d, char *words)
{
	enum line_class class;
	enum action action = ACTION_none;
	char *at = words;
	int64_t ns = strtoll(at, &at, 10);
	char *class_text = strtok(at, " ");
	char *action_text = strtok(NULL, " ");
	char *message = strtok(NULL, "");

	if (!class_text || !action_text || !message ||
	    !class_parse(span_text(class_text), &class) ||
	    (strcmp(action_text, "-") != 0 && !parse_action(action_text, &action))) {
		(void)fprintf(stderr, "store_driver: no such line\n");
		exit(1);
	}
	add_record(d, ns, class, action, span_text(message));
}

static void add_lines(struct driver *d, const int64_t numbers[NUMBERS_MAX])
{
	char message[COMMAND_BYTES];

	for (int64_t i = 0; i < numbers[0]; i++) {
		bool is_exit = i % EXIT_EVERY == EXIT_EVERY - 1;
		int len = snprintf(message, sizeof(message),
				   "%0250" PRId64 " GET /things/%" PRId64 " 200 in 12 ms", i, i);

		add_record(d, numbers[1] + i * numbers[2], is_exit ? CLASS_exit : CLASS_app_log,
			   is_exit ? ACTION_exit_main_child : ACTION_none,
			   span_of(message, (size_t)len));
	}
}

static void add_event(struct driver *d, int64_t ns)
{
	const struct span parts[] = {SPAN("driver"), span_of(&ns, sizeof(ns))};
	struct event e = {
		.class = CLASS_trail,
		.action = ACTION_trail_started,
		.occurred_ns = ns,
		.not_after_ns = ns + NS_PER_S,
		.time_basis = TIME_INTERVAL,
		.observed_ns = ns,
		.actor = SPAN("flytrail"),
		.actor_type = ACTOR_SELF,
		.trust = TRUST_SELF,
		.source = SOURCE_TRAIL,
	};

	must(id_event(d->hasher, parts, ARRAY_LEN(parts), &e.id, &d->err), &d->err);
	buf_reset(&d->payload);
	event_encode(&e, &d->payload);
	add_frame(d, span_of(d->payload.data, d->payload.len));
}

static void count_call(void *arg)
{
	struct driver *d = arg;

	d->meanwhile_calls++;
}

static void answer(const struct driver *d, enum err_kind rc, const char *text)
{
	if (rc)
		(void)printf("%s %s\n", err_kind_name(rc), d->err.text);
	else
		(void)printf("ok%s\n", text);
	(void)fflush(stdout);
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static enum err_kind note_late(void *arg, const struct store_result *result, uint64_t last_seq,
			       struct err *err)
{
	struct driver *d = arg;

	(void)result;
	(void)err;
	d->noted_seq = last_seq;
	return ERR_NONE;
}

static void tell_late(struct driver *d)
{
	const struct limits_expired *late = d->written.expired;
	char text[COMMAND_BYTES];

	(void)snprintf(text, sizeof(text),
		       " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
		       late[LIMITS_LINES].rows, late[LIMITS_SECURITY].rows,
		       late[LIMITS_OPERATIONS].rows, late[LIMITS_LINES].first_seq,
		       late[LIMITS_LINES].last_seq, d->noted_seq);
	answer(d, ERR_NONE, text);
}

static void write_batch(struct driver *d, const int64_t numbers[NUMBERS_MAX], int given)
{
	const struct store_job job = {
		.batch = &d->batch,
		.first = given > 1 ? (size_t)numbers[1] : 0,
		.count = given > 2 ? (size_t)numbers[2] : d->batch.count,
		.after_seq = (uint64_t)numbers[0],
		.meanwhile = count_call,
		.expired = note_late,
		.arg = d,
	};
	int64_t start_ns = time_monotonic_ns(), start_cpu_ns = cpu_ns();
	struct store_result result = {0};
	char text[COMMAND_BYTES];
	enum err_kind rc;

	d->meanwhile_calls = 0;
	d->noted_seq = 0;
	rc = store_write(d->store, &job, &result, &d->err);
	d->written = result;
	(void)snprintf(text, sizeof(text),
		       " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %" PRId64 " %" PRId64, result.lines,
		       result.events, result.duplicates, d->meanwhile_calls,
		       (time_monotonic_ns() - start_ns) / 1000, (cpu_ns() - start_cpu_ns) / 1000);
	answer(d, rc, text);
}

static void connect_store(struct driver *d)
{
	uint64_t cursor = 0;
	char text[COMMAND_BYTES];
	enum err_kind rc = store_connect(d->store, &cursor, &d->err);

	(void)snprintf(text, sizeof(text), " %" PRIu64, cursor);
	answer(d, rc, text);
}

static enum err_kind ask_lease(struct driver *d, char *words, bool take, char text[COMMAND_BYTES])
{
	const struct session_options options = {
		.url = d->url, .url_name = "URL", .connect_seconds = 30, .answer_seconds = 30};
	const char *name = strtok(words, " "), *holder = strtok(NULL, " ");
	const char *seconds = strtok(NULL, " ");
	struct lease lease = {.mine = false};
	enum err_kind rc = ERR_NONE;

	REQUIRE(name && holder && (seconds || !take));
	if (!d->session)
		rc = session_open(&d->session, &options, &d->err);
	if (!rc && take)
		rc = lease_take(d->session, name, holder, atoi(seconds), &lease, &d->err);
	else if (!rc)
		rc = lease_give_back(d->session, name, holder, &d->err);
	if (rc) {
		session_close(d->session);
		d->session = NULL;
	}
	(void)snprintf(text, COMMAND_BYTES, " %s %s", lease.mine ? "yes" : "no", lease.holder);
	return rc;
}

static enum err_kind add_apart(struct driver *d, uint64_t seq)
{
	enum err_kind rc = ERR_NONE;

	if (!d->apart)
		rc = apart_open(&d->apart, d->url, &d->err);
	for (size_t i = 0; i < d->batch.count && !rc; i++) {
		const struct apart_row row = {.stream = d->stream,
					      .seq = seq + i,
					      .payload = spool_batch_payload(&d->batch, i)};

		rc = apart_add(d->apart, &row, &d->err);
	}
	return rc;
}

static void obey_apart(struct driver *d, const char *word, uint64_t seq)
{
	struct apart_result result = {.lines = 0};
	char text[COMMAND_BYTES] = "";
	enum err_kind rc;

	if (strcmp(word, "apart") == 0) {
		rc = add_apart(d, seq);
	} else if (strcmp(word, "forget") == 0) {
		apart_close(d->apart);
		d->apart = NULL;
		rc = ERR_NONE;
	} else {
		rc = apart_commit(d->apart, &result, &d->err);
		(void)snprintf(text, sizeof(text), " %" PRIu64 " %" PRIu64 " %" PRIu64,
			       result.lines, result.events, result.duplicates);
	}
	answer(d, rc, text);
	if (rc && rc != ERR_REJECT) {
		apart_close(d->apart);
		d->apart = NULL;
	}
}

static void obey(struct driver *d, char *line)
{
	char text[COMMAND_BYTES];
	char *words = line + strcspn(line, " ");
	int64_t numbers[NUMBERS_MAX] = {0};
	int given = 0;

	if (*words != '\0')
		*words++ = '\0';
	for (char *at = words, *end; given < NUMBERS_MAX; at = end, given++) {
		numbers[given] = strtoll(at, &end, 10);
		if (end == at)
			break;
	}
	if (strcmp(line, "connect") == 0) {
		connect_store(d);
	} else if (strcmp(line, "mark") == 0) {
		(void)printf("ok %" PRIx64 "\n", store_cursor_mark(d->store));
		(void)fflush(stdout);
	} else if (strcmp(line, "clear") == 0) {
		spool_batch_reset(&d->batch);
		d->next_seq = (uint64_t)numbers[0];
	} else if (strcmp(line, "line") == 0) {
		add_line(d, words);
	} else if (strcmp(line, "lines") == 0) {
		add_lines(d, numbers);
	} else if (strcmp(line, "event") == 0) {
		add_event(d, numbers[0]);
	} else if (strcmp(line, "bytes") == 0) {
		add_record(d, time_now_ns(), CLASS_app_log, ACTION_none, SPAN("\xff\xfe"));
	} else if (strcmp(line, "garbage") == 0) {
		add_frame(d, SPAN("\x01\x01 no payload"));
	} else if (strcmp(line, "cut") == 0) {
		add_record(d, numbers[0], CLASS_app_log, ACTION_none, SPAN("cut"));
		d->batch.frames[d->batch.count - 1].len--;
	} else if (strcmp(line, "write") == 0) {
		write_batch(d, numbers, given);
	} else if (strcmp(line, "late") == 0) {
		tell_late(d);
	} else if (strcmp(line, "lease") == 0) {
		enum err_kind rc = ask_lease(d, words, true, text);

		answer(d, rc, text);
	} else if (strcmp(line, "give") == 0) {
		answer(d, ask_lease(d, words, false, text), "");
	} else if (strcmp(line, "apart") == 0 || strcmp(line, "settle") == 0 ||
		   strcmp(line, "forget") == 0) {
		obey_apart(d, line, (uint64_t)numbers[0]);
	} else if (strcmp(line, "partitions") == 0) {
		answer(d, store_make_partitions(d->store, &d->err), "");
	} else {
		(void)fprintf(stderr, "store_driver: no command %s\n", line);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static struct driver d;
	struct store_options options = {.replica = "driver"};
	char line[COMMAND_BYTES];

	if (argc != 4 || !id_parse(span_text(argv[2]), &options.stream.uuid)) {
		(void)fprintf(stderr, "store_driver URL STREAM EPOCH\n");
		return 2;
	}
	options.url = d.url = argv[1];
	d.stream = options.stream.uuid;
	options.stream.epoch = strtoull(argv[3], NULL, 10);
	d.next_seq = 1;
	buf_init(&d.payload, RECORD_PAYLOAD_BYTES_MAX);
	must(hasher_new(&d.hasher, &d.err), &d.err);
	must(spool_batch_init(&d.batch, STORE_BATCH_ROWS, STORE_BATCH_BYTES_MAX, &d.err), &d.err);
	must(store_new(&d.store, &options, &d.err), &d.err);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(&d, line);
	}
	store_free(d.store);
	session_close(d.session);
	apart_close(d.apart);
	spool_batch_release(&d.batch);
	hasher_free(d.hasher);
	buf_release(&d.payload);
	return 0;
}
