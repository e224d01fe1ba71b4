#ifndef SUPPORT_SPOOL_KIT_H
#define SUPPORT_SPOOL_KIT_H

/*
 * spool_kit: what the tests of the spool do all the time: append payloads that
 * tell their number, commit, read everything back and compare.
 */

#include "spool/spool.h"

enum {
	KIT_READ_MAX = 4096,
	KIT_DAMAGES_MAX = 64,
};

/* observed_ns of the frame with this number. */
int64_t kit_observed_ns(uint64_t seq);

/* The payload of the frame with this number: len bytes, lent until the next call. One thread. */
struct span kit_payload(uint64_t seq, size_t len);

struct spool *kit_open(const char *folder); /* keep time one hour, 64 MiB */

/* Appends count payloads of len bytes, numbered on from what was appended. */
void kit_append(struct spool *s, size_t count, size_t len);

/* Makes what was appended accepted. */
void kit_commit(struct spool *s);

struct kit_read {
	uint64_t seqs[KIT_READ_MAX];
	size_t count;
	struct spool_damage damages[KIT_DAMAGES_MAX];
	size_t damage_count;
};

/* Reads all that is accepted after after_seq; payloads must be what kit_append wrote. */
void kit_read_all(struct spool *s, uint64_t after_seq, struct kit_read *ret);

/* True: the numbers read are first..last without those in [lost_first, lost_last]. */
bool kit_is_range(const struct kit_read *r, uint64_t first, uint64_t last, uint64_t lost_first,
		  uint64_t lost_last);

#endif
