/*
 * What pages contain. A page is one 64-bit word, 512 times over: zero, or a one-to-one scramble of a key of four parts.
 * So two pages are equal exactly when their keys are, a page tells what it is, and the host's side can compute
 * every page (microguest/content.ts has the same functions).
 */
#ifndef PAGEFOLD_CONTENT_H
#define PAGEFOLD_CONTENT_H
#include "types.h"

/* The first part of a key, 4 bits. */
enum content {
	CONTENT_ZERO = 0,
	/* The same in every guest: owner is the number of the set, index counts its pages. */
	CONTENT_EQUAL = 1,
	/* The same within a guest: owner is the guest, index the group. */
	CONTENT_WITHIN = 2,
	/* Like no other: owner is the guest, index the page's place in the area. */
	CONTENT_UNIQUE = 3,
	/* A page that was written `version` times, otherwise as CONTENT_UNIQUE. */
	CONTENT_WRITTEN = 4,
	/* The last word of each page that the microguest keeps for itself: owner is the guest, index the page number. */
	CONTENT_PRIVATE = 15,
};

struct key {
	enum content content;
	/* 20 bits each. */
	u32 owner;
	u32 index;
	u32 version;
};

#define KEY_PART_MASK 0xffffful

/* The word of a key, and the key of a word. */
u64 word_of_key(struct key key);
struct key key_of_word(u64 word);

/* Fills a page with a word; true when a page has nothing else. */
void fill_page(u64 address, u64 word);
bool page_is(u64 address, u64 word);

#endif
