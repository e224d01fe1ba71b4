#include "run/open_spool.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHARE_PERCENT = 70 }; /* of the volume, where no size is configured */

/* What spool_open() had to do with what it found. */
static void tell_mended(struct spool *spool)
{
	struct spool_stats stats;

	spool_stats(spool, &stats);
	if (stats.torn_bytes > 0 || stats.damage_count > 0)
		log_warn(spool_mended, LOG_NUMBER("torn_bytes", stats.torn_bytes),
			 LOG_NUMBER("damaged_segments", stats.damage_count));
}

/* The file is in the folder, or in one above it, and the folder is on the disk of /. */
static bool lacks_volume(const char *folder)
{
	char path[PATH_MAX + sizeof("/" OPEN_SPOOL_NO_VOLUME)];
	struct stat root, st;
	size_t len = strnlen(folder, PATH_MAX);

	if (stat("/", &root) != 0 || stat(folder, &st) != 0 || root.st_dev != st.st_dev)
		return false;
	memcpy(path, folder, len);
	while (len > 0) {
		memcpy(path + len, "/" OPEN_SPOOL_NO_VOLUME, sizeof("/" OPEN_SPOOL_NO_VOLUME));
		if (stat(path, &st) == 0)
			return true;
		do
			len--;
		while (len > 0 && path[len] != '/');
	}
	return false;
}

static void tell_volume(const char *folder, struct status *status)
{
	if (!lacks_volume(folder))
		return;
	atomic_store(&status->spool_no_volume, true);
	log_warn(spool_no_volume, LOG_TEXT("spool", folder),
		 LOG_TEXT("do", "mount a volume at /data: a restart loses what is not delivered"));
}

/* One that this user cannot write is not opened: the sentence would be about some file of it. */
static enum err_kind make_folder(const char *folder, struct err *err)
{
	struct err why;
	enum err_kind rc = file_make_folder(folder, &why);

	if (!rc && access(folder, W_OK | X_OK) != 0)
		rc = err_errno(&why, ERR_CONFIG, "cannot write to %s", folder);
	if (!rc)
		return ERR_NONE;
	return err_set(err, rc, "FLYTRAIL_SPOOL_DIR: %s; let this user, %u, write there", why.text,
		       (unsigned)geteuid());
}

enum err_kind open_spool(struct spool **ret, const struct config *config, struct status *status,
			 struct err *err)
{
	struct spool_options options = {
		.folder = config->spool_dir,
		.max_bytes = config->spool_max_bytes,
		.keep_ns = (int64_t)config->spool_keep_seconds * NS_PER_S,
		.commits = &status->commits,
	};
	uint64_t total, free_bytes;
	enum err_kind rc;

	rc = make_folder(config->spool_dir, err);
	if (rc)
		return rc;
	if (options.max_bytes == 0) {
		rc = file_volume(config->spool_dir, &total, &free_bytes, err);
		if (rc == ERR_NONE)
			options.max_bytes = total / 100 * SHARE_PERCENT;
	}
	if (rc == ERR_NONE && options.max_bytes < CONFIG_SPOOL_BYTES_MIN)
		rc = err_set(
			err, ERR_CONFIG,
			"the volume of FLYTRAIL_SPOOL_DIR is too small: the spool needs 64 MiB "
			"at least, and takes 70 %% of the volume");
	if (rc == ERR_NONE)
		rc = spool_open(ret, &options, err);
	if (rc)
		return rc;
	tell_mended(*ret);
	tell_volume(config->spool_dir, status);
	status_set_spool(status, *ret);
	return ERR_NONE;
}
