#include "run/settle.h"

#include "base/span.h"
#include "base/time.h"
#include "model/event.h"
#include "run/act.h"
#include "run/delivery.h"
#include "sink/dead_settled.h"

#include <inttypes.h>
#include <stdlib.h>

enum { REASON_TEXTS = 2 };

struct settle {
	const struct config *config;
	char sink[SPOOL_CONSUMER_NAME_BYTES];
	struct dead_settled *settled;
	struct dead_reader *letters;
	struct apart *apart;       /* NULL: to be connected */
	struct delivery *delivery; /* NULL: none yet; of the stream and epoch of */
	struct dead_key delivery_key;
};

static enum err_kind connect(struct settle *s, struct err *err)
{
	return s->apart ? ERR_NONE : apart_open(&s->apart, s->config->database_url, err);
}

static void disconnect(struct settle *s)
{
	apart_close(s->apart);
	s->apart = NULL;
}

/* First the lock, so that what is read is not being settled by somebody else. */
enum err_kind settle_open(struct settle **ret, const struct config *c, const char *sink,
			  struct err *err)
{
	struct settle *s = calloc(1, sizeof(*s));
	enum err_kind rc;

	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for the dead letters");
	REQUIRE(strlen(sink) < sizeof(s->sink));
	memcpy(s->sink, sink, strlen(sink) + 1);
	s->config = c;
	rc = dead_settled_open(&s->settled, c->spool_dir, sink, err);
	if (!rc)
		rc = dead_reader_open(&s->letters, c->spool_dir, sink, err);
	if (!rc)
		rc = connect(s, err);
	if (rc)
		settle_close(s);
	else
		*ret = s;
	return rc;
}

void settle_close(struct settle *s)
{
	if (!s)
		return;
	disconnect(s);
	delivery_close(s->delivery);
	dead_reader_close(s->letters);
	dead_settled_close(s->settled);
	free(s);
}

struct dead_reader *settle_letters(const struct settle *s)
{
	return s->letters;
}

/* --- the fact --- */

/* row NULL: the fact alone. */
static enum err_kind commit(struct settle *s, const struct apart_row *row, const struct act *act,
			    struct err *err)
{
	struct apart_result result;
	enum err_kind rc = connect(s, err);

	if (!rc && row)
		rc = apart_add(s->apart, row, err);
	if (!rc)
		rc = act_add(s->apart, s->config, act, err);
	if (!rc)
		rc = apart_commit(s->apart, &result, err);
	if (rc && rc != ERR_REJECT)
		disconnect(s);
	return rc;
}

/* A connection that is gone is no letter's fault: once more, with another. The fact is the same. */
static enum err_kind commit_surely(struct settle *s, const struct apart_row *row,
				   const struct act *act, struct err *err)
{
	enum err_kind rc = commit(s, row, act, err);

	return rc == ERR_RETRY ? commit(s, row, act, err) : rc;
}

static struct act act_of(const struct settle *s, const struct dead_key *key)
{
	return (struct act){
		.target_type = "sink",
		.target = s->sink,
		.stream = key->stream,
		.epoch = key->epoch,
		.first_seq = key->seq,
		.last_seq = key->seq,
		.at_ns = time_now_ns(),
		.why = "",
	};
}

/* --- retrying --- */

/*
 * What has cost two connections, and there is a third one at once, is this letter's own: the next
 * may be tried.
 */
static enum err_kind store_record(struct settle *s, const struct dead_key *key, struct span payload,
				  const struct act *act, struct err *err)
{
	const struct apart_row row = {.stream = key->stream, .seq = key->seq, .payload = payload};
	struct err aside;
	enum err_kind rc = commit_surely(s, &row, act, err);

	if (rc == ERR_RETRY && !connect(s, &aside))
		err->kind = rc = ERR_REJECT;
	return rc;
}

/* The sink has it. */
static enum err_kind tell_delivered(struct settle *s, const struct act *act, struct err *err)
{
	enum err_kind rc = commit_surely(s, NULL, act, err);

	if (!rc)
		return ERR_NONE;
	if (rc == ERR_REJECT) /* of no use to the next, either: it would be sent for nothing */
		err->kind = ERR_RETRY;
	return err_wrap(err, "number %" PRIu64 " was delivered, but that is not on record",
			act->first_seq);
}

