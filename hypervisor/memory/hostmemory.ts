/**
 * The one memory in which everything lives that WebAssembly touches: the vCPUs' state, decoded code, and the
 * simulated host's page frames. It is reserved whole at the start, so addresses and views stay valid; the
 * operating system provides pages only as they are touched.
 */

/** Size of a page, guest's and host's, in bytes. */
export const pageSize = 4096;
const wasmPageSize = 65536;
/** A memory with 32-bit addresses ends here. */
export const addressLimit = 2 ** 32;

/** A part of a memory that is there already, which another thread of the process gives out. */
export interface MemoryPart {
  readonly memory: WebAssembly.Memory;
  /** Its addresses: from `start` up to `end`. */
  readonly start: number;
  readonly end: number;
}

/** Room that was given back: `size` bytes at `at`. */
interface Gap {
  at: number;
  size: number;
}

/** Views of the whole memory, and an allocator for what is never moved. */
export class HostMemory {
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly u64: BigUint64Array;
  readonly view: DataView;
  /** Address and number of the page frames. */
  readonly framesStart: number;
  readonly frameCount: number;
  readonly #arenaEnd: number;
  #next: number;
  /** What was given back below that, by address, no two touching. */
  readonly #gaps: Gap[] = [];

  /**
   * @param frameBytes memory of the simulated host in bytes, a multiple of the page size
   * @param arenaBytes room for everything else (vCPU state, decoded and translated code), a multiple of 64 KiB
   * @param part of such a memory that was made before; nothing is given out but this. A new one when not given
   */
  constructor(frameBytes: number, arenaBytes: number, part?: MemoryPart) {
    const pages = Math.ceil((arenaBytes + frameBytes) / wasmPageSize);
    if (pages * wasmPageSize > addressLimit) {
      throw new RangeError(
        `host memory of ${frameBytes} bytes: at most ${addressLimit - arenaBytes} can be simulated`,
      );
    }
    this.memory = part?.memory ?? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { buffer } = this.memory;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.view = new DataView(buffer);
    this.framesStart = arenaBytes;
    this.frameCount = Math.floor(frameBytes / pageSize);
    // Address 0 is never given out, so that it can mean "none".
    this.#next = part?.start ?? wasmPageSize;
    this.#arenaEnd = part?.end ?? arenaBytes;
  }

  /** The memory's size in WebAssembly pages. */
  get wasmPages(): number {
    return this.u8.length / wasmPageSize;
  }

  /** Fills a page with zeros. JavaScript fills shared memory element by element, so large elements are best. */
  zeroPage(at: number): void {
    this.f64.fill(0, at / 8, (at + pageSize) / 8);
  }

  /** Reserves `size` bytes, zeroed. `alignment` is a power of two. Throws RangeError when the room is used up. */
  allocate(size: number, alignment = 16): number {
    for (const [index, gap] of this.#gaps.entries()) {
      const at = Math.ceil(gap.at / alignment) * alignment;
      const end = gap.at + gap.size;
      if (at + size > end) continue;
      const rest = [
        { at: gap.at, size: at - gap.at },
        { at: at + size, size: end - at - size },
      ].filter((each) => each.size > 0);
      this.#gaps.splice(index, 1, ...rest);
      this.u8.fill(0, at, at + size);
      return at;
    }
    const at = Math.ceil(this.#next / alignment) * alignment;
    if (at + size > this.#arenaEnd)
      throw new RangeError('the room for vCPU state and decoded code is used up');
    if (at > this.#next) this.#gaps.push({ at: this.#next, size: at - this.#next });
    this.#next = at + size;
    return at;
  }

  /** Gives back what {@link allocate} reserved: `size` bytes at `at`. */
  release(at: number, size: number): void {
    const gaps = this.#gaps;
    let index = 0;
    while (index < gaps.length && gaps[index]!.at < at) index++;
    const gap = { at, size };
    const before = gaps[index - 1];
    const after = gaps[index];
    if (after !== undefined && at + size === after.at) {
      gap.size += after.size;
      gaps.splice(index, 1);
    }
    if (before !== undefined && before.at + before.size === at) before.size += gap.size;
    else gaps.splice(index, 0, gap);
  }
}
