#ifndef BASE_BYTES_H
#define BASE_BYTES_H

/* bytes: fixed-width integers to and from bytes; _le for our disk, _be for wires and hashes. */

#include <stdint.h>

static inline void put_u32_be(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void put_u64_be(uint8_t *p, uint64_t v)
{
	put_u32_be(p, (uint32_t)(v >> 32));
	put_u32_be(p + 4, (uint32_t)v);
}

static inline void put_u16_be(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t get_u32_be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline uint64_t get_u64_be(const uint8_t *p)
{
	return (uint64_t)get_u32_be(p) << 32 | (uint64_t)get_u32_be(p + 4);
}

static inline void put_u32_le(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline void put_u64_le(uint8_t *p, uint64_t v)
{
	put_u32_le(p, (uint32_t)v);
	put_u32_le(p + 4, (uint32_t)(v >> 32));
}

static inline uint32_t get_u32_le(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get_u64_le(const uint8_t *p)
{
	return (uint64_t)get_u32_le(p) | (uint64_t)get_u32_le(p + 4) << 32;
}

#endif
