/*
 * The work on an area: pages that change at a rate, and touching in a stated pattern, whose latency is measured. It is
 * driven by the platform, which calls `work_step` when it is due.
 */
#ifndef PAGEFOLD_WORK_H
#define PAGEFOLD_WORK_H
#include "area.h"
#include "types.h"

/* The area that is filled, or to be filled. The platform sets its base. */
extern struct area work_area;
/* Wrong pages found so far. */
extern u64 work_errors;

/*
 * Takes up the arguments of a workload of that name; nothing is touched yet. When there is an area already, they must
 * describe the same. When they are wrong, a line of event "error" is sent and the result is false.
 */
bool work_arguments(const char *workload, const char *text);
/* Fills the area and lets its changing pages change from now on. */
void work_fill(void);
/* Begins the first phase of touching, if the arguments ask for any. */
void work_begin(void);
/* Ends touching, with its last lines. */
void work_end(void);
/* True once touching has ended, by `work_end` or with its last phase. */
bool work_over(void);
/* Reads the whole area and sends a line of event "verified". */
void work_verify(void);
/* Does what is due, or a part of it. Gives when it wants to be called again: a time in ns, NEVER when there is nothing to do. */
u64 work_step(void);
/* Sends a line of event "error". */
void work_error(const char *message, const char *about);

/* The platform: the ns that so many counts of the time-stamp counter take. */
u64 platform_ns(u64 counts);
/*
 * The platform: where a page of the area can be read now. For memory that is its address, for files a buffer that it is
 * read into. It is part of what is measured.
 */
u64 platform_fetch(u32 index);

#endif
