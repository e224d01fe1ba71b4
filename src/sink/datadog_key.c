#include "sink/datadog_key.h"

#include "base/http_client.h"
#include "base/json.h"

enum {
	ADDRESS_BYTES_MAX = 4096, /* and of the header with the key */
	ANSWER_BYTES_MAX = 64 * 1024,
};

static bool says_valid(struct span body)
{
	struct json *root = NULL;
	const struct json *valid = NULL;
	struct err ignored;
	bool says;

	if (!json_parse(&root, body, &ignored))
		valid = json_member(root, "valid");
	says = valid && json_type(valid) == JSON_BOOL && json_bool(valid);
	json_free(root);
	return says;
}

static enum err_kind explain(const struct http_answer *answer, struct err *err)
{
	if (answer->status == 401 || answer->status == 403)
		return err_set(
			err, ERR_CONFIG,
			"Datadog answers %u: check DATADOG_API_KEY, and that DATADOG_SITE is "
			"the site it is of",
			answer->status);
	if (answer->status != 200 || !says_valid(answer->body))
		return err_set(err, ERR_RETRY, "it answers %u, which says neither", answer->status);
	return ERR_NONE;
}

static enum err_kind ask(struct buf *url, struct buf *header, struct err *err)
{
	static const struct http_client_options options = {.proxies = true};
	const char *const headers[] = {(const char *)header->data, NULL};
	const struct http_request request = {
		.url = (const char *)url->data,
		.headers = headers,
		.body_max = ANSWER_BYTES_MAX,
		.seconds = DATADOG_KEY_SECONDS,
	};
	struct http_client *client = NULL;
	struct http_answer answer;
	enum err_kind rc = http_client_new(&client, &options, err);

	if (!rc)
		rc = http_client_send(client, &request, &answer, err);
	if (!rc)
		rc = explain(&answer, err);
	http_client_free(client);
	return rc;
}

static void put_text(struct buf *b, const char *one, const char *other)
{
	buf_init(b, ADDRESS_BYTES_MAX);
	buf_fmt(b, "%s%s", one, other);
	buf_u8(b, '\0');
	REQUIRE(b->failed != ERR_FULL); /* base/config.def bounds both */
}

enum err_kind datadog_key_check(const char *url, const char *key, struct err *err)
{
	struct buf address, header;
	enum err_kind rc;

	put_text(&address, url, "/api/v1/validate");
	put_text(&header, "DD-API-KEY: ", key);
	rc = buf_check(&address, err);
	if (!rc)
		rc = buf_check(&header, err);
	if (!rc)
		rc = ask(&address, &header, err);
	if (header.data)
		explicit_bzero(header.data, header.len);
	buf_release(&header);
	buf_release(&address);
	return rc;
}
