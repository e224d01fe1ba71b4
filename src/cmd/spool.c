/* `flytrail spool adopt`: what is on this volume becomes a stream of its own. */

#include "cmd/cmd.h"

#include "run/foreign.h"

#include <inttypes.h>
#include <string.h>

static const char USAGE[] = "flytrail: spool: the one thing it does is `flytrail spool adopt`; "
			    "`flytrail help` explains\n";

static void tell(const char *folder, const struct spool_adopted *a)
{
	char before[ID_TEXT_BYTES], now[ID_TEXT_BYTES];
	uint64_t count = a->end_seq - a->now.start_seq;

	(void)id_format(&a->before.uuid, before);
	(void)id_format(&a->now.uuid, now);
	(void)printf("%s was stream %s, epoch %" PRIu64 ", and is stream %s, epoch %" PRIu64
		     ", now: `flytrail run` will give Postgres all %" PRIu64
		     " records that are here, of which it keeps those that it has not got, and "
		     "any other machine that has the old stream goes on with it\n",
		     folder, before, a->before.epoch, now, a->now.epoch, count);
}

static int adopt(const char *folder)
{
	struct spool_adopted done = {0};
	struct err err = {0};
	enum err_kind rc = spool_adopt(folder, &done, &err);

	if (rc) {
		(void)fprintf(stderr, "flytrail: spool adopt: %s%s\n", err.text,
			      rc == ERR_CONFIG ? "; FLYTRAIL_SPOOL_DIR names the spool's folder"
					       : "");
		return rc == ERR_CONFIG ? CMD_USAGE : CMD_FAILED;
	}
	tell(folder, &done);
	/* It is about the old stream, and is not heeded any more. */
	if (foreign_clear(folder, &err))
		(void)fprintf(stderr,
			      "flytrail: spool adopt: it is done, but the file " FOREIGN_NAME
			      " stays: %s\n",
			      err.text);
	return CMD_OK;
}

int cmd_spool(int argc, char **argv)
{
	struct config_report report;
	struct config c;

	if (argc != 2 || strcmp(argv[1], "adopt") != 0) {
		(void)fprintf(stderr, "%s", USAGE);
		return CMD_USAGE;
	}
	cmd_read_config(&c, 0, &report);
	if (config_is_bad(&report, "FLYTRAIL_SPOOL_DIR")) {
		cmd_print_report(stderr, &report);
		return CMD_USAGE;
	}
	return adopt(c.spool_dir);
}
