/* Real lines get the class that people gave them, and what only looks like them is app_log. */

#include "stage/classify.h"

#include "base/json.h"
#include "stage/decode.h"
#include "stage/rules.h"
#include "names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DATA "tests/data/"

enum {
	FILE_BYTES_MAX = 1024 * 1024,
	LINES_MIN = 317,
	NOT_EVENTS_MIN = 150,
	CAPTURES = 12,
	ARENA_BYTES_MAX = 1024 * 1024,
};

/* A whole file; freed by the caller. */
static struct span read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = malloc(FILE_BYTES_MAX);
	size_t len;

	if (f == NULL)
		fail_msg("%s: not there; unit tests are run from the repository's root", path);
	assert_non_null(text);
	len = fread(text, 1, FILE_BYTES_MAX, f);
	assert_true(len > 0 && len < FILE_BYTES_MAX);
	assert_int_equal(fclose(f), 0);
	return span_of(text, len);
}

/* The next line of *rest, without its newline. False: there is none. */
static bool next_line(struct span *rest, struct span *ret)
{
	const char *end;

	if (rest->len == 0)
		return false;
	end = memchr(rest->data, '\n', rest->len);
	ret->data = rest->data;
	ret->len = end ? (size_t)(end - rest->data) : rest->len;
	*rest = span_after(*rest, end ? ret->len + 1 : ret->len);
	return true;
}

static struct span member(const struct json *object, const char *key)
{
	const struct json *v = json_member(object, key);

	return v && json_type(v) == JSON_TEXT ? json_text(v) : SPAN("");
}

static void classify_message(struct arena *arena, struct record *r, const char *provider,
			     const char *message)
{
	*r = (struct record){.provider = span_text(provider),
			     .level = SPAN("info"),
			     .machine_id = SPAN("0e286551c30586"),
			     .message = span_text(message)};
	classify(arena, r);
}

static const struct attr *attr_of(const struct record *r, const char *key)
{
	for (size_t i = 0; i < r->attr_count; i++) {
		if (span_is(r->attrs[i].key, key))
			return &r->attrs[i];
	}
	fail_msg("no attribute %s", key);
	return NULL;
}

static void assert_text(const struct record *r, const char *key, const char *text)
{
	const struct attr *a = attr_of(r, key);

	assert_true(a->type == ATTR_TEXT || a->type == ATTR_JSON);
	if (!span_is(a->text, text))
		fail_msg("%s is \"%.*s\"", key, (int)a->text.len, a->text.data);
}

static void assert_number(const struct record *r, const char *key, int64_t number)
{
	assert_int_equal(attr_of(r, key)->type, ATTR_NUMBER);
	assert_int_equal(attr_of(r, key)->number, number);
}

static void assert_span(struct span s, const char *text)
{
	if (!span_is(s, text))
		fail_msg("\"%.*s\" is not \"%s\"", (int)s.len, s.data, text);
}

/* tests/run.py shows lines that begin with ## although all is well. */
static void print_confusion(size_t (*counts)[CLASS_COUNT])
{
	print_message("## %-14s %8s %8s  found as\n", "class", "lines", "right");
	for (size_t label = 0; label < CLASS_COUNT; label++) {
		size_t sum = 0;

		for (size_t found = 0; found < CLASS_COUNT; found++)
			sum += counts[label][found];
		if (sum == 0)
			continue;
		print_message("## %-14s %8zu %8zu ", class_name((enum line_class)label), sum,
			      counts[label][label]);
		for (size_t found = 0; found < CLASS_COUNT; found++) {
			if (counts[label][found])
				print_message(" %s:%zu", class_name((enum line_class)found),
					      counts[label][found]);
		}
		print_message("\n");
	}
}

static void every_labelled_line_gets_its_class(void **state)
{
	static size_t counts[CLASS_COUNT][CLASS_COUNT];
	struct span all = read_file(DATA "log-lines.jsonl");
	struct span rest = all;
	struct span line;
	struct arena arena;
	size_t lines = 0;
	size_t wrong = 0;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	while (next_line(&rest, &line)) {
		static struct record r;
		struct json *root;
		struct err err;
		enum line_class label;

		assert_int_equal(json_parse(&root, line, &err), ERR_NONE);
		assert_true(class_parse(member(root, "label"), &label));
		r = (struct record){.message = member(root, "message"),
				    .provider = member(root, "provider"),
				    .level = member(root, "level")};
		classify(&arena, &r);
		counts[label][r.class]++;
		lines++;
		if (r.class != label) {
			wrong++;
			print_message("%s, not %s: %.*s\n", class_name(r.class), class_name(label),
				      (int)line.len, line.data);
		}
		arena_reset(&arena);
		json_free(root);
	}
	print_confusion(counts);
	assert_true(lines >= LINES_MIN);
	assert_int_equal(wrong, 0);
	arena_release(&arena);
	free((void *)(uintptr_t)all.data);
}

