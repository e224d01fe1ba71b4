/* Which jobs there are, as lists come and go, and which is due first. */

#include "watch/jobs.h"

#include "base/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NAME_BYTES = 24 };

static struct jobs jobs;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(jobs_init(&jobs, &err), ERR_NONE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	jobs_release(&jobs);
	return 0;
}

/* "a b": the list of a job, followed. */
static void follow_list(size_t parent, const char *names)
{
	struct listing list;
	struct item *item;

	listing_init(&list, &jobs.list[parent].resource->shape);
	for (const char *p = names; *p != '\0'; p += strcspn(p, " "), p += *p == ' ')
		assert_int_equal(listing_add(&list, span_of(p, strcspn(p, " ")), &item, &err),
				 ERR_NONE);
	assert_int_equal(listing_end(&list, &err), ERR_NONE);
	assert_int_equal(jobs_follow(&jobs, parent, &list, &err), ERR_NONE);
	listing_release(&list);
}

/* Of applications. */
static void follow(const char *names)
{
	follow_list(0, names);
}

static bool has(const struct watch_resource *resource, const char *app)
{
	for (size_t i = 0; i < jobs.count; i++)
		if (jobs.list[i].resource == resource && strcmp(jobs.list[i].app, app) == 0)
			return true;
	return false;
}

static struct job *find(const struct watch_resource *resource, const char *app)
{
	size_t i = 0;

	assert_true(has(resource, app));
	while (jobs.list[i].resource != resource || strcmp(jobs.list[i].app, app) != 0)
		i++;
	return &jobs.list[i];
}

static size_t children(void)
{
	size_t count = 0;

	while (watch_child(&watch_apps, count))
		count++;
	return count;
}

static void the_list_of_applications_is_the_first(void **state)
{
	(void)state;
	assert_ptr_equal(jobs.list[0].resource, &watch_apps);
	for (size_t i = 0; i < jobs.count; i++)
		assert_null(jobs.list[i].resource->of);
}

static void an_application_has_a_job_for_each_resource_and_loses_them(void **state)
{
	size_t own = jobs.count;
	char scope[JOB_SCOPE_BYTES];

	(void)state;
	follow("shop web-1");
	assert_int_equal(jobs.count, own + 2 * children());
	job_scope(find(&watch_secrets, "shop"), scope);
	assert_string_equal(scope, "shop");
	find(&watch_secrets, "web-1")->due_ns = 7;
	follow("blog web-1");
	assert_int_equal(jobs.count, own + 2 * children());
	assert_false(has(&watch_secrets, "shop"));
	assert_int_equal(find(&watch_secrets, "web-1")->due_ns, 7); /* it is the same one */
	assert_int_equal(find(&watch_secrets, "blog")->due_ns, 0);
	follow("");
	assert_int_equal(jobs.count, own);
}

static void a_name_that_is_too_long_is_counted_and_breaks_nothing(void **state)
{
	char name[RECORD_APP_BYTES_MAX + 2] = "";
	size_t own = jobs.count;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	follow(name);
	assert_int_equal(jobs.count, own);
	assert_int_equal(jobs_unobserved(&jobs), children());
	follow(name);
	assert_int_equal(jobs_unobserved(&jobs), children());
}

/* So many, named by their numbers; of the application shop, where they have one. */
static void follow_many(size_t parent, size_t count)
{
	const struct listing_shape *shape = &jobs.list[parent].resource->shape;
	struct listing list;
	char name[NAME_BYTES];
	struct item *item;

	listing_init(&list, shape);
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "%zu", i);
		assert_int_equal(listing_add(&list, span_text(name), &item, &err), ERR_NONE);
		for (size_t f = 0; f < shape->field_count; f++)
			if (strcmp(shape->fields[f], "app") == 0)
				item->values[f] = SPAN("shop");
	}
	assert_int_equal(listing_end(&list, &err), ERR_NONE);
	assert_int_equal(jobs_follow(&jobs, parent, &list, &err), ERR_NONE);
	listing_release(&list);
}

static void what_there_was_no_room_for_is_counted_and_has_all_when_there_is(void **state)
{
	size_t own = jobs.count, of_machines = 1, fit;

	(void)state;
	while (watch_child(&watch_machines, of_machines))
		of_machines++;
	follow_many(0, LISTING_ITEMS_MAX);
	/* So that the last one has room for a part of its jobs. */
	jobs.count -= (JOBS_MAX - jobs.count) % of_machines == 0;
	fit = (JOBS_MAX - jobs.count) / of_machines;
	assert_true(fit < LISTING_ITEMS_MAX);
	follow_many((size_t)(find(&watch_machines, "") - jobs.list), LISTING_ITEMS_MAX);
	assert_int_equal(jobs_unobserved(&jobs), (LISTING_ITEMS_MAX - fit) * of_machines);
	follow("shop");
	follow_many((size_t)(find(&watch_machines, "") - jobs.list), LISTING_ITEMS_MAX);
	assert_int_equal(jobs_unobserved(&jobs), 0);
	assert_int_equal(jobs.count, own + children() + LISTING_ITEMS_MAX * of_machines);
}

