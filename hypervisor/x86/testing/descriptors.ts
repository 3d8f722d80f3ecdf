/** Descriptors as the bytes of descriptor tables, for tests (SDM vol. 3, 3.4.5, 5.8.3, 6.11, 8.2). */

/** A code, data or system segment. */
export interface SegmentFields {
  readonly base?: number;
  /** The limit field: 20 bits, in bytes or, with `pages`, in pages. */
  readonly limit?: number;
  /** Type field, 4 bits. */
  readonly type: number;
  /** S: code or data. */
  readonly system?: boolean;
  readonly dpl?: number;
  readonly present?: boolean;
  readonly big?: boolean;
  readonly long?: boolean;
  readonly pages?: boolean;
}

/** Types of code and data segments, accessed. */
export const type = {
  data: 0x3,
  readOnly: 0x1,
  expandDown: 0x7,
  code: 0xb,
  executeOnly: 0x9,
  conforming: 0xf,
} as const;

/** The eight bytes of a segment descriptor. */
export function segment(fields: SegmentFields): bigint {
  const { base = 0, limit = 0xfffff, dpl = 0 } = fields;
  const access =
    fields.type |
    (fields.system === true ? 0 : 0x10) |
    (dpl << 5) |
    (fields.present === false ? 0 : 0x80) |
    (fields.long === true ? 0x2000 : 0) |
    (fields.big === true ? 0x4000 : 0) |
    (fields.pages === false ? 0 : 0x8000);
  const low = BigInt((limit & 0xffff) | 0) | (BigInt(base & 0xff_ffff) << 16n);
  const high = (BigInt(access) << 40n) | (BigInt((limit >>> 16) & 15) << 48n) | (BigInt(base >>> 24) << 56n);
  return low | high;
}

/** A call, interrupt, trap or task gate. */
export interface GateFields {
  readonly selector: number;
  readonly offset?: bigint | number;
  /** Type field: 4, 5, 6, 7, 12, 14, 15. */
  readonly type: number;
  readonly dpl?: number;
  readonly present?: boolean;
  /** Parameters of a call gate, or the IST of a 64-bit gate. */
  readonly count?: number;
}

/** The first eight bytes of a gate; a 64-bit gate has {@link gateHigh} as well. */
export function gate(fields: GateFields): bigint {
  const offset = BigInt(fields.offset ?? 0);
  const access = fields.type | ((fields.dpl ?? 0) << 5) | (fields.present === false ? 0 : 0x80);
  return (
    (offset & 0xffffn) |
    (BigInt(fields.selector) << 16n) |
    (BigInt(fields.count ?? 0) << 32n) |
    (BigInt(access) << 40n) |
    ((offset & 0xffff_0000n) << 32n)
  );
}

/** The last eight bytes of a 64-bit gate. */
export function gateHigh(fields: GateFields): bigint {
  return (BigInt(fields.offset ?? 0) >> 32n) & 0xffff_ffffn;
}
