#ifndef SOURCE_SPLITTER_H
#define SOURCE_SPLITTER_H

/*
 * splitter: where a line ends, or an object over several lines; see lines.h.
 *
 * It looks at a window of bytes that begins where the last unit ended, and
 * remembers how far it has looked, so that a window which grows is looked at
 * once.
 *
 * Threads: none; one owner at a time.
 */

#include "model/batch.h"

struct splitter {
	size_t seen;  /* bytes of the window that were looked at */
	size_t depth; /* of the object that is open; 0: none */
	bool in_text; /* inside of quotes */
	bool escaped; /* after a backslash */
	bool at_line_start;
	size_t line_start; /* in the window */
};

struct unit {
	struct span bytes; /* empty: nothing worth a record */
	size_t used;       /* bytes of the window that are done with */
};

/* The next unit; ended: the window will not grow. False: it takes more bytes. */
bool splitter_next(struct splitter *s, struct span window, bool ended, struct unit *ret);

/* Forgets an open object; the next window begins with a line. */
void splitter_reset(struct splitter *s);

/* The form of a unit. */
enum raw_form splitter_form(struct span unit);

#endif
