/* Strings that end by NUL. */
#ifndef PAGEFOLD_STRINGS_H
#define PAGEFOLD_STRINGS_H
#include "types.h"

u64 length(const char *text);
bool starts_with(const char *text, const char *start);
bool equal(const char *text, const char *other);

#endif