static void what_is_due_first_comes_first(void **state)
{
	(void)state;
	follow("blog shop");
	for (size_t i = 0; i < jobs.count; i++)
		jobs.list[i].due_ns = (int64_t)(100 + i);
	find(&watch_secrets, "shop")->due_ns = 99;
	for (unsigned i = 0; i < JOBS_PLAIN_EACH; i++)
		assert_ptr_equal(&jobs.list[jobs_next(&jobs, 50)], find(&watch_secrets, "shop"));
}

static void what_is_stirred_goes_before_what_has_waited_longer_but_not_each_time(void **state)
{
	unsigned plain = 0;

	(void)state;
	follow("blog shop");
	for (size_t i = 0; i < jobs.count; i++)
		jobs.list[i].due_ns = 100;
	find(&watch_secrets, "blog")->due_ns = 10;
	find(&watch_secrets, "shop")->due_ns = 20;
	find(&watch_secrets, "shop")->stirs = 1;
	assert_ptr_equal(&jobs.list[jobs_next(&jobs, 15)], find(&watch_secrets, "blog"));
	for (unsigned i = 0; i < 2 * JOBS_PLAIN_EACH; i++)
		plain += &jobs.list[jobs_next(&jobs, 30)] == find(&watch_secrets, "blog");
	assert_int_equal(plain, 2);
}

static void what_each_interval_has_goes_before_the_details_of_items_but_not_each_time(void **state)
{
	unsigned details = 0;

	(void)state;
	follow("shop");
	follow_list((size_t)(find(&watch_certificates, "shop") - jobs.list), "www.example.com");
	for (size_t i = 0; i < jobs.count; i++)
		jobs.list[i].due_ns = 100;
	find(&watch_certificate, "shop")->due_ns = 0; /* as of one that was never looked at */
	find(&watch_secrets, "shop")->due_ns = 20;
	for (unsigned i = 0; i < 2 * JOBS_PLAIN_EACH; i++) {
		size_t next = jobs_next(&jobs, 30);

		details += &jobs.list[next] == find(&watch_certificate, "shop");
		if (i == 0)
			assert_ptr_equal(&jobs.list[next], find(&watch_secrets, "shop"));
	}
	assert_int_equal(details, 2);
	find(&watch_secrets, "shop")->due_ns = 100;
	assert_ptr_equal(&jobs.list[jobs_next(&jobs, 30)], find(&watch_certificate, "shop"));
}

static void who_lists_what_cannot_be_found_is_asked_again(void **state)
{
	int64_t later_ns = time_monotonic_ns() + 60 * NS_PER_S;

	(void)state;
	follow("shop");
	for (size_t i = 0; i < jobs.count; i++)
		jobs.list[i].due_ns = jobs.list[i].all_due_ns = later_ns;
	jobs_doubt(&jobs, find(&watch_secrets, "shop"));
	assert_int_equal(jobs_next(&jobs, time_monotonic_ns()), 0);
	assert_int_equal(jobs.list[0].stirs, JOB_STIRS);
	assert_int_equal(jobs.list[0].all_due_ns, 0);
	assert_true(find(&watch_secrets, "shop")->due_ns == later_ns);
}

static void an_item_that_changed_is_looked_at_once_and_its_list_again(void **state)
{
	struct job *certificates, *certificate;
	struct listing list;
	struct item *item = NULL;

	(void)state;
	follow("shop");
	follow_list((size_t)(find(&watch_certificates, "shop") - jobs.list), "www.example.com");
	certificates = find(&watch_certificates, "shop");
	certificate = find(&watch_certificate, "shop");
	listing_init(&list, &watch_certificates.shape);
	assert_int_equal(listing_add(&list, SPAN("www.example.com"), &item, &err), ERR_NONE);
	jobs_stir(&jobs, certificates, item);
	assert_int_equal(certificate->stirs, JOB_ITEM_STIRS);
	jobs_doubt(&jobs, certificate);
	assert_int_equal(certificates->stirs, JOB_STIRS);
	listing_release(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_list_of_applications_is_the_first),
		TEST(an_application_has_a_job_for_each_resource_and_loses_them),
		TEST(a_name_that_is_too_long_is_counted_and_breaks_nothing),
		TEST(what_there_was_no_room_for_is_counted_and_has_all_when_there_is),
		TEST(what_is_due_first_comes_first),
		TEST(what_is_stirred_goes_before_what_has_waited_longer_but_not_each_time),
		TEST(what_each_interval_has_goes_before_the_details_of_items_but_not_each_time),
		TEST(who_lists_what_cannot_be_found_is_asked_again),
		TEST(an_item_that_changed_is_looked_at_once_and_its_list_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
