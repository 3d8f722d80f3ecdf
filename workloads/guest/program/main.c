/*
 * The program of the workloads `toucher` and `files` in Linux guests, which goes by one of these names. It does the work that
 * its argument says, with its report lines on standard output, until its last phase ends or SIGTERM comes.
 */
#include "../../native/line.h"
#include "../../native/strings.h"
#include "../../native/work.h"
#include "system.h"

/* Where images have the file set: files 000, 001, ... of pages of content "equal", one behind the other. */
#define FILES_FOLDER "/image/files/"
#define MOST_FILES 1000

static u64 tsc_to_ns;
static int signals;

static struct {
	int descriptor;
	/* The first page of the set that it has, and the first that it has not any more. */
	u32 first, end;
} files[MOST_FILES];
static u32 file_count;
static u8 page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

u64 platform_now(void)
{
	struct timespec now;
	system_call(SYS_clock_gettime, CLOCK_BOOTTIME, (long)&now, 0, 0, 0, 0);
	return now.seconds * 1000000000ul + now.nanoseconds;
}

u64 platform_ns(u64 counts)
{
	return (unsigned __int128)counts * tsc_to_ns >> 32;
}

void platform_send(const char *bytes, u64 count)
{
	while (count) {
		long written = system_call(SYS_write, 1, (long)bytes, count, 0, 0, 0);
		/* The host's end may have gone: the work goes on. */
		if (written <= 0)
			return;
		bytes += written;
		count -= written;
	}
}

u64 platform_fetch(u32 index)
{
	if (!file_count)
		return area_address(&work_area, index);
	u32 number = 0;
	while (index >= files[number].end)
		number++;
	u64 offset = (index - files[number].first) * PAGE_SIZE;
	if (system_call(SYS_pread64, files[number].descriptor, (long)page, PAGE_SIZE, offset, 0, 0) != PAGE_SIZE)
		memset(page, 0, PAGE_SIZE);
	return (u64)page;
}

/* Sleeps until that time, or a signal. True when a signal has come that asks to end. */
static bool sleep_until(u64 until)
{
	u64 now = platform_now();
	u64 ns = until > now ? until - now : 0;
	struct timespec timeout = { ns / 1000000000, ns % 1000000000 };
	struct pollfd poll = { signals, POLLIN, 0 };
	return system_call(SYS_ppoll, (long)&poll, 1, until == NEVER ? 0 : (long)&timeout, 0, 0, 0) > 0;
}

/* KVM's leaf 0x40000010 tells the frequency of the TSC in kHz; else it is measured over 50 ms. */
static void find_frequency(void)
{
	u32 leaf[4];
	cpuid(0x40000000, leaf);
	if (leaf[1] == 0x4b4d564b && leaf[0] >= 0x40000010) {
		cpuid(0x40000010, leaf);
		tsc_to_ns = (1000000ul << 32) / leaf[0];
		return;
	}
	u64 begin = platform_now(), tsc = read_tsc();
	sleep_until(begin + 50000000);
	tsc = read_tsc() - tsc;
	tsc_to_ns = ((platform_now() - begin) << 32) / tsc;
}

/* Has memory for the area. Pages that the recipe frees go back to the kernel. */
static bool make_memory(void)
{
	u64 bytes = work_area.pages * PAGE_SIZE;
	long base = system_call(SYS_mmap, 0, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
	if (base < 0) {
		work_error("the guest has no memory of that size", NULL);
		return false;
	}
	work_area.base = base;
	work_fill();
	u64 freed = (work_area.pages - work_area.kept) * PAGE_SIZE;
	if (freed)
		system_call(SYS_madvise, area_address(&work_area, work_area.kept), freed, MADV_DONTNEED, 0, 0, 0);
	return true;
}

/* Opens the files of the set that the area covers. */
static bool open_files(void)
{
	char path[] = FILES_FOLDER "000";
	char *digits = path + sizeof path - 4;
	u32 pages = 0;
	while (pages < work_area.pages && file_count < MOST_FILES) {
		digits[0] = '0' + file_count / 100;
		digits[1] = '0' + file_count / 10 % 10;
		digits[2] = '0' + file_count % 10;
		int descriptor = system_call(SYS_openat, AT_FDCWD, (long)path, 0, 0, 0, 0);
		long bytes = descriptor < 0 ? 0 : system_call(SYS_lseek, descriptor, 0, SEEK_END, 0, 0, 0);
		if (bytes < (long)PAGE_SIZE) {
			work_error("the image's file set is smaller than the area", path);
			return false;
		}
		files[file_count].descriptor = descriptor;
		files[file_count].first = pages;
		pages += bytes / PAGE_SIZE;
		files[file_count++].end = pages;
	}
	return true;
}

static int run(const char *name, const char *arguments)
{
	u64 ending = SIGNAL_BIT(SIGTERM) | SIGNAL_BIT(SIGINT);
	system_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&ending, 0, sizeof ending, 0, 0);
	signals = system_call(SYS_signalfd4, -1, (long)&ending, sizeof ending, 0, 0, 0);
	find_frequency();
	if (!work_arguments(name, arguments))
		return 2;
	if (!(equal(name, "files") ? open_files() : make_memory()))
		return 1;
	work_begin();
	while (!work_over())
		if (sleep_until(work_step()))
			work_end();
	return work_errors != 0;
}

/* What stands behind the last slash. */
static const char *last_name(const char *path)
{
	const char *name = path;
	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	return name;
}

/* Called with the stack as the kernel leaves it: the number of arguments and the pointers to them. */
__attribute__((noreturn, used)) static void begin(long *stack)
{
	char **arguments = (char **)(stack + 1);
	const char *name = last_name(arguments[0]);
	if (stack[0] > 2 || !(equal(name, "toucher") || equal(name, "files"))) {
		static const char usage[] = "usage: toucher|files [ARGUMENTS]\n";
		system_call(SYS_write, 2, (long)usage, sizeof usage - 1, 0, 0, 0);
		exit_program(2);
	}
	exit_program(run(name, stack[0] == 2 ? arguments[1] : ""));
}

__asm__(".global _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call begin\n");
