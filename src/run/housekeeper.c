#include "run/housekeeper.h"

#include "base/log.h"
#include "store/postgres.h"

static enum err_kind make_partitions(struct store *store, struct err *err)
{
	enum err_kind rc = store_make_partitions(store, err);

	if (rc)
		log_warn(partition_failed, LOG_TEXT("error", err->text));
	return rc;
}

static enum err_kind check_schema(struct store *store, struct err *err)
{
	uint64_t facts = 0;
	enum err_kind rc = store_check_schema(store, &facts, err);

	if (rc)
		log_warn(schema_unchecked, LOG_TEXT("error", err->text));
	else if (facts > 0)
		log_warn(schema_changed, LOG_NUMBER("facts", facts));
	return rc;
}

static enum err_kind keep_house(const struct housekeeper_options *o, struct err *err)
{
	const struct store_options options = {
		.url = o->database_url, .stream = o->stream, .replica = o->replica};
	struct store *store = NULL;
	uint64_t cursor;
	enum err_kind rc;

	rc = store_new(&store, &options, err);
	if (!rc)
		rc = store_connect(store, &cursor, err);
	/* Why Postgres cannot be reached is told by the consumer. */
	if (!rc)
		rc = make_partitions(store, err);
	if (!rc)
		rc = check_schema(store, err);
	store_free(store);
	return rc;
}

void housekeeper_run(const struct housekeeper_options *options)
{
	struct err err;

	while (life_state(options->life) == LIFE_RUNNING) {
		int64_t wait_s = HOUSEKEEPER_SECONDS;

		if (keep_house(options, &err))
			wait_s = HOUSEKEEPER_RETRY_SECONDS;
		life_wait(options->life, wait_s * NS_PER_S);
	}
}
