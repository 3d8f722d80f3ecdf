#include "work.h"
#include "content.h"
#include "histogram.h"
#include "line.h"
#include "strings.h"

#define MS 1000000ul
#define SECOND 1000000000ul
/* Times between accesses have this many binary places. */
#define FRACTION_BITS 16
/* Accesses in one step, so that the platform is heard in between. */
#define BATCH 256
/* Accesses that come nearer to each other than this are made together. */
#define SHORTEST_SLEEP MS
/* So many wrong pages are reported one by one. */
#define REPORTED_ERRORS 10
#define TEXT 512

enum pattern { PATTERN_RANDOM, PATTERN_SEQUENTIAL, PATTERN_HOTCOLD };

/* How a phase touches the area. */
struct touching {
	enum pattern pattern;
	/* Accesses a second; 0 for none. */
	u64 rate;
	/* As many as there is time for, instead. */
	bool unlimited;
	/* Of 100 accesses, those that write. */
	u64 write;
	/* A write stores what is there already. */
	bool silent;
	/* Of 100 pages those that are hot, of 100 accesses those that go to them. */
	u64 hot, heat;
	u64 seed;
	/* The working set. */
	u64 from, pages;
	/* Every page that is read is checked to its end. */
	bool check;
	/* In ms: how long the phase lasts, how often it reports, how often all is verified; 0 for never. */
	u64 duration, report, verify;
};

/* Something that is to happen at a rate. */
struct pace {
	/* When the next one is due, and from one to the next: in ns, with FRACTION_BITS binary places. */
	u64 due;
	u64 interval;
};

struct area work_area;
u64 work_errors;

static char text[TEXT];
static const char *name;
/* What the arguments say of the area. */
static struct area described;
/* Where the arguments of the next phase begin. */
static const char *next;
static struct touching touching;
static bool active, over;
static struct pace pace;
static u64 random_state, cursor;
static u64 phase_end, next_report, next_verify;
/* Since the area was filled, and of the writes those that made a new version; changing pages count too. */
static u64 reads, writes, versions_made;
static struct histogram read_latency, write_latency;
static struct pace change_paces[AREA_SEGMENTS];
static u32 change_cursors[AREA_SEGMENTS];

static u64 pace_due(const struct pace *each)
{
	return each->due >> FRACTION_BITS;
}

static void pace_start(struct pace *each, u64 rate, u64 now)
{
	each->interval = (SECOND << FRACTION_BITS) / rate;
	each->due = (now << FRACTION_BITS) + each->interval;
}

void work_error(const char *message, const char *about)
{
	line_begin(name, "error");
	line_text("message", message);
	if (about)
		line_text("about", about);
	line_end();
}

static void wrong_page(u32 index, u64 word)
{
	if (work_errors++ >= REPORTED_ERRORS)
		return;
	struct key key = key_of_word(word);
	line_begin(name, "error");
	line_text("message", "a page has not what was written to it");
	line_number("page", index);
	line_number("content", key.content);
	line_number("owner", key.owner);
	line_number("index", key.index);
	line_number("version", key.version);
	line_end();
}

static bool set_number(const struct argument *argument, const char *key, u64 *value)
{
	if (!equal(argument->key, key) || !argument->numeric || argument->part_count != 1)
		return false;
	*value = argument->parts[0];
	return true;
}

static bool set_word(const struct argument *argument, const char *key, const char *word)
{
	return equal(argument->key, key) && equal(argument->word, word);
}

static bool touch_argument(struct touching *to, const struct argument *argument)
{
	if (set_word(argument, "pattern", "random"))
		to->pattern = PATTERN_RANDOM;
	else if (set_word(argument, "pattern", "sequential"))
		to->pattern = PATTERN_SEQUENTIAL;
	else if (set_word(argument, "pattern", "hotcold"))
		to->pattern = PATTERN_HOTCOLD;
	else if (set_word(argument, "rate", "max"))
		to->unlimited = true;
	else if (set_number(argument, "rate", &to->rate))
		to->unlimited = false;
	else if (set_word(argument, "store", "new"))
		to->silent = false;
	else if (set_word(argument, "store", "same"))
		to->silent = true;
	else if (set_word(argument, "check", "word"))
		to->check = false;
	else if (set_word(argument, "check", "page"))
		to->check = true;
	else
		return set_number(argument, "write", &to->write) || set_number(argument, "hot", &to->hot) ||
		       set_number(argument, "heat", &to->heat) || set_number(argument, "seed", &to->seed) ||
		       set_number(argument, "from", &to->from) || set_number(argument, "pages", &to->pages) ||
		       set_number(argument, "duration", &to->duration) ||
		       set_number(argument, "report", &to->report) || set_number(argument, "verify", &to->verify);
	return true;
}

