#include "cmd/cmd.h"

int cmd_version(int argc, char **argv)
{
	if (!cmd_takes_no_arguments(argc, argv))
		return CMD_USAGE;
	(void)printf("flytrail\n");
	return CMD_OK;
}
