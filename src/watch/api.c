#include "watch/api.h"

#include "base/fly_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_BYTES = 1024, PATH_BYTES = 256 };

struct watch_api {
	/* const after watch_api_new() */
	char *url, *org, *own_app, *hmac_key;
	char key_id[WATCH_KEY_ID_BYTES + 1]; /* tells keys apart, and nothing of them */
	struct fly_client *client;
};

void watch_api_free(struct watch_api *a)
{
	if (!a)
		return;
	fly_client_free(a->client);
	if (a->hmac_key)
		explicit_bzero(a->hmac_key, strlen(a->hmac_key));
	free(a->hmac_key);
	free(a->own_app);
	free(a->org);
	free(a->url);
	free(a);
}

static enum err_kind make_key_id(struct watch_api *a, struct err *err)
{
	uint8_t mac[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc = hash_hmac(span_text(a->hmac_key), SPAN("flytrail key id"), mac, err);

	if (rc == ERR_NONE)
		(void)snprintf(a->key_id, sizeof(a->key_id), "%.*s", WATCH_KEY_ID_BYTES,
			       hash_hex(mac, hex));
	return rc;
}

enum err_kind watch_api_new(struct watch_api **ret, const struct watch_api_options *options,
			    struct err *err)
{
	const struct fly_client_options client = {.token = options->token, .cut = options->cut};
	struct watch_api *a = calloc(1, sizeof(*a));
	enum err_kind rc;

	if (!a)
		return err_set(err, ERR_FATAL, "out of memory for watching");
	a->url = span_copy(span_text(options->machines_url));
	a->org = span_copy(span_text(options->org));
	a->own_app = span_copy(span_text(options->own_app));
	a->hmac_key = span_copy(span_text(options->hmac_key));
	if (a->url && a->org && a->own_app && a->hmac_key)
		rc = fly_client_new(&a->client, &client, err);
	else
		rc = err_set(err, ERR_FATAL, "out of memory for watching");
	if (rc == ERR_NONE)
		rc = make_key_id(a, err);
	if (rc)
		watch_api_free(a);
	else
		*ret = a;
	return rc;
}

const char *watch_api_org(const struct watch_api *a)
{
	return a->org;
}

const char *watch_api_own_app(const struct watch_api *a)
{
	return a->own_app;
}

int64_t watch_api_wait_ns(const struct watch_api *a)
{
	return fly_client_wait_ns(a->client);
}

/* The path with the name in the place of its %s. */
static void make_path(const char *path, const char *name, char ret[PATH_BYTES])
{
	const char *place = strstr(path, "%s");
	int len;

	REQUIRE(place);
	len = snprintf(ret, PATH_BYTES, "%.*s%s%s", (int)(place - path), path, name, place + 2);
	REQUIRE(len > 0 && len < PATH_BYTES);
}

static enum err_kind read_object(struct span body, struct json **ret, struct err *err)
{
	enum err_kind rc = json_parse(ret, body, err);

	if (rc == ERR_NONE && json_type(*ret) != JSON_OBJECT) {
		json_free(*ret);
		rc = ERR_REJECT;
	}
	/* Fly's 404 is the only ERR_REJECT: this may be better the next time. */
	return rc == ERR_REJECT ? err_set(err, ERR_RETRY, "the answer is no JSON object") : rc;
}

enum err_kind watch_api_get(struct watch_api *a, const char *path, const char *name,
			    struct json **ret, struct err *err)
{
	char url[URL_BYTES], filled[PATH_BYTES];
	struct span body;
	enum err_kind rc;
	int len;

	if (!fly_client_is_name(span_text(name)))
		return err_set(err, ERR_REJECT, "no name that Fly gives");
	make_path(path, name, filled);
	len = snprintf(url, sizeof(url), "%s/v1/%s", a->url, filled);
	REQUIRE(len > 0 && (size_t)len < sizeof(url));
	rc = fly_client_get(a->client, url, WATCH_ANSWER_BYTES_MAX, &body, err);
	if (rc == ERR_NONE)
		rc = fly_client_done(a->client, read_object(body, ret, err));
	return rc ? err_wrap(err, "%s", filled) : ERR_NONE;
}

enum err_kind watch_api_mac(const struct watch_api *a, struct span secret,
			    char ret[WATCH_MAC_BYTES], struct err *err)
{
	uint8_t mac[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc;

	ret[0] = '\0';
	if (a->hmac_key[0] == '\0' || secret.len == 0)
		return ERR_NONE;
	rc = hash_hmac(span_text(a->hmac_key), secret, mac, err);
	if (rc == ERR_NONE)
		(void)snprintf(ret, WATCH_MAC_BYTES, "%s:%s", a->key_id, hash_hex(mac, hex));
	return rc;
}

bool watch_macs_differ(struct span a, struct span b)
{
	return a.len > WATCH_KEY_ID_BYTES && b.len > WATCH_KEY_ID_BYTES &&
	       memcmp(a.data, b.data, WATCH_KEY_ID_BYTES) == 0 && !span_equal(a, b);
}
