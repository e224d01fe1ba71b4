/*
 * count_nats: a bare libnats subscriber that counts, for `make bench`.
 *
 * usage: count_nats URL USER PASSWORD COUNT
 *
 * Prints "ready" once subscribed, then "COUNT SECONDS" (from the first message
 * to the last) when COUNT messages have come, or nothing has come for a while.
 */

#include <nats/nats.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	FIRST_MS = 60000, /* until the publisher has begun */
	IDLE_MS = 3000,   /* then it is over */
};

static double now_seconds(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t))
		abort();
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(natsStatus s, const char *what)
{
	if (s == NATS_OK)
		return;
	(void)fprintf(stderr, "count_nats: %s: %s\n", what, natsStatus_GetText(s));
	exit(1);
}

int main(int argc, char **argv)
{
	natsOptions *options = NULL;
	natsConnection *connection = NULL;
	natsSubscription *subscription = NULL;
	uint64_t wanted, count = 0;
	double first = 0, last = 0;

	if (argc != 5) {
		(void)fputs("usage: count_nats URL USER PASSWORD COUNT\n", stderr);
		return 2;
	}
	wanted = strtoull(argv[4], NULL, 10);
	must(natsOptions_Create(&options), "options");
	must(natsOptions_SetURL(options, argv[1]), "URL");
	must(natsOptions_SetUserInfo(options, argv[2], argv[3]), "user");
	must(natsConnection_Connect(&connection, options), "connect");
	must(natsConnection_SubscribeSync(&subscription, connection, "logs.>"), "subscribe");
	must(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
	must(natsConnection_Flush(connection), "flush");
	(void)puts("ready");
	(void)fflush(stdout);
	while (count < wanted) {
		natsMsg *msg = NULL;
		int64_t wait_ms = count > 0 ? IDLE_MS : FIRST_MS;
		natsStatus s = natsSubscription_NextMsg(&msg, subscription, wait_ms);

		if (s != NATS_OK)
			break;
		natsMsg_Destroy(msg);
		if (count++ == 0)
			first = now_seconds();
		last = now_seconds();
	}
	(void)printf("%llu %.6f\n", (unsigned long long)count, last - first);
	natsSubscription_Destroy(subscription);
	natsConnection_Destroy(connection);
	natsOptions_Destroy(options);
	nats_Close();
	return 0;
}
