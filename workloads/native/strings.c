#include "strings.h"

void *memset(void *to, int byte, u64 bytes)
{
	void *at = to;
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(byte) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, u64 bytes)
{
	void *at = to;
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes)::"memory");
	return to;
}

u64 length(const char *text)
{
	u64 count = 0;
	while (text[count])
		count++;
	return count;
}

bool starts_with(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return false;
	return true;
}

bool equal(const char *text, const char *other)
{
	return starts_with(text, other) && !text[length(other)];
}
