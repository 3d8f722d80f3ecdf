#include "histogram.h"
#include "line.h"

/* Of buckets in an octave: its logarithm, and the number. */
#define STEP_BITS 4
#define STEPS (1u << STEP_BITS)

static u32 bucket_of(u64 ns)
{
	if (ns < STEPS)
		return ns;
	u32 octave = 63 - __builtin_clzl(ns);
	u32 bucket = (octave - STEP_BITS + 1) * STEPS + ((ns >> (octave - STEP_BITS)) & (STEPS - 1));
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest time that a bucket takes. */
static u64 upper_bound(u32 bucket)
{
	if (bucket < STEPS)
		return bucket;
	u64 step = bucket % STEPS + STEPS + 1;
	return (step << (bucket / STEPS - 1)) - 1;
}

void histogram_add(struct histogram *histogram, u64 ns)
{
	histogram->counts[bucket_of(ns)]++;
	histogram->count++;
	if (ns > histogram->max)
		histogram->max = ns;
}

void histogram_report(struct histogram *histogram, const char *workload, const char *name)
{
	u32 bucket = 0;
	while (histogram->count) {
		u64 shown = 0;
		line_begin(workload, "latency");
		line_text("name", name);
		line_array("buckets");
		for (; bucket < HISTOGRAM_BUCKETS && !line_full(); bucket++) {
			u32 *counted = &histogram->counts[bucket];
			if (!*counted)
				continue;
			line_pair(upper_bound(bucket), *counted);
			shown += *counted;
			*counted = 0;
		}
		line_array_end();
		histogram->count -= shown;
		line_number("count", shown);
		/* The largest of all is in the last line; those before end by their last bucket's bound. */
		line_number("max_ns", histogram->count ? upper_bound(bucket - 1) : histogram->max);
		line_end();
	}
	histogram->max = 0;
}