static const char *touching_problem(const struct touching *it, u64 kept)
{
	if (it->write > 100 || it->hot > 100 || it->heat > 100)
		return "a share is larger than 100";
	if (it->rate > 100000000)
		return "the rate is larger than 100000000";
	if (it->from + it->pages > kept || (it->pages == 0 && it->from > 0))
		return "the working set is not within the area";
	if (kept == 0 && (it->rate || it->unlimited))
		return "there is nothing to touch";
	return NULL;
}

/*
 * Reads a phase's arguments, which add to those of the phase before; only its duration is its own. Gives what is wrong, and sets
 * `*about` to the key.
 */
static const char *read_phase(const char **at, struct touching *to, struct area *area, const char **about)
{
	static struct argument argument;
	const char *problem = NULL;
	*about = argument.key;
	to->duration = 0;
	while (next_argument(at, &argument, &problem)) {
		if (!area_argument(area, &argument, &problem) && !touch_argument(to, &argument))
			problem = "there is no such argument, or it has no such value";
		if (problem)
			return problem;
	}
	if (problem)
		return problem;
	*about = NULL;
	return touching_problem(to, area->kept);
}

static bool same_area(const struct area *one, const struct area *other)
{
	bool same = one->owner == other->owner && one->segment_count == other->segment_count;
	for (u32 i = 0; same && i < one->segment_count; i++) {
		const struct segment *a = &one->segments[i], *b = &other->segments[i];
		same = a->kind == b->kind && a->pages == b->pages && a->detail == b->detail;
	}
	return same;
}

/* Reads all phases, to see whether they are right. */
static const char *read_arguments(const char **about)
{
	struct touching all = touching;
	const char *at = text;
	memset(&described, 0, sizeof described);
	const char *problem = read_phase(&at, &all, &described, about);
	u32 segments = described.segment_count;
	while (!problem && next_phase(&at)) {
		problem = read_phase(&at, &all, &described, about);
		if (!problem && described.segment_count != segments)
			problem = "a later phase describes more of the area";
	}
	if (problem)
		return problem;
	if (*at && *at != ' ' && *at != '\n')
		return "something stands behind the arguments";
	if (work_area.pages && !same_area(&work_area, &described))
		return "the area is another than the one that was filled";
	return NULL;
}

bool work_arguments(const char *workload, const char *given)
{
	const char *problem, *about = NULL;
	name = workload;
	active = false;
	phase_end = next_report = next_verify = NEVER;
	touching = (struct touching){ .hot = 10, .heat = 90, .report = 1000 };
	next = text;
	u64 count = length(given);
	if (count < TEXT) {
		memcpy(text, given, count + 1);
		problem = read_arguments(&about);
	} else
		problem = "the arguments are longer than 511 characters";
	if (problem) {
		work_error(problem, about);
		return false;
	}
	if (!work_area.pages) {
		described.base = work_area.base;
		work_area = described;
	}
	return true;
}

void work_fill(void)
{
	area_fill(&work_area);
	u64 now = platform_now();
	for (u32 i = 0; i < work_area.segment_count; i++)
		if (work_area.segments[i].kind == SEGMENT_CHANGING)
			pace_start(&change_paces[i], work_area.segments[i].detail, now);
	line_begin(name, "filled");
	line_number("pages", work_area.pages);
	line_end();
}

/* Takes up the next phase; false when there is none. */
static bool begin_phase(void)
{
	const char *about;
	if (next != text && !next_phase(&next))
		return false;
	memset(&described, 0, sizeof described);
	read_phase(&next, &touching, &described, &about);
	u64 now = platform_now();
	active = touching.rate || touching.unlimited;
	if (touching.rate && !touching.unlimited)
		pace_start(&pace, touching.rate, now);
	random_state = touching.seed;
	cursor = 0;
	phase_end = touching.duration ? now + touching.duration * MS : NEVER;
	next_report = touching.report && active ? now + touching.report * MS : NEVER;
	next_verify = touching.verify ? now + touching.verify * MS : NEVER;
	return true;
}

static void report(const char *event)
{
	histogram_report(&read_latency, name, "read");
	histogram_report(&write_latency, name, "write");
	u64 now = platform_now();
	line_begin(name, event);
	line_number("reads", reads);
	line_number("writes", writes);
	line_number("errors", work_errors);
	if (active && !touching.unlimited)
		line_number("behind_ns", pace_due(&pace) < now ? now - pace_due(&pace) : 0);
	line_end();
}

void work_begin(void)
{
	over = false;
	begin_phase();
	if (active || phase_end != NEVER) {
		line_begin(name, "started");
		line_end();
	}
}

void work_end(void)
{
	if (active || phase_end != NEVER)
		report("finished");
	active = false;
	over = true;
	phase_end = next_report = next_verify = NEVER;
}

bool work_over(void)
{
	return over;
}

/* SplitMix64's step: the next of a sequence of 64-bit numbers. */
static u64 random(void)
{
	random_state += 0x9e3779b97f4a7c15;
	u64 value = random_state;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
	value = (value ^ value >> 27) * 0x94d049bb133111eb;
	return value ^ value >> 31;
}

