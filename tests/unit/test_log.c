#include "base/log.h"
#include "base/json.h"
#include "base/time.h"
#include "base/utf8.h"
#include "fault.h"
#include "names.h"
#include "scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 200, OUTPUT_BYTES_MAX = 1024 * 1024 };

/* What stderr was, and where it goes instead. */
static struct {
	int saved_fd;
	int fd;
	struct scratch folder;
} capture;

static int begin_capture(void **state)
{
	(void)state;
	/* No case finds an event held back by the one before. */
	fault_step_clock(2 * LOG_REPEAT_SECONDS * NS_PER_S);
	scratch_make(&capture.folder);
	capture.fd = open(scratch_file(&capture.folder, "log"),
			  O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	capture.saved_fd = dup(STDERR_FILENO);
	return capture.fd < 0 || dup2(capture.fd, STDERR_FILENO) < 0;
}

static int end_capture(void **state)
{
	(void)state;
	if (dup2(capture.saved_fd, STDERR_FILENO) < 0)
		return 1;
	(void)close(capture.saved_fd);
	(void)close(capture.fd);
	scratch_remove(&capture.folder);
	return 0;
}

/* All that was logged; emptied for what comes next. */
static struct span take_output(void)
{
	static char bytes[OUTPUT_BYTES_MAX];
	ssize_t len = pread(capture.fd, bytes, sizeof(bytes), 0);

	assert_true(len >= 0);
	assert_int_equal(ftruncate(capture.fd, 0), 0);
	return span_of(bytes, (size_t)len);
}

static unsigned count_lines(struct span s)
{
	unsigned count = 0;

	for (size_t i = 0; i < s.len; i++)
		count += s.data[i] == '\n';
	return count;
}

/* The one line that was logged, as JSON. */
static struct json *take_line(void)
{
	struct span line = take_output();
	struct json *root = NULL;
	struct err err;

	assert_int_equal(count_lines(line), 1);
	assert_true(line.len <= LOG_LINE_BYTES_MAX);
	assert_int_equal(line.data[line.len - 1], '\n');
	assert_true(utf8_is_text(line));
	assert_int_equal(json_parse(&root, line, &err), ERR_NONE);
	return root;
}

static struct span text_of(const struct json *root, const char *key)
{
	assert_non_null(json_member(root, key));
	return json_text(json_member(root, key));
}

static void a_line_is_one_json_object(void **state)
{
	struct json *line;
	unsigned digits;
	int64_t ns;

	(void)state;
	log_warn(started, LOG_TEXT("error", "say \"no\"\n\t\x1b[31m\\ \xc3\xa9 \xff"),
		 LOG_NUMBER("rows", -5));
	line = take_line();
	assert_true(time_parse(text_of(line, "ts"), false, &ns, &digits));
	assert_int_equal(digits, 9);
	assert_true(span_is(text_of(line, "level"), "warn"));
	assert_true(span_is(text_of(line, "event"), "started"));
	assert_true(span_is(text_of(line, "error"),
			    "say \"no\"\n\t\x1b[31m\\ \xc3\xa9 " UTF8_REPLACEMENT));
	assert_true(json_number(json_member(line, "rows")) == -5);
	assert_null(json_member(line, "repeated"));
	json_free(line);
}

static void repeats_are_counted_and_told_later(void **state)
{
	struct json *line;

	(void)state;
	for (int i = 0; i < 5; i++)
		log_error(started, LOG_NUMBER("n", i));
	log_info(stopped, LOG_NUMBER("n", 9));
	assert_int_equal(count_lines(take_output()), 2);
	fault_step_clock((LOG_REPEAT_SECONDS - 1) * NS_PER_S);
	log_error(started, LOG_NUMBER("n", 6));
	assert_int_equal(take_output().len, 0);
	fault_step_clock(NS_PER_S);
	log_error(started, LOG_NUMBER("n", 7));
	line = take_line();
	assert_true(json_number(json_member(line, "n")) == 7);
	assert_true(json_number(json_member(line, "repeated")) == 5);
	json_free(line);
	fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
	log_error(started, LOG_NUMBER("n", 8));
	line = take_line();
	assert_null(json_member(line, "repeated"));
	json_free(line);
}

/* A line about the cause of this number. */
static void warn_of(unsigned number)
{
	char cause[32];

	(void)snprintf(cause, sizeof(cause), "cause %u", number);
	log_warn(store_retry, LOG_TEXT("error", cause));
}

static void each_cause_is_told_once_with_its_own_count(void **state)
{
	struct json *line;

	(void)state;
	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < LOG_CAUSES_MAX; i++)
			warn_of(i);
	assert_int_equal(count_lines(take_output()), LOG_CAUSES_MAX);
	warn_of(1);
	fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
	warn_of(1);
	line = take_line();
	assert_true(json_number(json_member(line, "repeated")) == 3);
	json_free(line);
	warn_of(2);
	line = take_line();
	assert_true(json_number(json_member(line, "repeated")) == 2);
	assert_null(json_member(line, "others"));
	json_free(line);
}

/* What is told of one sink is no repeat of what was told of another. */
static void each_sink_has_causes_of_its_own(void **state)
{
	(void)state;
	for (int turn = 0; turn < 2; turn++) {
		log_info(sink_stopped, LOG_TEXT("sink", "s3"), LOG_NUMBER("records", turn));
		log_info(sink_stopped, LOG_TEXT("sink", "datadog"), LOG_NUMBER("records", turn));
	}
	assert_int_equal(count_lines(take_output()), 2);
	log_warn(sink_retry, LOG_TEXT("sink", "s3"), LOG_TEXT("error", "no answer"));
	log_warn(sink_retry, LOG_TEXT("sink", "datadog"), LOG_TEXT("error", "no answer"));
	log_warn(sink_retry, LOG_TEXT("sink", "datadog"), LOG_TEXT("error", "no answer"));
	assert_int_equal(count_lines(take_output()), 2);
}

