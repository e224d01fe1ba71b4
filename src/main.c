/* The table of commands. */

#include "cmd/cmd.h"

#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND(name, arguments, doc) {#name, cmd_##name},
#include "cmd/commands.def"
#undef COMMAND
};

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return cmd_help(argc, argv);
	if (is_help(argv[1]) || (argc == 3 && is_help(argv[2])))
		return cmd_help(argc, argv);
	if (strcmp(argv[1], "--version") == 0)
		return cmd_version(argc - 1, argv + 1);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	(void)fprintf(stderr, "flytrail: there is no such command; `flytrail help` lists them\n");
	return CMD_USAGE;
}
