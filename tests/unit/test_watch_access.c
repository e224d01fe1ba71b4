/* What is kept of Fly's answers about who has access, what is no answer, and what a change is. */

#include "watch/resource.h"
#include "watch/tokens.h"

#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ANSWER_BYTES = 16384, ANSWERS_MAX = 4 };

#define TEN INT64_C(1795168800) /* 2026-11-20T10:00:00Z */
#define WEEK INT64_C(604800)

static struct tiny_http server;
static struct err err;
static struct listing list, before;
static struct watch_fact fact;
static int64_t now_ns = TEN * NS_PER_S, before_ns = LISTING_NO_TIME;

/* By the bodies, one a request, each of status 200. */
static enum err_kind ask_for(const struct watch_resource *r, const char *const *bodies)
{
	static char texts[ANSWERS_MAX][ANSWER_BYTES];
	struct watch_api_options options = {
		.org = "example-org", .own_app = "", .token = "fm2_x", .hmac_key = ""};
	const char *answers[ANSWERS_MAX + 1] = {NULL};
	struct watch_ask ask = {
		.app = "", .item = "", .before = &before, .before_ns = before_ns, .now_ns = now_ns};
	struct watch_api *api = NULL;
	enum err_kind rc;

	for (size_t i = 0; bodies[i]; i++)
		answers[i] = tiny_http_answer(texts[i], sizeof(texts[i]), 200, "", bodies[i]);
	tiny_http_start(&server, answers);
	options.machines_url = options.api_url = server.url;
	assert_int_equal(watch_api_new(&api, &options, &err), ERR_NONE);
	listing_release(&list);
	listing_init(&list, &r->shape);
	ask.api = api;
	rc = r->fetch(&ask, &list, &err);
	watch_api_free(api);
	tiny_http_stop(&server);
	return rc;
}

/* What was asked of the organisation, with one page of nodes or edges. */
static enum err_kind ask_nodes(const struct watch_resource *r, const char *member, const char *kind,
			       const char *nodes)
{
	static char body[ANSWER_BYTES];

	(void)snprintf(body, sizeof(body),
		       "{\"data\":{\"organization\":{\"%s\":{\"%s\":%s,"
		       "\"pageInfo\":{\"hasNextPage\":false,\"endCursor\":null}}}}}",
		       member, kind, nodes);
	return ask_for(r, (const char *[]){body, NULL});
}

static void assert_field(size_t item, size_t field, const char *text)
{
	assert_true(span_is(list.items[item].values[field], text));
}

/* The nth fact of the first item of `list` that came, was there or went. */
static bool tell(const struct watch_resource *r, enum change_kind kind, const struct item *was,
		 unsigned nth)
{
	const struct item *item = &list.items[0];
	const struct change change = {.kind = kind,
				      .item = item,
				      .before = kind == CHANGE_REMOVED ? item : was,
				      .after = kind == CHANGE_REMOVED ? NULL : item,
				      .from_ns = now_ns - NS_PER_S,
				      .to_ns = now_ns};
	const struct watch_ask ask = {.app = "", .item = "", .before = &before, .now_ns = now_ns};

	fact = (struct watch_fact){.fly_ns = LISTING_NO_TIME};
	return r->describe(&change, &ask, nth, &fact);
}

/* What there is now becomes what there was. */
static const struct item *keep_as_before(const struct watch_resource *r)
{
	struct item *kept;

	listing_release(&before);
	listing_init(&before, &r->shape);
	for (size_t i = 0; i < list.count; i++)
		assert_int_equal(listing_copy(&before, &list.items[i], &kept, &err), ERR_NONE);
	return &before.items[0];
}

/* --- members and invitations --- */

static const char member[] = "[{\"role\":\"%s\",\"joinedAt\":\"2026-11-20T09:59:59Z\",\"node\":{"
			     "\"id\":\"u1\",\"email\":\"Alice@example.com\","
			     "\"twoFactorProtection\":%s}}]";

static const struct item *ask_member(const char *role, const char *two_factor)
{
	char nodes[1024];

	(void)snprintf(nodes, sizeof(nodes), member, role, two_factor);
	assert_int_equal(ask_nodes(&watch_members, "members", "edges", nodes), ERR_NONE);
	return &list.items[0];
}

