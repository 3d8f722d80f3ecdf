#include "console.h"
#include "../native/line.h"
#include "../native/strings.h"
#include "virtio.h"

#define PORT_NAME_WANTED "pagefold.workload"

#define FEATURE_MULTIPORT (1 << 1)
#define CONFIG_PORTS 4

/* Control messages (section 5.3.6.2). */
enum control_event { DEVICE_READY = 0, DEVICE_ADD = 1, PORT_READY = 3, PORT_OPEN = 6, PORT_NAME = 7 };

struct control {
	u32 port;
	u16 event, value;
	char name[24];
};

#define CONTROL_BYTES 8
#define CONTROL_RECEIVE 2
#define CONTROL_TRANSMIT 3
/* Ports that there is room for queues for. */
#define MOST_PORTS 11
/* Queues of port 0, the console, are left alone. */
#define RECEIVE_QUEUE(port) (2 * (port) + 2)
#define NO_PORT 0
/* A port that is not named in so many ns is not there. */
#define PATIENCE 50000000ul

#define INPUT_BYTES 128
#define LINE_BYTES 560

static struct {
	struct queue control_receive, control_transmit;
	struct {
		struct queue receive, transmit;
	} ports[MOST_PORTS];
} queues __attribute__((section(".bss.rings")));

static struct {
	struct control control[QUEUE_SIZE], answer;
	char input[QUEUE_SIZE][INPUT_BYTES];
} buffers __attribute__((section(".bss.buffers")));

static struct virtio device;
static u32 port;
static char line[LINE_BYTES];
static u64 line_used;
static bool line_told;
/* What of the oldest buffer of input has been read. */
static char *input;
static u32 input_at, input_end;

static void say(u32 about, enum control_event event, u16 value)
{
	buffers.answer.port = about;
	buffers.answer.event = event;
	buffers.answer.value = value;
	queue_send(&device, &queues.control_transmit, &buffers.answer, CONTROL_BYTES);
}

static struct queue *receive_queue(u32 number)
{
	return &queues.ports[number - 1].receive;
}

static struct queue *transmit_queue(u32 number)
{
	return &queues.ports[number - 1].transmit;
}

/* Acts on a control message. */
static void obey(const struct control *message, u32 bytes)
{
	u32 count = bytes - CONTROL_BYTES;
	if (message->event == DEVICE_ADD)
		say(message->port, PORT_READY, 1);
	if (message->event != PORT_NAME || message->port == NO_PORT || message->port > MOST_PORTS)
		return;
	/* Some devices end the name by NUL, some do not. */
	if (count < length(PORT_NAME_WANTED) || !starts_with(message->name, PORT_NAME_WANTED))
		return;
	if (count == length(PORT_NAME_WANTED) || !message->name[length(PORT_NAME_WANTED)])
		port = message->port;
}

/* Looks after control messages until none has come by that time. */
static void listen(u64 until)
{
	while (platform_now() < until && port == NO_PORT) {
		u32 bytes;
		int taken = queue_take(&queues.control_receive, &bytes);
		if (taken < 0) {
			cpu_sleep(until);
			continue;
		}
		obey(&buffers.control[taken], bytes);
		queue_give(&queues.control_receive, &buffers.control[taken], sizeof buffers.control[taken], true);
	}
}

void console_open(void)
{
	if (!virtio_open(&device, VIRTIO_CONSOLE, FEATURE_MULTIPORT, NO_EVENT) || !device.msix_table ||
	    !(device.features & FEATURE_MULTIPORT))
		return;
	u32 ports = virtio_config(&device, CONFIG_PORTS) - 1;
	if (ports > MOST_PORTS)
		ports = MOST_PORTS;
	virtio_queue(&device, CONTROL_RECEIVE, &queues.control_receive, EVENT_CONSOLE);
	virtio_queue(&device, CONTROL_TRANSMIT, &queues.control_transmit, EVENT_CONSOLE);
	for (u32 number = 1; number <= ports; number++) {
		virtio_queue(&device, RECEIVE_QUEUE(number), receive_queue(number), EVENT_CONSOLE);
		virtio_queue(&device, RECEIVE_QUEUE(number) + 1, transmit_queue(number), EVENT_CONSOLE);
	}
	virtio_start(&device);
	for (u32 i = 0; i < QUEUE_SIZE; i++)
		queue_give(&queues.control_receive, &buffers.control[i], sizeof buffers.control[i], true);
	say(~0u, DEVICE_READY, 1);
	listen(platform_now() + PATIENCE);
	if (port == NO_PORT)
		return;
	for (u32 i = 0; i < QUEUE_SIZE; i++)
		queue_give(receive_queue(port), buffers.input[i], INPUT_BYTES, true);
	say(port, PORT_OPEN, 1);
}

void platform_send(const char *bytes, u64 count)
{
	if (port == NO_PORT)
		serial_send(bytes, count);
	else
		queue_send(&device, transmit_queue(port), bytes, count);
}

/* The next byte of input, or -1. A buffer that was read goes back to the device. */
static int next_byte(void)
{
	if (input_at == input_end) {
		if (input)
			queue_give(receive_queue(port), input, INPUT_BYTES, true);
		input = NULL;
		int taken = queue_take(receive_queue(port), &input_end);
		if (taken < 0)
			return -1;
		input = buffers.input[taken];
		input_at = 0;
	}
	return (u8)input[input_at++];
}

const char *console_line(void)
{
	if (port == NO_PORT)
		return NULL;
	if (line_told)
		line_used = 0;
	line_told = false;
	for (int byte; (byte = next_byte()) >= 0;) {
		if (byte == '\n') {
			line[line_used] = 0;
			line_told = true;
			return line;
		}
		/* What is too long for a line is cut: no command is so long. */
		if (line_used < LINE_BYTES - 1)
			line[line_used++] = byte;
	}
	return NULL;
}
