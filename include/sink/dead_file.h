#ifndef SINK_DEAD_FILE_H
#define SINK_DEAD_FILE_H

/*
 * dead_file: what the files of a sink's dead letters have in common.
 *
 *	dead-SINK.ndjson            the letters; `flytrail run` adds to it (sink/dead_letter.h)
 *	dead-SINK.settled.ndjson    which of them are dealt with; commands add to it, and `run`
 *	                            clears away what is settled (sink/dead_settled.h)
 *	dead-SINK.lock              locked by who settles or clears
 *
 * Both are lines of JSON, synced one by one. A last line without its newline was torn by a
 * crash, or is being written: it is none. A letter is known by its key; a second one of the
 * same key, which a crash leads to, is the same letter.
 *
 * Ownership: the caller owns descriptors; lines are lent until the next.
 * Threads:   none shared.
 * Limits:    DEAD_FILE_BYTES_MAX a file, DEAD_LINE_BYTES_MAX a line.
 * Errors:    those of base/file.h.
 */

#include "base/base64.h"
#include "base/json.h"
#include "spool/spool.h"

#include <limits.h>

enum {
	DEAD_FILE_BYTES_MAX = 256 * 1024 * 1024,
	DEAD_REASON_BYTES_MAX = ERR_TEXT_BYTES,
	DEAD_ANSWER_BYTES_MAX = 200,
	/* A payload in base64, and what stands around it with every byte escaped. */
	DEAD_LINE_BYTES_MAX = BASE64_BYTES(RECORD_PAYLOAD_BYTES_MAX) +
			      6 * (DEAD_REASON_BYTES_MAX + DEAD_ANSWER_BYTES_MAX) + 1024,
	DEAD_CHUNK_BYTES = 64 * 1024,
};

struct dead_key {
	struct id stream;
	uint64_t epoch, seq;
};

int dead_key_compare(const struct dead_key *a, const struct dead_key *b);
/* Of a line's object. False: it has none; epoch and number are from 1 to INT64_MAX. */
NODISCARD bool dead_key_read(const struct json *line, struct dead_key *ret);
/* When a line was written. False: it does not say. */
NODISCARD bool dead_time_read(const struct json *line, int64_t *ret_ns);
/* Appends the key's members to an object: "stream", "epoch", "seq". */
void dead_key_write(const struct dead_key *key, struct buf *out);

enum dead_name { DEAD_LETTERS, DEAD_LETTERS_FRESH, DEAD_SETTLED, DEAD_LOCK };
NODISCARD enum err_kind dead_file_path(char path[PATH_MAX], const char *folder, const char *sink,
				       enum dead_name name, struct err *err);

/* Opens to add to it, makes it where it is missing, and cuts a torn line off. *ret_fd is -1 before,
 * and where that fails. */
NODISCARD enum err_kind dead_file_open(int *ret_fd, const char *folder, const char *path,
				       uint64_t *ret_len, struct err *err);

/* Adds a line at *len, synced: all of it or, as far as the disk lets that be, nothing. */
NODISCARD enum err_kind dead_file_add(int fd, const struct buf *line, uint64_t *len,
				      struct err *err);

struct dead_line {
	struct span text; /* without its newline; of one that is too long, its beginning */
	bool is_too_long;
	uint64_t at, end; /* where it stands in the file, with its newline */
};

/* *ret_found false: the line cannot be read. Else its key, and when it was written. */
NODISCARD enum err_kind dead_line_key(const struct dead_line *line, struct dead_key *ret,
				      int64_t *ret_written_ns, bool *ret_found, struct err *err);

/*
 * Gives take() each line of an open file, which stays open, until there are no more or it fails.
 * ERR_FULL: the file has more than DEAD_FILE_BYTES_MAX.
 */
NODISCARD enum err_kind
dead_lines_each(int fd,
		enum err_kind (*take)(void *arg, const struct dead_line *line, struct err *err),
		void *arg, struct err *err);

#endif