static size_t count_wrong_in_capture(const char *number, struct arena *arena, size_t *lines)
{
	char path[sizeof(DATA) + 32];
	struct span text, labels, rest, rest_labels, line, name;
	struct decode_context ctx = {.arena = arena};
	struct batch *batch;
	struct err err;
	size_t wrong = 0;

	(void)snprintf(path, sizeof(path), DATA "captures/%s.txt", number);
	rest = text = read_file(path);
	(void)snprintf(path, sizeof(path), DATA "captures/%s.labels", number);
	rest_labels = labels = read_file(path);
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	while (next_line(&rest, &line) && next_line(&rest_labels, &name)) {
		static struct record r;
		enum line_class label;
		struct raw *raw;

		assert_true(class_parse(name, &label));
		raw = batch_add(batch, SPAN(""), line);
		assert_non_null(raw);
		raw->form = RAW_FLY_TEXT;
		decode(&ctx, batch, raw, &r);
		classify(arena, &r);
		(*lines)++;
		if (r.class != label) {
			wrong++;
			print_message("%s: %s, not %s: %.*s\n", number, class_name(r.class),
				      class_name(label), (int)line.len, line.data);
		}
	}
	assert_true(rest.len == 0 && !next_line(&rest_labels, &name));
	batch_free(batch);
	free((void *)(uintptr_t)text.data);
	free((void *)(uintptr_t)labels.data);
	return wrong;
}

static void every_line_of_a_capture_gets_its_class(void **state)
{
	struct arena arena;
	size_t lines = 0;
	size_t wrong = 0;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	for (int i = 1; i <= CAPTURES; i++) {
		char number[16];

		(void)snprintf(number, sizeof(number), "%02d", i);
		wrong += count_wrong_in_capture(number, &arena, &lines);
		arena_reset(&arena);
	}
	print_message("%zu lines of %d captures, %zu wrong\n", lines, CAPTURES, wrong);
	assert_true(lines > 150);
	assert_int_equal(wrong, 0);
	arena_release(&arena);
}

static void no_line_that_only_looks_like_an_event_is_one(void **state)
{
	struct span all = read_file(DATA "not-events.txt");
	struct span rest = all;
	struct span line;
	struct arena arena;
	size_t lines = 0;
	size_t wrong = 0;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	while (next_line(&rest, &line)) {
		static struct record r;

		r = (struct record){
			.message = line, .provider = SPAN("app"), .level = SPAN("info")};
		classify(&arena, &r);
		lines++;
		if (r.class != CLASS_app_log) {
			wrong++;
			print_message("%s: %.*s\n", r.finding.rule, (int)line.len, line.data);
		}
	}
	assert_true(lines >= NOT_EVENTS_MIN);
	assert_int_equal(wrong, 0);
	arena_release(&arena);
	free((void *)(uintptr_t)all.data);
}

static void a_guest_is_never_believed_more_than_a_guest(void **state)
{
	static const char *const guests[] = {"app", "", "vm", "App", "runner "};
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	for (size_t i = 0; i < rules_count; i++) {
		for (size_t k = 0; k < ARRAY_LEN(guests); k++) {
			static struct record r;

			classify_message(&arena, &r, guests[k], rules[i].match[0]);
			if (r.class != CLASS_app_log)
				assert_int_equal(r.finding.trust, TRUST_GUEST);
		}
	}
	arena_release(&arena);
}

static void the_platform_is_believed(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(&arena, &r, "runner", "machine exited with exit code 0, not restarting");
	assert_int_equal(r.finding.trust, TRUST_PLATFORM);
	assert_string_equal(r.finding.rule, "runner.not_restarting_exit");
	assert_int_equal(r.action, ACTION_restart_suppressed);
	assert_number(&r, "exit_code", 0);
	assert_int_equal(r.finding.actor_type, ACTOR_FLYD);
	arena_release(&arena);
}

