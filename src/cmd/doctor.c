/* `flytrail doctor`: a line for each thing that `run` needs, and what to do about it. */

#include "cmd/doctor.h"

#include "run/foreign.h"
#include "serve/http.h"
#include "spool/segment.h"
#include "store/limits.h"
#include "store/migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SKEW_MS_MAX = 1000, SKEW_MS_FAIL = 1000 * LIMITS_SKEW_SECONDS, PATH_BYTES = 1100 };
static const uint64_t SPOOL_FREE_BYTES_MIN = CONFIG_SPOOL_BYTES_MIN;

void doctor_tell(struct doctor *d, enum verdict verdict, const char *fmt, ...)
{
	static const char *const names[] = {"ok  ", "warn", "FAIL"};
	va_list args;

	d->failed = d->failed || verdict == FAIL;
	(void)printf("%s ", names[verdict]);
	va_start(args, fmt);
	(void)vprintf(fmt, args);
	va_end(args);
	(void)printf("\n");
	(void)fflush(stdout); /* the next check may take its time */
}

/* ---- Postgres ---- */

static const char WRITERS_ADVICE[] = "let FLYTRAIL_DATABASE_URL name the writer's role";

static void check_schema(struct doctor *d, const struct inspection *in)
{
	struct err err = {0};

	if (in->is_hidden) {
		doctor_tell(d, FAIL, "rights: %s may not read the trail's tables; %s", in->role,
			    WRITERS_ADVICE);
		return;
	}
	if (in->schema_version == 0)
		doctor_tell(d, FAIL,
			    "schema: there is none that %s may see; run `flytrail migrate` with "
			    "FLYTRAIL_ADMIN_DATABASE_URL",
			    in->role);
	else if (migrate_check(in->schema_version, in->oldest_binary, &err))
		doctor_tell(d, FAIL, "schema: %s", err.text);
	else
		doctor_tell(d, OK, "schema: %d, this binary's is %d", in->schema_version,
			    migrate_newest());
	if (in->schema_version > 0 && !in->can_add)
		doctor_tell(d, FAIL, "rights: %s may not add to the trail; %s", in->role,
			    WRITERS_ADVICE);
}

/* What a thief of the writer's URL could do to the trail. */
static void check_excess(struct doctor *d, const struct inspection *in)
{
	static const char advice[] = "use the writer's role, that `flytrail migrate` makes";
	bool excess = in->superuser || in->create_role || in->bypass_rls || in->replication ||
		      in->create_db || in->owns_tables || in->tables_changeable > 0;

	if (in->superuser) {
		doctor_tell(d, WARN, "rights: %s is a superuser and can change the trail; %s",
			    in->role, advice);
		return;
	}
	if (in->create_role || in->create_db || in->bypass_rls || in->replication)
		doctor_tell(d, WARN, "rights: %s has%s%s%s%s, which it does not need; %s", in->role,
			    in->create_role ? " CREATEROLE" : "", in->create_db ? " CREATEDB" : "",
			    in->bypass_rls ? " BYPASSRLS" : "",
			    in->replication ? " REPLICATION" : "", advice);
	if (in->owns_tables)
		doctor_tell(d, WARN,
			    "rights: %s owns the trail's tables, or is a member of who does; %s",
			    in->role, advice);
	else if (in->tables_changeable > 0)
		doctor_tell(d, WARN,
			    "rights: %s may UPDATE, DELETE or TRUNCATE %d tables of the trail; %s",
			    in->role, in->tables_changeable, advice);
	if (!excess && in->schema_version > 0 && in->can_add)
		doctor_tell(d, OK, "rights: %s can add to the trail, not change it", in->role);
}

/* It would mean that Fly's two copies differ, so that one line has two ids. */
static void check_mismatches(struct doctor *d, const struct inspection *in)
{
	if (in->id_mismatches > 0)
		doctor_tell(d, WARN,
			    "copies: %" PRIu64 " lines of the last seven days have another text in "
			    "Fly's HTTP logs API than in the log stream; they are stored once, as "
			    "the stream had them; `flytrail coverage` says of which applications",
			    in->id_mismatches);
}

