#include "store/migrate.h"

#include "cmd/cmd.h"

#include <unistd.h>

static void say(int number, const char *name)
{
	(void)fprintf(stderr, "migration %d: %s\n", number, name);
}

int cmd_migrate(int argc, char **argv)
{
	struct config_report report;
	struct migrate_result done;
	struct config c;
	struct err err = {0};

	if (!cmd_takes_no_arguments(argc, argv))
		return CMD_USAGE;
	cmd_read_config(&c, CONFIG_FOR_MIGRATE, &report);
	cmd_print_report(stderr, &report);
	if (report.bad_count > 0)
		return CMD_USAGE;
	if (migrate(&(struct migrate_options){.url = c.admin_database_url,
					      .owner_role = c.owner_role,
					      .writer_role = c.writer_role,
					      .reader_role = c.reader_role,
					      .line_reader_role = c.line_reader_role,
					      .progress = isatty(STDERR_FILENO) ? say : NULL},
		    &done, &err)) {
		(void)fprintf(stderr, "flytrail migrate: %s\n", err.text);
		return CMD_FAILED;
	}
	if (done.version > migrate_newest())
		(void)printf("schema %d: nothing done, because it is newer than this flytrail, "
			     "which knows %d and can live with it; let the newer one migrate\n",
			     done.version, migrate_newest());
	else
		(void)printf("schema %d: %d migrations applied now\n", done.version, done.applied);
	return CMD_OK;
}
