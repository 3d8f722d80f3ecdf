#include "balloon.h"
#include "../native/line.h"
#include "../native/work.h"
#include "virtio.h"

#define FEATURE_MUST_TELL_HOST (1 << 0)
#define FEATURE_STATS (1 << 1)
#define CONFIG_TARGET 0
#define CONFIG_ACTUAL 4
enum { INFLATE, DEFLATE, STATS };

/* How often a device without interrupts is looked after, in ns. */
#define POLL_INTERVAL 10000000ul

/* As many page numbers as Linux's driver sends at once. */
#define MOST_PAGES 256

/* Statistics (section 5.5.6.3), in bytes. */
enum { STAT_FREE = 4, STAT_TOTAL = 5, STAT_AVAILABLE = 6 };

static struct {
	struct queue inflate, deflate, stats;
} queues __attribute__((section(".bss.rings")));

static struct {
	u32 pages[MOST_PAGES];
	struct {
		u16 tag;
		u64 value;
	} __attribute__((packed)) stats[3];
} buffers __attribute__((section(".bss.scratch")));

static struct virtio device;
static bool opened;
/* Page number behind memory. */
static u32 memory_end;
static u32 actual;
/* The last target that was told of. */
static u32 told;

/* How many pages there are to give: all from the area's freed ones on. */
static u32 capacity(void)
{
	return memory_end - (work_area.base / PAGE_SIZE + work_area.kept);
}

/* The page that is given as number `place`. */
static u32 page_at(u32 place)
{
	u32 freed = work_area.pages - work_area.kept;
	if (place < freed)
		return work_area.base / PAGE_SIZE + work_area.kept + place;
	return memory_end - 1 - (place - freed);
}

static void give_stats(void)
{
	u64 left = (u64)(capacity() - actual) * PAGE_SIZE;
	buffers.stats[0].tag = STAT_FREE;
	buffers.stats[0].value = left;
	buffers.stats[1].tag = STAT_TOTAL;
	buffers.stats[1].value = (u64)memory_end * PAGE_SIZE;
	buffers.stats[2].tag = STAT_AVAILABLE;
	buffers.stats[2].value = left;
	queue_give(&queues.stats, buffers.stats, sizeof buffers.stats, false);
}

void balloon_open(u64 end)
{
	memory_end = end / PAGE_SIZE;
	opened = virtio_open(&device, VIRTIO_BALLOON, FEATURE_MUST_TELL_HOST | FEATURE_STATS, EVENT_BALLOON_CONFIG);
	if (!opened)
		return;
	virtio_queue(&device, INFLATE, &queues.inflate, EVENT_BALLOON_QUEUE);
	virtio_queue(&device, DEFLATE, &queues.deflate, EVENT_BALLOON_QUEUE);
	if (device.features & FEATURE_STATS)
		virtio_queue(&device, STATS, &queues.stats, EVENT_BALLOON_QUEUE);
	virtio_start(&device);
	if (device.features & FEATURE_STATS)
		give_stats();
	/* The target may be set already. */
	events |= 1u << EVENT_BALLOON_CONFIG;
}

/* Moves up to MOST_PAGES pages towards `wanted`. */
static void move(u32 wanted)
{
	bool inflate = wanted > actual;
	u32 count = inflate ? wanted - actual : actual - wanted;
	if (count > MOST_PAGES)
		count = MOST_PAGES;
	for (u32 i = 0; i < count; i++)
		buffers.pages[i] = inflate ? page_at(actual + i) : page_at(actual - 1 - i);
	queue_send(&device, inflate ? &queues.inflate : &queues.deflate, buffers.pages, count * 4);
	actual += inflate ? count : -count;
	*(volatile u32 *)(device.device + CONFIG_ACTUAL) = actual;
}

static void follow_target(void)
{
	u32 target;
	for (;;) {
		target = virtio_config(&device, CONFIG_TARGET);
		u32 wanted = target < capacity() ? target : capacity();
		if (wanted == actual)
			break;
		move(wanted);
	}
	if (target == told)
		return;
	told = target;
	line_begin("guest", "balloon");
	line_number("target", target);
	line_number("actual", actual);
	line_end();
}

bool balloon_empty(void)
{
	return actual == 0;
}

u64 balloon_serve(void)
{
	u32 ignored;
	if (!opened)
		return NEVER;
	bool polled = !device.msix_table;
	if (cpu_take(EVENT_BALLOON_CONFIG) || polled)
		follow_target();
	bool used = cpu_take(EVENT_BALLOON_QUEUE) || polled;
	if (used && (device.features & FEATURE_STATS) && queue_take(&queues.stats, &ignored) >= 0)
		give_stats();
	return polled ? platform_now() + POLL_INTERVAL : NEVER;
}