static void the_platform_knows_no_application_of_an_impossible_name(void **state)
{
	static char name[RECORD_APP_BYTES_MAX + 1];
	static struct record r;
	struct arena arena;

	(void)state;
	memset(name, 'a', sizeof(name));
	arena_init(&arena, ARENA_BYTES_MAX);
	for (size_t len = RECORD_APP_BYTES_MAX; len <= sizeof(name); len++) {
		r = (struct record){
			.provider = SPAN("runner"),
			.app = span_of(name, len),
			.message = SPAN("machine exited with exit code 0, not restarting")};
		classify(&arena, &r);
		assert_int_equal(r.finding.trust,
				 len > RECORD_APP_BYTES_MAX ? TRUST_GUEST : TRUST_PLATFORM);
	}
	arena_release(&arena);
}

static void a_session_names_who_opened_it(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(
		&arena, &r, "app",
		"2026/03/07 15:20:03 INFO New SSH session email=User1@Example.com verified=true");
	assert_int_equal(r.class, CLASS_ssh_session);
	assert_span(r.finding.actor, "user1@example.com");
	assert_int_equal(r.finding.actor_type, ACTOR_USER);
	assert_text(&r, "email", "User1@Example.com");
	assert_span(r.finding.target_type, "machine");
	assert_span(r.finding.target, "0e286551c30586");
	assert_span(r.finding.outcome, "success");
	assert_span(r.finding.summary, "User1@Example.com opened an SSH session");
	assert_true(attr_of(&r, "verified")->number);
	classify_message(
		&arena, &r, "app",
		"2026/03/07 15:20:03 INFO New SSH session email=0b5e@tokens.fly.io verified=false");
	assert_int_equal(r.finding.actor_type, ACTOR_TOKEN);
	assert_span(r.finding.outcome, "unknown");
	classify_message(&arena, &r, "app",
			 "2026/03/07 15:20:03 INFO New SSH session email=\"\" verified=false");
	assert_int_equal(r.class, CLASS_ssh_session);
	assert_int_equal(r.finding.actor_type, ACTOR_UNKNOWN);
	assert_true(r.finding.actor_reason.len > 0);
	arena_release(&arena);
}

static void a_deploy_names_its_image_and_seconds(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(&arena, &r, "runner",
			 "Successfully prepared image registry.fly.io/web@sha256:"
			 "9440e9fc41d565da6566acbc846930e229bee9d766a83b64e9a226e122bcad21 "
			 "(435.407756ms)");
	assert_int_equal(r.action, ACTION_deploy_image_prepared);
	assert_text(&r, "image",
		    "registry.fly.io/web@sha256:"
		    "9440e9fc41d565da6566acbc846930e229bee9d766a83b64e9a226e122bcad21");
	assert_text(&r, "digest",
		    "sha256:9440e9fc41d565da6566acbc846930e229bee9d766a83b64e9a226e122bcad21");
	assert_text(&r, "seconds", "0.435407756");
	assert_int_equal(attr_of(&r, "seconds")->type, ATTR_JSON);
	classify_message(&arena, &r, "runner",
			 "Successfully prepared image registry.fly.io/web:v1@sha256:"
			 "9440e9fc41d565da6566acbc846930e229bee9d766a83b64e9a226e122bcad21");
	assert_int_equal(r.action, ACTION_deploy_image_prepared);
	assert_text(&r, "digest",
		    "sha256:9440e9fc41d565da6566acbc846930e229bee9d766a83b64e9a226e122bcad21");
	classify_message(&arena, &r, "runner", "Machine created and started in 1m11.5s");
	assert_int_equal(r.action, ACTION_deploy_machine_started);
	assert_text(&r, "seconds", "71.5");
	assert_span(r.finding.summary, "A new version runs after 71.5 s");
	classify_message(&arena, &r, "app",
			 "2026-03-03T17:47:04.971114147 [01KJTCYPJ7AB66RHPA8RC360K8:main] "
			 "Running Firecracker v1.12.1");
	assert_int_equal(r.action, ACTION_boot_firecracker);
	assert_text(&r, "machine_version", "01KJTCYPJ7AB66RHPA8RC360K8");
	assert_text(&r, "firecracker_version", "v1.12.1");
	assert_span(r.finding.correlation_id, "01KJTCYPJ7AB66RHPA8RC360K8");
	arena_release(&arena);
}

