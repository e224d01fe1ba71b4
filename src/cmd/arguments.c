/* What the commands' arguments have in common. */

#include "cmd/cmd.h"

#include "base/json.h"
#include "base/time.h"

#include <string.h>

enum { TEXT_BYTES_MAX = 65536 };

int cmd_bad_word(const char *command, const char *word, const char *what, const char *usage)
{
	bool is_question = what[0] != '\0' && what[strlen(what) - 1] == '?';

	(void)fprintf(stderr, "flytrail: %s: %s%s%s%s %s\n", command, word,
		      word[0] != '\0' ? " " : "", what, is_question ? "" : ";", usage);
	return CMD_USAGE;
}

const struct cmd_verb *cmd_find_verb(const struct cmd_verb *verbs, size_t count, int argc,
				     char **argv, const char *usage)
{
	if (argc < 2) {
		(void)cmd_bad_word(argv[0], "", "what is to be done?", usage);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (strcmp(verbs[i].name, argv[1]) == 0)
			return &verbs[i];
	(void)cmd_bad_word(argv[0], argv[1], "is nothing that it does", usage);
	return NULL;
}

bool cmd_has_value(int argc, char **argv, int idx)
{
	return idx + 1 < argc && argv[idx + 1][0] != '\0' &&
	       strncmp(argv[idx + 1], "--", strlen("--")) != 0;
}

bool cmd_parse_time(const char *text, int64_t *ret_ns)
{
	char with_time[TIME_TEXT_BYTES];
	unsigned digits;

	if (strlen(text) == CMD_DATE_BYTES) {
		(void)snprintf(with_time, sizeof(with_time), "%.*sT00:00:00Z", CMD_DATE_BYTES,
			       text);
		text = with_time;
	}
	return time_parse(span_text(text), true, ret_ns, &digits);
}

bool cmd_parse_until(const char *text, int64_t *ret_ns)
{
	if (!cmd_parse_time(text, ret_ns))
		return false;
	if (strlen(text) == CMD_DATE_BYTES)
		*ret_ns = time_earlier(*ret_ns, INT64_MAX - TIME_DAY_NS) + TIME_DAY_NS;
	return true;
}

bool cmd_parse_number(const char **at, char end, uint64_t *ret)
{
	const char *behind = strchr(*at, end);

	if (!behind || !span_digits(span_of(*at, (size_t)(behind - *at)), ret) || *ret == 0 ||
	    *ret > INT64_MAX)
		return false;
	*at = behind + (end != '\0' ? 1 : 0);
	return true;
}

bool cmd_parse_stream(const char **at, struct id *ret_stream, uint64_t *ret_epoch)
{
	const size_t id_len = ID_TEXT_BYTES - 1;

	if (strnlen(*at, ID_TEXT_BYTES) < ID_TEXT_BYTES || (*at)[id_len] != '.' ||
	    !id_parse(span_of(*at, id_len), ret_stream))
		return false;
	*at += ID_TEXT_BYTES;
	return cmd_parse_number(at, '-', ret_epoch);
}

void cmd_print_text(const char *text)
{
	struct buf out;

	buf_init(&out, TEXT_BYTES_MAX);
	json_write_text(&out, span_text(text));
	/* Without its quotes. */
	if (!out.failed)
		(void)fwrite(out.data + 1, 1, out.len - 2, stdout);
	buf_release(&out);
}
