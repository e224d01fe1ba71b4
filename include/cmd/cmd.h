#ifndef CMD_CMD_H
#define CMD_CMD_H

/*
 * cmd: the commands of `flytrail`, one file each in src/cmd/, and what they share.
 *
 * argv[0] is the command's own name. A command returns the process's exit
 * status. cmd/commands.def lists the commands for main.c and for help.
 */

#include "base/config.h"
#include "model/id.h"

#include <stdio.h>

enum cmd_exit {
	CMD_OK = 0,
	CMD_FAILED = 1, /* something is wrong, or did not work */
	/* bad arguments or bad configuration: nothing was tried; `coverage` and `archive` have
	   another 2 */
	CMD_USAGE = 2,
};

/* In the order of help; each stands in src/cmd/<name>.c. */
int cmd_run(int argc, char **argv);
int cmd_classify(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_coverage(int argc, char **argv);
int cmd_archive(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_spool(int argc, char **argv);
int cmd_dead(int argc, char **argv);
int cmd_resend(int argc, char **argv);
int cmd_retention(int argc, char **argv);
int cmd_hold(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/*
 * Reads the configuration and all that is wrong with it, with the form of the
 * connection strings, and takes the secrets out of the environment. What a bad
 * value or an unknown name leads to is the command's to decide.
 */
void cmd_read_config(struct config *ret, unsigned for_flags, struct config_report *ret_report);

/* Prints the findings, a line each: "bad: ...", "unknown: ...", "warning: ...". */
void cmd_print_report(FILE *out, const struct config_report *report);

/* For a command that any bad value ends: CMD_OK; or CMD_USAGE, and the findings are on stderr. */
NODISCARD int cmd_need_config(struct config *ret, unsigned for_flags);

/*
 * A command of several verbs: argv[1] is one of them, and what follows it is the verb's. Each such
 * command's file has its own struct order: what it was told.
 */
struct order;

struct cmd_verb {
	const char *name;
	int (*obey)(const struct order *o);
	bool wants_word;       /* an ID, say */
	unsigned config_flags; /* for cmd_read_config() or cmd_need_config() */
};

/* The verb that argv[1] names; NULL: it is none of them, and stderr says so. */
NODISCARD const struct cmd_verb *cmd_find_verb(const struct cmd_verb *verbs, size_t count, int argc,
					       char **argv, const char *usage);

/* Says on stderr what is wrong with a word, "" where there is none, and what the command takes.
 * Returns CMD_USAGE. */
int cmd_bad_word(const char *command, const char *word, const char *what, const char *usage);

/* What `run` and `classify` are told: [--app APP] [FILE...|-], in any order. */
struct cmd_input {
	const char **paths; /* lent from argv; free() the array */
	size_t path_count;
	const char *app; /* "" where none is named */
};

/* CMD_OK; or says on stderr what is wrong. ret->paths may be set in any case. */
NODISCARD int cmd_read_input(struct cmd_input *ret, int argc, char **argv);

/* False: what follows argv[idx] is no value, but the end, another option, or what a script left
 * empty. */
NODISCARD bool cmd_has_value(int argc, char **argv, int idx);

enum { CMD_DATE_BYTES = 10 }; /* a date is written like 2026-11-26 */

/* RFC 3339, or a date, which is its beginning. False: it is neither. */
NODISCARD bool cmd_parse_time(const char *text, int64_t *ret_ns);
/* The first that is not wanted: a date is the whole day, and so its end. */
NODISCARD bool cmd_parse_until(const char *text, int64_t *ret_ns);

/* Digits from 1 to INT64_MAX, up to end, which *at is behind then. False: they are none. */
NODISCARD bool cmd_parse_number(const char **at, char end, uint64_t *ret);
/* STREAM.EPOCH- at the beginning of *at, which is behind it then. False: it is none. */
NODISCARD bool cmd_parse_stream(const char **at, struct id *ret_stream, uint64_t *ret_epoch);

/* Words from outside, on stdout, so that a terminal does nothing for them. */
void cmd_print_text(const char *text);

/* True when the command got no arguments; else says on stderr that it takes none. */
NODISCARD bool cmd_takes_no_arguments(int argc, char **argv);

#endif