static void an_end_names_code_signal_and_victim(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(&arena, &r, "app",
			 "\x1b[32m INFO\x1b[0m Main child exited normally with code: 127");
	assert_int_equal(r.action, ACTION_exit_main_child);
	assert_number(&r, "exit_code", 127);
	assert_span(r.finding.outcome, "failure");
	classify_message(
		&arena, &r, "app",
		" INFO Main child exited with signal (with signal 'SIGSEGV', core dumped? true)");
	assert_text(&r, "signal", "SIGSEGV");
	assert_true(attr_of(&r, "core_dumped")->number);
	classify_message(
		&arena, &r, "app",
		"[  258.930660] Out of memory: Killed process 476 (a) b) total-vm:38749148kB, "
		"anon-rss:32433276kB, file-rss:4kB, shmem-rss:135308kB, UID:65534 "
		"pgtables:64504kB oom_score_adj:-5");
	assert_int_equal(r.action, ACTION_oom_killed);
	assert_text(&r, "process", "a) b");
	assert_number(&r, "pid", 476);
	assert_number(&r, "anon_rss_kb", 32433276);
	assert_number(&r, "oom_score_adj", -5);
	assert_text(&r, "uptime_seconds", "258.93066");
	classify_message(&arena, &r, "runner", "machine has reached its max restart count of 10");
	assert_int_equal(r.action, ACTION_restart_gave_up);
	assert_number(&r, "restart_limit", 10);
	arena_release(&arena);
}

static void the_proxys_code_decides_what_its_error_is(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(
		&arena, &r, "proxy",
		"[PR03] could not find a good candidate within 1 attempts at load balancing. "
		"last error: [PC01] instance refused connection");
	assert_int_equal(r.action, ACTION_proxy_error_routing);
	assert_text(&r, "error_code", "PR03");
	assert_text(&r, "last_error_code", "PC01");
	assert_number(&r, "attempts", 1);
	classify_message(&arena, &r, "proxy", "[PT05] anything that Fly may say");
	assert_int_equal(r.class, CLASS_cert);
	classify_message(&arena, &r, "proxy", "[PT04] tls handshake failed");
	assert_int_equal(r.action, ACTION_proxy_error_tls);
	classify_message(
		&arena, &r, "proxy",
		"[PM01] machines API returned an error: \"machine ID 2879325b42d318 lease "
		"currently held by 3f2b1c9e@tokens.fly.io, expires at 2026-05-14T10:41:08Z\"");
	assert_int_equal(r.action, ACTION_proxy_error_machine);
	assert_text(&r, "lease_holder", "3f2b1c9e@tokens.fly.io");
	assert_text(&r, "lease_expires_at", "2026-05-14T10:41:08Z");
	assert_span(r.finding.target, "2879325b42d318");
	classify_message(
		&arena, &r, "proxy",
		"[PR01] no known healthy instances found for route tcp/443. (hint: is your "
		"app shut down?)");
	assert_text(&r, "route", "tcp/443");
	assert_text(&r, "hint", "is your app shut down?");
	classify_message(&arena, &r, "app", "[PT05] anything that Fly may say");
	assert_int_equal(r.class, CLASS_app_log);
	arena_release(&arena);
}

static void checks_stops_and_volumes_name_theirs(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(&arena, &r, "health",
			 "Health check 'servicecheck-00-http-8000' on port 8000 is now passing.");
	assert_text(&r, "check", "servicecheck-00-http-8000");
	assert_number(&r, "port", 8000);
	classify_message(
		&arena, &r, "proxy",
		"App web-9 has excess capacity, autostopping machine 8e40d3b769e2d8. 0 out of 1 "
		"machines left running (region=dfw, process group=app)");
	assert_int_equal(r.action, ACTION_autoscale_stopping);
	assert_number(&r, "machines_left", 0);
	assert_number(&r, "machines_total", 1);
	assert_text(&r, "process_group", "app");
	assert_span(r.finding.target, "8e40d3b769e2d8");
	assert_int_equal(r.finding.actor_type, ACTOR_PROXY);
	classify_message(&arena, &r, "runner", "Setting up volume 'movie_data'");
	assert_span(r.finding.target_type, "volume");
	assert_span(r.finding.target, "movie_data");
	classify_message(
		&arena, &r, "app",
		"\x1b[32m INFO\x1b[0m Mounting /dev/vdc at /data w/ uid: 0, gid: 0 and chmod 0755");
	assert_text(&r, "device", "/dev/vdc");
	assert_text(&r, "path", "/data");
	classify_message(&arena, &r, "app",
			 "2024/01/02 15:59:26 listening on [fdaa::2]:22 (DNS: [fdaa::3]:53)");
	assert_text(&r, "listen_address", "[fdaa::2]:22");
	arena_release(&arena);
}

