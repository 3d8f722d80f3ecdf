/*
 * The driver of the balloon (Virtual I/O Device 1.3, section 5.5). What it gives are the pages that the area leaves free, in
 * an order that is always the same: first those that the recipe wrote and freed, from the first on, then those that were never
 * touched, from the top of memory down. They come back in the opposite order.
 */
#ifndef PAGEFOLD_BALLOON_H
#define PAGEFOLD_BALLOON_H
#include "../native/types.h"

/* Opens the device, if there is one. `memory_end` is the first byte behind memory. */
void balloon_open(u64 memory_end);
/* True while the area may change: nothing is in the balloon. */
bool balloon_empty(void);
/* Does what the host has asked for since it was called last. Gives when it wants to be called again without an interrupt. */
u64 balloon_serve(void);

#endif
