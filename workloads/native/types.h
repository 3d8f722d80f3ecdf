/* Integer types and the few compiler helpers that all of the C here uses. Nothing here needs a C library. */
#ifndef PAGEFOLD_TYPES_H
#define PAGEFOLD_TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)
#define PAGE_SIZE 4096ul
/* "Never", as a time in ns. */
#define NEVER (~0ul)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* Keeps the compiler from moving memory accesses across this point. */
#define BARRIER() __asm__ volatile("" ::: "memory")

/* The compiler itself calls these two. */
void *memset(void *to, int byte, u64 bytes);
void *memcpy(void *to, const void *from, u64 bytes);

static inline u64 read_tsc(void)
{
	u32 low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (u64)high << 32 | low;
}

static inline void cpuid(u32 leaf, u32 out[4])
{
	__asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

#endif
