#include "run/resend.h"

#include "base/time.h"
#include "run/act.h"

struct sending {
	const struct export_range *range;
	struct export *from;
	struct delivery *to;
	struct resend_result *result;
	bool by_times;     /* limited by them */
	bool begun;        /* a delivery */
	uint64_t last_seq; /* of what was read; 0: nothing */
	uint64_t records;  /* that the sink has taken into the present delivery */
};

static void note_refused(struct resend_result *r, uint64_t seq)
{
	if (r->refused < ARRAY_LEN(r->refused_seqs))
		r->refused_seqs[r->refused] = seq;
	r->refused++;
}

static void begin_delivery(struct sending *s, uint64_t first_seq)
{
	delivery_begin(s->to, first_seq);
	s->records = 0;
	s->begun = true;
}

/* Its numbers end at last_seq; when it is there, all up to sent_seq is. */
static enum err_kind end_delivery(struct sending *s, uint64_t last_seq, uint64_t sent_seq,
				  struct err *err)
{
	struct delivery_result result;
	enum err_kind rc = delivery_end(s->to, last_seq, &result, err);

	for (uint64_t i = 0; i < result.refused; i++) /* behind those told only the count matters */
		note_refused(s->result, result.refused_seqs[i % ARRAY_LEN(result.refused_seqs)]);
	s->result->late += result.late;
	if (result.refused > 0)
		s->result->why = result.why;
	if (rc && result.is_begun) {
		s->result->unfinished = s->records;
		s->result->reached_seq = last_seq;
	}
	if (rc)
		return rc;
	s->result->records += s->records - result.refused - result.late;
	s->result->deliveries += s->records > 0;
	s->result->sent_seq = s->result->reached_seq = sent_seq;
	return ERR_NONE;
}

static enum err_kind add(struct sending *s, const struct export_record *r, struct err *err)
{
	bool taken = false;
	enum err_kind rc;

	if (!s->begun)
		begin_delivery(s, r->seq);
	rc = delivery_add(s->to, r->seq, r->payload, &taken, err);
	if (rc == ERR_FULL) {
		/* Two records of one number, a fact and what it is about, may be apart now. */
		bool is_torn = r->seq == s->last_seq;

		rc = end_delivery(s, is_torn || s->by_times ? s->last_seq : r->seq - 1, r->seq - 1,
				  err);
		if (rc)
			return rc;
		begin_delivery(s, r->seq);
		rc = delivery_add(s->to, r->seq, r->payload, &taken, err);
	}
	if (rc == ERR_REJECT) {
		note_refused(s->result, r->seq);
		s->result->why = *err;
		rc = ERR_NONE;
	} else if (!rc && taken) {
		s->records++;
	} else if (!rc) {
		s->result->left_out++;
		s->result->send_option = delivery_send_option(s->to);
	}
	s->result->numbers += r->seq != s->last_seq;
	s->last_seq = r->seq;
	return rc;
}

static enum err_kind send_all(struct sending *s, struct err *err)
{
	struct export_record record;
	bool found = true;
	enum err_kind rc = ERR_NONE;

	if (!s->by_times)
		begin_delivery(s, s->range->first_seq);
	while (!rc && found) {
		rc = export_next(s->from, &record, &found, err);
		if (!rc && found)
			rc = add(s, &record, err);
	}
	if (rc || !s->begun)
		return rc;
	return end_delivery(s, s->by_times ? s->last_seq : s->range->last_seq, s->range->last_seq,
			    err);
}

static enum err_kind commit(struct apart *a, const struct config *c, const struct act *act,
			    struct err *err)
{
	struct apart_result ignored;
	enum err_kind rc = act_add(a, c, act, err);

	return rc ? rc : apart_commit(a, &ignored, err);
}

/* Of what was sent, which may be less than what was asked for. */
static enum err_kind tell(struct apart **a, const struct config *c, const char *sink,
			  const struct sending *s, struct err *err)
{
	const struct resend_result *r = s->result;
	const struct act_number numbers[] = {
		{"records", r->records},
		{"deliveries", r->deliveries},
		{"numbers", r->numbers},
		{"refused", r->refused},
		{"late", r->late},
		{"left_out", r->left_out},
		{"unfinished", r->unfinished},
	};
	const struct act_text texts[] = {{"since", span_text(s->range->since)},
					 {"until", span_text(s->range->until)}};
	const struct act act = {
		.action = ACTION_trail_resent,
		.command = "resend",
		.target_type = "sink",
		.target = sink,
		.stream = s->range->stream.uuid,
		.epoch = s->range->stream.epoch,
		.at_ns = time_now_ns(),
		.first_seq = s->range->first_seq,
		.last_seq = r->reached_seq,
		.why = "",
		.numbers = numbers,
		.number_count = ARRAY_LEN(numbers),
		.texts = texts,
		.text_count = ARRAY_LEN(texts),
	};
	enum err_kind rc = commit(*a, c, &act, err);

	if (rc != ERR_RETRY)
		return rc;
	/* The connection was idle for as long as the sending took, and may be none any more. */
	apart_close(*a);
	*a = NULL;
	rc = apart_open(a, c->database_url, err);
	return rc ? rc : commit(*a, c, &act, err);
}

enum err_kind resend(const struct config *c, const char *sink, const struct export_range *range,
		     struct resend_result *ret, struct err *err)
{
	struct sending s = {
		.range = range,
		.result = ret,
		.by_times = range->since[0] != '\0' || range->until[0] != '\0',
	};
	struct apart *a = NULL;
	struct err untold;
	enum err_kind rc;

	*ret = (struct resend_result){.records = 0};
	rc = delivery_open(&s.to, c, sink, &range->stream, err);
	if (!rc) /* before anything is sent: the fact about it can be told */
		rc = apart_open(&a, c->database_url, err);
	if (!rc)
		rc = export_open(&s.from, c->database_url, range, err);
	if (!rc)
		rc = send_all(&s, err);
	if (ret->reached_seq > 0 && tell(&a, c, sink, &s, &untold))
		ret->untold = untold;
	export_close(s.from);
	apart_close(a);
	delivery_close(s.to);
	return rc;
}
