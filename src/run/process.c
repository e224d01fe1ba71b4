#include "run/process.h"

#include "base/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
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

/* As a container sees the limit of its group, by either version; UINT64_MAX: there is none. */
static uint64_t group_limit_bytes(void)
{
	static const char *const paths[] = {"/sys/fs/cgroup/memory.max",
					    "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
	uint64_t limit = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char text[32] = "";
		size_t len = 0;
		int fd = -1;
		struct err none;

		if (file_open(&fd, paths[i], FILE_READ, &none))
			continue;
		if (!file_read_at(fd, text, sizeof(text) - 1, 0, &len, &none) && len > 0 &&
		    text[0] >= '0' && text[0] <= '9')
			limit = strtoull(text, NULL, 10);
		file_close(&fd);
	}
	return limit;
}

enum err_kind process_check_memory(struct err *err)
{
	struct sysinfo machine;
	uint64_t bytes = group_limit_bytes();

	if (sysinfo(&machine) == 0 && (uint64_t)machine.totalram * machine.mem_unit < bytes)
		bytes = (uint64_t)machine.totalram * machine.mem_unit;
	if (bytes >= (uint64_t)PROCESS_MEMORY_MIB_MIN << 20)
		return ERR_NONE;
	return err_set(err, ERR_CONFIG,
		       "%" PRIu64 " MiB of memory are too little: flytrail needs %d; give this "
		       "machine 256 MB, as fly.toml's [[vm]] does",
		       bytes >> 20, PROCESS_MEMORY_MIB_MIN);
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