static void a_member_has_an_address_a_role_and_a_second_factor(void **state)
{
	(void)state;
	(void)ask_member("OWNER_OF_TOMORROW", "true");
	assert_true(span_is(list.items[0].key, "u1"));
	assert_field(0, 0, "Alice@example.com");
	assert_field(0, 1, "OWNER_OF_TOMORROW");
	assert_field(0, 2, "true");
	assert_field(0, 3, "2026-11-20T09:59:59.000000000Z");
	assert_non_null(strstr(server.requests[0], "POST /graphql HTTP/1.1"));
	assert_true(tell(&watch_members, CHANGE_ADDED, NULL, 0));
	assert_int_equal(fact.action, ACTION_access_member_added);
	assert_int_equal(fact.fly_ns, (TEN - 1) * NS_PER_S);
	assert_false(tell(&watch_members, CHANGE_ADDED, NULL, 1));
}

static void each_part_of_a_member_that_differs_is_a_fact(void **state)
{
	const struct item *was;

	(void)state;
	(void)ask_member("MEMBER", "true");
	was = keep_as_before(&watch_members);
	(void)ask_member("ADMIN", "false");
	assert_true(tell(&watch_members, CHANGE_CHANGED, was, 0));
	assert_int_equal(fact.action, ACTION_access_member_changed);
	assert_int_equal(fact.severity, SEVERITY_HIGH);
	assert_true(tell(&watch_members, CHANGE_CHANGED, was, 1));
	assert_int_equal(fact.action, ACTION_access_two_factor_off);
	assert_false(tell(&watch_members, CHANGE_CHANGED, was, 2));
	assert_string_equal(fact.actor, "");
	assert_non_null(fact.actor_reason);
}

static void what_fly_does_not_say_of_a_member_is_no_change(void **state)
{
	const struct item *was;

	(void)state;
	(void)ask_member("MEMBER", "true");
	was = keep_as_before(&watch_members);
	(void)ask_member("MEMBER", "null");
	assert_false(tell(&watch_members, CHANGE_CHANGED, was, 0));
	was = keep_as_before(&watch_members);
	(void)ask_member("MEMBER", "false");
	assert_false(tell(&watch_members, CHANGE_CHANGED, was, 0));
}

static void an_invitation_is_made_and_redeemed_by_two_people(void **state)
{
	(void)state;
	assert_int_equal(ask_nodes(&watch_invitations, "invitations", "nodes",
				   "[{\"id\":\"i1\",\"email\":\"carol@example.com\","
				   "\"createdAt\":\"2026-11-20T09:00:00Z\",\"redeemed\":true,"
				   "\"redeemedAt\":\"2026-11-20T09:30:00Z\","
				   "\"inviter\":{\"email\":\"alice@example.com\"}}]"),
			 ERR_NONE);
	assert_true(tell(&watch_invitations, CHANGE_ADDED, NULL, 0));
	assert_string_equal(watch_invitations.shape.fields[fact.field_count], "redeemed");
	assert_int_equal(fact.action, ACTION_access_invitation_made);
	assert_string_equal(fact.actor, "alice@example.com");
	assert_true(tell(&watch_invitations, CHANGE_ADDED, NULL, 1));
	assert_int_equal(fact.action, ACTION_access_invitation_redeemed);
	assert_string_equal(fact.actor, "carol@example.com");
	assert_false(tell(&watch_invitations, CHANGE_ADDED, NULL, 2));
	/* That one is gone that was taken says nothing. */
	assert_false(tell(&watch_invitations, CHANGE_REMOVED, NULL, 0));
}

/* --- tokens --- */

static const struct item *ask_token(const char *name, const char *expires, const char *revoked)
{
	char nodes[1024];

	(void)snprintf(nodes, sizeof(nodes),
		       "[{\"id\":\"t1\",\"name\":\"%s\",\"profile\":\"deploy\",\"user\":"
		       "{\"email\":\"bob@example.com\"},\"createdAt\":\"2026-09-01T00:00:00Z\","
		       "\"expiresAt\":%s,%s}]",
		       name, expires, revoked);
	assert_int_equal(ask_nodes(&watch_tokens, "limitedAccessTokens", "nodes", nodes), ERR_NONE);
	return &list.items[0];
}

