#include "stage/search.h"

#include "model/batch.h"
#include "stage/plain.h"
#include "stage/prefilter.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
#define PATTERN(name, kind, flags, expression) PATTERN_##name,
#define LITERAL(name, word)
#include "stage/redact_patterns.def"
#undef PATTERN
#undef LITERAL
	PATTERN_COUNT
};

enum pattern_flag {
	NO_CASE = 1,
	/* A failed attempt holds for every later word in the same run of token characters. */
	ONCE_A_RUN = 2,
};

struct pattern {
	const char *name;
	enum secret_kind kind;
	unsigned flags;
	const char *expression;
};

static const struct pattern patterns[PATTERN_COUNT] = {
#define PATTERN(name, kind, flags, ...) {#name, SECRET_##kind, (flags), __VA_ARGS__},
#define LITERAL(name, word)
#include "stage/redact_patterns.def"
#undef PATTERN
#undef LITERAL
};

static const struct {
	uint8_t pattern;
	struct span word;
} literals[] = {
#define PATTERN(name, kind, flags, ...)
#define LITERAL(name, word) {PATTERN_##name, {word, sizeof(word) - 1}},
#include "stage/redact_patterns.def"
#undef PATTERN
#undef LITERAL
};

enum {
	/* Of PCRE2, an attempt: ours take a few steps a byte, and never go back far. */
	MATCH_STEPS_MIN = 10000,
	MATCH_STEPS_A_BYTE = 8,
	HEAP_LIMIT_KIB = 16 * 1024, /* of PCRE2's interpreter, where there is no JIT */
	JIT_STACK_BYTES_FIRST = 32 * 1024,
	JIT_STACK_BYTES_MAX = 512 * 1024,
};

struct searcher {
	/* const after searcher_new() */
	pcre2_code *codes[PATTERN_COUNT];
	struct prefilter prefilter;
	struct prefilter_word words[ARRAY_LEN(literals)];
	pcre2_match_context *match_context;
	pcre2_jit_stack *jit_stack;
	/* of the search under way */
	pcre2_match_data *match;
	size_t done[PATTERN_COUNT]; /* up to where each pattern has been tried */
	struct hits hits;
	struct buf plain;
	bool saw_pem;
	bool has_percent; /* the form last searched */
};

static enum err_kind compile(struct searcher *s, size_t i, struct err *err)
{
	/* A start optimisation looks far ahead for a byte that a match needs: slow at many places.
	 */
	uint32_t options = PCRE2_ANCHORED | PCRE2_NEVER_UTF | PCRE2_NO_START_OPTIMIZE;
	PCRE2_SIZE at;
	int code;

	if (patterns[i].flags & NO_CASE)
		options |= PCRE2_CASELESS;
	s->codes[i] = pcre2_compile((PCRE2_SPTR)patterns[i].expression, PCRE2_ZERO_TERMINATED,
				    options, &code, &at, NULL);
	if (!s->codes[i])
		return err_set(err, ERR_FATAL,
			       "the expression %s for secrets is refused by PCRE2 (error %d at "
			       "byte %zu); is its library older than 10.30?",
			       patterns[i].name, code, at);
	/* Where there is no JIT, the interpreter does the same, slower. */
	(void)pcre2_jit_compile(s->codes[i], PCRE2_JIT_COMPLETE);
	return ERR_NONE;
}

static enum err_kind set_up_matching(struct searcher *s, struct err *err)
{
	enum err_kind rc;

	s->match = pcre2_match_data_create(1, NULL);
	s->match_context = pcre2_match_context_create(NULL);
	if (!s->match || !s->match_context)
		return err_set(err, ERR_FATAL, "out of memory for the search for secrets");
	(void)pcre2_set_heap_limit(s->match_context, HEAP_LIMIT_KIB);
	s->jit_stack = pcre2_jit_stack_create(JIT_STACK_BYTES_FIRST, JIT_STACK_BYTES_MAX, NULL);
	if (s->jit_stack)
		pcre2_jit_stack_assign(s->match_context, NULL, s->jit_stack);
	for (size_t i = 0; i < PATTERN_COUNT; i++) {
		rc = compile(s, i, err);
		if (rc)
			return rc;
	}
	return ERR_NONE;
}

