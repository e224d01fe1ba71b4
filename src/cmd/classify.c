/*
 * flytrail classify [--app APP] [FILE...|-]: what each line is, without database or configuration.
 *
 * The same input gives the same output on any day, with the ids that `flytrail run` stores: a time
 * is taken however old it is, and there is no time of arrival. A line without a time of its own
 * has its file's, as source/lines.h says, so a copy of a file is another input.
 */

#include "cmd/cmd.h"
#include "base/log.h"
#include "base/time.h"
#include "model/ndjson.h"
#include "source/lines.h"
#include "stage/stages.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	OUT_BYTES_MAX = 64 * 1024 * 1024,
	OUT_FLUSH_BYTES = 256 * 1024,
	PROGRESS_MS = 500,
	PROGRESS_BYTES = 64,
};

struct classify_job {
	struct cmd_input input;
	struct source source;
	struct batch *batch;
	struct stages *stages;
	struct record record;
	struct buf out;
	bool reader_gone; /* nobody reads our output any more */
	bool progress;    /* somebody looks at stderr, and does not see the output */
	uint64_t lines;
	int64_t told_ns; /* on the monotonic clock */
};

static int usage(const char *command, const char *what, const char *argument)
{
	(void)fprintf(stderr, "flytrail: %s: %s%s; it is: flytrail %s [--app APP] [FILE...|-]\n",
		      command, what, argument, command);
	return CMD_USAGE;
}

int cmd_read_input(struct cmd_input *ret, int argc, char **argv)
{
	bool only_paths = false;

	*ret = (struct cmd_input){.app = "", .paths = calloc((size_t)argc, sizeof(*ret->paths))};
	if (!ret->paths) {
		(void)fprintf(stderr, "flytrail: out of memory\n");
		return CMD_FAILED;
	}
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];

		if (only_paths || a[0] != '-' || a[1] == '\0')
			ret->paths[ret->path_count++] = a;
		else if (strcmp(a, "--") == 0)
			only_paths = true;
		else if (strncmp(a, "--app=", 6) == 0)
			ret->app = a + 6;
		else if (strcmp(a, "--app") != 0)
			return usage(argv[0], "there is no option ", a);
		else if (i + 1 < argc)
			ret->app = argv[++i];
		else
			return usage(argv[0], "a name must follow ", a);
	}
	return CMD_OK;
}

/* Writes what is in job->out. A reader that went away is no error: it has what it wanted. */
static enum err_kind flush_out(struct classify_job *job, struct err *err)
{
	enum err_kind rc = buf_check(&job->out, err);

	if (rc)
		return rc;
	if (fwrite(job->out.data, 1, job->out.len, stdout) != job->out.len || fflush(stdout) != 0) {
		job->reader_gone = errno == EPIPE;
		if (!job->reader_gone)
			return err_errno(err, ERR_FATAL, "standard output cannot be written");
	}
	buf_reset(&job->out);
	return ERR_NONE;
}

static enum err_kind classify_batch(struct classify_job *job, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	stages_begin_batch(job->stages);
	for (size_t i = 0; i < job->batch->count && rc == ERR_NONE && !job->reader_gone; i++) {
		job->batch->raws[i].received_ns = RECORD_NO_TIME;
		rc = stages_take(job->stages, job->batch, &job->batch->raws[i], &job->record, err);
		if (rc)
			return rc;
		ndjson_write(&job->record, NDJSON_WITH_FINDING, &job->out);
		if (job->out.len >= OUT_FLUSH_BYTES)
			rc = flush_out(job, err);
	}
	if (rc == ERR_NONE && job->out.len > 0 && !job->reader_gone)
		rc = flush_out(job, err);
	return rc;
}

static void show_progress(struct classify_job *job)
{
	int64_t now_ns = time_monotonic_ns();
	char text[PROGRESS_BYTES];

	job->lines += job->batch->count;
	if (!job->progress || now_ns - job->told_ns < PROGRESS_MS * NS_PER_MS)
		return;
	job->told_ns = now_ns;
	(void)snprintf(text, sizeof(text), "%" PRIu64 " lines classified", job->lines);
	log_progress(text);
}

static enum err_kind classify_all(struct classify_job *job, struct err *err)
{
	struct stages_options options = {.app = span_text(job->input.app), .any_time = true};
	bool last = false;
	enum err_kind rc = stages_new(&job->stages, &options, err);

	if (rc == ERR_NONE)
		rc = batch_new(&job->batch, err);
	if (rc == ERR_NONE)
		rc = lines_open(&job->source, job->input.paths, job->input.path_count, err);
	while (rc == ERR_NONE && !last && !job->reader_gone) {
		batch_reset(job->batch);
		rc = job->source.ops->read(job->source.ctx, job->batch, err);
		last = job->batch->last;
		if (rc == ERR_NONE)
			rc = classify_batch(job, err);
		show_progress(job);
	}
	log_progress("");
	return rc;
}

static void release(struct classify_job *job)
{
	if (job->source.ops)
		job->source.ops->close(job->source.ctx);
	batch_free(job->batch);
	stages_free(job->stages);
	buf_release(&job->out);
	free(job->input.paths);
	free(job);
}

int cmd_classify(int argc, char **argv)
{
	struct classify_job *job = calloc(1, sizeof(*job));
	struct err err;
	int result;

	if (!job) {
		(void)fprintf(stderr, "flytrail: out of memory\n");
		return CMD_FAILED;
	}
	buf_init(&job->out, OUT_BYTES_MAX);
	job->progress = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
	job->told_ns = time_monotonic_ns();
	result = cmd_read_input(&job->input, argc, argv);
	/* So that a reader that goes away is seen as EPIPE. */
	if (result == CMD_OK && signal(SIGPIPE, SIG_IGN) != SIG_ERR &&
	    classify_all(job, &err) != ERR_NONE) {
		(void)fprintf(stderr, "flytrail: %s\n", err.text);
		result = CMD_FAILED;
	}
	release(job);
	return result;
}
