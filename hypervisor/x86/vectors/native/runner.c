/*
 * Runs test vectors on the processor itself: a Linux process that enters each vector's state by returning from a
 * signal, and gets the state after it from the signal that the vector's exception raises.
 *
 * Why a process and not a virtual machine: user code of a process is executed by the processor and nothing else, on bare
 * metal and in any virtual machine. Supervisor code is not, where KVM has to emulate it.
 *
 * stdin:  header { u32 regions, u32 descriptors },
 *         regions { u64 linear, u32 bytes, u32 rights (0 rw, 1 r, 2 rx), content },
 *         descriptors { u32 index, u32 base, u32 limit, u32 flags as struct user_desc's bit fields },
 *         then vectors { image, u32 patches, patches { u64 linear, u32 bytes, content } }.
 * stdout: for each vector { u32 status (0 exception, 1 timed out, 2 system call), u32 vector, u64 error code, u64 CR2, image,
 *         u32 changes, changes { u64 linear, u32 bytes, content } }.
 * All little-endian. The register image is that of ../image.ts.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

struct image {
  uint64_t gpr[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
  uint64_t rip, rflags;
  uint16_t selectors[6]; /* ES CS SS DS FS GS */
  uint16_t zero[2];
  uint64_t fs_base, gs_base;
  uint64_t zeros[2];
  uint8_t fx[512];
};
_Static_assert(sizeof(struct image) == 704, "the image of image.ts");

/* Where struct sigcontext keeps each register, in encoding order. */
static const int greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

enum { FX_USED = 416, FX_SOFTWARE = 464, XSTATE_BV = 512 };
enum { IDLE, START, RUNNING };
enum { EXCEPTION, TIMED_OUT, SYSTEM_CALL };

static struct image image;
static volatile int phase = IDLE;
static uint32_t status;
static uint64_t vector, error_code, cr2;
static gregset_t main_registers;
static uint8_t main_fx[FX_SOFTWARE];

/* Segment registers at the last signal and for the next return; the assembler below reads and writes them. */
uint16_t seen_selectors[6], next_selectors[6];
uint64_t seen_fs, seen_gs, next_fs, next_gs, host_fs;

/*
 * The signal handler. The processor still has the vector's segment registers and AC flag here. It makes the C code's thread
 * pointer valid, and afterwards loads the next vector's segments; all else is loaded by rt_sigreturn.
 */
void signal_entry(int, siginfo_t *, void *);
int on_signal(int, siginfo_t *, ucontext_t *);
__asm__(
    ".text\n"
    "signal_entry:\n"
    "  pushfq\n"
    "  andl $~0x244000, (%rsp)\n" /* AC, NT, ID: rt_sigreturn would leave NT and ID to the next vector */
    "  popfq\n"
    "  mov %es, %ax\n  mov %ax, seen_selectors(%rip)\n"
    "  mov %ds, %ax\n  mov %ax, 6+seen_selectors(%rip)\n"
    "  mov %fs, %ax\n  mov %ax, 8+seen_selectors(%rip)\n"
    "  mov %gs, %ax\n  mov %ax, 10+seen_selectors(%rip)\n"
    "  rdfsbase %rax\n  mov %rax, seen_fs(%rip)\n"
    "  rdgsbase %rax\n  mov %rax, seen_gs(%rip)\n"
    "  xor %eax, %eax\n"
    "  mov %ax, %es\n  mov %ax, %ds\n  mov %ax, %fs\n  mov %ax, %gs\n"
    "  mov host_fs(%rip), %rax\n  wrfsbase %rax\n"
    "  sub $8, %rsp\n"
    "  call on_signal\n"
    "  add $8, %rsp\n"
    "  test %eax, %eax\n"
    "  jz 1f\n"
    "  mov next_selectors(%rip), %ax\n  mov %ax, %es\n"
    "  mov 6+next_selectors(%rip), %ax\n  mov %ax, %ds\n"
    "  mov 8+next_selectors(%rip), %ax\n  mov %ax, %fs\n"
    "  mov 10+next_selectors(%rip), %ax\n  mov %ax, %gs\n"
    "  mov next_fs(%rip), %rax\n  wrfsbase %rax\n"
    "  mov next_gs(%rip), %rax\n  wrgsbase %rax\n"
    "1: ret\n");

static uint16_t selector_field(greg_t packed, int index) { return (uint64_t)packed >> (16 * index); }

