#include "line.h"

/* A line is at most this long; what would be longer is split by who writes it. */
#define CAPACITY 1900
/* The longest pair, and what ends a line. */
#define RESERVE 64

static char text[CAPACITY];
static u64 used;
static bool first_pair;

static void put(char character)
{
	if (used < CAPACITY)
		text[used++] = character;
}

static void put_all(const char *more)
{
	while (*more)
		put(*more++);
}

static void put_number(u64 value)
{
	char digits[20];
	u64 count = 0;
	do
		digits[count++] = '0' + value % 10;
	while (value /= 10);
	while (count)
		put(digits[--count]);
}

static void put_name(const char *name)
{
	put_all(",\"");
	put_all(name);
	put_all("\":");
}

void line_begin(const char *workload, const char *event)
{
	used = 0;
	put_all("{\"workload\":\"");
	put_all(workload);
	put('"');
	line_text("event", event);
	line_number("at_ns", platform_now());
}

void line_number(const char *name, u64 value)
{
	put_name(name);
	put_number(value);
}

void line_text(const char *name, const char *value)
{
	put_name(name);
	put('"');
	for (; *value && used < CAPACITY - RESERVE; value++)
		put(*value < ' ' || *value > '~' || *value == '"' || *value == '\\' ? '?' : *value);
	put('"');
}

void line_array(const char *name)
{
	put_name(name);
	put('[');
	first_pair = true;
}

void line_pair(u64 first, u64 second)
{
	put_all(first_pair ? "[" : ",[");
	first_pair = false;
	put_number(first);
	put(',');
	put_number(second);
	put(']');
}

void line_array_end(void)
{
	put(']');
}

bool line_full(void)
{
	return used > CAPACITY - RESERVE;
}

void line_end(void)
{
	put_all("}\n");
	platform_send(text, used);
}