enum err_kind searcher_new(struct searcher **ret, struct err *err)
{
	struct searcher *s = calloc(1, sizeof(*s));
	enum err_kind rc;

	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for the search for secrets");
	hits_init(&s->hits);
	buf_init(&s->plain, PLAIN_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(literals); i++)
		s->words[i] = (struct prefilter_word){
			.text = literals[i].word,
			.any_case = patterns[literals[i].pattern].flags & NO_CASE,
			.owner = literals[i].pattern,
		};
	prefilter_init(&s->prefilter, s->words, ARRAY_LEN(literals));
	rc = set_up_matching(s, err);
	if (rc) {
		searcher_free(s);
		return rc;
	}
	*ret = s;
	return ERR_NONE;
}

void searcher_free(struct searcher *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < PATTERN_COUNT; i++)
		pcre2_code_free(s->codes[i]);
	pcre2_match_data_free(s->match);
	pcre2_match_context_free(s->match_context);
	pcre2_jit_stack_free(s->jit_stack);
	hits_release(&s->hits);
	buf_release(&s->plain);
	free(s);
}

static size_t token_run_end(struct span text, size_t pos)
{
	static const char more[] = "_-=";

	while (pos < text.len) {
		char c = text.data[pos];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      memchr(more, c, sizeof(more) - 1)))
			break;
		pos++;
	}
	return pos;
}

/* Whether a quote at pos begins a string; an apostrophe inside a word does not. */
static bool begins_string(struct span text, size_t pos)
{
	char before = pos > 0 ? text.data[pos - 1] : ' ';

	return text.data[pos] == '"' ||
	       (text.data[pos] == '\'' && strchr(" \t\r\n[{(,:=>\\", before) != NULL);
}

/* Behind the string that begins at pos: with escapes, where it is escaped itself. */
static size_t string_end(struct span text, size_t pos, size_t backslashes)
{
	char quote = text.data[pos];
	size_t run = 0;

	for (pos++; pos < text.len; pos++) {
		if (text.data[pos] == quote && run <= backslashes)
			return pos + 1;
		run = text.data[pos] == '\\' ? run + 1 : 0;
	}
	return text.len;
}

/*
 * Behind the bracket that closes the one at pos, or at the end of the text where
 * none does: the text may have been cut.
 */
static size_t bracket_end(struct span text, size_t pos)
{
	size_t depth = 0;
	size_t run = 0;

	while (pos < text.len) {
		char c = text.data[pos];

		if (begins_string(text, pos)) {
			pos = string_end(text, pos, run);
			run = 0;
			continue;
		}
		run = c == '\\' ? run + 1 : 0;
		depth += c == '[' || c == '{';
		depth -= c == ']' || c == '}';
		pos++;
		if (depth == 0)
			return pos;
	}
	return text.len;
}

/* Whether that is a bracket alone, or as Elixir and Go begin it: %{ and []string{ */
static bool is_opening(struct span s)
{
	char last = s.len > 0 ? s.data[s.len - 1] : '\0';

	return (last == '[' || last == '{') &&
	       (s.len == 1 || (s.len == 2 && s.data[0] == '%') || span_starts(s, SPAN("[]")));
}

/* Tries one pattern at one place. False: a limit was hit. */
static bool try_pattern(struct searcher *s, size_t pattern, struct span text, size_t pos)
{
	struct hit hit = {.kind = patterns[pattern].kind};
	const PCRE2_SIZE *bounds;
	int rc;

	if (pos < s->done[pattern] || secret_in_marker(text, pos))
		return true;
	rc = pcre2_match(s->codes[pattern], (PCRE2_SPTR)text.data, text.len, pos, 0, s->match,
			 s->match_context);
	if (rc == PCRE2_ERROR_NOMATCH) {
		if (patterns[pattern].flags & ONCE_A_RUN)
			s->done[pattern] = token_run_end(text, pos);
		return true;
	}
	if (rc < 0)
		return false;
	bounds = pcre2_get_ovector_pointer(s->match);
	hit.start = bounds[0];
	hit.end = bounds[1];
	/* A list or an object goes as a whole; counting brackets is nothing for an expression. */
	if (is_opening(span_of(text.data + hit.start, hit.end - hit.start)))
		hit.end = bracket_end(text, hit.end - 1);
	s->done[pattern] = hit.end;
	hits_add(&s->hits, text, &hit);
	return true;
}

