#ifndef SOURCE_LINES_H
#define SOURCE_LINES_H

/*
 * lines: stdin and files as a source; implements source/source.h.
 *
 * What stands in them is recognised, line by line, and may be mixed:
 *	- one JSON object a line, of the shape of Fly's NATS stream;
 *	- objects over many lines, as `fly logs --json` prints them;
 *	- text, as `fly logs` prints it, and anything else.
 * A line of JSON begins with '{' and is taken whole when it ends with '}'. One
 * that does not is the start of an object over several lines, which ends at
 * its closing brace. An object that is broken ends before the next line that
 * begins with '{', or that cannot stand inside of JSON, so that it does not
 * swallow what follows; decode() then marks it.
 *
 * UTF-16LE with a byte order mark (a redirection in PowerShell) becomes UTF-8.
 * A UTF-8 byte order mark and a carriage return at the end of a line are
 * dropped; empty lines are skipped.
 *
 * With each line of a regular file goes the file's number and when it was last
 * written, so that decode() can give a line without a time of its own the same
 * one at every reading, and the same id. Stdin has neither, whatever it is
 * redirected from: such a line is a new one each time. So is one in a file that
 * was written to since, touched or copied: nothing tells that it was there before.
 *
 * Ownership: paths are lent until close. The source owns its window and file.
 * Threads:   as source.h.
 * Limits:    of a line or object RAW_BYTES_MAX bytes are kept, the rest is
 *            counted and hashed; so memory is bounded, whatever comes.
 * Errors:    ERR_CONFIG: a file cannot be read; what is missing, forbidden or a folder is
 *            told by lines_open(). ERR_FATAL: no memory.
 */

#include "source/source.h"

/* Reads paths one after another; "-", or no path at all, is stdin. */
NODISCARD enum err_kind lines_open(struct source *ret, const char *const *paths, size_t count,
				   struct err *err);

#endif
