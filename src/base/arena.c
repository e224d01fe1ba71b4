#include "base/arena.h"

#include <stdlib.h>

enum {
	ARENA_BLOCK_BYTES = 64 * 1024, /* an ordinary block: some hundred lines' worth */
	ARENA_ALIGN = 8,
};

struct arena_block {
	struct arena_block *next;
	size_t cap;
	size_t len;
	_Alignas(ARENA_ALIGN) uint8_t bytes[];
};

void arena_init(struct arena *a, size_t max)
{
	REQUIRE(max > 0 && max < SIZE_MAX / 4);
	*a = (struct arena){.max = max};
}

static void free_blocks(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
}

void arena_release(struct arena *a)
{
	free_blocks(a->blocks);
	*a = (struct arena){.max = a->max};
}

void arena_reset(struct arena *a)
{
	struct arena_block **link = &a->blocks;
	struct arena_block *kept;

	while (*link && (*link)->cap > ARENA_BLOCK_BYTES)
		link = &(*link)->next;
	kept = *link;
	if (kept)
		*link = kept->next;
	free_blocks(a->blocks);
	a->blocks = kept;
	a->used = 0;
	if (!kept)
		return;
	kept->next = NULL;
	kept->len = 0;
	a->used = kept->cap;
}

/* A fresh block in front that holds len bytes, or NULL. */
static struct arena_block *add_block(struct arena *a, size_t len)
{
	size_t left = a->max - a->used;
	size_t cap = len > ARENA_BLOCK_BYTES ? len : ARENA_BLOCK_BYTES;
	struct arena_block *block;

	if (cap > left)
		cap = left & ~(size_t)(ARENA_ALIGN - 1);
	if (len > cap)
		return NULL;
	block = malloc(sizeof(*block) + cap);
	if (!block)
		return NULL;
	block->next = a->blocks;
	block->cap = cap;
	block->len = 0;
	a->blocks = block;
	a->used += cap;
	return block;
}

static size_t round_up(size_t len)
{
	return (len + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

void *arena_alloc(struct arena *a, size_t len)
{
	struct arena_block *block = a->blocks;
	uint8_t *at;

	if (len > a->max)
		return NULL;
	len = round_up(len > 0 ? len : 1);
	if (!block || len > block->cap - block->len)
		block = add_block(a, len);
	if (!block)
		return NULL;
	at = block->bytes + block->len;
	block->len += len;
	return at;
}

void arena_shrink(struct arena *a, void *newest, size_t len, size_t used)
{
	struct arena_block *block = a->blocks;
	uint8_t *at = newest;

	REQUIRE(used <= len);
	REQUIRE(block && at + round_up(len > 0 ? len : 1) == block->bytes + block->len);
	block->len = (size_t)(at - block->bytes) + round_up(used > 0 ? used : 1);
}

struct span arena_copy(struct arena *a, struct span s)
{
	char *copy = arena_alloc(a, s.len);

	if (!copy)
		return (struct span){NULL, 0};
	if (s.len > 0)
		memcpy(copy, s.data, s.len);
	return span_of(copy, s.len);
}
