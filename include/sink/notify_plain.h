#ifndef SINK_NOTIFY_PLAIN_H
#define SINK_NOTIFY_PLAIN_H

/*
 * notify_plain: a text from elsewhere, made fit to stand in a message that people read.
 *
 * What is in it was written by whoever could make a machine print a line, so nothing of it may
 * act, neither on Slack nor on who reads: it is shown, in one line, and as code, where Slack looks
 * for no markup, name or address.
 *
 *	& < >                           as Slack has them escaped, so that none begins <!channel>,
 *	                                <@somebody> or <https://…|another text>
 *	`                               '  since it would end the code
 *	://                             [://]  so that no client makes a link of it
 *	colours (ESC [ … m)             nothing
 *	blanks, tabs, line ends         one blank; none at the ends
 *	other control characters,       \x1b, \u202e: so that they are seen, and do nothing
 *	marks of direction, of no width
 *	what is no UTF-8                \xff
 *
 * Threads: pure.
 * Limits:  what is written has at most max bytes, of which "…" is the end where it was cut; no
 *          character, escape or visible code is split.
 */

#include "base/buf.h"

enum { NOTIFY_PLAIN_BYTES_MIN = 16 }; /* max is no less */

/* Appends text to out, without the marks of code around it. False: there is nothing to show. */
bool notify_plain(struct span text, size_t max, struct buf *out);

#endif
