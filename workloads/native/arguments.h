/*
 * A workload's arguments: `KEY=VALUE,KEY=VALUE,...`, where a value is a number, a word, or several parts with colons
 * between. `/` begins another phase.
 */
#ifndef PAGEFOLD_ARGUMENTS_H
#define PAGEFOLD_ARGUMENTS_H
#include "types.h"

#define ARGUMENT_PARTS 3
#define ARGUMENT_WORD 24

struct argument {
	char key[ARGUMENT_WORD];
	/* The value as it stands. */
	char word[ARGUMENT_WORD];
	/* Its parts as numbers; those that are left out are 0. */
	u64 parts[ARGUMENT_PARTS];
	u64 part_count;
	/* All parts are decimal numbers. */
	bool numeric;
};

/*
 * Reads the next argument and moves `*text` behind it. False at the end of a phase or of the text, or when what stands
 * there is no argument: then `*problem` says so.
 */
bool next_argument(const char **text, struct argument *argument, const char **problem);
/* Moves `*text` behind the `/` that it stands at; false when there is none. */
bool next_phase(const char **text);

#endif