static void begin_search(struct searcher *s, size_t len)
{
	memset(s->done, 0, sizeof(s->done));
	(void)pcre2_set_match_limit(s->match_context,
				    (uint32_t)(MATCH_STEPS_MIN + MATCH_STEPS_A_BYTE * len));
}

/* Adds the hits in one form of a text. False: a limit was hit. */
static bool search(struct searcher *s, struct span text)
{
	struct prefilter_place place = {0};
	bool first = true;

	while (prefilter_find(&s->prefilter, text, &place)) {
		if (first)
			begin_search(s, text.len);
		first = false;
		if (place.word->owner == PATTERN_pem)
			s->saw_pem = true;
		if (!try_pattern(s, place.word->owner, text, place.pos))
			return false;
	}
	return true;
}

/* Leads hits in the plain form, from the first on, back to the text. */
static void lead_back(struct searcher *s, struct span text, unsigned depth, size_t first)
{
	struct plain_walk walk = {.depth = depth};

	for (size_t i = first; i < hits_count(&s->hits); i++) {
		struct hit *hit = hits_at(&s->hits, i);
		size_t unused;
		size_t last = hit->end - 1;

		plain_origin(&walk, text, hit->start, &hit->start, &unused);
		plain_origin(&walk, text, last, &unused, &hit->end);
	}
}

/* Searches a plain form. False: a limit was hit. */
static bool search_plain(struct searcher *s, struct span text, unsigned depth)
{
	size_t first = hits_count(&s->hits);
	struct span plain;
	bool searched;

	buf_reset(&s->plain);
	plain_write(text, depth, &s->plain);
	plain = span_of(s->plain.data, s->plain.len);
	s->has_percent = plain_has_percent(plain);
	searched = !s->plain.failed && search(s, plain);
	if (s->plain.cap > PLAIN_KEEP_BYTES)
		buf_release(&s->plain);
	if (!searched || hits_failed(&s->hits))
		return false;
	hits_merge(&s->hits, first);
	lead_back(s, text, depth, first);
	return true;
}

/* As find(), without putting the hits in order. */
static bool find_in_forms(struct searcher *s, struct span text, bool in_plain)
{
	bool has_percent = plain_has_percent(text);

	if (!search(s, text) || (in_plain && !search_plain(s, text, 0)))
		return false;
	s->has_percent = has_percent || (in_plain && s->has_percent);
	for (unsigned depth = 1; depth <= PLAIN_DEPTH_MAX && s->has_percent; depth++) {
		if (!search_plain(s, text, depth))
			return false;
	}
	return !hits_failed(&s->hits);
}

static const struct hits *find(struct searcher *s, struct span text, const struct hit *known,
			       bool in_plain)
{
	hits_reset(&s->hits);
	if (known)
		hits_add(&s->hits, text, known);
	if (!find_in_forms(s, text, in_plain))
		return NULL;
	hits_merge(&s->hits, 0);
	return &s->hits;
}

const struct hits *searcher_find(struct searcher *s, struct span text, const struct hit *known)
{
	return find(s, text, known, plain_differs(text));
}

const struct hits *searcher_find_in_bytes(struct searcher *s, struct span bytes)
{
	return find(s, bytes, NULL, true);
}

bool searcher_saw_pem(struct searcher *s)
{
	bool saw = s->saw_pem;

	s->saw_pem = false;
	return saw;
}

bool searcher_can_skip(const struct searcher *s, struct span text)
{
	struct prefilter_place place = {0};

	return !plain_differs(text) && !plain_has_percent(text) &&
	       !prefilter_find(&s->prefilter, text, &place);
}

const char *searcher_library_version(void)
{
	enum { VERSION_BYTES = 64 }; /* "10.42 2022-12-11" */
	static char text[VERSION_BYTES];

	if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) > VERSION_BYTES ||
	    pcre2_config(PCRE2_CONFIG_VERSION, text) < 0)
		return "unknown";
	return text;
}
