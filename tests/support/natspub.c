/*
 * natspub: publishes lines of Fly's shape, as Fly's log stream would.
 *
 *	natspub URL USER PASSWORD [--count N] [--first N] [--tag T] [--rate N]
 *	natspub URL USER PASSWORD --file FILE [--rate N]
 *
 * Generated lines are numbered: message "T line N ...", one nanosecond of its
 * own each, so every line is a row of its own. With --file each line of FILE
 * is one message, whose subject is made from the names in it. Without --rate
 * as fast as it goes. It survives the server's death and goes on when it is
 * back; the last line on stdout says how many were handed to the library.
 */

#include <inttypes.h>
#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SUBJECT_BYTES = 256,
	LINE_BYTES = 1024,
	APPS = 8,
	SLICES_PER_SECOND = 200,
	CONNECT_MS = 30 * 1000, /* a busy machine may let a server stand still for seconds */
};

struct options {
	const char *file;
	const char *tag;
	uint64_t count, first, rate;
};

struct pace {
	uint64_t rate; /* lines a second; 0: no limit */
	uint64_t sent;
	int64_t start_ns;
};

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void die(const char *what, natsStatus s)
{
	(void)fprintf(stderr, "natspub: %s: %s\n", what, natsStatus_GetText(s));
	exit(1);
}

/* Waits until the next line is due, looking at the clock once a slice. */
static void pace_wait(struct pace *p, natsConnection *nc)
{
	int64_t due_ns, ahead_ns;

	p->sent++;
	if (p->rate == 0 || p->sent % (p->rate / SLICES_PER_SECOND + 1) != 0)
		return;
	due_ns = p->start_ns + (int64_t)((double)p->sent * 1e9 / (double)p->rate);
	ahead_ns = due_ns - now_ns(CLOCK_MONOTONIC);
	if (ahead_ns < 1000000)
		return;
	(void)natsConnection_FlushTimeout(nc, 1000);
	(void)nanosleep(&(struct timespec){ahead_ns / 1000000000, ahead_ns % 1000000000}, NULL);
}

/* A full buffer while reconnecting is waited out; nothing else is. */
static void publish(natsConnection *nc, const char *subject, const char *line, size_t len)
{
	for (;;) {
		natsStatus s = natsConnection_Publish(nc, subject, line, (int)len);

		if (s == NATS_OK)
			return;
		if (s != NATS_INSUFFICIENT_BUFFER)
			die("publish", s);
		nats_Sleep(5);
	}
}

static void format_time(int64_t ns, char text[40])
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	size_t len;

	(void)gmtime_r(&seconds, &tm);
	len = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(text + len, 40 - len, ".%09dZ", (int)(ns % 1000000000));
}

static void publish_numbered(natsConnection *nc, const struct options *o)
{
	static const char *const levels[] = {"info", "info", "info", "warn", "error"};
	struct pace pace = {.rate = o->rate, .start_ns = now_ns(CLOCK_MONOTONIC)};
	int64_t last_ns = 0;

	for (uint64_t n = o->first; n < o->first + o->count; n++) {
		char subject[SUBJECT_BYTES], line[LINE_BYTES], time_text[40];
		int64_t ns = now_ns(CLOCK_REALTIME);
		unsigned app = (unsigned)(n % APPS);
		int len;

		last_ns = ns > last_ns ? ns : last_ns + 1;
		format_time(last_ns, time_text);
		(void)snprintf(subject, sizeof(subject), "logs.web-%u.ams.0e286551c3058%u", app,
			       app);
		len = snprintf(line, sizeof(line),
			       "{\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":"
			       "\"0e286551c3058%u\",\"name\":\"web-%u\"},\"region\":\"ams\"},"
			       "\"host\":\"0ad%u\",\"log\":{\"level\":\"%s\"},\"message\":\"%s "
			       "line %" PRIu64 " GET /things/%" PRIu64
			       " answered 200 in %u ms for a visitor from "
			       "somewhere, who asked for nothing in particular\","
			       "\"timestamp\":\"%s\"}",
			       app, app, app, levels[n % 5], o->tag, n, n % 977,
			       (unsigned)(n % 131), time_text);
		publish(nc, subject, line, (size_t)len);
		pace_wait(&pace, nc);
	}
	(void)printf("published %" PRIu64 "\n", pace.sent);
}

