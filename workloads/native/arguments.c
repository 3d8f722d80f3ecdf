#include "arguments.h"

static bool ends(char character)
{
	return character == 0 || character == ' ' || character == '\n' || character == '/';
}

/* Copies up to one of the characters that end a word. Gives what ended it, or 0xff when the word is too long. */
static char take_word(const char **text, char *word, char end)
{
	u64 used = 0;
	while (**text != end && **text != ',' && !ends(**text)) {
		if (used == ARGUMENT_WORD - 1)
			return (char)0xff;
		word[used++] = *(*text)++;
	}
	word[used] = 0;
	return **text;
}

static void read_parts(struct argument *argument)
{
	const char *at = argument->word;
	argument->numeric = true;
	for (argument->part_count = 0; argument->part_count < ARGUMENT_PARTS; at++) {
		u64 *part = &argument->parts[argument->part_count++];
		if (*at < '0' || *at > '9')
			argument->numeric = false;
		for (*part = 0; *at >= '0' && *at <= '9'; at++)
			*part = *part * 10 + (*at - '0');
		if (*at != ':')
			break;
	}
	if (*at)
		argument->numeric = false;
}

bool next_argument(const char **text, struct argument *argument, const char **problem)
{
	if (ends(**text))
		return false;
	memset(argument, 0, sizeof *argument);
	if (take_word(text, argument->key, '=') != '=') {
		*problem = "an argument is not KEY=VALUE, or its key is too long";
		return false;
	}
	++*text;
	if (take_word(text, argument->word, ',') == (char)0xff) {
		*problem = "the value of an argument is too long";
		return false;
	}
	if (**text == ',')
		++*text;
	read_parts(argument);
	return true;
}

bool next_phase(const char **text)
{
	if (**text != '/')
		return false;
	++*text;
	return true;
}
