#include "cmd/cmd.h"

#include <inttypes.h>
#include <string.h>

enum { NAME_WIDTH = 28, DOC_WIDTH = 70 };

/* One word after another, on lines of DOC_WIDTH columns that begin below each other. */
static void print_wrapped(const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > DOC_WIDTH) {
			(void)printf("\n  %*s", NAME_WIDTH, "");
			column = 0;
		}
		(void)printf("%s%.*s", column > 0 ? " " : "", (int)len, text);
		column += len + (column > 0 ? 1 : 0);
		text += len + strspn(text + len, " ");
	}
	(void)printf("\n");
}

/* What follows a name of so many columns; behind a long one on a line of its own. */
static void print_name(int columns)
{
	if (columns >= NAME_WIDTH + 2)
		columns = printf("\n") - 1;
	(void)printf("%*s", NAME_WIDTH + 2 - columns, "");
}

static void print_option(const struct config_option *o)
{
	char text[512]; /* doc and default of the longest option, twice over */

	(void)snprintf(text, sizeof(text), "%s%s%s%s", o->doc, o->def[0] != '\0' ? " [" : "",
		       o->def, o->def[0] != '\0' ? "]" : "");
	print_name(printf("  %s", o->name));
	print_wrapped(text);
}

static void print_command(const char *name, const char *arguments, const char *doc)
{
	print_name(printf("  %s %s", name, arguments));
	print_wrapped(doc);
}

int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	(void)printf("flytrail keeps the audit trail of a Fly.io organisation: it reads the log "
		     "stream,\n"
		     "finds in it who deployed, what restarted and who opened an SSH session, and\n"
		     "stores that in Postgres, where people ask in SQL.\n"
		     "\n"
		     "usage: flytrail COMMAND\n"
		     "\n");
#define COMMAND(name, arguments, doc) print_command(#name, arguments, doc);
#include "cmd/commands.def"
#undef COMMAND
	(void)printf(
		"\n"
		"Exit status: 0 done, 1 something is wrong or failed, 2 bad arguments or\n"
		"configuration. For coverage 2 means holes or doubts, for archive verify that\n"
		"something does not agree, and 1 all else that is wrong.\n"
		"\n"
		"Configuration, from the environment alone [default]:\n"
		"\n");
	for (size_t i = 0; i < config_option_count(); i++)
		print_option(config_option(i));
	return CMD_OK;
}
