#include "store/sqlstate.h"

#include <string.h>

enum { STATE_LETTERS = 5, CLASS_LETTERS = 2 };

/* Whole codes stand before their classes: the first row that fits counts. */
static const struct {
	const char *start;
	enum err_kind kind;
} table[] = {
	{"25", ERR_RETRY},  /* read-only (25006): a standby, a full disk; no transaction     */
	{"40", ERR_RETRY},  /* serialisation failure (40001), deadlock (40P01)                */
	{"53", ERR_RETRY},  /* no disk, memory or connections left                            */
	{"55", ERR_RETRY},  /* somebody has a lock on it                                      */
	{"57", ERR_RETRY},  /* cancelled, shut down, crashed, starting up                     */
	{"58", ERR_RETRY},  /* the server's own disk or system                                */
	{"08", ERR_RETRY},  /* the connection                                                 */
	{"22", ERR_REJECT}, /* data that no column takes                                      */
	{"23", ERR_REJECT}, /* a constraint                                                   */
	{"54", ERR_REJECT}, /* a row, an index entry or a jsonb that is too large             */
	{"2B", ERR_REJECT}, /* somebody's view, or the like, needs what is to go               */
	{"28", ERR_CONFIG}, /* the credential                                                 */
	{"3D", ERR_CONFIG}, /* no such database                                               */
	{"3F", ERR_CONFIG}, /* no such schema                                                 */
	{"42", ERR_CONFIG}, /* no such table, or no right to it                               */
	{"FT", ERR_REJECT}, /* flytrail's own functions say no, in a sentence for people      */
};

static bool is_state(const char *state)
{
	return state && strlen(state) == STATE_LETTERS;
}

/* ERR_NONE: no row fits. */
static enum err_kind look_up(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strncmp(state, table[i].start, strlen(table[i].start)) == 0)
			return table[i].kind;
	return ERR_NONE;
}

enum err_kind sqlstate_kind(const char *state)
{
	enum err_kind kind = is_state(state) ? look_up(state) : ERR_NONE;

	return kind ? kind : ERR_RETRY;
}

bool sqlstate_is_unknown(const char *state)
{
	return is_state(state) && look_up(state) == ERR_NONE;
}

bool sqlstate_is_own(const char *state)
{
	return is_state(state) && strncmp(state, "FT", CLASS_LETTERS) == 0;
}

bool sqlstate_is_duplicate(const char *state)
{
	return state && strcmp(state, "23505") == 0;
}

bool sqlstate_is_no_partition(const char *state, const char *constraint_name)
{
	return state && strcmp(state, "23514") == 0 &&
	       (!constraint_name || constraint_name[0] == '\0');
}

bool sqlstate_is_past_limit(const char *state)
{
	return state && strcmp(state, "FT001") == 0;
}

bool sqlstate_lacks_schema(const char *state)
{
	return state && (strcmp(state, "42P01") == 0 || strcmp(state, "42703") == 0 ||
			 strcmp(state, "3F000") == 0);
}

bool sqlstate_quotes_data(const char *state)
{
	return state && (strncmp(state, "22", CLASS_LETTERS) == 0 ||
			 strncmp(state, "23", CLASS_LETTERS) == 0 || sqlstate_is_unknown(state));
}
