#ifndef STORE_LEASE_H
#define STORE_LEASE_H

/*
 * lease: work that only one replica should do, for a time, by a row in
 * flytrail.leases.
 *
 *	lease_take()        every third of LEASE seconds: takes it, renews it, or says who has it
 *	lease_give_back()   at the end, so that nobody has to wait for it to expire
 *
 * What it promises: of all who ask Postgres, one holds the lease at a time. Only
 * Postgres's clock is asked, and the answer is one statement's.
 *
 * What it does not: that the holder knows. One that was paused, or whose answer
 * came late, may still believe that it holds what has passed to another; so may
 * both after a failover to a standby that had not heard of it. So all work under
 * a lease has to come to the same when it is done twice (rows with ids of their
 * content, UPDATEs that compare). A lease saves work; it guards nothing.
 *
 * A holder counts its time from before it asked: until then plus seconds it may go
 * on, and then it must have renewed the lease or stop.
 *
 * Ownership: texts are the caller's.
 * Threads:   as the session.
 * Limits:    a name and a holder of up to LEASE_TEXT_BYTES - 1; 1 to LEASE_SECONDS_MAX.
 * Errors:    the session's: ERR_RETRY where Postgres is away, and then nothing is
 *            known; the caller does not hold it any longer than it knew before.
 */

#include "spool/spool.h"
#include "store/session.h"

enum { LEASE_TEXT_BYTES = 320, LEASE_SECONDS_MAX = 3600 };

/*
 * "REPLICA STREAM": of this process and no other while it runs, since one process has a spool open,
 * and a copy of it on another machine has another replica's name. The same after a restart, so that
 * a lease is found again. A replica's name that is too long is cut. Returns text.
 */
const char *lease_holder(const char *replica, const struct spool_stream *stream,
			 char text[LEASE_TEXT_BYTES]);

struct lease {
	bool mine;
	/* Who has it, for people; empty where that one came at the same moment. */
	char holder[LEASE_TEXT_BYTES];
};

/* Takes the lease if it is free or has expired, and renews it if it is holder's. */
NODISCARD enum err_kind lease_take(struct session *s, const char *name, const char *holder,
				   int seconds, struct lease *ret, struct err *err);

/* Lets it expire now, if it is holder's. */
NODISCARD enum err_kind lease_give_back(struct session *s, const char *name, const char *holder,
					struct err *err);

#endif
