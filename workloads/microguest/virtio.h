/*
 * Virtio devices over PCI, without the legacy interface (Virtual I/O Device 1.3, sections 2 and 4.1), with queues of
 * four descriptors, each buffer of one, and MSI-X interrupts. A device that has no MSI-X is polled.
 */
#ifndef PAGEFOLD_VIRTIO_H
#define PAGEFOLD_VIRTIO_H
#include "../native/types.h"
#include "cpu.h"

#define QUEUE_SIZE 4
#define NO_EVENT (-1)

enum virtio_type { VIRTIO_CONSOLE = 3, VIRTIO_BALLOON = 5 };

struct queue {
	volatile struct {
		u64 address;
		u32 length;
		u16 flags;
		u16 next;
	} descriptors[QUEUE_SIZE];
	volatile struct {
		u16 flags, index, ring[QUEUE_SIZE];
	} available;
	volatile struct {
		u16 flags, index;
		struct {
			u32 id, length;
		} ring[QUEUE_SIZE];
	} used __attribute__((aligned(4)));
	/* The driver's own: its number, how many buffers were given and taken back, where its notifications go. */
	u16 number, given, taken;
	u64 notify;
} __attribute__((aligned(16)));

/* Registers of a device, as addresses. */
struct virtio {
	u64 common, notify, device;
	u32 notify_multiplier;
	/* 0 for a device that is polled. */
	u64 msix_table;
	/* Slot on PCI bus 0. */
	u32 slot;
	/* Features that were accepted, the low 32 bits. */
	u32 features;
};

/*
 * Finds the first device of a type and negotiates the features wanted, as far as they are offered. False when there is
 * none, or it wants what this driver cannot do. Then queues are set up, and `virtio_start` lets it go.
 * @param config_event set by configuration changes, or NO_EVENT
 */
bool virtio_open(struct virtio *device, enum virtio_type type, u32 wanted, int config_event);
/* Sets up a queue, whose interrupts set an event, or NO_EVENT. */
void virtio_queue(struct virtio *device, u32 number, struct queue *queue, int event);
void virtio_start(struct virtio *device);

static inline u32 virtio_config(const struct virtio *device, u32 offset)
{
	return *(volatile u32 *)(device->device + offset);
}

/* Gives a buffer to the device, to read or to write. At most QUEUE_SIZE may be out. */
void queue_give(struct queue *queue, const void *buffer, u32 length, bool device_writes);
/* Takes the next buffer back: its number, counted in the order of a queue that is filled once; -1 when none is. */
int queue_take(struct queue *queue, u32 *length);
/* Gives a buffer for the device to read and sleeps until it has. Interrupts of other devices are kept. */
void queue_send(const struct virtio *device, struct queue *queue, const void *buffer, u32 length);

#endif
