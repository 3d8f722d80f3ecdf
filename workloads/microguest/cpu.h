/* The processor and its platform: ports, interrupts, time, idling. */
#ifndef PAGEFOLD_CPU_H
#define PAGEFOLD_CPU_H
#include "../native/types.h"

/* Bits of `events`; the interrupt vector of each is FIRST_VECTOR and its number. */
enum event { EVENT_TIMER, EVENT_CONSOLE, EVENT_BALLOON_CONFIG, EVENT_BALLOON_QUEUE, EVENT_SPURIOUS };

#define FIRST_VECTOR 0x40

/* What has been interrupted for and not been looked after yet. */
extern volatile u32 events;

static inline void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline u8 in8(u16 port)
{
	u8 value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void out32(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline u32 in32(u16 port)
{
	u32 value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Sets up interrupts and the clock. */
void cpu_setup(void);
/* Takes an event: true when it has come since it was last taken. */
bool cpu_take(enum event event);
/* Sleeps until that time in ns, or until an interrupt comes. Interrupts come here and in `cpu_breathe` only. */
void cpu_sleep(u64 until);
/* Lets interrupts come. */
void cpu_breathe(void);
/* Writes to the serial port. */
void serial_send(const char *bytes, u64 count);

#endif
