/*
 * spool_writer: what test_spool_kill.py kills.
 *
 *	spool_writer write FOLDER          appends for ever; prints the accepted number
 *	                                   after each commit
 *	spool_writer verify FOLDER AFTER   reads all after AFTER; prints the last number
 *
 * A payload follows from its number alone. verify ends with 1 and a sentence when
 * a number is missing, comes twice or has another payload.
 */

#include "base/time.h"
#include "spool/spool.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	PAYLOAD_BYTES_MAX = 2 * 1024 * 1024,
	BATCH_FRAMES = 5000,
	BATCH_BYTES = 4 * 1024 * 1024,
};

static NORETURN void end(const char *what, const struct err *err)
{
	(void)fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

/* Mostly a log line's length; now and then so long that a block or a segment ends early. */
static struct span make_payload(uint64_t seq)
{
	static uint8_t bytes[PAYLOAD_BYTES_MAX];
	uint64_t mix = seq * UINT64_C(0x9e3779b97f4a7c15);
	size_t len = mix >> 52 == 7 ? PAYLOAD_BYTES_MAX : 1 + (mix >> 40) % 900;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(mix >> (i % 8 * 8)) ^ (uint8_t)i;
	return span_of(bytes, len);
}

static struct spool *open_spool(const char *folder)
{
	const struct spool_options options = {.folder = folder, .max_bytes = UINT64_C(1) << 30};
	struct spool *s = NULL;
	struct err err = {0};

	if (spool_open(&s, &options, &err))
		end("open", &err);
	return s;
}

static void *commit_for_ever(void *arg)
{
	struct spool *s = arg;
	struct spool_stats st;
	struct err err = {0};
	char line[32];
	bool done = false;

	while (!done) {
		int len;

		if (spool_commit(s, NS_PER_S, &done, &err))
			end("commit", &err);
		spool_stats(s, &st);
		len = snprintf(line, sizeof(line), "%" PRIu64 "\n", st.accepted_seq);
		/* A full pipe must not slow the writer down: a later number says more. */
		(void)!write(STDOUT_FILENO, line, (size_t)len);
	}
	return NULL;
}

static void write_for_ever(struct spool *s)
{
	struct spool_reader *r = NULL;
	struct spool_stats st;
	pthread_t committer;
	struct err err = {0};

	spool_stats(s, &st);
	/* What an earlier run wrote was verified since: it may go. */
	if (spool_reader_new(&r, s, "writer", st.accepted_seq, &err))
		end("reader", &err);
	(void)fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
	MUST0(pthread_create(&committer, NULL, commit_for_ever, s));
	for (uint64_t seq = st.accepted_seq + 1;; seq++)
		if (spool_append(s, make_payload(seq), time_now_ns(), SPOOL_ORDINARY, &err))
			end("append", &err);
}

static void check_batch(const struct spool_batch *b, uint64_t *last)
{
	if (b->damage.first_seq != 0) {
		(void)fprintf(stderr, "%" PRIu64 "..%" PRIu64 " are damaged\n", b->damage.first_seq,
			      b->damage.last_seq);
		exit(1);
	}
	for (size_t i = 0; i < b->count; i++) {
		uint64_t seq = b->frames[i].seq;

		if (seq == *last + 1 && span_equal(spool_batch_payload(b, i), make_payload(seq))) {
			*last = seq;
			continue;
		}
		(void)fprintf(stderr,
			      "after %" PRIu64 " came %" PRIu64 ", or its payload is another\n",
			      *last, seq);
		exit(1);
	}
}

static void verify(struct spool *s, uint64_t after)
{
	struct spool_reader *r = NULL;
	struct spool_batch b;
	struct err err = {0};
	uint64_t last = after;
	bool more = true;

	if (spool_reader_new(&r, s, "verify", after, &err))
		end("reader", &err);
	if (spool_batch_init(&b, BATCH_FRAMES, BATCH_BYTES, &err))
		end("batch", &err);
	while (more) {
		spool_batch_reset(&b);
		if (spool_reader_read(r, &b, 0, 0, &err))
			end("read", &err);
		check_batch(&b, &last);
		more = b.count > 0;
	}
	(void)printf("%" PRIu64 "\n", last);
	spool_batch_release(&b);
	spool_reader_free(r);
	spool_close(s);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "write") == 0)
		write_for_ever(open_spool(argv[2]));
	if (argc == 4 && strcmp(argv[1], "verify") == 0) {
		verify(open_spool(argv[2]), strtoull(argv[3], NULL, 10));
		return 0;
	}
	(void)fprintf(stderr, "usage: spool_writer write FOLDER | verify FOLDER AFTER\n");
	return 2;
}
