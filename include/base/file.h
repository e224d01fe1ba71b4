#ifndef BASE_FILE_H
#define BASE_FILE_H

/*
 * file: the few things done to files, with every error said in words. What root makes in somebody's
 * folder is that one's: a command by `fly ssh console` is root's, and `run`, which is not, goes on
 * with what it left.
 *
 * Ownership: the caller owns the descriptor.
 * Threads:   none shared.
 * Errors:    ERR_FULL when the disk or quota is full, ERR_FATAL when a sync
 *            fails (never retried: after one failed sync the page cache cannot
 *            be trusted), ERR_CONFIG for rights and missing paths, else
 *            ERR_RETRY.
 */

#include "base/buf.h"

#include <sys/types.h>

enum file_mode { FILE_READ, FILE_WRITE /* and read */, FILE_CREATE /* must not exist */ };

NODISCARD enum err_kind file_open(int *ret_fd, const char *path, enum file_mode mode,
				  struct err *err);
void file_close(int *fd); /* -1 is fine; leaves -1 */

/* All of it, however many calls it takes. */
NODISCARD enum err_kind file_write_at(int fd, const void *bytes, size_t len, uint64_t offset,
				      struct err *err);

/*
 * For a pipe, a terminal or a socket that may have no reader: writes only where there is room now,
 * at most PIPE_BUF bytes. False: not all of it was written.
 */
bool file_write_at_once(int fd, const void *bytes, size_t len);

/* Up to len bytes; *ret_len is less only at the end of the file. */
NODISCARD enum err_kind file_read_at(int fd, void *bytes, size_t len, uint64_t offset,
				     size_t *ret_len, struct err *err);

/* There is none of that name. Whatever else may be wrong with it, the call that needs it says. */
bool file_is_missing(const char *path);

NODISCARD enum err_kind file_size(int fd, uint64_t *ret, struct err *err);

/* What tells a regular file from others, and as it was from how it is now. */
struct file_stamp {
	uint64_t number;    /* on its volume; 0: it is no regular file */
	int64_t written_ns; /* when last */
};
NODISCARD enum err_kind file_stamp(int fd, struct file_stamp *ret, struct err *err);
NODISCARD enum err_kind file_allocate(int fd, uint64_t len, struct err *err); /* real blocks */
NODISCARD enum err_kind file_truncate(int fd, uint64_t len, struct err *err);
NODISCARD enum err_kind file_sync(int fd, struct err *err);
NODISCARD enum err_kind file_sync_folder(const char *path, struct err *err);

/* Puts bytes into path so that after a crash it is the old or the new, whole. */
NODISCARD enum err_kind file_replace(const char *folder, const char *name, const void *bytes,
				     size_t len, struct err *err);

/* The whole file at the end of out, up to out's ceiling. */
NODISCARD enum err_kind file_read_all(const char *path, struct buf *out, struct err *err);

NODISCARD enum err_kind file_make_folder(const char *path, struct err *err); /* and its parents */
NODISCARD enum err_kind file_remove(const char *path, struct err *err);
NODISCARD enum err_kind file_rename(const char *from, const char *to, struct err *err);

/* Bytes of the volume that holds path: all of it, and what is free for us. */
NODISCARD enum err_kind file_volume(const char *path, uint64_t *ret_total, uint64_t *ret_free,
				    struct err *err);

#endif
