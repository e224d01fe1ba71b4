#ifndef STAGE_RULES_H
#define STAGE_RULES_H

/*
 * rules: the one table that says what a platform line looks like.
 *
 * stage/rules.def is the table; this is its shape, and the way to find the
 * rule of a line. A line is taken as a prefix that tells who wrote it and a
 * text that says what; the rule's pattern (stage/pattern.h) is about the text.
 *
 *	(none)          runner, proxy and health; init before 2023
 *	LINE_INIT       "\x1b[32m INFO\x1b[0m ", " INFO ", "INFO "; or WARN, ERROR
 *	LINE_KERNEL     "[  258.930660] "
 *	LINE_HALLPASS   "2026/03/07 15:20:03 ", and a level that belongs to the text
 *	LINE_FIRECRACKER "2026-03-03T17:47:04.971114147 [01KJTCYPJ7AB66RHPA8RC360K8:main] "
 *	LINE_CODE       "[PM05] "
 *
 * A date and a time must be ones that the calendar has.
 *
 * Trust: a line of runner, proxy or health was written outside the machine
 *        (platform). One of the provider `app`, or of an unknown one, has a
 *        guest's trust at most, whatever its rule: the application could print
 *        the same, to the letter.
 * Threads: constants, but for an index that the first caller makes.
 */

#include "model/class.h"
#include "stage/pattern.h"

/* Who may say it. A line without a provider, or with one not known, goes by its form alone. */
enum rule_from {
	FROM_APP = 1,
	FROM_RUNNER = 2,
	FROM_PROXY = 4,
	FROM_HEALTH = 8,
	FROM_UNKNOWN = 16,
	FROM_NOT_INFO = 32, /* not at level info, at which all of an application's output comes */
};

enum line_form {
	LINE_BARE = 1,
	LINE_INIT = 2,
	LINE_KERNEL = 4,
	LINE_HALLPASS = 8,
	LINE_FIRECRACKER = 16,
	LINE_CODE = 32,
};

/* How it ended, where the line says so. */
enum rule_outcome {
	OUTCOME_UNKNOWN,
	OUTCOME_SUCCESS,
	OUTCOME_FAILURE,
	OUTCOME_BY_EXIT_CODE, /* success where the field exit_code is 0     */
	OUTCOME_BY_VERIFIED,  /* success where the field verified is true   */
};

struct rule {
	const char *id; /* stands in the column `rule` for ever */
	enum action action;
	unsigned from;  /* rule_from bits */
	unsigned forms; /* line_form bits */
	enum rule_outcome outcome;
	const char *pattern;
	const char *summary;         /* with {fields}; "" where the message says it */
	const char *const *match;    /* examples, up to a NULL */
	const char *const *no_match; /* lines that another rule, or none, must find */
};

struct line {
	enum line_form form;
	struct span text;    /* after the prefix */
	struct span version; /* LINE_FIRECRACKER: the machine version */
	struct span code;    /* LINE_CODE: PM05 */
	int64_t uptime_us;   /* LINE_KERNEL: microseconds since the kernel's start */
};

extern const struct rule rules[];
extern const size_t rules_count;

/* Tells the prefix of a message from its text. Trailing white space is left out. */
void line_split(struct span message, struct line *ret);

/* The rule of a line from one of the sources in `from`; NULL: an application's line. */
const struct rule *rules_find(const struct line *line, unsigned from, struct fields *ret);

/* Whether this one rule is about such a line. */
bool rule_matches(const struct rule *rule, const struct line *line, unsigned from,
		  struct fields *ret);

#endif
