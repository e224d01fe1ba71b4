#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

/*
 * json_scan: where the members of a JSON object or the elements of an array
 * stand, as bytes, one level at a time. For what has to be passed on as it came.
 *
 * It tells values apart by quotes and brackets alone and builds nothing, so a
 * value may be of any depth and is not checked for being JSON: that is for who
 * reads it. What ends too early is noticed.
 *
 *	struct json_scan s;
 *	struct span key, value;
 *
 *	if (!json_scan_begin(&s, text, '{'))
 *		...
 *	while (json_scan_next(&s, &key, &value))
 *		...
 *	if (!s.ended)
 *		... broken, or cut; what was given before is good
 *
 * Ownership: spans lend from the text; the caller owns the struct.
 * Threads:   none.
 * Limits:    looks at each byte once; no recursion, no memory.
 */

#include "base/span.h"

struct json_scan {
	struct span left; /* not looked at yet; when it has ended: what follows the bracket */
	char open;
	bool any;   /* a member was given */
	bool ended; /* by its own bracket */
};

/* Of an object ('{') or an array ('['). False: text is none, or not that. */
bool json_scan_begin(struct json_scan *s, struct span text, char open);

/*
 * The next member. *ret_key is what stands between its quotes, escapes as they are; empty in an
 * array. *ret_value has the value's quotes or brackets, and no blanks around it.
 */
bool json_scan_next(struct json_scan *s, struct span *ret_key, struct span *ret_value);

/* Nothing but blanks stands behind what has ended. */
bool json_scan_is_all(const struct json_scan *s);

/* What stands between the quotes of a text without escapes; data NULL: it is no such text. */
struct span json_scan_plain(struct span value);

#endif
