#include "run/housekeeper.h"

#include "base/log.h"
#include "store/postgres.h"

static enum err_kind make_partitions(const struct housekeeper_options *o, struct err *err)
{
	const struct store_options options = {
		.url = o->database_url, .stream = o->stream, .replica = o->replica};
	struct store *store = NULL;
	uint64_t cursor;
	enum err_kind rc;

	rc = store_new(&store, &options, err);
	if (rc == ERR_NONE)
		rc = store_connect(store, &cursor, err);
	/* Why Postgres cannot be reached is told by the consumer. */
	if (rc == ERR_NONE) {
		rc = store_make_partitions(store, err);
		if (rc)
			log_warn(partition_failed, LOG_TEXT("error", err->text));
	}
	store_free(store);
	return rc;
}

void housekeeper_run(const struct housekeeper_options *options)
{
	struct err err;

	while (life_state(options->life) == LIFE_RUNNING) {
		int64_t wait_s = HOUSEKEEPER_SECONDS;

		if (make_partitions(options, &err))
			wait_s = HOUSEKEEPER_RETRY_SECONDS;
		life_wait(options->life, wait_s * NS_PER_S);
	}
}
