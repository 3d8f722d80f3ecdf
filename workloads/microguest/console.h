/*
 * The virtio console port by which the microguest reports and is told what to do (Virtual I/O Device 1.3, section 5.3), or
 * else the serial port, by which it only reports.
 */
#ifndef PAGEFOLD_CONSOLE_H
#define PAGEFOLD_CONSOLE_H
#include "../native/types.h"

/* Looks for the port and opens it. */
void console_open(void);
/* The next line that the host has sent, without its end; NULL when none has come whole. It holds until the next call. */
const char *console_line(void);

#endif