static void an_abrupt_end_is_believed_only_at_a_level_that_applications_do_not_have(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(&arena, &r, "app", "Virtual machine exited abruptly");
	assert_int_equal(r.class, CLASS_app_log);
	r.level = SPAN("warn");
	classify(&arena, &r);
	assert_int_equal(r.action, ACTION_exit_vm_abrupt);
	r.level = SPAN("");
	classify(&arena, &r);
	assert_int_equal(r.action, ACTION_exit_vm_abrupt);
	arena_release(&arena);
}

static void what_the_platforms_parts_say_is_never_an_applications(void **state)
{
	static struct record r;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	classify_message(&arena, &r, "runner", "something new");
	assert_int_equal(r.action, ACTION_platform_notice);
	r.level = SPAN("error");
	classify(&arena, &r);
	assert_int_equal(r.action, ACTION_platform_failure);
	classify_message(&arena, &r, "proxy", "something new");
	assert_int_equal(r.action, ACTION_platform_notice);
	r.level = SPAN("warn");
	classify(&arena, &r);
	assert_int_equal(r.action, ACTION_proxy_error_other);
	classify_message(&arena, &r, "proxy", "something new of a machine");
	assert_int_equal(r.action, ACTION_autoscale_other);
	classify_message(&arena, &r, "proxy", "timed out waiting for machine");
	assert_int_equal(r.action, ACTION_proxy_error_other);
	classify_message(&arena, &r, "proxy", "[XX99] something new of a machine");
	assert_int_equal(r.action, ACTION_proxy_error_other);
	assert_text(&r, "error_code", "XX99");
	classify_message(&arena, &r, "health", "something new");
	assert_int_equal(r.action, ACTION_health_check_other);
	classify_message(&arena, &r, "app", "something new");
	assert_int_equal(r.class, CLASS_app_log);
	arena_release(&arena);
}

static void a_full_arena_costs_words_but_not_the_class(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 8);
	for (size_t i = 0; i < rules_count; i++) {
		static struct record r;

		classify_message(&arena, &r, "app", rules[i].match[0]);
		if ((rules[i].from & FROM_APP) && !(rules[i].from & FROM_NOT_INFO))
			assert_int_equal(r.action, rules[i].action);
	}
	arena_release(&arena);
}

static void every_byte_string_is_classified(void **state)
{
	static struct record r;
	struct arena arena;
	char text[64];

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	srand(7);
	for (int i = 0; i < 200000; i++) {
		size_t len = (size_t)rand() % sizeof(text);

		for (size_t k = 0; k < len; k++)
			text[k] = "\x1b[ 0m.INFO:T2/-{}()'\"=\xc3"[rand() % 23];
		r = (struct record){.message = span_of(text, len), .provider = SPAN("app")};
		classify(&arena, &r);
		assert_int_equal(r.class, CLASS_app_log);
		arena_reset(&arena);
	}
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_labelled_line_gets_its_class),
		cmocka_unit_test(every_line_of_a_capture_gets_its_class),
		cmocka_unit_test(no_line_that_only_looks_like_an_event_is_one),
		cmocka_unit_test(a_guest_is_never_believed_more_than_a_guest),
		cmocka_unit_test(the_platform_is_believed),
		cmocka_unit_test(the_platform_knows_no_application_of_an_impossible_name),
		cmocka_unit_test(a_session_names_who_opened_it),
		cmocka_unit_test(a_deploy_names_its_image_and_seconds),
		cmocka_unit_test(an_end_names_code_signal_and_victim),
		cmocka_unit_test(the_proxys_code_decides_what_its_error_is),
		cmocka_unit_test(checks_stops_and_volumes_name_theirs),
		cmocka_unit_test(
			an_abrupt_end_is_believed_only_at_a_level_that_applications_do_not_have),
		cmocka_unit_test(what_the_platforms_parts_say_is_never_an_applications),
		cmocka_unit_test(a_full_arena_costs_words_but_not_the_class),
		cmocka_unit_test(every_byte_string_is_classified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
