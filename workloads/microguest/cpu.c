#include "cpu.h"
#include "../native/line.h"
#include "../native/work.h"

/* Registers of the local APIC (Intel SDM vol. 3, "Local APIC Register Address Map"). */
#define APIC(offset) (*(volatile u32 *)(0xfee00000ul + (offset)))
#define APIC_SPURIOUS 0xf0
#define APIC_ENABLE 0x100
#define APIC_TIMER 0x320
#define APIC_LINT0 0x350
#define APIC_MASKED 0x10000
#define APIC_INITIAL_COUNT 0x380
#define APIC_CURRENT_COUNT 0x390
#define APIC_DIVIDE 0x3e0
#define APIC_DIVIDE_BY_16 3

#define COM1 0x3f8
#define COM1_LINE_CONTROL (COM1 + 3)
#define COM1_EIGHT_BITS 3
#define COM1_STATUS (COM1 + 5)
#define COM1_CAN_SEND 0x20

#define PIT_HZ 1193182
#define PIT_CONTROL 0x43
#define PIT_COUNTER2 0x42
#define PIT_GATE 0x61

#define DEBUG_EXIT 0xf4

volatile u32 events;

/* Counts of the TSC and of the local APIC's timer, times these and divided by 2^32, are ns; and ns are counts. */
static u64 tsc_to_ns, ns_to_apic;

u64 platform_ns(u64 counts)
{
	return (unsigned __int128)counts * tsc_to_ns >> 32;
}

u64 platform_now(void)
{
	return platform_ns(read_tsc());
}

static void set_frequencies(u64 tsc_khz, u64 apic_khz)
{
	tsc_to_ns = (1000000ul << 32) / tsc_khz;
	ns_to_apic = (apic_khz << 32) / 16 / 1000000;
}

/* Counts both clocks while the 8254's counter 2 runs down once: 50 ms. */
static void measure_frequencies(void)
{
	u32 pulses = PIT_HZ / 20;
	out8(PIT_GATE, (in8(PIT_GATE) & ~2) | 1);
	out8(PIT_CONTROL, 0xb0);
	out8(PIT_COUNTER2, pulses & 0xff);
	out8(PIT_COUNTER2, pulses >> 8);
	APIC(APIC_INITIAL_COUNT) = ~0u;
	u64 tsc = read_tsc();
	while (!(in8(PIT_GATE) & 0x20))
		;
	tsc = read_tsc() - tsc;
	u64 apic = ~0u - APIC(APIC_CURRENT_COUNT);
	APIC(APIC_INITIAL_COUNT) = 0;
	set_frequencies(tsc / 50, apic * 16 / 50);
}

void cpu_setup(void)
{
	out8(COM1_LINE_CONTROL, COM1_EIGHT_BITS);
	/* The 8259As are silent, and what they would send is not taken. */
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	APIC(APIC_SPURIOUS) = APIC_ENABLE | (FIRST_VECTOR + EVENT_SPURIOUS);
	APIC(APIC_LINT0) = APIC_MASKED;
	APIC(APIC_DIVIDE) = APIC_DIVIDE_BY_16;
	APIC(APIC_TIMER) = FIRST_VECTOR + EVENT_TIMER;
	/* KVM's leaf 0x40000010 tells both frequencies in kHz. */
	u32 leaf[4];
	cpuid(0x40000000, leaf);
	if (leaf[1] == 0x4b4d564b && leaf[0] >= 0x40000010) {
		cpuid(0x40000010, leaf);
		set_frequencies(leaf[0], leaf[1]);
	} else
		measure_frequencies();
	cpu_take(EVENT_TIMER);
}

bool cpu_take(enum event event)
{
	u32 bit = 1u << event;
	bool came = events & bit;
	if (came)
		__asm__ volatile("lock andl %1, %0" : "+m"(events) : "r"(~bit) : "memory");
	return came;
}

void cpu_breathe(void)
{
	/* STI lets the next instruction pass first. */
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

void cpu_sleep(u64 until)
{
	if (until != NEVER) {
		u64 now = platform_now();
		u64 ns = until > now ? until - now : 0;
		/* Long sleeps are cut: who called looks what is due and sleeps again. */
		if (ns > 1000000000)
			ns = 1000000000;
		u32 counts = ns * ns_to_apic >> 32;
		APIC(APIC_INITIAL_COUNT) = counts + 1;
	}
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	if (until != NEVER)
		APIC(APIC_INITIAL_COUNT) = 0;
}

void serial_send(const char *bytes, u64 count)
{
	for (; count; count--) {
		while (!(in8(COM1_STATUS) & COM1_CAN_SEND))
			;
		out8(COM1, *bytes++);
	}
}

static void serial_hexadecimal(u64 value)
{
	char digits[17] = " ";
	for (u32 i = 0; i < 16; i++)
		digits[1 + i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
	serial_send(digits, sizeof digits);
}

/* An exception, which is a defect of this program: tells it on the serial port and ends the machine. */
__attribute__((noreturn)) void fatal(u64 number, u64 first, u64 second)
{
	static const char message[] = "microguest: exception";
	serial_send(message, sizeof message - 1);
	serial_hexadecimal(number);
	serial_hexadecimal(first);
	serial_hexadecimal(second);
	serial_send("\n", 1);
	out8(DEBUG_EXIT, 1);
	for (;;)
		__asm__ volatile("cli; hlt");
}