static void check_clock(struct doctor *d, const struct inspection *in)
{
	int64_t skew_ms = in->clock_ahead_ns / NS_PER_MS;
	/* What the network may have taken is no skew. */
	int64_t sure_ms = llabs(skew_ms) - in->round_trip_ns / NS_PER_MS;

	if (sure_ms > SKEW_MS_MAX)
		doctor_tell(d, sure_ms > SKEW_MS_FAIL ? FAIL : WARN,
			    "clock: Postgres is %" PRId64
			    " ms %s of this machine; set both by NTP, or "
			    "lines of one moment will seem apart",
			    (int64_t)llabs(skew_ms), skew_ms > 0 ? "ahead" : "behind");
	else
		doctor_tell(d, OK, "clock: within %" PRId64 " ms of Postgres's",
			    (int64_t)(llabs(skew_ms) + in->round_trip_ns / NS_PER_MS + 1));
}

/* Its name, for Postgres to be asked about; what is wrong with it is told later. */
static void look_at_spool(struct doctor *d)
{
	struct err ignored;

	if (config_is_bad(&d->report, "FLYTRAIL_SPOOL_DIR") ||
	    spool_look(d->config.spool_dir, &d->spool, &ignored))
		d->spool.found = false;
}

static void check_postgres(struct doctor *d)
{
	struct inspection *in = &d->store;
	struct err err = {0};

	look_at_spool(d);
	if (store_inspect(in, d->config.database_url, d->spool.found ? &d->spool.stream : NULL,
			  &err)) {
		doctor_tell(d, FAIL, "postgres: %s%s", err.text,
			    strstr(err.text, "read-only") != NULL
				    ? "; a standby, or a server whose disk is full, takes no writes"
				    : "");
		return;
	}
	d->store_inspected = true;
	doctor_tell(d, OK, "postgres: %d.%d, as %s, in %" PRId64 " ms", in->server_version / 10000,
		    in->server_version % 10000, in->role, in->round_trip_ns / NS_PER_MS);
	check_schema(d, in);
	check_excess(d, in);
	check_clock(d, in);
	check_mismatches(d, in);
}

/* ---- the port ---- */

static void check_listen(struct doctor *d)
{
	const char *address = d->config.listen;
	struct err err = {0};
	bool taken;

	if (!http_try(address, &taken, &err))
		doctor_tell(d, OK, "listen: %s is free for /ready and /health", address);
	else if (taken)
		doctor_tell(d, WARN,
			    "listen: %s is taken; that is as it should be if flytrail runs "
			    "already, else "
			    "choose another FLYTRAIL_LISTEN",
			    address);
	else
		doctor_tell(d, FAIL, "listen: %s; name an address of this machine, or [::] for all",
			    err.text);
}

/* ---- the spool ---- */

/* The folder itself, or the nearest one above it that there is. */
static bool nearest_folder(const char *path, char found[PATH_BYTES], struct stat *ret)
{
	(void)snprintf(found, PATH_BYTES, "%s", path);
	while (stat(found, ret) != 0) {
		char *slash = strrchr(found, '/');

		if (slash == NULL || errno != ENOENT)
			return false;
		slash[slash == found ? 1 : 0] = '\0';
	}
	return S_ISDIR(ret->st_mode);
}

static bool check_writable(struct doctor *d, const char *folder)
{
	static const char bytes[] = "flytrail doctor\n";
	char path[PATH_BYTES + 32];
	struct err err;
	enum err_kind rc;
	int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/.doctor-%ld", folder, (long)getpid());
	rc = file_open(&fd, path, FILE_CREATE, &err);
	if (!rc) {
		rc = file_write_at(fd, bytes, sizeof(bytes) - 1, 0, &err);
		if (!rc)
			rc = file_sync(fd, &err);
		file_close(&fd);
		(void)unlink(path);
	}
	if (rc)
		doctor_tell(d, FAIL, "spool: cannot write: %s; let this user write there",
			    err.text);
	return rc == ERR_NONE;
}

