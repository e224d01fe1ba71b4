#ifndef RUN_NOTIFIER_H
#define RUN_NOTIFIER_H

/*
 * notifier: the threads that tell people, and programs, of what happened: facts of the classes
 * ssh_session, secret_change, access, deploy and trail from FLYTRAIL_NOTIFY_SEVERITY on, to
 * SLACK_WEBHOOK_URL and FLYTRAIL_WEBHOOK_URL.
 *
 * It reads from Postgres (store/fresh.h), because no spool has all of them
 * (deploy/decisions/012-facts-are-told-from-postgres.md). Each receiver is a taker of its own, so
 * that one that is away holds up nobody: what it was not told waits in Postgres. It has a thread
 * and a connection of its own, for an answer may take its time; and it is told by the replica that
 * holds the lease of its name, so that one that not all replicas know is told. The first start with
 * a receiver begins now.
 *
 * A message has what came within NOTIFIER_GATHER_MS and while no message was allowed
 * (FLYTRAIL_NOTIFY_PER_MINUTE; run/pace.h), as far as NOTIFIER_FACTS_MAX and the receiver's bounds
 * go; sink/notify_text.h groups and counts. Facts are marked as taken when the receiver has
 * answered. So each is told at least once; twice where the answer was lost, by a crash or the
 * network.
 *
 * Where a message is refused (ERR_REJECT), it is halved, down to the fact that is at fault. That
 * one is put on record as trail.untold, with the receiver, the event's id and why, and is told no
 * more: there is no file of such letters, for the event itself is in Postgres. A fact trail.untold
 * is not told to the receiver that it is about, and where the other one refuses it, that is in the
 * log alone: so no refusal leads to the next for ever. NOTIFIER_REFUSALS_MAX one after the other
 * are the receiver's own fault: it is parked, and each time that it is tried after that one more
 * is given up, until it takes one. Retries are no facts.
 *
 * While Postgres cannot be asked each receiver's status says so: as one that is being retried, or
 * parked where an operator must act, as where a right is missing.
 *
 * Ownership: the caller owns what the options name.
 * Threads:   each of the two is one thread's.
 * Limits:    as below; what is in memory is a message for each receiver, and a page of facts.
 */

#include "run/leased.h"

enum {
	NOTIFIER_LOOK_MS = 1000,
	NOTIFIER_GATHER_MS = 2000,
	NOTIFIER_FACTS_MAX = 1024, /* of a message */
	NOTIFIER_REFUSALS_MAX = 4,
	NOTIFIER_REFUSED_MS = 1000, /* until a part of it is sent */
	NOTIFIER_PARKED_MS = 60 * 1000,
	/* More than two requests and what is asked of Postgres; so long nobody tells anything when
	 * its holder was killed. */
	NOTIFIER_LEASE_SECONDS = 45,
	NOTIFIER_RENEW_SECONDS = 10,
};

bool notifier_wants_slack(const struct config *c);
bool notifier_wants_webhook(const struct config *c);

/* Until life is DRAINING. */
void notifier_run_slack(const struct leased_options *options);
void notifier_run_webhook(const struct leased_options *options);

#endif