#define NOT_REVOKED "\"revokedAt\":null,\"revokedBy\":null"
#define REVOKED                                                                       \
	"\"revokedAt\":\"2026-11-20T09:00:00Z\",\"revokedBy\":\"alice@example.com\"," \
	"\"token\":\"fm2_example\",\"tokenHeader\":\"FlyV1 fm2_example\""

static void a_token_that_is_taken_away_names_who_did_it(void **state)
{
	const struct item *was;

	(void)state;
	(void)ask_token("ci", "\"2027-09-01T00:00:00Z\"", NOT_REVOKED);
	was = keep_as_before(&watch_tokens);
	(void)ask_token("ci", "\"2027-09-01T00:00:00Z\"", REVOKED);
	assert_true(tell(&watch_tokens, CHANGE_CHANGED, was, 0));
	assert_int_equal(fact.action, ACTION_access_token_revoked);
	assert_string_equal(fact.actor, "alice@example.com");
	assert_int_equal(fact.fly_ns, (TEN - 3600) * NS_PER_S);
	assert_false(tell(&watch_tokens, CHANGE_CHANGED, was, 1));
	/* Once it is gone from the list as well, that is the same fact. */
	assert_false(tell(&watch_tokens, CHANGE_REMOVED, NULL, 0));
	for (size_t i = 0; i < watch_tokens.shape.field_count; i++) {
		struct span value = list.items[0].values[i];

		assert_true(value.len == 0 ||
			    !memmem(value.data, value.len, "fm2_", strlen("fm2_")));
	}
}

static void a_token_that_is_gone_without_a_word_was_revoked_unless_it_had_expired(void **state)
{
	(void)state;
	(void)ask_token("ci", "\"2027-09-01T00:00:00Z\"", NOT_REVOKED);
	assert_true(tell(&watch_tokens, CHANGE_REMOVED, NULL, 0));
	assert_int_equal(fact.action, ACTION_access_token_revoked);
	assert_string_equal(fact.actor, "");
	(void)ask_token("ci", "\"2026-11-20T09:00:00Z\"", NOT_REVOKED);
	assert_false(tell(&watch_tokens, CHANGE_REMOVED, NULL, 0));
}

static void a_token_expires_when_its_time_has_come(void **state)
{
	static const struct {
		const char *expires, *field;
	} cases[] = {{"null", ""},
		     {"\"soon\"", ""},
		     {"\"2026-12-20T10:00:01Z\"", ""},
		     {"\"2026-12-20T10:00:00Z\"", "soon"},
		     {"\"2026-11-20T10:00:01Z\"", "soon"},
		     {"\"2026-11-20T10:00:00Z\"", "expired"}};
	const struct item *was;

	(void)state;
	/* One that is about to expire at the first look is said to be so at the second. */
	(void)ask_token("flytrail", cases[3].expires, NOT_REVOKED);
	assert_field(0, 5, "");
	(void)keep_as_before(&watch_tokens);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)ask_token("flytrail", cases[i].expires, NOT_REVOKED);
		assert_field(0, 5, cases[i].field);
	}
	was = &before.items[0];
	(void)ask_token("flytrail", "\"2026-12-20T10:00:00Z\"", NOT_REVOKED);
	assert_true(tell(&watch_tokens, CHANGE_CHANGED, was, 0));
	assert_int_equal(fact.action, ACTION_access_token_expiring);
	assert_int_equal(fact.severity, SEVERITY_FATAL);
	assert_int_equal(fact.fly_ns, TEN * NS_PER_S);
}

