/* The table of rules is sound, and each rule finds what its examples say, and no more. */

#include "stage/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { EXAMPLES_MIN = 2, LINE_BYTES_MAX = 1024 };

/* A provider that the rule is for; at a level other than info, which every rule takes. */
static unsigned rule_provider(const struct rule *rule)
{
	unsigned from = rule->from & (FROM_APP | FROM_RUNNER | FROM_PROXY | FROM_HEALTH);

	return (from & -from) | (rule->from & FROM_NOT_INFO);
}

static bool is_fallback(const struct rule *rule)
{
	return !(rule->from & FROM_UNKNOWN);
}

static const struct rule *find(const char *text, unsigned from)
{
	struct line line;
	struct fields fields;

	line_split(span_text(text), &line);
	return rules_find(&line, from, &fields);
}

static void every_pattern_is_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		const char *fault = pattern_fault(rules[i].pattern);

		if (fault)
			fail_msg("%s: %s", rules[i].id, fault);
	}
}

static void every_rule_has_an_id_of_its_own_and_enough_examples(void **state)
{
	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		for (size_t k = i + 1; k < rules_count; k++)
			assert_string_not_equal(rules[i].id, rules[k].id);
		for (size_t n = 0; n < EXAMPLES_MIN; n++) {
			assert_non_null(rules[i].match[n]);
			assert_non_null(rules[i].no_match[n]);
		}
		assert_int_not_equal(action_class(rules[i].action), CLASS_app_log);
	}
}

static void every_example_finds_its_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		for (const char *const *text = rules[i].match; *text; text++) {
			const struct rule *found = find(*text, rule_provider(&rules[i]));

			if (found != &rules[i])
				fail_msg("%s: \"%s\" finds %s", rules[i].id, *text,
					 found ? found->id : "nothing");
		}
	}
}

static void every_counterexample_finds_another_or_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		for (const char *const *text = rules[i].no_match; *text; text++) {
			if (find(*text, rule_provider(&rules[i])) == &rules[i])
				fail_msg("%s finds \"%s\"", rules[i].id, *text);
		}
	}
}

/* A rule that takes any text (firecracker's notes, codes not known), or any with some word in it,
 * stands after those with words of their own. */
static bool takes_any_text(const struct rule *rule)
{
	bool any = strncmp(rule->pattern, "{text:", 6) == 0 ||
		   strncmp(rule->pattern, "{failure:", 9) == 0 ||
		   strncmp(rule->pattern, "{scaling:", 9) == 0;

	return any && strchr(rule->pattern, '}')[1] == '\0';
}

static void an_example_matches_no_other_rule_with_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		for (const char *const *text = rules[i].match; *text; text++) {
			struct line line;

			line_split(span_text(*text), &line);
			for (size_t k = 0; k < rules_count; k++) {
				struct fields fields;

				if (k == i || takes_any_text(&rules[k]))
					continue;
				if (rule_matches(&rules[k], &line, rule_provider(&rules[i]),
						 &fields))
					fail_msg("%s and %s: \"%s\"", rules[i].id, rules[k].id,
						 *text);
			}
		}
	}
}

static void nothing_but_the_fallbacks_depends_on_knowing_the_provider(void **state)
{
	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		const struct rule *found = find(rules[i].match[0], FROM_UNKNOWN | FROM_NOT_INFO);

		if (is_fallback(&rules[i]))
			assert_true(found != &rules[i]);
		else
			assert_ptr_equal(found, &rules[i]);
	}
}

/* A guest cannot say what only the platform says, and the platform's parts do not speak for each
 * other. */
static void a_line_from_another_provider_is_not_the_rules(void **state)
{
	static const unsigned providers[] = {FROM_APP, FROM_RUNNER, FROM_PROXY, FROM_HEALTH};

	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		for (size_t k = 0; k < ARRAY_LEN(providers); k++) {
			const struct rule *found;

			if (rules[i].from & providers[k])
				continue;
			found = find(rules[i].match[0], providers[k] | FROM_NOT_INFO);
			if (found == &rules[i])
				fail_msg("%s is found under provider %u", rules[i].id,
					 providers[k]);
			if (providers[k] == FROM_APP && found)
				fail_msg("%s: the application forges %s", rules[i].id, found->id);
		}
	}
}

