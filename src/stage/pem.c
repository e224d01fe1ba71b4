#include "stage/pem.h"

static const struct span begin_mark = {"-----BEGIN", 10};
static const struct span end_mark = {"-----END", 8};
static const struct span dashes = {"-----", 5};

enum {
	SHORT_BASE64_BYTES = 16,  /* shorter words of base64 are ordinary words */
	END_NAME_BYTES_MAX = 100, /* between -----END and its closing dashes */
};

void pem_forget(struct pem *p)
{
	p->count = 0;
	p->overflown = false;
}

/* FNV-1a, 64 bits: a fast hash is enough where a collision only redacts more. */
static uint64_t mix(uint64_t hash, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ (uint8_t)s.data[i]) * UINT64_C(0x100000001b3);
	return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

uint64_t pem_machine(struct span app, struct span machine_id)
{
	if (machine_id.len == 0)
		return PEM_NO_MACHINE;
	return mix(mix(UINT64_C(0xcbf29ce484222325), app), machine_id);
}

static bool is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/' || c == '=';
}

/* What stands around a line of PEM that is written as a string or a list. */
static bool is_wrapping(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '"' || c == '\'' || c == ',';
}

static struct span unwrap(struct span line)
{
	while (line.len > 0 && is_wrapping(line.data[0]))
		line = span_after(line, 1);
	while (line.len > 0 && is_wrapping(line.data[line.len - 1]))
		line.len--;
	if (line.len >= 2 && memcmp(line.data + line.len - 2, "\\n", 2) == 0)
		line.len -= 2;
	return line;
}

static bool is_all_base64(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_base64(s.data[i]))
			return false;
	}
	return true;
}

static bool may_be_inside(struct span line)
{
	struct span s = unwrap(line);

	return is_all_base64(s) || span_starts(s, SPAN("Proc-Type:")) ||
	       span_starts(s, SPAN("DEK-Info:")) || span_starts(s, SPAN("Version:")) ||
	       span_starts(s, SPAN("Comment:"));
}

/* A full line of base64 that is no digest in hex: all three sorts of character are in it. */
static bool is_full_line(struct span line)
{
	struct span s = unwrap(line);
	bool upper = false;
	bool lower = false;
	bool digit = false;

	if ((s.len != 64 && s.len != 70 && s.len != 76) || !is_all_base64(s))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		upper |= s.data[i] >= 'A' && s.data[i] <= 'Z';
		lower |= s.data[i] >= 'a' && s.data[i] <= 'z';
		digit |= s.data[i] >= '0' && s.data[i] <= '9';
	}
	return upper && lower && digit;
}

bool pem_concerns(const struct pem *p, struct span line)
{
	return p->count > 0 || p->overflown ||
	       (line.len >= 64 && line.len < 96 && is_full_line(line));
}

static struct pem_block *find(struct pem *p, uint64_t machine)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->blocks[i].machine == machine)
			return &p->blocks[i];
	}
	return NULL;
}

static void open_block(struct pem *p, uint64_t machine, bool secret)
{
	struct pem_block *block = find(p, machine);

	if (!block && p->count == PEM_BLOCKS_MAX) {
		p->overflown = true;
		return;
	}
	if (!block)
		block = &p->blocks[p->count++];
	*block = (struct pem_block){machine, secret};
}

static void close_block(struct pem *p, struct pem_block *block)
{
	*block = p->blocks[--p->count];
}

/* Where mark begins in s, or s.len. */
static size_t find_mark(struct span s, struct span mark)
{
	const char *at = s.len ? memmem(s.data, s.len, mark.data, mark.len) : NULL;

	return at ? (size_t)(at - s.data) : s.len;
}

/* Behind the mark at pos, its name and its closing dashes. */
static size_t mark_end(struct span line, size_t pos)
{
	struct span name = span_after(line, pos + end_mark.len);
	size_t len;

	if (name.len > END_NAME_BYTES_MAX)
		name.len = END_NAME_BYTES_MAX;
	len = find_mark(name, dashes);
	return pos + end_mark.len + (len < name.len ? len + dashes.len : 0);
}

static bool any_secret(const struct pem *p)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->blocks[i].secret)
			return true;
	}
	return p->overflown;
}

/* A line whose machine has no open block, but which may be of one. */
static size_t continue_any(const struct pem *p, uint64_t machine, struct span line)
{
	bool expected = machine == PEM_NO_MACHINE ? any_secret(p) : p->overflown;

	return expected && line.len >= SHORT_BASE64_BYTES && may_be_inside(line) ? line.len : 0;
}

size_t pem_continue(struct pem *p, uint64_t machine, struct span line)
{
	struct pem_block *block = find(p, machine);
	size_t end;

	if (!block && is_full_line(line)) {
		open_block(p, machine, true);
		return line.len;
	}
	if (!block)
		return continue_any(p, machine, line);
	end = find_mark(line, end_mark);
	if (end == line.len && may_be_inside(line))
		return block->secret ? line.len : 0;
	if (!block->secret)
		end = line.len;
	close_block(p, block);
	return end < line.len ? mark_end(line, end) : 0;
}

void pem_begin(struct pem *p, uint64_t machine, struct span line)
{
	size_t pos = find_mark(line, begin_mark);
	struct span rest = line;
	struct span name;

	if (pos == line.len)
		return;
	while (pos < rest.len) {
		rest = span_after(rest, pos + begin_mark.len);
		pos = find_mark(rest, begin_mark);
	}
	if (find_mark(rest, end_mark) < rest.len)
		return;
	name = (struct span){rest.data, find_mark(rest, dashes)};
	open_block(p, machine, find_mark(name, SPAN("PRIVATE KEY")) < name.len);
}
