#ifndef RUN_FORWARDERS_H
#define RUN_FORWARDERS_H

/*
 * forwarders: a thread with a forwarder for each sink that the configuration switches on.
 *
 * They begin when the spool is open and end by themselves, each when it has delivered all
 * after life.intake_done, or at life.cut; then life.sinks_done is set.
 *
 * Ownership: the caller owns the handle and what the options name, which outlives it.
 * Threads:   started and freed by one.
 */

#include "base/config.h"
#include "run/forwarder.h"

struct forwarders;

struct forwarders_options {
	const struct config *config;
	struct spool *spool;
	struct life *life;
	struct status *status;
	struct trail *trail;
	bool finite; /* see run/forwarder.h */
};

/* ERR_FATAL alone: what is wrong with one sink's files parks that sink. */
NODISCARD enum err_kind forwarders_start(struct forwarders **ret,
					 const struct forwarders_options *options, struct err *err);

/* Some sink has not all that the spool has appended. NULL: there is none. Any thread. */
bool forwarders_are_behind(const struct forwarders *f);

/* A line of the log for each sink that is on, at the end of all. False: some have not all. */
bool forwarders_tell_end(struct status *status, uint64_t accepted_seq);

/* Waits for the threads, after life.sinks_done or life_cut(). NULL is fine. */
void forwarders_free(struct forwarders *f);

#endif
