/*
 * netswitch: an Ethernet switch in user space whose ports are network namespaces, with faults.
 *
 *	netswitch SEED NAME...
 *
 * For each NAME it makes a namespace that has a loopback and a TAP "eth0", and none of them has a
 * name in the file system: who wants to enter one opens what it printed.
 *
 *	port NAME /proc/PID/fd/N		a line for each, then
 *	ready
 *
 * Then it switches, and takes orders from stdin, each answered by the line "done":
 *
 *	cut NAME 0|1		nothing passes; both ends keep what they have
 *	delay NAME MS		to and from it, one way
 *	loss NAME PERCENT	of the frames to it, and of those from it
 *
 * When stdin ends it ends, however the other end of that went away; a namespace ends with the last
 * process in it. So nothing is left behind, and no kernel module for faults is needed.
 *
 * Exit status: 77 where this machine does not let us have namespaces or TAPs, with why on stderr.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

enum {
	PORTS_MAX = 8,
	FRAME_BYTES = 2048, /* of a TAP whose MTU is below 1500 */
	HELD_MAX = 16384,   /* frames on their way; what comes beyond is lost */
	BURST = 64,         /* of one port, before the others have their turn */
	ORDER_BYTES = 128,
	MAC_BYTES = 6,
	ETHER_BYTES = 14, /* two addresses and a type */
	NOT_ALLOWED = 77,
};

struct port {
	const char *name;
	int tap;
	int namespace;
	bool cut;
	unsigned delay_ms, loss_percent;
	bool known; /* mac is the address of its only interface */
	unsigned char mac[MAC_BYTES];
};

struct frame {
	TAILQ_ENTRY(frame) next;
	int64_t due_us;
	struct port *to;
	size_t len;
	unsigned char bytes[];
};

static struct port ports[PORTS_MAX];
static nfds_t port_count;
TAILQ_HEAD(frame_list, frame);
static struct frame_list held = TAILQ_HEAD_INITIALIZER(held); /* by due_us */
static size_t held_count;

static void refuse(const char *what)
{
	(void)fprintf(stderr, "netswitch: %s: %s\n", what, strerror(errno));
	exit(errno == EPERM || errno == EACCES || errno == ENOENT || errno == ENODEV ? NOT_ALLOWED
										     : 1);
}

static int64_t now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* --- the ports --- */

static void open_port(struct port *p, const char *name)
{
	struct ifreq request = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI};

	p->name = name;
	if (unshare(CLONE_NEWNET) != 0)
		refuse("a network namespace");
	p->namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (p->namespace < 0)
		refuse("/proc/self/ns/net");
	p->tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (p->tap < 0)
		refuse("/dev/net/tun");
	if (ioctl(p->tap, TUNSETIFF, &request) != 0)
		refuse("a TAP");
	(void)printf("port %s /proc/%d/fd/%d\n", name, (int)getpid(), p->namespace);
}

static struct port *find_port(const char *name)
{
	for (nfds_t i = 0; i < port_count; i++)
		if (strcmp(ports[i].name, name) == 0)
			return &ports[i];
	return NULL;
}

/* --- frames --- */

static bool is_lost(const struct port *p)
{
	return p->cut || (unsigned)(random() % 100) < p->loss_percent;
}

static void deliver(const struct port *to, const unsigned char *bytes, size_t len)
{
	/* A full queue, or an interface that is down, loses it: that is Ethernet. */
	if (!to->cut && write(to->tap, bytes, len) < 0)
		return;
}

static void hold(struct port *to, const unsigned char *bytes, size_t len, int64_t due_us)
{
	struct frame *f, *before;

	if (held_count >= HELD_MAX)
		return;
	f = malloc(sizeof(*f) + len);
	if (f == NULL)
		return;
	f->to = to;
	f->len = len;
	f->due_us = due_us;
	memcpy(f->bytes, bytes, len);
	held_count++;
	before = TAILQ_LAST(&held, frame_list);
	while (before != NULL && before->due_us > due_us)
		before = TAILQ_PREV(before, frame_list, next);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&held, f, next);
	else
		TAILQ_INSERT_AFTER(&held, before, f, next);
}