static void flytrails_own_tokens_have_a_next_end(void **state)
{
	static const struct {
		const char *snapshot;
		int64_t ends_s; /* 0: there is none */
	} cases[] = {
		{"{}", 0},
		{"{\"t1\":{\"name\":\"ci\",\"expires_at\":\"2026-11-21T10:00:00Z\"}}", 0},
		{"{\"t1\":{\"name\":\"flytrail\"}}", 0},
		{"{\"t1\":{\"name\":\"flytrail\",\"expires_at\":\"2026-11-20T10:00:00Z\"}}", 0},
		{"{\"t1\":{\"name\":\"flytrail\",\"expires_at\":\"2026-11-27T10:00:00Z\","
		 "\"revoked_at\":\"2026-11-20T09:00:00Z\"}}",
		 0},
		{"{\"t1\":{\"name\":\"flytrail\",\"expires_at\":\"2026-11-27T10:00:00Z\","
		 "\"seen_at\":\"2026-11-20T09:00:00Z\","
		 "\"missing_at\":\"2026-11-20T09:30:00Z\"}}",
		 0},
		{"{\"t1\":{\"name\":\"flytrail-2\",\"expires_at\":\"2026-12-27T10:00:00Z\"},"
		 "\"t2\":{\"name\":\"flytrail\",\"expires_at\":\"2026-11-27T10:00:00Z\"},"
		 "\"t3\":{\"name\":\"flytrail\",\"expires_at\":\"2027-11-27T10:00:00Z\"}}",
		 TEN + WEEK},
	};
	int64_t ends_ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(tokens_own_end(span_text(cases[i].snapshot), TEN * NS_PER_S,
						&ends_ns, &err),
				 ERR_NONE);
		assert_int_equal(ends_ns, cases[i].ends_s != 0 ? cases[i].ends_s * NS_PER_S
							       : LISTING_NO_TIME);
	}
	assert_int_equal(tokens_own_end(SPAN("[]"), TEN * NS_PER_S, &ends_ns, &err), ERR_REJECT);
}

static void a_token_without_expiry_is_told_apart(void **state)
{
	static const struct {
		const char *expires;
		enum severity severity;
	} cases[] = {{"null", SEVERITY_HIGH},
		     {"\"2046-09-01T00:00:00Z\"", SEVERITY_HIGH},
		     {"\"2027-09-01T00:00:00Z\"", SEVERITY_UNKNOWN}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)ask_token("ci", cases[i].expires, NOT_REVOKED);
		assert_true(tell(&watch_tokens, CHANGE_ADDED, NULL, 0));
		assert_string_equal(watch_tokens.shape.fields[fact.field_count], "expiry");
		assert_int_equal(fact.severity, cases[i].severity);
		assert_string_equal(fact.actor, "bob@example.com");
		assert_false(tell(&watch_tokens, CHANGE_ADDED, NULL, 1));
	}
}

/* --- peers --- */

/* 2026-11-20T10:00:00Z, as a ULID begins. */
#define ULID "01K9RZ5VG00000000000000000"

static void a_page_that_may_not_be_the_last_is_not_the_whole_list(void **state)
{
	static const char *const infos[] = {"{}",
					    "null",
					    "7",
					    "{\"hasNextPage\":null}",
					    "{\"hasNextPage\":true}",
					    "{\"hasNextPage\":true,\"endCursor\":\"\"}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(infos); i++) {
		char body[512];

		(void)snprintf(body, sizeof(body),
			       "{\"data\":{\"organization\":{\"members\":{\"edges\":[],"
			       "\"pageInfo\":%s}}}}",
			       infos[i]);
		assert_int_equal(ask_for(&watch_members, (const char *[]){body, NULL}), ERR_RETRY);
	}
}

static char ulid[] = ULID;

static void make_ulid(int64_t ms)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

	for (size_t i = 10; i-- > 0; ms /= 32)
		ulid[i] = digits[ms % 32];
}

static void ask_peer(const char *name, const char *members)
{
	char peers[1024], body[1024];

	(void)snprintf(peers, sizeof(peers),
		       "{\"data\":{\"organization\":{\"wireGuardPeers\":{\"nodes\":[{\"id\":\"p1\","
		       "\"name\":\"%s\",\"region\":\"ams\",\"network\":null,\"peerip\":7}],"
		       "\"pageInfo\":{\"hasNextPage\":false}}}}}",
		       name);
	(void)snprintf(body, sizeof(body),
		       "{\"data\":{\"organization\":{\"members\":{\"edges\":%s,\"pageInfo\":{"
		       "\"hasNextPage\":false}}}}}",
		       members);
	assert_int_equal(ask_for(&watch_peers, (const char *[]){peers, body, NULL}), ERR_NONE);
	assert_true(tell(&watch_peers, CHANGE_ADDED, NULL, 0));
}

