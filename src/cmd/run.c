#include "cmd/cmd.h"

#include "base/log.h"
#include "run/lifecycle.h"
#include "run/process.h"
#include "serve/http.h"
#include "serve/ping.h"
#include "source/http_logs.h"
#include "source/lines.h"
#include "source/nats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FINDINGS_BYTES = 1536, /* of one log line */
	PROGRESS_BYTES = 128,
};

struct run_command {
	struct config config;
	struct status status;
	struct cmd_input input; /* no path: the log stream */
};

static enum err_kind open_nats(void *arg, int64_t last_live_ns, const _Atomic bool *ending,
			       struct source *ret, struct err *err)
{
	const struct run_command *command = arg;
	const struct config *c = &command->config;
	const struct nats_options options = {
		.url = c->nats_url,
		.user = c->org,
		.password = c->access_token,
		.subject = c->subject,
		.queue = c->queue,
		.last_live_ns = last_live_ns,
		.heartbeat_ns = (int64_t)c->heartbeat_seconds * NS_PER_S,
		.app = c->fly_app_name,
		.machine = c->fly_machine_id,
		.heartbeat_fd = STDOUT_FILENO,
	};

	(void)ending; /* it waits for nothing that takes long */
	return nats_open(ret, &options, err);
}

static bool spool_seqs(void *ctx, uint64_t *ret_appended, uint64_t *ret_accepted)
{
	struct status *status = ctx;
	struct spool_stats stats;

	if (!status_spool(status, &stats))
		return false;
	*ret_appended = stats.appended_seq;
	*ret_accepted = stats.accepted_seq;
	return true;
}

static enum err_kind open_http(void *arg, int64_t last_live_ns, const _Atomic bool *ending,
			       struct source *ret, struct err *err)
{
	struct run_command *command = arg;
	const struct config *c = &command->config;
	const struct http_logs_options options = {
		.url = c->api_url,
		.machines_url = c->machines_url,
		.token = c->access_token,
		.org = c->org,
		.folder = c->spool_dir,
		.last_live_ns = last_live_ns,
		.heartbeat_ns = (int64_t)c->heartbeat_seconds * NS_PER_S,
		.late_ns = (int64_t)c->backfill_delay_seconds * NS_PER_S,
		.ending = ending,
		.spool_seqs = spool_seqs,
		.ctx = &command->status,
	};

	return http_logs_open(ret, &options, err);
}

static enum err_kind open_lines(void *arg, int64_t last_live_ns, const _Atomic bool *ending,
				struct source *ret, struct err *err)
{
	const struct run_command *command = arg;

	(void)last_live_ns; /* files keep what they hold: nothing is missed */
	(void)ending;
	return lines_open(ret, command->input.paths, command->input.path_count, err);
}

static void show_progress(void *arg)
{
	struct run_command *command = arg;
	struct status *s = &command->status;
	char text[PROGRESS_BYTES];

	(void)snprintf(text, sizeof(text),
		       "%" PRIu64 " lines read, %" PRIu64 " stored, %" PRIu64 " known before",
		       atomic_load(&s->lines_received), atomic_load(&s->lines_stored),
		       atomic_load(&s->duplicates));
	log_progress(text);
}

/* False: it cannot run with this configuration, and the log says why, all of it. */
static bool read_config(struct config *c, unsigned for_flags)
{
	struct config_report report;
	char text[FINDINGS_BYTES];

	cmd_read_config(c, for_flags, &report);
	if (report.warning_count > 0)
		log_warn(config_warning,
			 LOG_TEXT("warning",
				  config_report_text(&report, CONFIG_WARNING, text, sizeof(text))));
	if (report.unknown_count > 0)
		log_warn(config_unknown,
			 LOG_TEXT("warning",
				  config_report_text(&report, CONFIG_UNKNOWN, text, sizeof(text))));
	if (report.bad_count > 0)
		log_error(config_bad, LOG_TEXT("error", config_report_text(&report, CONFIG_BAD,
									   text, sizeof(text))));
	return report.bad_count == 0;
}

static enum err_kind start_ping(struct run_command *command, struct ping **ret, struct err *err)
{
	const struct config *c = &command->config;
	const struct ping_options options = {
		.url = c->ping_url,
		.status = &command->status,
		.heartbeat_seconds = c->heartbeat_seconds,
		.by_http = config_by_http(c),
	};

	return c->ping_url[0] != '\0' ? ping_start(ret, &options, err) : ERR_NONE;
}

static int run(struct run_command *command)
{
	bool from_files = command->input.path_count > 0;
	bool by_http = config_by_http(&command->config);
	struct run_options options = {
		.config = &command->config,
		.status = &command->status,
		.live = !from_files,
		.open_source = from_files ? open_lines
			       : by_http  ? open_http
					  : open_nats,
		.arg = command,
		.app = span_text(command->input.app),
	};
	const struct http_options pages = {
		.listen = command->config.listen,
		.status = &command->status,
		.status_token = command->config.status_token,
		.heartbeat_seconds = command->config.heartbeat_seconds,
		.by_http = by_http,
	};
	struct http *http = NULL;
	struct ping *ping = NULL;
	struct err err;
	int status;

	if (from_files && isatty(STDERR_FILENO))
		options.progress = show_progress;
	status_init(&command->status);
	/* Health is asked of a service; a file that is read in may stand beside one. */
	if (!from_files && (http_start(&http, &pages, &err) || start_ping(command, &ping, &err))) {
		log_error(fatal, LOG_TEXT("error", err.text));
		status = err.kind == ERR_CONFIG ? CMD_USAGE : CMD_FAILED;
	} else {
		status = lifecycle_run(&options);
	}
	ping_stop(ping);
	http_stop(http);
	status_release(&command->status);
	log_progress("");
	return status;
}

/* The arguments are good. */
static int start(struct run_command *command)
{
	bool from_files = command->input.path_count > 0;
	struct err err;

	if (!from_files && command->input.app[0] != '\0') {
		(void)fprintf(stderr, "flytrail: run: --app names the application of files, and "
				      "no file is named; - is stdin\n");
		return CMD_USAGE;
	}
	if (process_harden(&err) || process_check_memory(&err)) {
		log_error(fatal, LOG_TEXT("error", err.text));
		return err.kind == ERR_CONFIG ? CMD_USAGE : CMD_FAILED;
	}
	if (!read_config(&command->config, CONFIG_FOR_STORE | (from_files ? 0u : CONFIG_FOR_NATS)))
		return CMD_USAGE;
	return run(command);
}

int cmd_run(int argc, char **argv)
{
	struct run_command command = {.input = {.app = ""}};
	int status = cmd_read_input(&command.input, argc, argv);

	if (status == CMD_OK)
		status = start(&command);
	free(command.input.paths);
	return status;
}
