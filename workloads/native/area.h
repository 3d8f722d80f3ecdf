/* The memory that a workload fills: segments of pages, one behind the other, each of one kind of content. */
#ifndef PAGEFOLD_AREA_H
#define PAGEFOLD_AREA_H
#include "arguments.h"
#include "types.h"

#define AREA_SEGMENTS 16

enum segment_kind {
	/* Pages of zeros, written. */
	SEGMENT_ZERO,
	/* Pages equal to those of the same set in every guest, each unlike the others. */
	SEGMENT_EQUAL,
	/* Pages in groups: page i equals page i + groups of the same guest. */
	SEGMENT_WITHIN,
	/* Pages like no other. */
	SEGMENT_UNIQUE,
	/* As unique, and rewritten one after the other, over and over. */
	SEGMENT_CHANGING,
	/* Written as unique, then free. They come last. */
	SEGMENT_FREED,
};

struct segment {
	enum segment_kind kind;
	u32 first;
	u32 pages;
	/* The set of SEGMENT_EQUAL, the groups of SEGMENT_WITHIN, the pages a second of SEGMENT_CHANGING. */
	u32 detail;
};

struct area {
	u64 base;
	/* The guest's number, in every page that is its own. */
	u32 owner;
	u32 pages;
	/* Of them, those before the freed ones. */
	u32 kept;
	u32 segment_count;
	struct segment segments[AREA_SEGMENTS];
};

/* Takes an argument that describes the area; false when it is about something else. `*problem` is set when it is wrong. */
bool area_argument(struct area *area, const struct argument *argument, const char **problem);
/* Fills every page. */
void area_fill(const struct area *area);
/* The address of a page. */
u64 area_address(const struct area *area, u32 index);
/* What a page has before it is written first. */
u64 area_initial(const struct area *area, u32 index);
/* The word of the next version of a page that has `word`; 0 when no version of that page has such a word. */
u64 area_next(const struct area *area, u32 index, u64 word);
/* How often a page with `word` was written; false when no version of that page has such a word. */
bool area_version(const struct area *area, u32 index, u64 word, u32 *version);

#endif