#define BOB "{\"node\":{\"id\":\"u2\",\"email\":\"Bob.B@example.com\"}}"
#define B "{\"node\":{\"id\":\"u3\",\"email\":\"b@example.com\"}}"

static void a_peers_owner_is_read_from_its_name(void **state)
{
	static const struct {
		const char *name, *members, *actor;
	} cases[] = {
		{"interactive-lap-top-bob-b-example-com-%s", "[" BOB "]", "bob.b@example.com"},
		{"interactive-x-BOB-B-EXAMPLE-COM-%s", "[" BOB "]", "bob.b@example.com"},
		/* "lap-bob" and "b", or "lap" and "bob.b": nobody guesses. */
		{"interactive-lap-bob-b-example-com-%s", "[" BOB "," B "]", ""},
		{"interactive-lap-xbob-b-example-com-%s", "[" BOB "]", ""},
		{"interactive-bob-b-example-com-%s", "[" BOB "]", ""},
		{"interactive-lap-eve-example-com-%s", "[" BOB "]", ""},
		{"office-bob-b-example-com-%s", "[" BOB "]", ""},
		{"interactive-lap-bob-b-example-com-%s", "null", ""},
		{"interactive-%s", "[" BOB "]", ""},
		{"interactive-x-bob-b-example-com-U%.25s", "[" BOB "]", ""},
		{"", "[" BOB "]", ""},
		/* Nobody's address. */
		{"interactive-lap-bob-%s", "[{\"node\":{\"id\":\"u2\",\"email\":\"bob\"}}]", ""},
	};
	char name[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(name, sizeof(name), cases[i].name, ulid);
#pragma GCC diagnostic pop
		ask_peer(name, cases[i].members);
		assert_string_equal(fact.actor, cases[i].actor);
		assert_true(fact.actor_reason && fact.actor_reason[0] != '\0');
		/* Whoever makes a peer may choose its name. */
		assert_int_equal(strncmp(fact.actor_reason, "inferred: ", 10) == 0,
				 fact.actor[0] != '\0');
	}
}

static void a_peers_time_is_believed_where_it_fits(void **state)
{
	static const struct {
		int64_t seconds;
		bool is_good;
	} cases[] = {{TEN, true},       {TEN - 60, true},  {TEN + 60, true},
		     {TEN - 62, false}, {TEN + 61, false}, {0, false}};
	char name[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		make_ulid(cases[i].seconds * 1000);
		(void)snprintf(name, sizeof(name), "interactive-x-b-example-com-%s", ulid);
		ask_peer(name, "[" B "]");
		assert_int_equal(fact.fly_ns,
				 cases[i].is_good ? cases[i].seconds * NS_PER_S : LISTING_NO_TIME);
	}
	(void)snprintf(name, sizeof(name),
		       "interactive-x-b-example-com-ZZZZZZZZZZZZZZZZZZZZZZZZZZ");
	ask_peer(name, "[" B "]");
	assert_int_equal(fact.fly_ns, LISTING_NO_TIME);
}

static void who_owns_a_peer_is_found_out_once(void **state)
{
	static const char peers[] =
		"{\"data\":{\"organization\":{\"wireGuardPeers\":{\"nodes\":[{\"id\":\"p1\","
		"\"name\":"
		"\"interactive-x-b-example-com-" ULID
		"\"}],\"pageInfo\":{\"hasNextPage\":false}}}}}";

	(void)state;
	ask_peer("interactive-x-b-example-com-" ULID, "[" B "]");
	(void)keep_as_before(&watch_peers);
	assert_int_equal(ask_for(&watch_peers, (const char *[]){peers, NULL}), ERR_NONE);
	assert_field(0, 4, "b@example.com");
}

/* So that it is one fact, whoever is a member when it is told again after a crash. */
static void who_owns_a_peer_is_no_part_of_what_it_is_known_by(void **state)
{
	static const char *const members[] = {"[" B "]", "[]", "null"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		ask_peer("interactive-x-b-example-com-" ULID, members[i]);
		assert_true(fact.field_count > 0);
		for (size_t f = 0; f < fact.field_count; f++)
			assert_null(strstr(watch_peers.shape.fields[f], "owner"));
	}
}

/* --- certificates --- */