/* Puts the vector's state into the signal frame. */
static void enter(ucontext_t *context) {
  greg_t *gregs = context->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) gregs[greg_of[i]] = image.gpr[i];
  gregs[REG_RIP] = image.rip;
  gregs[REG_EFL] = image.rflags;
  gregs[REG_CSGSFS] = (uint64_t)image.selectors[1] | (uint64_t)image.selectors[2] << 48;
  uint8_t *fp = (uint8_t *)context->uc_mcontext.fpregs;
  memcpy(fp, image.fx, FX_SOFTWARE);
  *(uint64_t *)(fp + XSTATE_BV) = 3; /* x87 and SSE from the frame, everything else as after reset */
  memcpy(next_selectors, image.selectors, sizeof next_selectors);
  next_fs = image.fs_base;
  next_gs = image.gs_base;
}

/* Takes the state from the signal frame. */
static void leave(const ucontext_t *context) {
  const greg_t *gregs = context->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) image.gpr[i] = gregs[greg_of[i]];
  image.rip = gregs[REG_RIP];
  image.rflags = gregs[REG_EFL];
  memcpy(image.selectors, seen_selectors, sizeof seen_selectors);
  image.selectors[1] = selector_field(gregs[REG_CSGSFS], 0);
  image.selectors[2] = selector_field(gregs[REG_CSGSFS], 3);
  image.fs_base = seen_fs;
  image.gs_base = seen_gs;
  const uint8_t *fp = (const uint8_t *)context->uc_mcontext.fpregs;
  uint64_t in_use = *(const uint64_t *)(fp + XSTATE_BV);
  memcpy(image.fx, fp, FX_USED);
  memset(image.fx + FX_USED, 0, sizeof image.fx - FX_USED);
  if (!(in_use & 1)) { /* x87 in its initial state: FCW 0x37f, all else zero */
    memset(image.fx, 0, 24);
    image.fx[0] = 0x7f;
    image.fx[1] = 0x03;
    memset(image.fx + 32, 0, 128);
  }
  if (!(in_use & 2)) memset(image.fx + 160, 0, 256);
}

int on_signal(int signal, siginfo_t *info, ucontext_t *context) {
  greg_t *gregs = context->uc_mcontext.gregs;
  if (phase == START) {
    if (signal == SIGALRM) return 0; /* it strikes again, inside the vector */
    memcpy(main_registers, gregs, sizeof main_registers);
    main_registers[REG_RIP] += 2; /* behind the UD2 in run() */
    memcpy(main_fx, context->uc_mcontext.fpregs, sizeof main_fx);
    enter(context);
    phase = RUNNING;
    return 1;
  }
  if (phase == IDLE) {
    if (signal == SIGALRM) return 0;
    static const char message[] = "runner: a signal outside of any vector\n";
    (void)!write(2, message, sizeof message - 1);
    _exit(1);
  }
  (void)info;
  status = signal == SIGALRM ? TIMED_OUT : signal == SIGSYS ? SYSTEM_CALL : EXCEPTION;
  vector = gregs[REG_TRAPNO];
  error_code = gregs[REG_ERR];
  cr2 = gregs[REG_CR2];
  leave(context);
  memcpy(gregs, main_registers, sizeof main_registers);
  uint8_t *fp = (uint8_t *)context->uc_mcontext.fpregs;
  memcpy(fp, main_fx, sizeof main_fx);
  *(uint64_t *)(fp + XSTATE_BV) = 3;
  phase = IDLE;
  return 0;
}

struct region {
  uint64_t linear;
  uint32_t bytes;
  uint8_t *shadow; /* the same memory at an address where it can always be written */
  uint8_t *pristine;
};
static struct region regions[32];
static uint32_t region_count;

static void fail(const char *what) {
  fprintf(stderr, "runner: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int take(void *into, size_t bytes) {
  size_t got = fread(into, 1, bytes, stdin);
  if (got != 0 && got != bytes) fail("input ends inside a record");
  return got == bytes;
}

static void need(void *into, size_t bytes) {
  if (bytes != 0 && !take(into, bytes)) fail("input ends too early");
}

static void put(const void *from, size_t bytes) {
  if (fwrite(from, 1, bytes, stdout) != bytes) fail("cannot write");
}

static void map_region(struct region *region) {
  uint32_t rights;
  need(&region->linear, 8);
  need(&region->bytes, 4);
  need(&rights, 4);
  int memory = memfd_create("region", 0);
  if (memory < 0 || ftruncate(memory, region->bytes) != 0) fail("memfd");
  region->shadow = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory, 0);
  region->pristine = malloc(region->bytes);
  need(region->pristine, region->bytes);
  memcpy(region->shadow, region->pristine, region->bytes);
  int protection = rights == 0 ? PROT_READ | PROT_WRITE : rights == 1 ? PROT_READ : PROT_READ | PROT_EXEC;
  if (mmap((void *)region->linear, region->bytes, protection, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, memory, 0) !=
      (void *)region->linear)
    fail("cannot map a region");
  close(memory);
}

