#include "stage/redact.h"

#include "base/utf8.h"
#include "stage/hits.h"
#include "stage/pem.h"
#include "stage/plain.h"
#include "stage/prefilter.h"

#include <stdio.h>
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
	PLAIN_BYTES_MAX = 3 * RAW_BYTES_MAX, /* a line of bytes that all became U+FFFD */
	KEEP_BYTES = 64 * 1024,              /* of the plain form's memory, from text to text */
	ROUNDS_MAX = 4,                      /* searches of one text until nothing more is found */
	COUNTS_BYTES_MAX = 1024,             /* of the attribute: every kind with its count */
	CUT_PIECE_BYTES_MIN = 8,             /* a shorter piece of a secret helps nobody */
	UTF8_BYTES_MAX = 4,
	FIELDS = 7,
	JOINED_BYTES_MAX = 256,
};

/* What was found, by kind. */
struct counts {
	unsigned of[SECRET_KIND_COUNT];
	bool any;
};

struct redactor {
	/* const after redactor_new() */
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
	bool begins_pem; /* the text holds "-----BEGIN" */
	/* of the record under way */
	struct counts counts;
	/* of the batch */
	struct pem pem;
};

static enum err_kind compile(struct redactor *r, size_t i, struct err *err)
{
	/* A start optimisation looks far ahead for a byte that a match needs: slow at many places.
	 */
	uint32_t options = PCRE2_ANCHORED | PCRE2_NEVER_UTF | PCRE2_NO_START_OPTIMIZE;
	PCRE2_SIZE at;
	int code;

	if (patterns[i].flags & NO_CASE)
		options |= PCRE2_CASELESS;
	r->codes[i] = pcre2_compile((PCRE2_SPTR)patterns[i].expression, PCRE2_ZERO_TERMINATED,
				    options, &code, &at, NULL);
	if (!r->codes[i])
		return err_set(err, ERR_FATAL,
			       "the expression %s for secrets is refused by PCRE2 (error %d at "
			       "byte %zu); is its library older than 10.30?",
			       patterns[i].name, code, at);
	/* Where there is no JIT, the interpreter does the same, slower. */
	(void)pcre2_jit_compile(r->codes[i], PCRE2_JIT_COMPLETE);
	return ERR_NONE;
}

static enum err_kind set_up_matching(struct redactor *r, struct err *err)
{
	enum err_kind rc;

	r->match = pcre2_match_data_create(1, NULL);
	r->match_context = pcre2_match_context_create(NULL);
	if (!r->match || !r->match_context)
		return err_set(err, ERR_FATAL, "out of memory for the search for secrets");
	(void)pcre2_set_heap_limit(r->match_context, HEAP_LIMIT_KIB);
	r->jit_stack = pcre2_jit_stack_create(JIT_STACK_BYTES_FIRST, JIT_STACK_BYTES_MAX, NULL);
	if (r->jit_stack)
		pcre2_jit_stack_assign(r->match_context, NULL, r->jit_stack);
	for (size_t i = 0; i < PATTERN_COUNT; i++) {
		rc = compile(r, i, err);
		if (rc)
			return rc;
	}
	return ERR_NONE;
}

enum err_kind redactor_new(struct redactor **ret, struct err *err)
{
	struct redactor *r = calloc(1, sizeof(*r));
	enum err_kind rc;

	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for the search for secrets");
	hits_init(&r->hits);
	buf_init(&r->plain, PLAIN_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(literals); i++)
		r->words[i] = (struct prefilter_word){
			.text = literals[i].word,
			.any_case = patterns[literals[i].pattern].flags & NO_CASE,
			.owner = literals[i].pattern,
		};
	prefilter_init(&r->prefilter, r->words, ARRAY_LEN(literals));
	rc = set_up_matching(r, err);
	if (rc) {
		redactor_free(r);
		return rc;
	}
	*ret = r;
	return ERR_NONE;
}

void redactor_free(struct redactor *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < PATTERN_COUNT; i++)
		pcre2_code_free(r->codes[i]);
	pcre2_match_data_free(r->match);
	pcre2_match_context_free(r->match_context);
	pcre2_jit_stack_free(r->jit_stack);
	hits_release(&r->hits);
	buf_release(&r->plain);
	free(r);
}