/* For alice@example.com, serial 4711, from 10:00 to 11:00 on 2026-11-20. */
/* clang-format off */
#define CERT    \
	"ssh-ed25519-cert-v01@openssh.com " \
	"AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIOFinKRYq3PrLStewiPODUvo" \
	"nG+XNrhLEHTVQsyJkHnYAAAAIHAk+EFUIrNP1bd1EuQC0oLmN4LQLeKGFmIkjfVw0WftAAAAAAAA" \
	"EmcAAAABAAAAEWFsaWNlQGV4YW1wbGUuY29tAAAAEAAAAAVhbGljZQAAAANmbHkAAAAAawAaIAAA" \
	"AABrACgwAAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQtYWdl" \
	"bnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0" \
	"LXB0eQAAAAAAAAAOcGVybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAg" \
	"c9ryCZxIzh/hfFSJiuH3PYzxDvW81hQd9sClZQUgIckAAABTAAAAC3NzaC1lZDI1NTE5AAAAQCkm" \
	"zBs1ebuenqyH3EexUINSt/V5IdHjtgiNuLE24lV5KeAmvaR2Mm4fDJzHRUDSHTnrZFgqSt2ylGQg" \
	"Tq4HzQ0="
/* clang-format on */

static void ask_certificate(const char *cert)
{
	char nodes[2048];

	(void)snprintf(nodes, sizeof(nodes), "[{\"id\":\"c1\",\"root\":false,\"cert\":%s}]", cert);
	assert_int_equal(ask_nodes(&watch_ssh_certificates, "loggedCertificates", "nodes", nodes),
			 ERR_NONE);
}

static void a_certificate_says_for_whom_and_until_when(void **state)
{
	static const char *const texts[] = {"4711",
					    "user",
					    "alice@example.com",
					    "alice, fly",
					    "",
					    "2026-11-20T10:00:00.000000000Z",
					    "2026-11-20T11:00:00.000000000Z",
					    "session",
					    "false"};

	(void)state;
	ask_certificate("\"" CERT "\"");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_field(0, i, texts[i]);
	assert_true(tell(&watch_ssh_certificates, CHANGE_ADDED, NULL, 0));
	assert_string_equal(fact.actor, "alice@example.com");
	assert_int_equal(fact.fly_ns, TEN * NS_PER_S);
	assert_int_equal(fact.severity, SEVERITY_UNKNOWN);
	assert_false(tell(&watch_ssh_certificates, CHANGE_ADDED, NULL, 1));
	assert_false(tell(&watch_ssh_certificates, CHANGE_REMOVED, NULL, 0));
}

static void a_certificate_that_cannot_be_read_was_issued_all_the_same(void **state)
{
	static const char *const certs[] = {"\"\"", "null", "7", "\"ssh-ed25519 AAAA\"", "{}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(certs); i++) {
		ask_certificate(certs[i]);
		assert_int_equal(list.count, 1);
		assert_true(tell(&watch_ssh_certificates, CHANGE_ADDED, NULL, 0));
		assert_int_equal(fact.severity, SEVERITY_HIGH);
		assert_string_equal(fact.actor, "");
	}
}

static void a_certificate_that_expired_long_ago_is_not_kept(void **state)
{
	(void)state;
	now_ns = (TEN + 3600 + WEEK) * NS_PER_S;
	ask_certificate("\"" CERT "\"");
	assert_int_equal(list.count, 1);
	now_ns += NS_PER_S;
	ask_certificate("\"" CERT "\"");
	assert_int_equal(list.count, 0);
	/* Nobody looked meanwhile: it was not told yet. A clock that was set back tells nothing. */
	before_ns = TEN * NS_PER_S;
	ask_certificate("\"" CERT "\"");
	assert_int_equal(list.count, 1);
	before_ns = now_ns + WEEK * NS_PER_S;
	ask_certificate("\"" CERT "\"");
	assert_int_equal(list.count, 0);
	now_ns = TEN * NS_PER_S;
	ask_certificate("\"" CERT "\"");
	assert_int_equal(list.count, 1);
	before_ns = LISTING_NO_TIME;
}

/* --- all of them --- */

