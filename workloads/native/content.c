#include "content.h"

/* The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). */
static u64 scramble(u64 value)
{
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
	value = (value ^ value >> 27) * 0x94d049bb133111eb;
	return value ^ value >> 31;
}

/* Its inverse: each step undone, by the inverses of the factors modulo 2^64. */
static u64 unscramble(u64 value)
{
	value = (value ^ value >> 31 ^ value >> 62) * 0x319642b2d24d8ec3;
	value = (value ^ value >> 27 ^ value >> 54) * 0x96de1b173f119089;
	return value ^ value >> 30 ^ value >> 60;
}

u64 word_of_key(struct key key)
{
	u64 owner = key.owner & KEY_PART_MASK, index = key.index & KEY_PART_MASK, version = key.version & KEY_PART_MASK;
	return key.content == CONTENT_ZERO ? 0 : scramble((u64)key.content << 60 | owner << 40 | index << 20 | version);
}

struct key key_of_word(u64 word)
{
	u64 whole = unscramble(word);
	return (struct key){ whole >> 60, whole >> 40 & KEY_PART_MASK, whole >> 20 & KEY_PART_MASK,
			     whole & KEY_PART_MASK };
}

void fill_page(u64 address, u64 word)
{
	u64 count = PAGE_SIZE / 8;
	__asm__ volatile("rep stosq" : "+D"(address), "+c"(count) : "a"(word) : "memory");
}

bool page_is(u64 address, u64 word)
{
	u64 count = PAGE_SIZE / 8;
	bool same;
	__asm__ volatile("repe scasq" : "+D"(address), "+c"(count), "=@cce"(same) : "a"(word) : "memory");
	return same;
}
