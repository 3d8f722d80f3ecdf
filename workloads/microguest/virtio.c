#include "virtio.h"
#include "../native/line.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_SLOTS 32
#define PCI_COMMAND 0x04
#define PCI_MEMORY_AND_MASTER 6
#define PCI_BARS 0x10
#define PCI_CAPABILITIES 0x34
#define CAPABILITY_VENDOR 0x09
#define CAPABILITY_MSIX 0x11
#define MSIX_ENABLE 0x80000000

/* Virtio: vendor and device IDs, kinds of structure (section 4.1.4), the common configuration (4.1.4.3). */
#define VIRTIO_ID(type) ((0x1040u + (type)) << 16 | 0x1af4)
#define STRUCTURE_COMMON 1
#define STRUCTURE_NOTIFY 2
#define STRUCTURE_DEVICE 4

struct common {
	volatile u32 device_feature_select, device_feature, driver_feature_select, driver_feature;
	volatile u16 config_vector, queue_count;
	volatile u8 status, generation;
	volatile u16 queue_select, queue_size, queue_vector, queue_enable, queue_notify;
	/* 64-bit registers are written as halves. */
	volatile u32 descriptors[2], driver[2], area[2];
};

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8
/* VIRTIO_F_VERSION_1, in the second word of features. */
#define FEATURE_VERSION_1 1

#define DESCRIPTOR_WRITE 2
#define NO_VECTOR 0xffff

/* How often a device that is polled is looked after while it is waited for, in ns. */
#define POLL_INTERVAL 50000

#define MESSAGE_ADDRESS 0xfee00000

static u32 pci_read(u32 slot, u32 offset)
{
	out32(PCI_ADDRESS, 0x80000000 | slot << 11 | (offset & 0xfc));
	return in32(PCI_DATA) >> (offset & 3) * 8;
}

static void pci_write(u32 slot, u32 offset, u32 value)
{
	out32(PCI_ADDRESS, 0x80000000 | slot << 11 | offset);
	out32(PCI_DATA, value);
}

/* Where a memory BAR begins; 0 when it is none, or lies above 4 GiB. */
static u64 bar(u32 slot, u32 number)
{
	u32 low = pci_read(slot, PCI_BARS + 4 * number);
	bool wide = (low & 7) == 4;
	if ((low & 1) || (wide && pci_read(slot, PCI_BARS + 4 * number + 4) != 0))
		return 0;
	return low & ~15u;
}

/* Takes up what a capability says; 0 for a structure stands for what this driver cannot reach. */
static void read_capability(struct virtio *device, u32 at)
{
	u32 slot = device->slot, head = pci_read(slot, at);
	if ((head & 0xff) == CAPABILITY_MSIX) {
		u32 table = pci_read(slot, at + 4);
		u64 base = bar(slot, table & 7);
		device->msix_table = base ? base + (table & ~7u) : 0;
		pci_write(slot, at, head | MSIX_ENABLE);
	}
	if ((head & 0xff) != CAPABILITY_VENDOR)
		return;
	u64 base = bar(slot, pci_read(slot, at + 4) & 0xff);
	u64 address = base ? base + pci_read(slot, at + 8) : 0;
	switch (head >> 24) {
	case STRUCTURE_COMMON:
		device->common = address;
		break;
	case STRUCTURE_NOTIFY:
		device->notify = address;
		device->notify_multiplier = pci_read(slot, at + 16);
		break;
	case STRUCTURE_DEVICE:
		device->device = address;
		break;
	}
}

static bool find(struct virtio *device, enum virtio_type type)
{
	for (u32 slot = 0; slot < PCI_SLOTS; slot++) {
		if (pci_read(slot, 0) != VIRTIO_ID(type))
			continue;
		*device = (struct virtio){ .slot = slot };
		pci_write(slot, PCI_COMMAND, (pci_read(slot, PCI_COMMAND) & 0xffff) | PCI_MEMORY_AND_MASTER);
		for (u32 at = pci_read(slot, PCI_CAPABILITIES) & 0xfc; at; at = pci_read(slot, at + 1) & 0xfc)
			read_capability(device, at);
		return device->common && device->notify && device->device;
	}
	return false;
}

/* Lets an entry of the MSI-X table interrupt for the event, and gives its number. */
static u16 vector(struct virtio *device, int event)
{
	if (event == NO_EVENT || !device->msix_table)
		return NO_VECTOR;
	/* The balloon is the one device with two. */
	u16 number = event == EVENT_BALLOON_QUEUE ? 1 : 0;
	volatile u32 *entry = (volatile u32 *)(device->msix_table + 16 * number);
	entry[0] = MESSAGE_ADDRESS;
	entry[1] = 0;
	entry[2] = FIRST_VECTOR + event;
	entry[3] = 0;
	return number;
}

bool virtio_open(struct virtio *device, enum virtio_type type, u32 wanted, int config_event)
{
	if (!find(device, type))
		return false;
	struct common *common = (struct common *)device->common;
	common->status = 0;
	while (common->status)
		;
	common->status = STATUS_ACKNOWLEDGE;
	common->status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	common->device_feature_select = 0;
	device->features = common->device_feature & wanted;
	common->driver_feature_select = 0;
	common->driver_feature = device->features;
	common->driver_feature_select = 1;
	common->driver_feature = FEATURE_VERSION_1;
	common->status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
	common->config_vector = vector(device, config_event);
	return common->status & STATUS_FEATURES_OK;
}

static void write64(volatile u32 halves[2], volatile void *address)
{
	halves[0] = (u64)address;
	halves[1] = 0;
}

void virtio_queue(struct virtio *device, u32 number, struct queue *queue, int event)
{
	struct common *common = (struct common *)device->common;
	memset(queue, 0, sizeof *queue);
	queue->number = number;
	common->queue_select = number;
	common->queue_size = QUEUE_SIZE;
	write64(common->descriptors, queue->descriptors);
	write64(common->driver, &queue->available);
	write64(common->area, &queue->used);
	common->queue_vector = vector(device, event);
	queue->notify = device->notify + common->queue_notify * device->notify_multiplier;
	common->queue_enable = 1;
}

void virtio_start(struct virtio *device)
{
	struct common *common = (struct common *)device->common;
	common->status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK;
}

void queue_give(struct queue *queue, const void *buffer, u32 length, bool device_writes)
{
	u16 number = queue->given % QUEUE_SIZE;
	queue->descriptors[number].address = (u64)buffer;
	queue->descriptors[number].length = length;
	queue->descriptors[number].flags = device_writes ? DESCRIPTOR_WRITE : 0;
	queue->available.ring[number] = number;
	BARRIER();
	queue->available.index = ++queue->given;
	__asm__ volatile("mfence" ::: "memory");
	*(volatile u16 *)queue->notify = queue->number;
}

int queue_take(struct queue *queue, u32 *length)
{
	if (queue->used.index == queue->taken)
		return -1;
	BARRIER();
	u16 at = queue->taken++ % QUEUE_SIZE;
	*length = queue->used.ring[at].length;
	return queue->used.ring[at].id;
}

void queue_send(const struct virtio *device, struct queue *queue, const void *buffer, u32 length)
{
	u32 ignored;
	queue_give(queue, buffer, length, false);
	while (queue_take(queue, &ignored) < 0)
		cpu_sleep(device->msix_table ? NEVER : platform_now() + POLL_INTERVAL);
}
