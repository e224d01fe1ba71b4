#include "cmd/cmd.h"

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

static int verdict(const struct config_report *report)
{
	return report->bad_count + report->unknown_count > 0 ? CMD_USAGE : CMD_OK;
}

int cmd_read_config(struct config *ret, unsigned for_flags)
{
	struct config_report report;

	config_read(ret, &report, environ);
	config_require(ret, for_flags, &report);
	config_wipe(environ);
	cmd_print_report(stderr, &report);
	return verdict(&report);
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
	struct config c;
	int status;

	if (!cmd_takes_no_arguments(argc, argv))
		return CMD_USAGE;
	status = cmd_read_config(&c, CONFIG_FOR_NATS | CONFIG_FOR_STORE);
	for (size_t i = 0; i < config_option_count(); i++)
		(void)printf("%s=%s\n", config_option(i)->name, config_value(&c, i, text));
	return status;
}