static const struct {
	const struct watch_resource *resource;
	const char *member;
} all[] = {{&watch_members, "members"},
	   {&watch_invitations, "invitations"},
	   {&watch_tokens, "limitedAccessTokens"},
	   {&watch_delegated_tokens, "delegatedWireGuardTokens"},
	   {&watch_peers, "wireGuardPeers"},
	   {&watch_ssh_certificates, "loggedCertificates"},
	   {&watch_third_parties, "thirdPartyConfigurations"}};

#define ANSWER(organization) "{\"data\":{\"organization\":" organization "}}"

static void what_is_no_answer_is_no_empty_list(void **state)
{
	static const char *const bodies[] = {
		"{}",
		"[]",
		"{\"data\":null}",
		ANSWER("null"),
		ANSWER("{\"%s\":null}"),
		ANSWER("{\"%s\":{}}"),
		ANSWER("{\"%s\":{\"nodes\":[{\"id\":null}]}}"),
		ANSWER("{\"%s\":{\"nodes\":[7,null]}}"),
		ANSWER("{\"%s\":{\"nodes\":[]"),
		"{\"errors\":[{}],\"data\":{\"organization\":{\"%s\":{\"nodes\":[]}}}}",
	};
	char body[1024];

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(all); r++)
		for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			(void)snprintf(body, sizeof(body), bodies[i], all[r].member);
#pragma GCC diagnostic pop
			assert_int_equal(ask_for(all[r].resource, (const char *[]){body, NULL}),
					 ERR_RETRY);
		}
}

static void what_has_no_name_hides_no_other(void **state)
{
	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(all); r++) {
		assert_int_equal(ask_nodes(all[r].resource, all[r].member, "nodes",
					   "[null,{\"id\":null},{\"id\":\"a\",\"node\":"
					   "{\"id\":\"a\"}}]"),
				 ERR_NONE);
		assert_true(list.part);
		assert_int_equal(list.count, 1);
	}
}

/* A text is kept as far as it can be shown, and not in the middle of a character. */
static void long_names_are_cut(void **state)
{
	static char nodes[4096];
	size_t len = 0;

	(void)state;
	(void)snprintf(nodes, sizeof(nodes), "[{\"id\":\"d1\",\"name\":\"x");
	for (len = strlen(nodes); len < 2000; len += 2)
		(void)snprintf(nodes + len, sizeof(nodes) - len, "\xc3\xa9");
	(void)snprintf(nodes + len, sizeof(nodes) - len, "\"}]");
	assert_int_equal(
		ask_nodes(&watch_delegated_tokens, "delegatedWireGuardTokens", "nodes", nodes),
		ERR_NONE);
	assert_int_equal(list.items[0].values[0].len, 511);
	assert_true(tell(&watch_delegated_tokens, CHANGE_ADDED, NULL, 0));
	assert_true(strlen(fact.summary) < 200);
}

static int set_up(void **state)
{
	(void)state;
	now_ns = TEN * NS_PER_S;
	make_ulid(TEN * 1000);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	listing_release(&list);
	listing_release(&before);
	before = (struct listing){.count = 0};
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_member_has_an_address_a_role_and_a_second_factor),
		TEST(each_part_of_a_member_that_differs_is_a_fact),
		TEST(what_fly_does_not_say_of_a_member_is_no_change),
		TEST(an_invitation_is_made_and_redeemed_by_two_people),
		TEST(a_token_that_is_taken_away_names_who_did_it),
		TEST(a_token_that_is_gone_without_a_word_was_revoked_unless_it_had_expired),
		TEST(a_token_expires_when_its_time_has_come),
		TEST(flytrails_own_tokens_have_a_next_end),
		TEST(a_token_without_expiry_is_told_apart),
		TEST(a_page_that_may_not_be_the_last_is_not_the_whole_list),
		TEST(a_peers_owner_is_read_from_its_name),
		TEST(a_peers_time_is_believed_where_it_fits),
		TEST(who_owns_a_peer_is_found_out_once),
		TEST(who_owns_a_peer_is_no_part_of_what_it_is_known_by),
		TEST(a_certificate_says_for_whom_and_until_when),
		TEST(a_certificate_that_cannot_be_read_was_issued_all_the_same),
		TEST(a_certificate_that_expired_long_ago_is_not_kept),
		TEST(what_is_no_answer_is_no_empty_list),
		TEST(what_has_no_name_hides_no_other),
		TEST(long_names_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
