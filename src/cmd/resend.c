/* `flytrail resend`: what a sink has missed, from Postgres. */

#include "cmd/cmd.h"

#include "base/time.h"
#include "run/resend.h"

#include <inttypes.h>
#include <string.h>

static const char TAKES[] = "it takes --sink s3|datadog, --range STREAM.EPOCH-FIRST-LAST, and "
			    "--since TIME and --until TIME, between which all of the range is (a "
			    "date is the whole day)";

struct order {
	const char *sink, *range, *since, *until;
	char until_text[TIME_TEXT_BYTES]; /* where it is given */
};

static int bad(const char *word, const char *what)
{
	(void)fprintf(stderr, "flytrail: resend: %s %s; %s\n", word, what, TAKES);
	return CMD_USAGE;
}

/* --- arguments --- */

/* STREAM.EPOCH-FIRST-LAST, as the names of objects have it. */
static bool parse_range(const char *text, struct export_range *ret)
{
	return cmd_parse_stream(&text, &ret->stream.uuid, &ret->stream.epoch) &&
	       cmd_parse_number(&text, '-', &ret->first_seq) &&
	       cmd_parse_number(&text, '\0', &ret->last_seq) && ret->first_seq <= ret->last_seq;
}

static int read_words(struct order *o, int argc, char **argv)
{
	const struct {
		const char *name;
		const char **value;
	} known[] = {{"--sink", &o->sink},
		     {"--range", &o->range},
		     {"--since", &o->since},
		     {"--until", &o->until}};

	for (int i = 1; i < argc; i++) {
		size_t at = 0;

		while (at < ARRAY_LEN(known) && strcmp(known[at].name, argv[i]) != 0)
			at++;
		if (at == ARRAY_LEN(known))
			return bad(argv[i], "is no option");
		if (!cmd_has_value(argc, argv, i))
			return bad(argv[i], "has no value");
		*known[at].value = argv[++i];
	}
	return CMD_OK;
}

static int read_order(struct order *o, struct export_range *ret, int argc, char **argv)
{
	int64_t since_ns = INT64_MIN, until_ns = INT64_MAX;
	int status = read_words(o, argc, argv);

	if (status != CMD_OK)
		return status;
	if (!o->sink || !o->range)
		return bad(o->sink ? "--range" : "--sink", "is not there");
	if (strcmp(o->sink, "s3") != 0 && strcmp(o->sink, "datadog") != 0)
		return bad(o->sink, "is no sink: s3 and datadog are");
	if (!parse_range(o->range, ret))
		return bad(o->range, "is no range");
	if (o->since[0] != '\0' && !cmd_parse_time(o->since, &since_ns))
		return bad(o->since, "is no time");
	if (o->until[0] != '\0' && !cmd_parse_until(o->until, &until_ns))
		return bad(o->until, "is no time");
	if (since_ns >= until_ns)
		return bad("--since", "must be before --until");
	ret->since = o->since;
	ret->until = o->until[0] != '\0' ? time_format(until_ns, o->until_text) : "";
	return CMD_OK;
}

/* --- what is said --- */

static void print_refused(FILE *out, const struct resend_result *r)
{
	const size_t told = ARRAY_LEN(r->refused_seqs);

	if (r->refused == 0)
		return;
	(void)fprintf(out, "%" PRIu64 " were refused, of the numbers", r->refused);
	for (size_t i = 0; i < r->refused && i < told; i++)
		(void)fprintf(out, " %" PRIu64, r->refused_seqs[i]);
	(void)fprintf(out, "%s, the last one because: %s\n", r->refused > told ? " and more" : "",
		      r->why.text);
}

static void print_result(const struct order *o, const struct export_range *range,
			 const struct resend_result *r)
{
	uint64_t asked = range->last_seq - range->first_seq + 1;

	(void)printf("%" PRIu64 " records were sent to %s, in %" PRIu64 " deliveries\n", r->records,
		     o->sink, r->deliveries);
	if (r->numbers < asked)
		(void)printf("for %" PRIu64 " of the %" PRIu64 " numbers there is nothing in "
			     "Postgres%s: another replica had stored it, it was a dead letter, or "
			     "it is no longer kept\n",
			     asked - r->numbers, asked,
			     o->since[0] != '\0' || o->until[0] != '\0' ? " of that time" : "");
	if (r->late > 0)
		(void)printf("%" PRIu64 " were left out for their age, as FLYTRAIL_DATADOG_LATE "
			     "has it\n",
			     r->late);
	if (r->left_out > 0)
		(void)printf("%" PRIu64 " were left out, as %s has it\n", r->left_out,
			     r->send_option);
	print_refused(stdout, r);
}

static void print_failure(const struct order *o, const struct export_range *range,
			  const struct resend_result *r, const struct err *err)
{
	(void)fprintf(stderr, "flytrail: resend: %s\n", err->text);
	print_refused(stderr, r);
	if (r->sent_seq > 0 && r->sent_seq < range->last_seq)
		(void)fprintf(stderr,
			      "flytrail: resend: what is numbered up to %" PRIu64
			      " was sent: go on with --range %.*s-%" PRIu64 "-%" PRIu64 "\n",
			      r->sent_seq,
			      (int)strcspn(o->range + ID_TEXT_BYTES, "-") + ID_TEXT_BYTES, o->range,
			      r->sent_seq + 1, range->last_seq);
	if (r->unfinished > 0)
		(void)fprintf(stderr,
			      "flytrail: resend: of the %" PRIu64
			      " records in the delivery that failed some were sent\n",
			      r->unfinished);
}

int cmd_resend(int argc, char **argv)
{
	struct order order = {.since = "", .until = ""};
	struct export_range range = {.first_seq = 0};
	struct resend_result result;
	struct config c;
	struct err err = {0};
	enum err_kind rc;
	int status = read_order(&order, &range, argc, argv);

	if (status == CMD_OK)
		status = cmd_need_config(&c, CONFIG_FOR_STORE);
	if (status != CMD_OK)
		return status;
	rc = resend(&c, order.sink, &range, &result, &err);
	if (rc)
		print_failure(&order, &range, &result, &err);
	else
		print_result(&order, &range, &result);
	if (result.untold.kind != ERR_NONE)
		(void)fprintf(stderr,
			      "flytrail: resend: it was sent, but that could not be put on record: "
			      "%s\n",
			      result.untold.text);
	return rc || result.untold.kind != ERR_NONE || result.refused > 0 || result.records == 0
		       ? CMD_FAILED
		       : CMD_OK;
}
