/*
 * The microguest: fills its memory by a recipe, touches it, follows its balloon, and sleeps when there is nothing to do.
 *
 * Memory: the loader's pages below 1 MiB, this program from 1 MiB on, the area from 2 MiB on. See docs/workloads.md for
 * what each page has.
 */
#include "../native/content.h"
#include "../native/line.h"
#include "../native/strings.h"
#include "../native/work.h"
#include "balloon.h"
#include "console.h"
#include "cpu.h"

/* What the loader leaves below 1 MiB: GDT, zero page and entropy, page tables, and the command line wherever it says. */
#define LOADER_PAGES 0x1000
#define LOADER_PAGES_COUNT 3
#define PAGE_TABLES 0x9000
#define PAGE_TABLES_ENTRIES (6 * 512)
#define ENTRY_PRESENT 0x01
#define ENTRY_ACCESSED 0x20
#define ENTRY_DIRTY 0x40
#define ENTRY_LARGE 0x80

/* Offsets in the zero page (Linux/x86 boot protocol, "Zero Page"). */
#define ZERO_PAGE_E820_COUNT 0x1e8
#define ZERO_PAGE_COMMAND_LINE 0x228
#define ZERO_PAGE_E820 0x2d0

/* A line of the firmware's memory map: 20 bytes in the zero page, 24 in PVH's. */
struct map_entry {
	u64 start, length;
	u32 type;
} __attribute__((packed));

#define ZERO_PAGE_ENTRY 20
#define PVH_ENTRY 24
#define MAP_RAM 1

/* What PVH hands over (Xen, "x86/HVM direct boot ABI"). */
struct pvh_start {
	u32 magic, version, flags, modules;
	u64 module_list, command_line, rsdp, map;
	u32 map_entries, reserved;
};

#define ARGUMENTS_BYTES 512

extern char private_start[], private_end[];

static char arguments[ARGUMENTS_BYTES];
static u64 memory_end;

/* The end of the RAM that the area is in. */
static u64 ram_end(u64 map, u32 entries, u32 entry_bytes)
{
	for (u32 i = 0; i < entries; i++) {
		const struct map_entry *entry = (const void *)(map + i * entry_bytes);
		if (entry->type == MAP_RAM && entry->start <= AREA && entry->start + entry->length > AREA)
			return entry->start + entry->length;
	}
	return AREA;
}

/* Looks for `key` among the words of the command line; gives what stands behind it. */
static const char *find_word(const char *text, const char *key)
{
	for (; *text; text++) {
		if (starts_with(text, key))
			return text + length(key);
		while (*text && *text != ' ')
			text++;
		if (!*text)
			break;
	}
	return NULL;
}

static bool is_word(const char *text, const char *word)
{
	return starts_with(text, word) && (text[length(word)] == 0 || text[length(word)] == ' ');
}

/* Keeps the arguments; false when another workload is asked for. */
static bool read_command_line(const char *text)
{
	const char *workload = find_word(text, "pagefold.workload=");
	const char *given = find_word(text, "pagefold.args=");
	for (u64 i = 0; given && given[i] && given[i] != ' ' && i < ARGUMENTS_BYTES - 1; i++)
		arguments[i] = given[i];
	return !workload || is_word(workload, "recipe") || is_word(workload, "idle");
}

/*
 * Makes the loader's pages the same in every guest: what is read already becomes zero, and the page tables have every
 * bit that the CPU would set as it goes.
 */
static void settle_loader_pages(const char *command_line)
{
	memset((void *)LOADER_PAGES, 0, LOADER_PAGES_COUNT * PAGE_SIZE);
	memset((void *)((u64)command_line & -PAGE_SIZE), 0, PAGE_SIZE);
	u64 *entry = (u64 *)PAGE_TABLES;
	for (u32 i = 0; i < PAGE_TABLES_ENTRIES; i++)
		if (entry[i] & ENTRY_PRESENT)
			entry[i] |= ENTRY_ACCESSED | (entry[i] & ENTRY_LARGE ? ENTRY_DIRTY : 0);
}

u64 platform_fetch(u32 index)
{
	return area_address(&work_area, index);
}

/* Ends each private page by a word that no other page has. */
static void mark_private_pages(void)
{
	for (u64 page = (u64)private_start; page < (u64)private_end; page += PAGE_SIZE) {
		struct key key = { CONTENT_PRIVATE, work_area.owner, page / PAGE_SIZE, 0 };
		*(u64 *)(page + PAGE_SIZE - 8) = word_of_key(key);
	}
}

/* Does what a recipe's arguments say; the first time that they describe an area, it is filled. */
static void follow_recipe(const char *given)
{
	bool filled = work_area.pages;
	if (!work_arguments("recipe", given))
		return;
	u64 end = work_area.base + work_area.pages * PAGE_SIZE;
	if (!filled && (end > memory_end || !balloon_empty())) {
		work_area.pages = work_area.kept = work_area.segment_count = 0;
		work_error(end > memory_end ? "the area does not fit into memory" : "the balloon is not empty", NULL);
		return;
	}
	if (!filled && work_area.pages)
		work_fill();
	work_begin();
}

static void obey(const char *command)
{
	static const char start[] = "start recipe ", idle[] = "start idle";
	if (equal(command, "verify"))
		work_verify();
	else if (equal(command, "stop") || starts_with(command, idle))
		work_end();
	else if (starts_with(command, start)) {
		work_end();
		follow_recipe(command + sizeof start - 1);
	} else
		work_error("the microguest knows no such command", command);
}

/* Called by start.S, on a stack of one page, with the zero page or, when that is 0, PVH's start information. */
__attribute__((noreturn)) void microguest(u64 zero_page, const struct pvh_start *pvh)
{
	bool known;
	if (zero_page) {
		const char *command_line = (const char *)(u64)*(u32 *)(zero_page + ZERO_PAGE_COMMAND_LINE);
		memory_end =
			ram_end(zero_page + ZERO_PAGE_E820, *(u8 *)(zero_page + ZERO_PAGE_E820_COUNT), ZERO_PAGE_ENTRY);
		known = read_command_line(command_line);
		settle_loader_pages(command_line);
	} else {
		memory_end = ram_end(pvh->map, pvh->map_entries, PVH_ENTRY);
		known = read_command_line((const char *)pvh->command_line);
	}
	cpu_setup();
	console_open();
	line_begin("guest", "ready");
	line_number("memory_pages", memory_end / PAGE_SIZE);
	line_end();
	work_area.base = AREA;
	if (known)
		follow_recipe(arguments);
	else
		work_error("the microguest has the workloads recipe and idle only", NULL);
	mark_private_pages();
	balloon_open(memory_end);
	for (;;) {
		for (const char *command; (command = console_line());)
			obey(command);
		u64 poll = balloon_serve();
		u64 due = work_step();
		if (poll < due)
			due = poll;
		if (due > platform_now())
			cpu_sleep(due);
		else
			cpu_breathe();
	}
}
