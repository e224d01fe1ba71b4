#include "cmd/cmd.h"

#include "run/sinks.h"
#include "store/url.h"

#include <string.h>
#include <unistd.h>

void cmd_print_report(FILE *out, const struct config_report *report)
{
	size_t total = report->bad_count + report->unknown_count + report->warning_count;

	for (size_t i = 0; i < report->count; i++) {
		const struct config_finding *f = &report->findings[i];
		const char *kind = f->kind == CONFIG_BAD       ? "bad"
				   : f->kind == CONFIG_UNKNOWN ? "unknown"
							       : "warning";

		(void)fprintf(out, "%s: %s\n", kind, f->text);
	}
	if (total > report->count)
		(void)fprintf(out, "and %zu more\n", total - report->count);
}

static void check_url(struct config_report *report, const char *name, const char *url)
{
	struct err err;
	int hosts;

	if (url[0] != '\0' && url_check(url, &hosts, &err))
		config_add_bad(report, name, err.text);
}

void cmd_read_config(struct config *ret, unsigned for_flags, struct config_report *ret_report)
{
	config_read(ret, ret_report, environ);
	config_require(ret, for_flags, ret_report);
	check_url(ret_report, "FLYTRAIL_DATABASE_URL", ret->database_url);
	check_url(ret_report, "FLYTRAIL_ADMIN_DATABASE_URL", ret->admin_database_url);
	sinks_check(ret, ret_report);
	config_wipe(environ);
}

int cmd_need_config(struct config *ret, unsigned for_flags)
{
	struct config_report report;

	cmd_read_config(ret, for_flags, &report);
	if (report.bad_count == 0)
		return CMD_OK;
	cmd_print_report(stderr, &report);
	return CMD_USAGE;
}

bool cmd_takes_no_arguments(int argc, char **argv)
{
	if (argc > 1)
		(void)fprintf(stderr, "flytrail %s takes no arguments; `flytrail help` explains\n",
			      argv[0]);
	return argc <= 1;
}

int cmd_config(int argc, char **argv)
{
	char text[CONFIG_VALUE_BYTES];
	struct config_report report;
	struct config c;

	if (!cmd_takes_no_arguments(argc, argv))
		return CMD_USAGE;
	cmd_read_config(&c, CONFIG_FOR_NATS | CONFIG_FOR_STORE, &report);
	cmd_print_report(stderr, &report);
	for (size_t i = 0; i < config_option_count(); i++)
		(void)printf("%s=%s\n", config_option(i)->name, config_value(&c, i, text));
	return report.bad_count + report.unknown_count > 0 ? CMD_USAGE : CMD_OK;
}
