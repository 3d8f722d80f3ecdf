"""Memory that the kernel may merge, for comparison: obeys one command a line on its standard input.

map N             maps N pages, small ones, and lets the kernel merge them
write P N         takes N pages of content from the input, into the pages from P on
discard P N       gives the frames of N pages from P on back
"""
import mmap
import sys

PAGE = mmap.PAGESIZE
MADV_DONTNEED, MADV_MERGEABLE, MADV_NOHUGEPAGE = 4, 12, 15

commands = sys.stdin.buffer
memory = None
for line in commands:
    name, *numbers = line.split()
    numbers = [int(number) for number in numbers]
    if name == b"map":
        memory = mmap.mmap(-1, numbers[0] * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(MADV_NOHUGEPAGE)
        memory.madvise(MADV_MERGEABLE)
    elif name == b"write":
        first, count = numbers
        memory[first * PAGE : (first + count) * PAGE] = commands.read(count * PAGE)
    elif name == b"discard":
        first, count = numbers
        memory.madvise(MADV_DONTNEED, first * PAGE, count * PAGE)
    sys.stdout.write("\n")
    sys.stdout.flush()