/* What a run found damaged stays in quarantine until somebody has looked at it. */
static void check_quarantine(struct doctor *d, const char *folder)
{
	size_t count = segment_quarantine_count(folder);

	if (count > 0)
		doctor_tell(
			d, WARN,
			"spool: %zu damaged segments are in %s/quarantine: what cannot be read of "
			"them "
			"is a gap on record; look at the disk, then remove them",
			count, folder);
}

/*
 * What makes `run` park: the volume is a copy, or an older state, of what Postgres was fed from.
 * The spool is read again, because it may have grown since Postgres was asked.
 */
static void check_stream(struct doctor *d)
{
	static const char advice[] = "this volume was copied or restored, and nothing is stored "
				     "from it; stop the flytrail that runs on it and run "
				     "`flytrail spool adopt`, or give it an empty "
				     "FLYTRAIL_SPOOL_DIR";
	const char *folder = d->config.spool_dir;
	const struct inspection *in = &d->store;
	struct spool_look now = {.found = false};
	char uuid[ID_TEXT_BYTES];
	struct err err = {0};

	if (spool_look(folder, &now, &err)) {
		doctor_tell(d, FAIL, "spool: %s", err.text);
		return;
	}
	if (!now.found)
		return;
	(void)id_format(&now.stream.uuid, uuid);
	if (foreign_is_marked(folder, &now.stream))
		doctor_tell(d, FAIL,
			    "spool: the file " FOREIGN_NAME " in it says that Postgres had "
			    "records of stream %s that are not of this spool: %s",
			    uuid, advice);
	else if (in->has_stream && in->stream_epoch > now.stream.epoch)
		doctor_tell(d, FAIL,
			    "spool: stream %s has epoch %" PRIu64 " here and %" PRIu64
			    " in Postgres: %s",
			    uuid, now.stream.epoch, in->stream_epoch, advice);
	else if (in->has_stream && now.end_known && in->stream_cursor > now.end_seq)
		doctor_tell(d, FAIL,
			    "spool: stream %s ends at record %" PRIu64
			    " here, and Postgres has it up to "
			    "%" PRIu64 ": %s",
			    uuid, now.end_seq, in->stream_cursor, advice);
	else if (d->store_inspected && in->can_add && now.end_known)
		doctor_tell(d, OK,
			    "spool: stream %s, of which Postgres has %" PRIu64 " of %" PRIu64
			    " records",
			    uuid, in->stream_cursor, now.end_seq);
}

static void check_spool(struct doctor *d)
{
	const char *folder = d->config.spool_dir;
	uint64_t max_bytes = d->config.spool_max_bytes;
	char found[PATH_BYTES];
	uint64_t total, available;
	struct stat st, root;
	struct err err;

	if (!nearest_folder(folder, found, &st)) {
		doctor_tell(d, FAIL, "spool: %s is no folder; correct FLYTRAIL_SPOOL_DIR", folder);
		return;
	}
	if (!check_writable(d, found))
		return;
	check_quarantine(d, found);
	if (file_volume(found, &total, &available, &err)) {
		doctor_tell(d, FAIL, "spool: %s", err.text);
		return;
	}
	if (available < SPOOL_FREE_BYTES_MIN)
		doctor_tell(d, FAIL,
			    "spool: %s has %" PRIu64 " MiB free; it needs at least %" PRIu64 " MiB",
			    found, available >> 20, SPOOL_FREE_BYTES_MIN >> 20);
	else if (max_bytes > available)
		doctor_tell(d, WARN,
			    "spool: %s has %" PRIu64
			    " MiB free, less than FLYTRAIL_SPOOL_MAX_BYTES; "
			    "extend the volume or lower it",
			    found, available >> 20);
	else if (stat("/", &root) == 0 && root.st_dev == st.st_dev)
		doctor_tell(d, WARN,
			    "spool: %s is writable but on the same disk as /, which Fly makes anew "
			    "at each restart: what is not delivered then is lost; mount a volume",
			    folder);
	else
		doctor_tell(d, OK, "spool: %s is writable, %" PRIu64 " of %" PRIu64 " MiB free",
			    folder, available >> 20, total >> 20);
	check_stream(d);
}