/* The text after key in the line, up to the next quote; "x" where there is none. */
static void find_name(const char *line, const char *key, char *ret, size_t ret_bytes)
{
	const char *p = strstr(line, key);
	size_t len = 0;

	if (p) {
		p += strlen(key);
		len = strcspn(p, "\"");
	}
	if (len == 0 || len >= ret_bytes) {
		(void)snprintf(ret, ret_bytes, "x");
		return;
	}
	memcpy(ret, p, len);
	ret[len] = '\0';
	for (char *c = ret; *c; c++) /* a token of a subject has none of these */
		*c = strchr(" .*>\\\t\r", *c) ? '_' : *c;
}

static void publish_file(natsConnection *nc, const struct options *o)
{
	struct pace pace = {.rate = o->rate, .start_ns = now_ns(CLOCK_MONOTONIC)};
	FILE *in = strcmp(o->file, "-") == 0 ? stdin : fopen(o->file, "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	if (!in) {
		perror(o->file);
		exit(1);
	}
	while ((len = getline(&line, &cap, in)) > 0) {
		char subject[SUBJECT_BYTES], app[64], region[16], instance[64];

		if (line[len - 1] == '\n')
			line[--len] = '\0';
		find_name(line, "\"name\":\"", app, sizeof(app));
		find_name(line, "\"region\":\"", region, sizeof(region));
		find_name(line, "\"instance\":\"", instance, sizeof(instance));
		(void)snprintf(subject, sizeof(subject), "logs.%s.%s.%s", app, region, instance);
		publish(nc, subject, line, (size_t)len);
		pace_wait(&pace, nc);
	}
	free(line);
	(void)fclose(in);
	(void)printf("published %" PRIu64 "\n", pace.sent);
}

static natsConnection *connect_to(char **argv)
{
	natsOptions *opts = NULL;
	natsConnection *nc = NULL;
	natsStatus s = natsOptions_Create(&opts);

	if (s == NATS_OK)
		s = natsOptions_SetURL(opts, argv[1]);
	if (s == NATS_OK)
		s = natsOptions_SetUserInfo(opts, argv[2], argv[3]);
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(opts, CONNECT_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxReconnect(opts, -1);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectWait(opts, 50);
	if (s == NATS_OK)
		s = natsConnection_Connect(&nc, opts);
	if (s != NATS_OK)
		die("connect", s);
	natsOptions_Destroy(opts);
	return nc;
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*end != '\0' || end == text) {
		(void)fprintf(stderr, "natspub: %s is no number\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	struct options o = {.tag = "numbered", .count = 1000};
	natsConnection *nc;
	natsStatus s;

	if (argc < 4 || argc % 2 != 0) {
		(void)fprintf(stderr, "usage: natspub URL USER PASSWORD [--count N] [--first N] "
				      "[--tag T] [--rate N] [--file FILE]\n");
		return 2;
	}
	for (int i = 4; i < argc; i += 2) {
		if (strcmp(argv[i], "--count") == 0)
			o.count = number(argv[i + 1]);
		else if (strcmp(argv[i], "--first") == 0)
			o.first = number(argv[i + 1]);
		else if (strcmp(argv[i], "--rate") == 0)
			o.rate = number(argv[i + 1]);
		else if (strcmp(argv[i], "--tag") == 0)
			o.tag = argv[i + 1];
		else if (strcmp(argv[i], "--file") == 0)
			o.file = argv[i + 1];
	}
	nc = connect_to(argv);
	if (o.file)
		publish_file(nc, &o);
	else
		publish_numbered(nc, &o);
	do
		s = natsConnection_FlushTimeout(nc, 10000);
	while (s != NATS_OK && !natsConnection_IsClosed(nc));
	natsConnection_Destroy(nc);
	nats_Close();
	return s == NATS_OK ? 0 : 1;
}