static void set_descriptor(void) {
  uint32_t words[4];
  need(words, sizeof words);
  struct user_desc descriptor;
  _Static_assert(sizeof descriptor == sizeof words, "struct user_desc");
  memcpy(&descriptor, words, sizeof words);
  if (syscall(SYS_modify_ldt, 0x11, &descriptor, sizeof descriptor) != 0) fail("modify_ldt");
}

/* Any system call from below 2^46 is a vector's: stop it with SIGSYS. The runner itself and its libraries lie above. */
static void forbid_system_calls(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x4000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  };
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    fail("seccomp");
}

static struct region *region_at(uint64_t linear, uint32_t bytes) {
  for (uint32_t i = 0; i < region_count; i++)
    if (linear >= regions[i].linear && linear + bytes <= regions[i].linear + regions[i].bytes) return &regions[i];
  errno = EFAULT;
  fail("a patch lies outside of all regions");
  return NULL;
}

static void patch_memory(void) {
  uint32_t patches;
  need(&patches, 4);
  while (patches-- > 0) {
    uint64_t linear;
    uint32_t bytes;
    need(&linear, 8);
    need(&bytes, 4);
    struct region *region = region_at(linear, bytes);
    need(region->shadow + (linear - region->linear), bytes);
  }
}

static uint8_t before[1 << 17], changes[1 << 18];

/* Writes the runs of bytes that the vector changed, runs closer than 4 bytes as one, and puts the memory back. */
static void put_changes(void) {
  uint8_t *end = changes;
  uint32_t count = 0;
  const uint8_t *was = before;
  for (uint32_t r = 0; r < region_count; r++) {
    struct region *region = &regions[r];
    if (memcmp(was, region->shadow, region->bytes) != 0) {
      for (uint32_t i = 0; i < region->bytes;) {
        if (was[i] == region->shadow[i]) {
          i++;
          continue;
        }
        uint32_t last = i;
        for (uint32_t j = i; j < region->bytes && j < last + 4; j++)
          if (was[j] != region->shadow[j]) last = j;
        uint64_t linear = region->linear + i;
        uint32_t bytes = last + 1 - i;
        memcpy(end, &linear, 8);
        memcpy(end + 8, &bytes, 4);
        memcpy(end + 12, region->shadow + i, bytes);
        end += 12 + bytes;
        count++;
        i = last + 1;
      }
    }
    was += region->bytes;
  }
  put(&count, 4);
  put(changes, end - changes);
}

static void put_outcome(void) {
  uint32_t words[2] = {status, (uint32_t)vector};
  put(words, sizeof words);
  put(&error_code, 8);
  put(&cr2, 8);
  put(&image, sizeof image);
  put_changes();
}

static void run(void) {
  uint8_t *copy = before;
  for (uint32_t i = 0; i < region_count; i++) {
    memcpy(copy, regions[i].shadow, regions[i].bytes);
    copy += regions[i].bytes;
  }
  phase = START;
  __asm__ volatile("ud2\n" ::: "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                   "r15", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

int main(void) {
  uint32_t counts[2];
  need(counts, sizeof counts);
  region_count = counts[0];
  if (region_count > sizeof regions / sizeof regions[0]) fail("too many regions");
  for (uint32_t i = 0; i < region_count; i++) map_region(&regions[i]);
  for (uint32_t i = 0; i < counts[1]; i++) set_descriptor();

  stack_t stack = {.ss_size = 1 << 18};
  stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (sigaltstack(&stack, NULL) != 0) fail("sigaltstack");
  struct sigaction action = {.sa_sigaction = signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGALRM};
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
    if (sigaction(signals[i], &action, NULL) != 0) fail("sigaction");
  __asm__ volatile("rdfsbase %0" : "=r"(host_fs));
  forbid_system_calls();

  for (uint32_t done = 0; take(&image, sizeof image); done++) {
    for (uint32_t i = 0; i < region_count; i++) memcpy(regions[i].shadow, regions[i].pristine, regions[i].bytes);
    patch_memory();
    if (done % 256 == 0) {
      struct itimerval limit = {.it_value = {.tv_sec = 1}, .it_interval = {.tv_sec = 1}};
      setitimer(ITIMER_REAL, &limit, NULL);
    }
    run();
    put_outcome();
  }
  if (fflush(stdout) != 0) fail("cannot write");
  return 0;
}
