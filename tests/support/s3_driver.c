/*
 * s3_driver: one request by sink/s3_client, for tests/integration/test_s3_client.py.
 *
 *	s3_driver METHOD KEY [NAME:VALUE | NAME=VALUE]...      headers and parts of the query
 *
 * The address and the keys are those of the environment, as `flytrail run` has them, and
 * CA_FILE is whom to trust; the body comes by stdin. Prints "STATUS CODE", the answer's body
 *follows; or on stderr what went wrong, and exits with 1.
 */

#include "sink/s3_client.h"

#include <stdio.h>
#include <stdlib.h>

enum { BODY_BYTES_MAX = 32 * 1024 * 1024, READ_BYTES = 64 * 1024 };

struct arguments {
	struct sigv4_pair headers[SIGV4_PAIRS_MAX], query[SIGV4_PAIRS_MAX];
	struct s3_request request;
};

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
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
	const struct s3_options options = {
		.endpoint = variable("S3_ENDPOINT"),
		.bucket = variable("AWS_BUCKET"),
		.region = variable("AWS_REGION"),
		.access_key = variable("AWS_ACCESS_KEY_ID"),
		.secret_key = variable("AWS_SECRET_ACCESS_KEY"),
		.session_token = variable("AWS_SESSION_TOKEN"),
		.ca_file = getenv("CA_FILE"),
	};
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
	rc = s3_client_new(&client, &options, &err);
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
