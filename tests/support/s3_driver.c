/*
 * s3_driver: one request by sink/s3_client, for tests/integration/test_s3_client.py.
 *
 *	s3_driver METHOD KEY [NAME:VALUE | NAME=VALUE]...      headers and parts of the query
 *
 * The address and the keys are those of the environment, as `flytrail run` makes them of
 * it; S3_DRIVER_CA names a file of certificates. The body comes by stdin. Prints "STATUS
 * CODE", the answer's body follows; or on stderr what went wrong, and exits with 1.
 */

#include "run/sinks.h"
#include "sink/s3_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY_BYTES_MAX = 32 * 1024 * 1024, READ_BYTES = 64 * 1024 };

struct arguments {
	struct sigv4_pair headers[SIGV4_PAIRS_MAX], query[SIGV4_PAIRS_MAX];
	struct s3_request request;
};

static struct config config;
static struct sinks_s3 s3;

/* Exits where that is not enough to ask S3. */
static const struct s3_options *read_options(void)
{
	struct config_report report;

	config_read(&config, &report, environ);
	sinks_check(&config, &report);
	if (report.bad_count > 0 || !sinks_has_s3(&config)) {
		(void)fprintf(stderr, "s3_driver: the environment does not name a bucket\n");
		exit(2);
	}
	sinks_s3(&config, &s3);
	s3.options.client.ca_file = getenv("S3_DRIVER_CA");
	return &s3.options.client;
}

/* Cuts the argument in two. */
static void add_pair(struct arguments *a, char *argument)
{
	char *at = argument + strcspn(argument, ":=");
	struct s3_request *r = &a->request;
	struct sigv4_pair *pair =
		*at == ':' ? &a->headers[r->header_count++] : &a->query[r->query_count++];

	if (*at == '\0') {
		(void)fprintf(stderr, "s3_driver: neither NAME:VALUE nor NAME=VALUE\n");
		exit(2);
	}
	*at = '\0';
	*pair = (struct sigv4_pair){argument, span_text(at + 1)};
}

static void read_body(struct buf *body)
{
	char bytes[READ_BYTES];
	size_t got;

	while ((got = fread(bytes, 1, sizeof(bytes), stdin)) > 0)
		buf_add(body, bytes, got);
}

int main(int argc, char **argv)
{
	struct arguments a = {.request = {.body_max = BODY_BYTES_MAX}};
	struct s3_client *client = NULL;
	struct s3_answer answer;
	struct buf body;
	struct err err;
	enum err_kind rc;

	if (argc < 3)
		return 2;
	buf_init(&body, BODY_BYTES_MAX);
	read_body(&body);
	a.request.method = argv[1];
	a.request.key = span_text(argv[2]);
	a.request.headers = a.headers;
	a.request.query = a.query;
	if (strcmp(argv[1], "PUT") == 0)
		a.request.body = body.len > 0 ? span_of(body.data, body.len) : SPAN("");
	for (int i = 3; i < argc; i++)
		add_pair(&a, argv[i]);
	rc = s3_client_new(&client, read_options(), &err);
	if (!rc)
		rc = s3_client_send(client, &a.request, &answer, &err);
	if (!rc) {
		(void)printf("%u %s\n", answer.status, answer.code);
		(void)fwrite(answer.body.data, 1, answer.body.len, stdout);
	} else {
		(void)fprintf(stderr, "%s\n", err.text);
	}
	s3_client_free(client);
	buf_release(&body);
	return rc != ERR_NONE;
}
