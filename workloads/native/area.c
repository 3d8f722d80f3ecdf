#include "area.h"
#include "content.h"
#include "strings.h"

static const struct {
	const char *key;
	enum segment_kind kind;
	u64 parts;
} kinds[] = {
	{ "zero", SEGMENT_ZERO, 1 },	 { "equal", SEGMENT_EQUAL, 2 },	      { "within", SEGMENT_WITHIN, 2 },
	{ "unique", SEGMENT_UNIQUE, 1 }, { "changing", SEGMENT_CHANGING, 2 }, { "freed", SEGMENT_FREED, 1 },
};

static const char *add_segment(struct area *area, enum segment_kind kind, u64 pages, u64 detail)
{
	if (area->segment_count == AREA_SEGMENTS)
		return "there are more segments than 16";
	if (pages == 0 || pages > KEY_PART_MASK - area->pages)
		return "the area would have no pages, or more than 1048575";
	if (kind == SEGMENT_EQUAL && detail > KEY_PART_MASK)
		return "the number of the set is larger than 1048575";
	if ((kind == SEGMENT_WITHIN || kind == SEGMENT_CHANGING) && (detail == 0 || detail > 1000000000))
		return "the number behind the colon is 0 or too large";
	if (kind != SEGMENT_FREED && area->kept != area->pages)
		return "freed pages come last";
	area->segments[area->segment_count++] = (struct segment){ kind, area->pages, pages, detail };
	area->pages += pages;
	if (kind != SEGMENT_FREED)
		area->kept = area->pages;
	return NULL;
}

bool area_argument(struct area *area, const struct argument *argument, const char **problem)
{
	if (equal(argument->key, "id")) {
		if (!argument->numeric || argument->part_count != 1 || argument->parts[0] > KEY_PART_MASK)
			*problem = "the guest's number is from 0 to 1048575";
		area->owner = argument->parts[0];
		return true;
	}
	for (u64 i = 0; i < COUNT(kinds); i++) {
		if (!equal(argument->key, kinds[i].key))
			continue;
		if (!argument->numeric || argument->part_count != kinds[i].parts)
			*problem = "the segment has another number of parts, or one is no number";
		else
			*problem = add_segment(area, kinds[i].kind, argument->parts[0], argument->parts[1]);
		return true;
	}
	return false;
}

static u64 segment_word(const struct area *area, const struct segment *segment, u32 within)
{
	switch (segment->kind) {
	case SEGMENT_ZERO:
		return 0;
	case SEGMENT_EQUAL:
		return word_of_key((struct key){ CONTENT_EQUAL, segment->detail, within, 0 });
	case SEGMENT_WITHIN:
		return word_of_key((struct key){ CONTENT_WITHIN, area->owner, within % segment->detail, 0 });
	default:
		return word_of_key((struct key){ CONTENT_UNIQUE, area->owner, segment->first + within, 0 });
	}
}

u64 area_address(const struct area *area, u32 index)
{
	return area->base + index * PAGE_SIZE;
}

void area_fill(const struct area *area)
{
	for (u32 i = 0; i < area->segment_count; i++) {
		const struct segment *segment = &area->segments[i];
		for (u32 page = 0; page < segment->pages; page++)
			fill_page(area_address(area, segment->first + page), segment_word(area, segment, page));
	}
}

u64 area_initial(const struct area *area, u32 index)
{
	const struct segment *segment = area->segments;
	while (index >= segment->first + segment->pages)
		segment++;
	return segment_word(area, segment, index - segment->first);
}

bool area_version(const struct area *area, u32 index, u64 word, u32 *version)
{
	struct key key = key_of_word(word);
	if (key.content == CONTENT_WRITTEN && key.owner == area->owner && key.index == index) {
		*version = key.version;
		return true;
	}
	*version = 0;
	return word == area_initial(area, index);
}

u64 area_next(const struct area *area, u32 index, u64 word)
{
	u32 version;
	if (!area_version(area, index, word, &version))
		return 0;
	return word_of_key((struct key){ CONTENT_WRITTEN, area->owner, index, version + 1 });
}