static bool is_in_some_pattern_as_text(const struct rule *rule)
{
	const char *text = strstr(rule->pattern, "{text:");
	const char *word = strstr(rule->pattern, "{word:");

	return text != NULL || word != NULL;
}

/* Every prefix of a line, and every line with one more byte, is not the rule's any more, unless the
 * rule ends in a field that takes it. */
static void a_line_cut_or_continued_is_not_the_rules(void **state)
{
	static const char extras[] = "x.!)]}\"'`,;:0aZ\x7f\xc3";
	char text[LINE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		const struct rule *rule = &rules[i];
		size_t len = strlen(rule->match[0]);
		bool closed = rule->pattern[strlen(rule->pattern) - 1] != '}';

		if (takes_any_text(rule))
			continue;
		assert_true(len + 2 < sizeof(text));
		memcpy(text, rule->match[0], len + 1);
		for (const char *extra = extras; closed && *extra; extra++) {
			text[len] = *extra;
			text[len + 1] = '\0';
			/* A {text} before a closing quote takes one more of them. */
			if (*extra != text[len - 1] && find(text, rule_provider(rule)) == rule)
				fail_msg("%s: \"%s\"", rule->id, text);
		}
		memcpy(text, rule->match[0], len + 1);
		for (size_t n = len; closed && n-- > 0;) {
			bool was_space = strchr(" \t\r\n", text[n]) != NULL;

			text[n] = '\0';
			if (!was_space && !is_in_some_pattern_as_text(rule) &&
			    find(text, rule_provider(rule)) == rule)
				fail_msg("%s: \"%s\"", rule->id, text);
		}
	}
}

static void a_cut_line_of_an_application_is_an_applications(void **state)
{
	char text[LINE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		const struct rule *rule = &rules[i];
		size_t len = strlen(rule->match[0]);
		const struct rule *found;

		if (!(rule->from & FROM_APP) || rule->pattern[strlen(rule->pattern) - 1] == '}')
			continue;
		while (len > 0 && strchr("\r\n", rule->match[0][len - 1]))
			len--;
		memcpy(text, rule->match[0], len);
		text[len - 1] = '\0';
		found = find(text, rule_provider(rule));
		if (found && !takes_any_text(found))
			fail_msg("%s finds \"%s\"", found->id, text);
	}
}