/* ---- all of it ---- */

static void check_config(struct doctor *d)
{
	const struct config_report *r = &d->report;

	cmd_read_config(&d->config, CONFIG_FOR_NATS | CONFIG_FOR_STORE, &d->report);
	for (size_t i = 0; i < r->count; i++)
		doctor_tell(d, r->findings[i].kind == CONFIG_WARNING ? WARN : FAIL,
			    "configuration: %s", r->findings[i].text);
	if (r->count == 0)
		doctor_tell(d, OK, "configuration: `flytrail config` shows it");
}

/* Every check for which all that it needs is configured. */
static void check_what_can_be(struct doctor *d)
{
	static const struct {
		const char *what;
		void (*check)(struct doctor *);
		const char *needs[16]; /* ended by NULL */
	} checks[] = {
		{"nats",
		 doctor_check_nats,
		 {"ORG", "ACCESS_TOKEN", "NATS_URL", "NETWORK", "SUBJECT"}},
		{"api",
		 doctor_check_api,
		 {"ORG", "ACCESS_TOKEN", "FLYTRAIL_API_URL", "FLYTRAIL_MACHINES_URL"}},
		{"watch",
		 doctor_check_watch,
		 {"ORG", "ACCESS_TOKEN", "FLYTRAIL_API_URL", "FLYTRAIL_MACHINES_URL",
		  "FLYTRAIL_HMAC_KEY"}},
		{"heartbeat",
		 doctor_check_heartbeat,
		 {"FLYTRAIL_HEARTBEAT_SECONDS", "FLY_APP_NAME", "FLY_MACHINE_ID"}},
		{"postgres", check_postgres, {"FLYTRAIL_DATABASE_URL"}},
		{"retention",
		 doctor_check_retention,
		 {"FLYTRAIL_DATABASE_URL", "FLYTRAIL_S3_LOCK", "FLYTRAIL_S3_LOCK_SECURITY_DAYS",
		  "FLYTRAIL_S3_LOCK_OPERATIONS_DAYS", "FLYTRAIL_S3_LOCK_LINES_DAYS"}},
		{"listen", check_listen, {"FLYTRAIL_LISTEN"}},
		{"spool", check_spool, {"FLYTRAIL_SPOOL_DIR"}},
		{"s3",
		 doctor_check_s3,
		 {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BUCKET",
		  "BUCKET_NAME", "AWS_REGION", "S3_ENDPOINT", "AWS_ENDPOINT_URL_S3",
		  "FLYTRAIL_S3_STYLE", "FLYTRAIL_S3_PREFIX", "S3_SSE", "S3_SSE_KMS_KEY_ID",
		  "S3_STORAGE_CLASS", "FLYTRAIL_S3_LOCK"}},
		{"datadog",
		 doctor_check_datadog,
		 {"DATADOG_API_KEY", "DD_API_KEY", "DATADOG_SITE", "DD_SITE",
		  "FLYTRAIL_DATADOG_URL"}},
		{"notify",
		 doctor_check_notify,
		 {"SLACK_WEBHOOK_URL", "FLYTRAIL_WEBHOOK_URL", "FLYTRAIL_WEBHOOK_KEY",
		  "FLYTRAIL_NOTIFY_SEVERITY", "FLYTRAIL_NOTIFY_PER_MINUTE", "FLYTRAIL_PING_URL"}},
		{"sinks", doctor_check_shippers, {NULL}},
	};

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		const char *const *name = checks[i].needs;

		while (*name && !config_is_bad(&d->report, *name))
			name++;
		if (*name)
			doctor_tell(d, WARN,
				    "%s: not checked, because %s has to be set right first",
				    checks[i].what, *name);
		else
			checks[i].check(d);
	}
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor d = {.failed = false};

	if (!cmd_takes_no_arguments(argc, argv))
		return CMD_USAGE;
	check_config(&d);
	check_what_can_be(&d);
	if (d.report.bad_count + d.report.unknown_count > 0)
		return CMD_USAGE;
	return d.failed ? CMD_FAILED : CMD_OK;
}
