#include "base/file.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	FILE_CHUNK_BYTES = 64 * 1024,
	FILE_RIGHTS = 0600, /* what is kept here is the customer's */
	FOLDER_RIGHTS = 0700,
};

static enum err_kind kind_of(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return ERR_FULL;
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case EEXIST:
	case ELOOP:
	case ENAMETOOLONG: return ERR_CONFIG;
	case ENOMEM: return ERR_FATAL;
	default: return ERR_RETRY;
	}
}

static enum err_kind fail(struct err *err, const char *what)
{
	return err_errno(err, kind_of(errno), "cannot %s", what);
}

static enum err_kind fail_path(struct err *err, const char *what, const char *path)
{
	return err_errno(err, kind_of(errno), "cannot %s %s", what, path);
}

/* Where that fails it is root's, who may do what follows all the same. */
static void give_to_owner_of_folder(int fd, const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	struct stat st;

	if (geteuid() != 0 || len == 0 || len >= sizeof(folder))
		return;
	memcpy(folder, path, len);
	folder[len] = '\0';
	if (stat(folder, &st) != 0 || st.st_uid == 0 || fchown(fd, st.st_uid, st.st_gid) != 0)
		return;
}

enum err_kind file_open(int *ret_fd, const char *path, enum file_mode mode, struct err *err)
{
	int flags = O_CLOEXEC;
	int fd;

	switch (mode) {
	case FILE_READ: flags |= O_RDONLY; break;
	case FILE_WRITE: flags |= O_RDWR; break;
	case FILE_CREATE: flags |= O_RDWR | O_CREAT | O_EXCL; break;
	}
	fd = open(path, flags, FILE_RIGHTS);
	if (fd < 0)
		return fail_path(err, mode == FILE_CREATE ? "create" : "open", path);
	if (mode == FILE_CREATE)
		give_to_owner_of_folder(fd, path);
	*ret_fd = fd;
	return ERR_NONE;
}

void file_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

enum err_kind file_write_at(int fd, const void *bytes, size_t len, uint64_t offset, struct err *err)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		ssize_t done = pwrite(fd, at, len, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = ENOSPC; /* no progress and no word why */
		if (done <= 0)
			return fail(err, "write a file");
		at += done;
		len -= (size_t)done;
		offset += (uint64_t)done;
	}
	return ERR_NONE;
}

bool file_write_at_once(int fd, const void *bytes, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	/* O_NONBLOCK would belong to everybody who has the same pipe: stderr often is it. */
	REQUIRE(len <= PIPE_BUF);
	if (poll(&p, 1, 0) != 1) /* 1 also of a pipe without a reader: then the write says so */
		return false;
	return write(fd, bytes, len) == (ssize_t)len;
}

enum err_kind file_read_at(int fd, void *bytes, size_t len, uint64_t offset, size_t *ret_len,
			   struct err *err)
{
	uint8_t *at = bytes;
	size_t total = 0;

	while (total < len) {
		ssize_t got = pread(fd, at + total, len - total, (off_t)(offset + total));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(err, "read a file");
		if (got == 0)
			break;
		total += (size_t)got;
	}
	*ret_len = total;
	return ERR_NONE;
}

bool file_is_missing(const char *path)
{
	return access(path, F_OK) != 0 && errno == ENOENT;
}

enum err_kind file_size(int fd, uint64_t *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail(err, "ask for the size of a file");
	*ret = (uint64_t)st.st_size;
	return ERR_NONE;
}

enum err_kind file_stamp(int fd, struct file_stamp *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail(err, "ask when a file was written");
	*ret = (struct file_stamp){0};
	if (!S_ISREG(st.st_mode))
		return ERR_NONE;
	if (__builtin_mul_overflow(st.st_mtim.tv_sec, NS_PER_S, &ret->written_ns) ||
	    __builtin_add_overflow(ret->written_ns, st.st_mtim.tv_nsec, &ret->written_ns))
		ret->written_ns = INT64_MAX;
	ret->number = st.st_ino;
	return ERR_NONE;
}

enum err_kind file_allocate(int fd, uint64_t len, struct err *err)
{
	int number;

	do
		number = posix_fallocate(fd, 0, (off_t)len);
	while (number == EINTR);
	if (number == 0)
		return ERR_NONE;
	errno = number;
	return fail(err, "allocate room for a file");
}

enum err_kind file_truncate(int fd, uint64_t len, struct err *err)
{
	int rc;