static void a_prefix_is_told_from_its_text(void **state)
{
	static const struct {
		const char *message;
		enum line_form form;
		const char *text;
	} cases[] = {
		{"\x1b[32m INFO\x1b[0m a", LINE_INIT, "a"},
		{"\x1b[31mERROR\x1b[0m a", LINE_INIT, "a"},
		{"\x1b[1;33m WARN\x1b[m a", LINE_INIT, "a"},
		{"\x1b[34mDEBUG\x1b[0m a", LINE_BARE, "\x1b[34mDEBUG\x1b[0m a"},
		{"DEBUG a", LINE_BARE, "DEBUG a"},
		{"[m INFO[m a", LINE_BARE, "[m INFO[m a"},
		{"[33m WARN[0m a", LINE_INIT, "a"},
		{" INFO a", LINE_INIT, "a"},
		{"WARN a", LINE_INIT, "a"},
		{"\x1b[32mINFO\x1b[0m a", LINE_BARE, "\x1b[32mINFO\x1b[0m a"},
		{"\x1b[32m INFO a", LINE_BARE, "\x1b[32m INFO a"},
		{"INFO: a", LINE_BARE, "INFO: a"},
		{"INFO  a", LINE_INIT, " a"},
		{"[  258.930660] a", LINE_KERNEL, "a"},
		{"[258.930660] a", LINE_KERNEL, "a"},
		{"[    4.497128][  T177] a", LINE_KERNEL, "a"},
		{"[258.93066] a", LINE_BARE, "[258.93066] a"},
		{"[258.930660]a", LINE_BARE, "[258.930660]a"},
		{"2026/03/07 15:20:03 a", LINE_HALLPASS, "a"},
		{"2026/03/07 15:20:03a", LINE_BARE, "2026/03/07 15:20:03a"},
		{"2024/02/29 23:59:59 a", LINE_HALLPASS, "a"},
		{"2026/02/29 15:20:03 a", LINE_BARE, "2026/02/29 15:20:03 a"},
		{"2026/13/07 15:20:03 a", LINE_BARE, "2026/13/07 15:20:03 a"},
		{"2026/00/07 15:20:03 a", LINE_BARE, "2026/00/07 15:20:03 a"},
		{"2026/03/00 15:20:03 a", LINE_BARE, "2026/03/00 15:20:03 a"},
		{"2026/03/32 15:20:03 a", LINE_BARE, "2026/03/32 15:20:03 a"},
		{"2026/03/07 24:20:03 a", LINE_BARE, "2026/03/07 24:20:03 a"},
		{"2026/03/07 15:60:03 a", LINE_BARE, "2026/03/07 15:60:03 a"},
		{"2026/03/07 15:20:60 a", LINE_BARE, "2026/03/07 15:20:60 a"},
		{"[PM05] a", LINE_CODE, "a"},
		{"[XM05] a", LINE_BARE, "[XM05] a"},
		{"2026-03-03T17:47:04.971114147 [01KJTCYPJ7AB66RHPA8RC360K8:main] a",
		 LINE_FIRECRACKER, "a"},
		{"2026-03-03T17:47:04.971114147 [01KJTCYPJ7AB66RHPA8RC360U8:main] a", LINE_BARE,
		 "2026-03-03T17:47:04.971114147 [01KJTCYPJ7AB66RHPA8RC360U8:main] a"},
		{"2026-02-30T17:47:04.971114147 [01KJTCYPJ7AB66RHPA8RC360K8:main] a", LINE_BARE,
		 "2026-02-30T17:47:04.971114147 [01KJTCYPJ7AB66RHPA8RC360K8:main] a"},
		{"2026-03-03T17:47:61.971114147 [01KJTCYPJ7AB66RHPA8RC360K8:main] a", LINE_BARE,
		 "2026-03-03T17:47:61.971114147 [01KJTCYPJ7AB66RHPA8RC360K8:main] a"},
		{"a \r\n", LINE_BARE, "a"},
		{"", LINE_BARE, ""},
		{" \n", LINE_BARE, ""},
		{"[", LINE_BARE, "["},
		{"\x1b", LINE_BARE, "\x1b"},
		{"\x1b[", LINE_BARE, "\x1b["},
		{"[12", LINE_BARE, "[12"},
		{"[12.", LINE_BARE, "[12."},
		{"2", LINE_BARE, "2"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct line line;

		line_split(span_text(cases[i].message), &line);
		if (line.form != cases[i].form || !span_is(line.text, cases[i].text))
			fail_msg("\"%s\": form %d, \"%.*s\"", cases[i].message, (int)line.form,
				 (int)line.text.len, line.text.data);
	}
}

/* Under the sanitizers a read past the end of what was allocated ends the test. */
static void no_line_is_read_past_its_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < rules_count; i++) {
		size_t len = strlen(rules[i].match[0]);

		for (size_t n = 0; n <= len; n++) {
			char *exact = malloc(n ? n : 1);
			struct line line;
			struct fields fields;

			assert_non_null(exact);
			memcpy(exact, rules[i].match[0], n);
			line_split(span_of(exact, n), &line);
			(void)rules_find(&line, rule_provider(&rules[i]), &fields);
			free(exact);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pattern_is_one),
		cmocka_unit_test(every_rule_has_an_id_of_its_own_and_enough_examples),
		cmocka_unit_test(every_example_finds_its_rule),
		cmocka_unit_test(every_counterexample_finds_another_or_none),
		cmocka_unit_test(an_example_matches_no_other_rule_with_words),
		cmocka_unit_test(nothing_but_the_fallbacks_depends_on_knowing_the_provider),
		cmocka_unit_test(a_line_from_another_provider_is_not_the_rules),
		cmocka_unit_test(a_line_cut_or_continued_is_not_the_rules),
		cmocka_unit_test(a_cut_line_of_an_application_is_an_applications),
		cmocka_unit_test(a_prefix_is_told_from_its_text),
		cmocka_unit_test(no_line_is_read_past_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
