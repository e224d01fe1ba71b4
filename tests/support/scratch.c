#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPEN_FOLDERS_MAX = 8 };

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

void scratch_make(struct scratch *s)
{
	const char *base = getenv("TMPDIR");
	int len =
		snprintf(s->path, sizeof(s->path), "%s/flytrail-test-XXXXXX", base ? base : "/tmp");

	must(len > 0 && len < SCRATCH_PATH_BYTES, "TMPDIR");
	must(mkdtemp(s->path) != NULL, s->path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void scratch_remove(struct scratch *s)
{
	must(nftw(s->path, remove_one, OPEN_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS) == 0, s->path);
}

const char *scratch_file(const struct scratch *s, const char *name)
{
	static _Thread_local char path[2 * SCRATCH_PATH_BYTES];
	int len = snprintf(path, sizeof(path), "%s/%s", s->path, name);

	must(len > 0 && (size_t)len < sizeof(path), name);
	return path;
}