	do
		rc = ftruncate(fd, (off_t)len);
	while (rc != 0 && errno == EINTR);
	return rc == 0 ? ERR_NONE : fail(err, "cut a file");
}

enum err_kind file_sync(int fd, struct err *err)
{
	if (fdatasync(fd) != 0)
		return err_errno(err, ERR_FATAL, "cannot sync a file; the disk may be failing");
	return ERR_NONE;
}

enum err_kind file_sync_folder(const char *path, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail_path(err, "open folder", path);
	if (fsync(fd) != 0)
		rc = err_errno(err, ERR_FATAL, "cannot sync folder %s; the disk may be failing",
			       path);
	file_close(&fd);
	return rc;
}

static enum err_kind write_whole(const char *path, const void *bytes, size_t len, struct err *err)
{
	enum err_kind rc;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_RIGHTS);

	if (fd < 0)
		return fail_path(err, "create", path);
	give_to_owner_of_folder(fd, path);
	rc = file_write_at(fd, bytes, len, 0, err);
	if (!rc)
		rc = file_sync(fd, err);
	file_close(&fd);
	return rc;
}

enum err_kind file_replace(const char *folder, const char *name, const void *bytes, size_t len,
			   struct err *err)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	enum err_kind rc;
	int path_len, fresh_len;

	path_len = snprintf(path, sizeof(path), "%s/%s", folder, name);
	fresh_len = snprintf(fresh, sizeof(fresh), "%s/%s.new", folder, name);
	if (path_len < 0 || fresh_len < 0 || (size_t)fresh_len >= sizeof(fresh))
		return err_set(err, ERR_CONFIG, "the path of %s is too long", name);
	rc = write_whole(fresh, bytes, len, err);
	if (!rc)
		rc = file_rename(fresh, path, err);
	if (!rc)
		return file_sync_folder(folder, err);
	(void)unlink(fresh); /* the old file stands; what is left of the new is of no use */
	return rc;
}

/* Reads one piece at the end of out; *ret_end: the file has ended. */
static enum err_kind read_piece(int fd, uint64_t offset, struct buf *out, bool *ret_end,
				struct err *err)
{
	size_t room = out->max - out->len;
	size_t wanted = room < FILE_CHUNK_BYTES ? room : FILE_CHUNK_BYTES;
	size_t start = out->len;
	size_t got = 0;
	uint8_t beyond;
	uint8_t *at;
	enum err_kind rc;

	if (room == 0) {
		rc = file_read_at(fd, &beyond, 1, offset, &got, err);
		if (!rc && got > 0)
			rc = err_set(err, ERR_FULL, "the file has more than %zu bytes", out->max);
		*ret_end = true;
		return rc;
	}
	at = buf_extend(out, wanted);
	if (!at)
		return buf_check(out, err);
	rc = file_read_at(fd, at, wanted, offset, &got, err);
	buf_cut(out, start + got);
	*ret_end = got < wanted;
	return rc;
}

enum err_kind file_read_all(const char *path, struct buf *out, struct err *err)
{
	enum err_kind rc;
	uint64_t offset = 0;
	bool end = false;
	int fd = -1;

	rc = buf_check(out, err);
	if (rc)
		return rc;
	rc = file_open(&fd, path, FILE_READ, err);
	while (!rc && !end) {
		size_t before = out->len;

		rc = read_piece(fd, offset, out, &end, err);
		offset += out->len - before;
	}
	file_close(&fd);
	return rc;
}

enum err_kind file_make_folder(const char *path, struct err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return err_set(err, ERR_CONFIG, "a folder's path is empty or too long");
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		struct stat st;

		if (path[i] != '/' && path[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, FOLDER_RIGHTS) != 0 &&
		    (errno != EEXIST || stat(part, &st) != 0 || !S_ISDIR(st.st_mode)))
			return fail_path(err, "make folder", part);
		part[i] = path[i];
	}
	return ERR_NONE;
}

enum err_kind file_remove(const char *path, struct err *err)
{
	return unlink(path) == 0 ? ERR_NONE : fail_path(err, "remove", path);
}

enum err_kind file_rename(const char *from, const char *to, struct err *err)
{
	return rename(from, to) == 0 ? ERR_NONE : fail_path(err, "rename a file to", to);
}

enum err_kind file_volume(const char *path, uint64_t *ret_total, uint64_t *ret_free,
			  struct err *err)
{
	struct statvfs vfs;

	if (statvfs(path, &vfs) != 0)
		return fail_path(err, "ask for the volume of", path);
	*ret_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
	*ret_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return ERR_NONE;
}
