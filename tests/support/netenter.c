/*
 * netenter: runs a command where and as whom a machine of a private network would.
 *
 *	netenter [--net FILE] [--bind FROM:TO]... [--root DIR] [--user ID] COMMAND [ARGUMENT...]
 *
 *	--net FILE      in the network namespace that FILE is; see netswitch.c
 *	--bind FROM:TO  FROM is to be seen at TO, which has to be there, below the root
 *	--root DIR      DIR is the root of all files: an image's
 *	--user ID       as this user and group, who may never become more
 *
 * It is the same process all along, and is killed when its parent goes, so that whoever starts a
 * machine like this can signal it, and leaves nothing behind. What is mounted is seen by the
 *command alone and goes with it.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { BINDS_MAX = 8 };

struct options {
	const char *net, *root, *user;
	char *binds[BINDS_MAX];
	int bind_count;
};

static void die(const char *what)
{
	(void)fprintf(stderr, "netenter: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* Returns the place of the command in argv; 0: there is none. */
static int read_options(struct options *o, int argc, char **argv)
{
	int i = 1;

	for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
		if (strcmp(argv[i], "--net") == 0)
			o->net = argv[i + 1];
		else if (strcmp(argv[i], "--root") == 0)
			o->root = argv[i + 1];
		else if (strcmp(argv[i], "--user") == 0)
			o->user = argv[i + 1];
		else if (strcmp(argv[i], "--bind") == 0 && o->bind_count < BINDS_MAX)
			o->binds[o->bind_count++] = argv[i + 1];
		else
			return 0;
	}
	return i < argc ? i : 0;
}

static void enter_net(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		die(path);
	(void)close(fd);
}

static void bind_path(const char *root, char *pair)
{
	char *to = strchr(pair, ':');
	char path[PATH_MAX];

	if (to == NULL) {
		errno = EINVAL;
		die(pair);
	}
	*to++ = '\0';
	(void)snprintf(path, sizeof(path), "%s%s", root, to);
	if (mount(pair, path, NULL, MS_BIND | MS_REC, NULL) != 0)
		die(path);
}

static void enter_files(const struct options *o)
{
	if (o->bind_count == 0 && o->root == NULL)
		return;
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) != 0)
		die("mounts of its own");
	for (int i = 0; i < o->bind_count; i++)
		bind_path(o->root ? o->root : "", o->binds[i]);
	if (o->root != NULL && (chroot(o->root) != 0 || chdir("/") != 0))
		die(o->root);
}

static void become(const char *user)
{
	unsigned id = (unsigned)strtoul(user, NULL, 10);

	if (setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die(user);
}

int main(int argc, char **argv)
{
	struct options o = {0};
	pid_t parent = getppid();
	int at = read_options(&o, argc, argv);

	if (at == 0) {
		(void)fprintf(stderr, "usage: netenter [--net FILE] [--bind FROM:TO]... "
				      "[--root DIR] [--user ID] COMMAND...\n");
		return 2;
	}
	if (o.net != NULL)
		enter_net(o.net);
	enter_files(&o);
	if (o.user != NULL)
		become(o.user);
	/* After that, since a change of user takes it away. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
		die("the process that started this");
	(void)execvp(argv[at], argv + at);
	die(argv[at]);
}
