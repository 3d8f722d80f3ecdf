import { createHash } from 'node:crypto';

/** SHA-256 of `bytes`, as 64 lower-case hexadecimal digits. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** MD5 of `bytes` as Debian packages list it for their files, 32 hexadecimal digits. Not for security. */
export function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}