/* Past the bound a cause is counted, and as nobody else's. */
static void causes_past_the_bound_are_counted_apart(void **state)
{
	struct json *line;

	(void)state;
	for (unsigned i = 0; i < LOG_CAUSES_MAX + 5; i++)
		warn_of(i);
	assert_int_equal(count_lines(take_output()), LOG_CAUSES_MAX);
	fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
	warn_of(0);
	line = take_line();
	assert_null(json_member(line, "repeated"));
	assert_true(json_number(json_member(line, "others")) == 5);
	json_free(line);
	/* The place of one whose minute is over is free; what was held back of it is not lost. */
	warn_of(0);
	fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
	for (unsigned i = 0; i < LOG_CAUSES_MAX; i++)
		warn_of(1000 + i);
	assert_int_equal(count_lines(take_output()), LOG_CAUSES_MAX);
	fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
	warn_of(1000);
	line = take_line();
	assert_null(json_member(line, "repeated"));
	json_free(line);
}

static void progress_makes_way_for_lines(void **state)
{
	static const char expected[] = "\r\033[K7 lines read\r\033[K8 lines read\r\033[K{\"ts\"";
	struct span output;

	(void)state;
	log_progress("7 lines read");
	log_progress("8 lines read");
	log_error(stopped, LOG_NUMBER("n", 1));
	log_progress("");
	output = take_output();
	assert_int_equal(memcmp(output.data, expected, sizeof(expected) - 1), 0);
	assert_int_equal(output.data[output.len - 1], '\n');
	log_progress("9 lines read");
	log_progress("");
	output = take_output();
	assert_true(span_is(output, "\r\033[K9 lines read\r\033[K"));
}

static void that_trouble_is_over_is_always_told(void **state)
{
	(void)state;
	log_info(store_connected, LOG_NUMBER("cursor", 1));
	log_info(store_connected, LOG_NUMBER("cursor", 2));
	assert_int_equal(count_lines(take_output()), 1);
	for (int i = 0; i < 3; i++) {
		log_warn(store_retry, LOG_TEXT("error", "away"));
		log_info(store_connected, LOG_NUMBER("cursor", 3));
	}
	assert_int_equal(count_lines(take_output()), 2);
}

static void no_text_is_too_long_for_a_line(void **state)
{
	static const char *const pieces[] = {"x",   "\"", "\x01", "\xc3\xa9", "\xf0\x9f\x99\x82",
					     "\xff"};
	char text[3 * LOG_LINE_BYTES_MAX];

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
		size_t piece_len = strlen(pieces[p]);

		for (size_t len = LOG_LINE_BYTES_MAX - 300; len < LOG_LINE_BYTES_MAX; len++) {
			size_t at;

			for (at = 0; at + piece_len <= len; at += piece_len)
				memcpy(text + at, pieces[p], piece_len);
			text[at] = '\0';
			fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
			log_info(started, LOG_TEXT("a", text), LOG_TEXT("b", "more"),
				 LOG_NUMBER("c", INT64_MIN), LOG_TEXT("d", text));
			json_free(take_line());
		}
	}
}

static void *log_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
		log_info(started, LOG_NUMBER("n", i));
	}
	return NULL;
}

/* Every call is either a line of its own or counted by a later one. */
static void threads_mix_no_lines_and_lose_no_count(void **state)
{
	pthread_t threads[THREADS];
	struct span output;
	double total = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_often, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	fault_step_clock(LOG_REPEAT_SECONDS * NS_PER_S);
	log_info(started, LOG_NUMBER("n", -1));
	output = take_output();
	while (output.len > 0) {
		const char *end = memchr(output.data, '\n', output.len);
		struct span text = span_of(output.data, (size_t)(end - output.data));
		const struct json *repeated;
		struct json *line = NULL;
		struct err err;

		assert_int_equal(json_parse(&line, text, &err), ERR_NONE);
		repeated = json_member(line, "repeated");
		total += 1 + (repeated ? json_number(repeated) : 0);
		json_free(line);
		output = span_after(output, text.len + 1);
	}
	assert_true(total == THREADS * ROUNDS + 1);
}

static void every_event_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (unsigned a = 0; a < LOG_EVENT_COUNT; a++) {
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(log_event_name((enum log_event)a),
						log_event_name((enum log_event)b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_is_one_json_object, begin_capture,
						end_capture),
		cmocka_unit_test_setup_teardown(repeats_are_counted_and_told_later, begin_capture,
						end_capture),
		cmocka_unit_test_setup_teardown(each_cause_is_told_once_with_its_own_count,
						begin_capture, end_capture),
		cmocka_unit_test_setup_teardown(each_sink_has_causes_of_its_own, begin_capture,
						end_capture),
		cmocka_unit_test_setup_teardown(causes_past_the_bound_are_counted_apart,
						begin_capture, end_capture),
		cmocka_unit_test_setup_teardown(progress_makes_way_for_lines, begin_capture,
						end_capture),
		cmocka_unit_test_setup_teardown(that_trouble_is_over_is_always_told, begin_capture,
						end_capture),
		cmocka_unit_test_setup_teardown(no_text_is_too_long_for_a_line, begin_capture,
						end_capture),
		cmocka_unit_test_setup_teardown(threads_mix_no_lines_and_lose_no_count,
						begin_capture, end_capture),
		cmocka_unit_test(every_event_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
