#include "run/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void process_ending_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
}

/*
 * Whoever started us may have closed them. The spool's files must not get their numbers: log lines
 * and heartbeats would be written into them. What stands in for one takes and gives nothing.
 */
static enum err_kind hold_standard_descriptors(struct err *err)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return err_errno(err, ERR_FATAL, "/dev/null cannot be opened");
	(void)close(fd);
	return ERR_NONE;
}

enum err_kind process_harden(struct err *err)
{
	const struct rlimit no_core = {0, 0};
	enum err_kind rc;
	sigset_t set;

	process_ending_signals(&set);
	MUST0(pthread_sigmask(SIG_BLOCK, &set, NULL));
	rc = hold_standard_descriptors(err);
	if (rc)
		return rc;
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_errno(err, ERR_FATAL, "SIGPIPE cannot be ignored");
	(void)umask(077);
	if (setrlimit(RLIMIT_CORE, &no_core) != 0)
		return err_errno(err, ERR_FATAL, "core dumps cannot be forbidden");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_errno(err, ERR_FATAL, "the process cannot be made undumpable");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_errno(err, ERR_FATAL, "new privileges cannot be forbidden");
	return ERR_NONE;
}