void redactor_begin_batch(struct redactor *r)
{
	pem_forget(&r->pem);
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

/* Tries one pattern at one place. False: a limit was hit. */
static bool try_pattern(struct redactor *r, size_t pattern, struct span text, size_t pos)
{
	struct hit hit = {.kind = patterns[pattern].kind};
	const PCRE2_SIZE *bounds;
	int rc;

	if (pos < r->done[pattern] || secret_in_marker(text, pos))
		return true;
	rc = pcre2_match(r->codes[pattern], (PCRE2_SPTR)text.data, text.len, pos, 0, r->match,
			 r->match_context);
	if (rc == PCRE2_ERROR_NOMATCH) {
		if (patterns[pattern].flags & ONCE_A_RUN)
			r->done[pattern] = token_run_end(text, pos);
		return true;
	}
	if (rc < 0)
		return false;
	bounds = pcre2_get_ovector_pointer(r->match);
	hit.start = bounds[0];
	hit.end = bounds[1];
	r->done[pattern] = hit.end;
	hits_add(&r->hits, text, &hit);
	return true;
}

static void begin_search(struct redactor *r, size_t len)
{
	memset(r->done, 0, sizeof(r->done));
	(void)pcre2_set_match_limit(r->match_context,
				    (uint32_t)(MATCH_STEPS_MIN + MATCH_STEPS_A_BYTE * len));
}

/* Adds the hits in one form of a text. False: a limit was hit. */
static bool search(struct redactor *r, struct span text)
{
	struct prefilter_place place = {0};
	bool first = true;

	while (prefilter_find(&r->prefilter, text, &place)) {
		if (first)
			begin_search(r, text.len);
		first = false;
		if (place.word->owner == PATTERN_pem)
			r->begins_pem = true;
		if (!try_pattern(r, place.word->owner, text, place.pos))
			return false;
	}
	return true;
}

/* Searches the plain form and leads its hits back to the text. False: a limit was hit. */
static bool search_plain(struct redactor *r, struct span text)
{
	size_t first = hits_count(&r->hits);
	struct plain_walk walk = {0};
	bool searched;

	buf_reset(&r->plain);
	plain_write(text, &r->plain);
	searched = !r->plain.failed && search(r, span_of(r->plain.data, r->plain.len));
	if (r->plain.cap > KEEP_BYTES)
		buf_release(&r->plain);
	if (!searched || hits_failed(&r->hits))
		return false;
	hits_merge(&r->hits, first);
	for (size_t i = first; i < hits_count(&r->hits); i++) {
		struct hit *hit = hits_at(&r->hits, i);
		size_t unused;
		size_t last = hit->end - 1;

		plain_origin(&walk, text, hit->start, &hit->start, &unused);
		plain_origin(&walk, text, last, &unused, &hit->end);
	}
	return true;
}

/* Collects what is secret in the text, in order. False: it could not be searched. */
static bool find_hits(struct redactor *r, struct span text, const struct hit *known)
{
	hits_reset(&r->hits);
	if (known)
		hits_add(&r->hits, text, known);
	if (!search(r, text))
		return false;
	if (plain_differs(text) && !search_plain(r, text))
		return false;
	if (hits_failed(&r->hits))
		return false;
	hits_merge(&r->hits, 0);
	return true;
}

static void count(struct redactor *r, enum secret_kind kind)
{
	r->counts.of[kind]++;
	r->counts.any = true;
}

static void count_hits(struct redactor *r)
{
	for (size_t i = 0; i < hits_count(&r->hits); i++)
		count(r, hits_at(&r->hits, i)->kind);
}

/* Redacts a text until nothing more is found in it; known is a hit found before. */
static struct span redact_one(struct redactor *r, struct arena *arena, struct span text,
			      const struct hit *known)
{
	if (text.len == 0)
		return text;
	for (int round = 0; round < ROUNDS_MAX; round++) {
		if (!find_hits(r, text, round == 0 ? known : NULL))
			break;
		if (hits_count(&r->hits) == 0)
			return text;
		count_hits(r);
		text = hits_replace(&r->hits, arena, text);
		if (!text.data)
			break;
	}
	count(r, SECRET_unchecked);
	return secret_marker(SECRET_unchecked);
}

struct span redact_text(struct redactor *r, struct arena *arena, struct span text,
			unsigned *ret_count)
{
	unsigned sum = 0;

	r->counts = (struct counts){.any = false};
	text = redact_one(r, arena, text, NULL);
	for (size_t i = 0; i < SECRET_KIND_COUNT; i++)
		sum += r->counts.of[i];
	if (ret_count)
		*ret_count = sum;
	return text;
}

/*
 * A field comes cut to its limit, and the cut may have gone through a secret,
 * which then looks like none. Its last word is taken out unread.
 */
static bool cut_piece(struct span field, struct hit *ret)
{
	size_t start = field.len;

	if (field.len <= RECORD_FIELD_BYTES_MAX - UTF8_BYTES_MAX)
		return false;
	while (start > 0 && field.data[start - 1] != ' ')
		start--;
	*ret = (struct hit){start, field.len, SECRET_unchecked};
	return field.len - start >= CUT_PIECE_BYTES_MIN;
}

static void redact_field(struct redactor *r, struct arena *arena, struct span *field)
{
	struct hit piece;
	bool cut = cut_piece(*field, &piece);

	*field =
		utf8_cut(redact_one(r, arena, *field, cut ? &piece : NULL), RECORD_FIELD_BYTES_MAX);
}

/* The message, with what continues a private key of earlier lines. */
static void redact_message(struct redactor *r, struct arena *arena, struct record *record)
{
	struct span came = record->message;
	struct hit head = {.kind = SECRET_pem_private_key};

	if (pem_concerns(&r->pem, came))
		head.end =
			pem_continue(&r->pem, pem_machine(record->app, record->machine_id), came);
	r->begins_pem = false;
	record->message = redact_one(r, arena, came, head.end ? &head : NULL);
	if (r->begins_pem)
		pem_begin(&r->pem, pem_machine(record->app, record->machine_id), came);
}

/* Whether a name alone says that its value is a secret: SECRET_KIND_COUNT if not. */
static enum secret_kind kind_of_name(struct redactor *r, struct span name)
{
	static const char value[] = "=0a1b2c3d4e5f6g7h8i9j";
	char probe[RECORD_FIELD_BYTES_MAX + sizeof(value)];
	size_t len = name.len + sizeof(value) - 1;
	struct prefilter_place place = {0};

	if (name.len > RECORD_FIELD_BYTES_MAX || !prefilter_find(&r->prefilter, name, &place))
		return SECRET_KIND_COUNT;
	memcpy(probe, name.data, name.len);
	memcpy(probe + name.len, value, sizeof(value) - 1);
	if (!find_hits(r, span_of(probe, len), NULL))
		return SECRET_unchecked;
	for (size_t i = 0; i < hits_count(&r->hits); i++) {
		if (hits_at(&r->hits, i)->start == name.len + 1 && hits_at(&r->hits, i)->end == len)
			return hits_at(&r->hits, i)->kind;
	}
	return SECRET_KIND_COUNT;
}

static void redact_attr(struct redactor *r, struct arena *arena, struct attr *attr)
{
	enum secret_kind kind;
	const char *text;

	/* Our own count of an earlier redaction names the kinds; it holds no secret. */
	if (attr->type == ATTR_BOOL || (attr->type == ATTR_JSON && span_is(attr->key, "redacted")))
		return;
	kind = kind_of_name(r, attr->key);
	redact_field(r, arena, &attr->key);
	if (kind < SECRET_KIND_COUNT && (attr->type == ATTR_NUMBER || attr->text.len > 0)) {
		if (!span_equal(attr->text, secret_marker(kind)))
			count(r, kind);
		attr->type = ATTR_TEXT;
		attr->text = secret_marker(kind);
		return;
	}
	if (attr->type == ATTR_NUMBER)
		return;
	text = attr->text.data;
	if (attr->type == ATTR_TEXT) {
		redact_field(r, arena, &attr->text);
		return;
	}
	attr->text = redact_one(r, arena, attr->text, NULL);
	/* With a hole in it JSON may be none any more: from here on it is a text. */
	if (attr->text.data != text)
		attr->type = ATTR_TEXT;
}

/* Says in the attribute `redacted` what was taken out. */
static void tell_counts(const struct redactor *r, struct arena *arena, struct record *record)
{
	char *json = arena_alloc(arena, COUNTS_BYTES_MAX);
	int len = 0;

	if (!json) {
		record_attr_json(record, SPAN("redacted"), SPAN("{\"unchecked\":1}"));
		return;
	}
	for (size_t i = 0; i < SECRET_KIND_COUNT; i++) {
		if (r->counts.of[i] == 0)
			continue;
		len += snprintf(json + len, COUNTS_BYTES_MAX - (size_t)len, "%c\"%s\":%u",
				len ? ',' : '{', secret_kind_name((enum secret_kind)i),
				r->counts.of[i]);
		REQUIRE(len < COUNTS_BYTES_MAX - 1);
	}
	json[len++] = '}';
	arena_shrink(arena, json, COUNTS_BYTES_MAX, (size_t)len);
	record_attr_json(record, SPAN("redacted"), span_of(json, (size_t)len));
}

/*
 * Whether no field holds anything to look into. They are short, and one search
 * over all of them costs half of seven.
 */
static bool fields_are_clean(const struct redactor *r, struct span *const fields[FIELDS])
{
	NOT_CLEARED char joined[JOINED_BYTES_MAX];
	struct prefilter_place place = {0};
	size_t len = 0;

	for (size_t i = 0; i < FIELDS; i++) {
		struct span field = *fields[i];

		if (field.len >= sizeof(joined) - len)
			return false;
		if (field.len > 0)
			memcpy(joined + len, field.data, field.len);
		len += field.len;
		joined[len++] = '\n'; /* in no word: none is found over two fields */
	}
	return !plain_differs(span_of(joined, len)) &&
	       !prefilter_find(&r->prefilter, span_of(joined, len), &place);
}

static void redact_fields(struct redactor *r, struct arena *arena, struct record *record)
{
	struct span *const fields[FIELDS] = {&record->org,      &record->app,  &record->region,
					     &record->provider, &record->host, &record->machine_id,
					     &record->level};

	if (fields_are_clean(r, fields))
		return;
	for (size_t i = 0; i < FIELDS; i++)
		redact_field(r, arena, fields[i]);
}

/* Counts again what other texts of the same line had: what is in both is one secret. */
static void keep_larger(struct counts *counts, const struct counts *other)
{
	for (size_t i = 0; i < SECRET_KIND_COUNT; i++) {
		if (other->of[i] > counts->of[i])
			counts->of[i] = other->of[i];
	}
	counts->any |= other->any;
}

/*
 * raw says what the other texts do, in bytes of any sort, and may say more. It
 * comes last and is kept as it came or not at all: that a secret was found in
 * another text does not say that all of it can be found in this one.
 */
static void redact_raw(struct redactor *r, struct record *record)
{
	struct counts others = r->counts;
	size_t kind = 0;

	if (record->raw.len == 0 || secret_is_marker(record->raw))
		return;
	r->counts = (struct counts){.any = false};
	hits_reset(&r->hits);
	if (search(r, record->raw) && search_plain(r, record->raw)) {
		hits_merge(&r->hits, 0);
		count_hits(r);
	} else {
		count(r, SECRET_unchecked);
	}
	keep_larger(&r->counts, &others);
	if (!r->counts.any)
		return;
	while (r->counts.of[kind] == 0)
		kind++;
	record->raw = secret_marker((enum secret_kind)kind);
}

void redact(struct redactor *r, struct arena *arena, struct record *record)
{
	struct counts message = {.any = false};

	r->counts = (struct counts){.any = false};
	redact_message(r, arena, record);
	/* The message of a line that was not decoded is that line, with all that is in fields. */
	if (r->counts.any && !record->decoded) {
		message = r->counts;
		r->counts = (struct counts){.any = false};
	}
	redact_fields(r, arena, record);
	for (size_t i = 0; i < record->attr_count; i++)
		redact_attr(r, arena, &record->attrs[i]);
	if (message.any)
		keep_larger(&r->counts, &message);
	if (record->raw.data)
		redact_raw(r, record);
	if (r->counts.any)
		tell_counts(r, arena, record);
}

const char *redact_library_version(void)
{
	enum { VERSION_BYTES = 64 }; /* "10.42 2022-12-11" */
	static char text[VERSION_BYTES];

	if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) > VERSION_BYTES ||
	    pcre2_config(PCRE2_CONFIG_VERSION, text) < 0)
		return "unknown";
	return text;
}