/* A number from 0 to count - 1. */
static u64 random_below(u64 count)
{
	return (unsigned __int128)random() * count >> 64;
}

static u32 next_page(void)
{
	u64 pages = touching.pages ? touching.pages : work_area.kept;
	u64 hot = pages * touching.hot / 100;
	switch (touching.pattern) {
	case PATTERN_SEQUENTIAL:
		if (cursor >= pages)
			cursor = 0;
		return touching.from + cursor++;
	case PATTERN_HOTCOLD:
		if (hot > 0 && hot < pages)
			return touching.from +
			       (random_below(100) < touching.heat ? random_below(hot) : hot + random_below(pages - hot));
		break;
	case PATTERN_RANDOM:
		break;
	}
	return touching.from + random_below(pages);
}

static u64 load(u64 address)
{
	return *(volatile u64 *)address;
}

static void store(u64 address, u64 word)
{
	*(volatile u64 *)address = word;
}

static void read_page(u32 index)
{
	u64 before = read_tsc();
	u64 address = platform_fetch(index);
	u64 word = load(address);
	histogram_add(&read_latency, platform_ns(read_tsc() - before));
	reads++;
	u32 version;
	if (!area_version(&work_area, index, word, &version) || (touching.check && !page_is(address, word)))
		wrong_page(index, word);
}

/* Writes a page's next version. Its latency is that of the load and the store that come first, not of what is computed between. */
static u64 write_page(u32 index, bool silent)
{
	u64 address = area_address(&work_area, index);
	u64 before = read_tsc();
	u64 word = load(address);
	u64 counts = read_tsc() - before;
	u64 changed = area_next(&work_area, index, word);
	if (changed == 0)
		wrong_page(index, word);
	if (silent)
		changed = word;
	before = read_tsc();
	store(address, changed);
	counts += read_tsc() - before;
	writes++;
	if (!silent) {
		versions_made++;
		fill_page(address, changed);
	}
	return counts;
}

static void access(void)
{
	if (touching.write && random_below(100) < touching.write)
		histogram_add(&write_latency, platform_ns(write_page(next_page(), touching.silent)));
	else
		read_page(next_page());
}

/* Rewrites changing pages that are due. Gives when the next is. */
static u64 change_pages(u64 now)
{
	u64 earliest = NEVER;
	for (u32 i = 0; i < work_area.segment_count; i++) {
		const struct segment *segment = &work_area.segments[i];
		if (segment->kind != SEGMENT_CHANGING)
			continue;
		struct pace *each = &change_paces[i];
		for (u32 done = 0; pace_due(each) <= now && done < BATCH; done++) {
			write_page(segment->first + change_cursors[i], false);
			change_cursors[i] = (change_cursors[i] + 1) % segment->pages;
			each->due += each->interval;
		}
		if (pace_due(each) < earliest)
			earliest = pace_due(each);
	}
	return earliest;
}

/* Makes the accesses that are due. Gives when the next is. */
static u64 touch_pages(u64 now)
{
	if (!active)
		return NEVER;
	for (u32 done = 0; done < BATCH; done++) {
		if (!touching.unlimited) {
			if (pace_due(&pace) > now)
				return pace_due(&pace);
			pace.due += pace.interval;
		}
		access();
	}
	return now;
}

void work_verify(void)
{
	u64 versions = 0;
	for (u32 index = 0; index < work_area.kept; index++) {
		u64 address = platform_fetch(index);
		u64 word = load(address);
		u32 version;
		if (!area_version(&work_area, index, word, &version) || !page_is(address, word))
			wrong_page(index, word);
		versions += version;
	}
	/* A page that is an older version of itself is not wrong by itself, but then a write is missing from the sum. */
	if ((versions & KEY_PART_MASK) != (versions_made & KEY_PART_MASK)) {
		work_errors++;
		work_error("the versions of all pages do not add up to the writes", NULL);
	}
	line_begin(name, "verified");
	line_number("pages", work_area.kept);
	line_number("versions", versions);
	line_number("errors", work_errors);
	line_end();
}

static u64 earlier(u64 one, u64 other)
{
	return one < other ? one : other;
}

u64 work_step(void)
{
	u64 now = platform_now();
	if (phase_end <= now) {
		if (*next == '/')
			report("progress");
		if (!begin_phase())
			work_end();
	}
	if (next_verify <= now) {
		work_verify();
		next_verify = platform_now() + touching.verify * MS;
	}
	if (next_report <= now) {
		report("progress");
		next_report += touching.report * MS;
	}
	u64 paced = earlier(change_pages(now), touch_pages(now));
	if (paced > now && paced < now + SHORTEST_SLEEP)
		paced = now + SHORTEST_SLEEP;
	return earlier(paced, earlier(phase_end, earlier(next_report, next_verify)));
}
