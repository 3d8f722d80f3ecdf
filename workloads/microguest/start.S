/*
 * The microguest's head: the setup header of a bzImage, the 64-bit entry of the Linux/x86 boot protocol, the 32-bit entry
 * of the PVH boot protocol (by which QEMU starts it), and what the CPU enters on interrupts and exceptions.
 */

#define CODE 0x10
#define DATA 0x18
/* Page tables and the first GDT lie where pagefold's loader puts them (platform/loader/lowmemory.ts). */
#define PAGE_TABLES 0x9000

	.section .setup, "a"
setup:
	.org 0x1f1
	.byte 1                         /* setup_sects: one behind the boot sector */
	.word 0
	.long constant_paragraphs       /* syssize */
	.org 0x1fe
	.word 0xaa55                    /* boot_flag */
	.byte 0xeb, 0x66                /* a jump behind the header, whose length says where the header ends */
	.ascii "HdrS"
	.word 0x020f                    /* protocol version */
	.org 0x211
	.byte 1                         /* loadflags: LOADED_HIGH */
	.org 0x214
	.long 0x100000                  /* code32_start */
	.org 0x22c
	.long 0x7fffffff                /* initrd_addr_max */
	.long 0x1000                    /* kernel_alignment */
	.byte 0, 0                      /* relocatable_kernel, min_alignment */
	.word 1                         /* xloadflags: XLF_KERNEL_64 */
	.long 2047                      /* cmdline_size */
	.org 0x258
	.quad 0x100000                  /* pref_address */
	.long init_size
	.org 0x268
	/* Nothing enters by the real-mode protocol. */
1:	cli
	hlt
	jmp 1b
	.org 1024

	.section .head, "ax"
	.code32
	.global entry32
entry32:
	jmp pvh

	/* For who looks at the file: see image.ts. */
	.org 0x10
	.ascii "microguest"
	.org 0x20
	.long constant_pages
	.long private_start_page
	.long private_pages
	.long AREA / 4096

pvh:
	cld
	mov $PAGE_TABLES, %edi
	xor %eax, %eax
	mov $6 * 1024, %ecx
	rep stosl
	/* Four page directories of 2 MiB pages: present, writable, accessed, dirty. */
	movl $PAGE_TABLES + 0x1000 + 0x23, PAGE_TABLES
	mov $PAGE_TABLES + 0x1000, %edi
	mov $PAGE_TABLES + 0x2000 + 0x23, %eax
1:	mov %eax, (%edi)
	add $8, %edi
	add $0x1000, %eax
	cmp $PAGE_TABLES + 0x6000, %eax
	jb 1b
	mov $PAGE_TABLES + 0x2000, %edi
	mov $0xe3, %eax
2:	mov %eax, (%edi)
	add $8, %edi
	add $0x200000, %eax
	jnc 2b
	mov $PAGE_TABLES, %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $0x20, %eax
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	lgdt gdt_pointer
	/* The start information's address is not 0, which tells main how it was started. */
	xor %esi, %esi
	ljmp $CODE, $common
	.org 0x200
	.code64
	.global entry64
entry64:
	/* RSI has the zero page. */
	xor %ebx, %ebx
common:
	lgdt gdt_pointer(%rip)
	lidt idt_pointer(%rip)
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $stack_top, %esp
	pushq $CODE
	pushq $1f
	lretq
1:	/* Private pages begin as zeros, but for what lies on the stack now: nothing. */
	mov $private_start, %edi
	mov $private_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	cld
	rep stosb
	mov %rsi, %rdi
	mov %rbx, %rsi
	call microguest
2:	hlt
	jmp 2b

	.balign 16
	/* Flat code and data of all 4 GiB, marked as accessed, so that the CPU does not write here. */
gdt:
	.quad 0, 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word 4 * 8 - 1
	.quad gdt

#define EXCEPTIONS 32
#define FIRST_IRQ 0x40
#define IRQS 5

	.balign 16
idt:
	/* All handlers are in this section, and so within 64 KiB from 1 MiB on. */
	.macro gate target
	.word \target - entry32
	.word CODE
	.word 0x8e00
	.word 0x10
	.quad 0
	.endm
	.set number, 0
	.rept EXCEPTIONS
	gate (exceptions+8*number)
	.set number, number + 1
	.endr
	.rept FIRST_IRQ - EXCEPTIONS
	gate exceptions
	.endr
	.set number, 0
	.rept IRQS
	gate (irqs+32*number)
	.set number, number + 1
	.endr
idt_end:
idt_pointer:
	.word idt_end - idt - 1
	.quad idt

	/* Exceptions: the number, whether or not the CPU pushed an error code below it. */
	.balign 8
exceptions:
	.set number, 0
	.rept EXCEPTIONS
	.balign 8
	pushq $number
	jmp exception
	.set number, number + 1
	.endr
exception:
	/* The number, then the CPU's error code or RIP, and RIP or CS. */
	mov (%rsp), %rdi
	mov 8(%rsp), %rsi
	mov 16(%rsp), %rdx
	call fatal

	/* Interrupts: bit i of `events` is set by vector FIRST_IRQ + i. */
	.balign 32
irqs:
	.set number, 0
	.rept IRQS
	.balign 32
	lock orl $1 << number, events
	push %rax
	mov $0xfee000b0, %eax
	movl $0, (%rax)
	pop %rax
	iretq
	.set number, number + 1
	.endr

	/* The PVH boot protocol's note: XEN_ELFNOTE_PHYS32_ENTRY. */
	.section .note.pvh, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long entry32

	.section .note.GNU-stack, "", @progbits