static void end_delivery(struct settle *s)
{
	delivery_close(s->delivery);
	s->delivery = NULL;
}

/* What was refused when it was delivered, or is left out by now, is refused once more. */
static enum err_kind deliver_record(struct settle *s, const struct dead_key *key,
				    struct span payload, struct err *err)
{
	const struct spool_stream stream = {.uuid = key->stream, .epoch = key->epoch};
	const struct dead_key range = {.stream = key->stream, .epoch = key->epoch};
	struct delivery_result result = {.refused = 0};
	bool taken = false;
	enum err_kind rc = ERR_NONE;

	if (s->delivery && dead_key_compare(&range, &s->delivery_key) != 0)
		end_delivery(s);
	if (!s->delivery)
		rc = delivery_open(&s->delivery, s->config, s->sink, &stream, err);
	if (rc)
		return rc;
	s->delivery_key = range;
	delivery_begin(s->delivery, key->seq);
	rc = delivery_add(s->delivery, key->seq, payload, &taken, err);
	if (!rc && !taken)
		return err_set(err, ERR_REJECT,
			       "it is none of the records that %s is to have: see %s", s->sink,
			       delivery_send_option(s->delivery));
	if (!rc)
		rc = delivery_end(s->delivery, key->seq, &result, err);
	if (rc) /* what it has of this letter is not the next one's */
		end_delivery(s);
	if (rc == ERR_CONFIG && result.is_its_own)
		err->kind = rc = ERR_REJECT;
	if (!rc && result.late > 0)
		return err_set(err, ERR_REJECT,
			       "it is older than %s takes for what it is, and is left out: see "
			       "FLYTRAIL_DATADOG_LATE",
			       s->sink);
	if (!rc && result.refused > 0) {
		*err = result.why;
		rc = err->kind;
	}
	return rc;
}

enum err_kind settle_retry(struct settle *s, size_t idx, struct err *err)
{
	const struct dead_key *key = dead_reader_key(s->letters, idx);
	bool is_store = strcmp(s->sink, SETTLE_STORE) == 0;
	struct act act = act_of(s, key);
	struct dead_letter letter;
	enum err_kind rc = connect(s, err);

	act.action = ACTION_trail_dead_retried;
	act.command = "dead retry";
	if (!rc)
		rc = dead_reader_read(s->letters, idx, &letter, err);
	if (rc)
		return rc;
	if (is_store)
		rc = store_record(s, key, letter.payload, &act, err);
	else
		rc = deliver_record(s, key, letter.payload, err);
	if (!rc && !is_store)
		rc = tell_delivered(s, &act, err);
	return rc ? rc
		  : dead_settled_add(s->settled, key, letter.written_ns, DEAD_RETRIED, "", err);
}

/* --- dropping --- */

/* The id of what is given up, by which it may be known elsewhere. */
static struct span record_id(struct span payload, char text[ID_TEXT_BYTES])
{
	struct record_key line;
	struct event event;
	struct err aside;

	if (payload_kind(payload) == PAYLOAD_LINE && !record_decode_key(payload, &line, &aside))
		return span_text(id_format(&line.id, text));
	if (payload_kind(payload) == PAYLOAD_EVENT && !event_decode(payload, &event, &aside))
		return span_text(id_format(&event.id, text));
	return SPAN("unknown");
}

enum err_kind settle_drop(struct settle *s, size_t idx, const char *why, struct err *err)
{
	const struct dead_key *key = dead_reader_key(s->letters, idx);
	struct act act = act_of(s, key);
	struct dead_letter letter = {.reason = SPAN("")};
	char id[ID_TEXT_BYTES];
	enum err_kind rc = connect(s, err);

	if (!rc)
		rc = dead_reader_read(s->letters, idx, &letter, err);
	if (!rc) {
		const struct act_text texts[REASON_TEXTS] = {
			{"reason", letter.reason}, {"record_id", record_id(letter.payload, id)}};

		act.action = ACTION_trail_dead_dropped;
		act.command = "dead drop";
		act.why = why;
		act.texts = texts;
		act.text_count = REASON_TEXTS;
		rc = commit_surely(s, NULL, &act, err);
	}
	return rc ? rc
		  : dead_settled_add(s->settled, key, letter.written_ns, DEAD_DROPPED, why, err);
}