static void deliver_due(int64_t time_us)
{
	struct frame *f;

	while ((f = TAILQ_FIRST(&held)) != NULL && f->due_us <= time_us) {
		TAILQ_REMOVE(&held, f, next);
		held_count--;
		deliver(f->to, f->bytes, f->len);
		free(f);
	}
}

static void send_frame(const struct port *from, struct port *to, const unsigned char *bytes,
		       size_t len)
{
	int64_t delay_us = (int64_t)(from->delay_ms + to->delay_ms) * 1000;

	if (is_lost(from) || is_lost(to))
		return;
	/* What is held goes first: a delay that is taken away must not make frames overtake. */
	if (delay_us == 0 && held_count == 0)
		deliver(to, bytes, len);
	else
		hold(to, bytes, len, now_us() + delay_us);
}

/* To the one whose address it has, or, as no frame was seen of that yet, to all the others. */
static void forward(struct port *from, const unsigned char *bytes, size_t len)
{
	struct port *to = NULL;

	memcpy(from->mac, bytes + MAC_BYTES, MAC_BYTES);
	from->known = true;
	for (nfds_t i = 0; i < port_count && to == NULL; i++)
		if (ports[i].known && memcmp(ports[i].mac, bytes, MAC_BYTES) == 0)
			to = &ports[i];
	for (nfds_t i = 0; i < port_count; i++)
		if (&ports[i] != from && (to == NULL || to == &ports[i]))
			send_frame(from, &ports[i], bytes, len);
}

static void take_frames(struct port *p)
{
	unsigned char bytes[FRAME_BYTES];

	for (int i = 0; i < BURST; i++) {
		ssize_t len = read(p->tap, bytes, sizeof(bytes));

		if (len < ETHER_BYTES)
			return;
		forward(p, bytes, (size_t)len);
	}
}

/* --- orders --- */

static bool obey(const char *order)
{
	char verb[16], name[32];
	unsigned value;
	struct port *p;

	if (sscanf(order, "%15s %31s %u", verb, name, &value) != 3)
		return false;
	p = find_port(name);
	if (p == NULL)
		return false;
	if (strcmp(verb, "cut") == 0)
		p->cut = value != 0;
	else if (strcmp(verb, "delay") == 0)
		p->delay_ms = value;
	else if (strcmp(verb, "loss") == 0)
		p->loss_percent = value;
	else
		return false;
	return true;
}

/* One order at a time: who gives it waits for the answer. */
static void take_order(void)
{
	char order[ORDER_BYTES];
	ssize_t len = read(STDIN_FILENO, order, sizeof(order) - 1);

	if (len <= 0)
		exit(0);
	order[len] = '\0';
	(void)puts(obey(order) ? "done" : "what?");
}

static int wait_ms(void)
{
	const struct frame *f = TAILQ_FIRST(&held);
	int64_t left_us = f == NULL ? -1 : f->due_us - now_us();

	if (f == NULL)
		return -1;
	return left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
}

static void switch_for_ever(void)
{
	struct pollfd fds[PORTS_MAX + 1];

	for (nfds_t i = 0; i < port_count; i++)
		fds[i] = (struct pollfd){.fd = ports[i].tap, .events = POLLIN};
	fds[port_count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	for (;;) {
		int ready = poll(fds, port_count + 1, wait_ms());

		deliver_due(now_us());
		if (ready <= 0)
			continue;
		if (fds[port_count].revents != 0)
			take_order();
		for (nfds_t i = 0; i < port_count; i++)
			if (fds[i].revents & POLLIN)
				take_frames(&ports[i]);
	}
}

int main(int argc, char **argv)
{
	if (argc < 3 || argc - 2 > PORTS_MAX) {
		(void)fprintf(stderr, "usage: netswitch SEED NAME...\n");
		return 2;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	srandom((unsigned)strtoul(argv[1], NULL, 10));
	for (int i = 2; i < argc; i++) {
		open_port(&ports[port_count], argv[i]);
		port_count++;
	}
	(void)puts("ready");
	switch_for_ever();
}
