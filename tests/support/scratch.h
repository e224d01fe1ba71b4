#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

/* scratch: a folder of a test's own, under TMPDIR or /tmp. Failures end the test program. */

enum { SCRATCH_PATH_BYTES = 256 };

struct scratch {
	char path[SCRATCH_PATH_BYTES];
};

void scratch_make(struct scratch *s);
void scratch_remove(struct scratch *s); /* with all that is in it */

/* "folder/name", lent until the next call by this thread. */
const char *scratch_file(const struct scratch *s, const char *name);

#endif
