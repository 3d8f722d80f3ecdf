/*
 * Counts of times by size. A time below 16 ns has a bucket of its own; from there on every octave is cut into 16
 * buckets, so a bucket's upper bound is at most 1/16 above what is in it. The last bucket takes all from 2^41 ns (37
 * minutes) on.
 */
#ifndef PAGEFOLD_HISTOGRAM_H
#define PAGEFOLD_HISTOGRAM_H
#include "types.h"

#define HISTOGRAM_BUCKETS 608

struct histogram {
	u32 counts[HISTOGRAM_BUCKETS];
	u64 count;
	u64 max;
};

void histogram_add(struct histogram *histogram, u64 ns);
/*
 * Sends what was counted as lines of event "latency", with "name", and forgets it. Each line counts what it shows alone:
 * whoever adds all lines of a name up has the whole.
 */
void histogram_report(struct histogram *histogram, const char *workload, const char *name);

#endif
