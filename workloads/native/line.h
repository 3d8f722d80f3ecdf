/*
 * A line of JSON under construction: one object, sent by the platform when it is whole. Every workload reports by
 * such lines, each with "workload", "event" and "at_ns", the guest's time since power-on.
 */
#ifndef PAGEFOLD_LINE_H
#define PAGEFOLD_LINE_H
#include "types.h"

/* Begins a line of that workload and event. */
void line_begin(const char *workload, const char *event);
/* Adds "name":value. */
void line_number(const char *name, u64 value);
/* Adds "name":"text", with what JSON forbids in strings replaced by question marks. */
void line_text(const char *name, const char *text);
/* Begins, fills and ends an array of pairs of numbers. */
void line_array(const char *name);
void line_pair(u64 first, u64 second);
void line_array_end(void);
/* True when another pair, and what ends the line, may not fit any more. */
bool line_full(void);
/* Ends the line and sends it. */
void line_end(void);

/* The platform: sends whole lines; the guest's time since power-on in ns. */
void platform_send(const char *bytes, u64 count);
u64 platform_now(void);

#endif
