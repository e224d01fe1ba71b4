#include "serve/health.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>

enum { VALUE_BYTES = ERR_TEXT_BYTES + 64, CHECKS_MAX = 3 };

struct check {
	const char *name;
	bool ok;
	char value[VALUE_BYTES];
	const char *advice;              /* when it is not ok */
	const struct spool_stats *spool; /* of the check `spool` */
};

static void check_spool(struct check *c, const struct spool_stats *spool, bool room_too)
{
	c->name = "spool";
	if (spool == NULL) {
		(void)snprintf(c->value, sizeof(c->value), "not open");
		c->advice = "see flytrail's log for why; `flytrail doctor` checks the folder";
		return;
	}
	c->spool = spool;
	c->ok = !room_too || !spool->full;
	(void)snprintf(c->value, sizeof(c->value), "%s: %" PRIu64 " of %" PRIu64 " bytes",
		       spool->full ? "full" : "open", spool->bytes, spool->max_bytes);
	c->advice = "bring Postgres back, or give the spool a larger volume: no line is taken "
		    "while it is full";
}

static void check_source(struct check *c, struct status *status, bool retrying_will_do)
{
	const char *why = atomic_load(&status->source_why);
	bool connected = atomic_load(&status->source_connected);

	c->name = "source";
	c->ok = connected || (retrying_will_do && atomic_load(&status->source_started));
	(void)snprintf(c->value, sizeof(c->value), "%s",
		       connected     ? "connected"
		       : why == NULL ? "not connected"
				     : why);
	c->advice = "`flytrail doctor` says what is wrong with the way to the log stream";
}

static void check_store(struct check *c, struct status *status)
{
	char error[ERR_TEXT_BYTES];
	enum store_state state = status_store(status, error);

	c->name = "store";
	c->ok = state == STORE_WORKING;
	(void)snprintf(c->value, sizeof(c->value), "%s%s%s", store_state_name(state),
		       error[0] != '\0' ? ": " : "", error);
	c->advice = "`flytrail doctor` says what is wrong with Postgres; what came in is kept in "
		    "the spool";
}

static void write_member(struct buf *out, const char *before, const char *text)
{
	buf_str(out, before);
	json_write_text(out, span_text(text));
}

static bool write_body(struct buf *out, const struct check *checks, size_t count)
{
	bool ok = true;

	for (size_t i = 0; i < count; i++)
		ok = ok && checks[i].ok;
	write_member(out, "{\"status\":", ok ? "ok" : "failing");
	buf_str(out, ",\"checks\":[");
	for (size_t i = 0; i < count; i++) {
		write_member(out, i > 0 ? ",\n{\"name\":" : "\n{\"name\":", checks[i].name);
		buf_str(out, checks[i].ok ? ",\"ok\":true" : ",\"ok\":false");
		write_member(out, ",\"value\":", checks[i].value);
		if (checks[i].spool)
			buf_fmt(out, ",\"torn_bytes\":%" PRIu64 ",\"damaged_segments\":%" PRIu64,
				checks[i].spool->torn_bytes, checks[i].spool->damage_count);
		if (!checks[i].ok)
			write_member(out, ",\"do\":", checks[i].advice);
		buf_str(out, "}");
	}
	buf_str(out, "]}\n");
	return ok;
}

bool health_ready(struct status *status, const struct spool_stats *spool, struct buf *out)
{
	struct check checks[CHECKS_MAX] = {0};

	check_spool(&checks[0], spool, false);
	check_source(&checks[1], status, true);
	return write_body(out, checks, 2);
}

bool health_health(struct status *status, const struct spool_stats *spool, struct buf *out)
{
	struct check checks[CHECKS_MAX] = {0};

	check_source(&checks[0], status, false);
	check_spool(&checks[1], spool, true);
	check_store(&checks[2], status);
	return write_body(out, checks, CHECKS_MAX);
}
