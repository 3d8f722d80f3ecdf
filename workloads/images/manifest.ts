/**
 * An image's manifest: what it was made of. The digest of an image is the SHA-256 of its manifest file, which
 * names the digest of every other file, so `sha256sum manifest.json` tells it too.
 */
import { z } from 'zod';
import { sha256 } from './digest.ts';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

/** A file of an image. */
const fileSchema = z.strictObject({ bytes: z.int().nonnegative(), sha256: sha256Hex });

const manifestSchema = z.strictObject({
  /** The version of this format. */
  format: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/),
  /** Digest of the recipe it was built by. */
  recipe: sha256Hex,
  /** The kernel's release, as `uname -r` says. */
  kernelRelease: z.string(),
  /** Every package that was fetched. */
  packages: z.array(
    z.strictObject({ name: z.string(), version: z.string(), architecture: z.string(), sha256: sha256Hex }),
  ),
  /** The files taken over from packages, with the MD5 that the package itself lists for them. */
  contents: z.array(
    z.strictObject({ path: z.string(), package: z.string(), md5: z.string().regex(/^[0-9a-f]{32}$/) }),
  ),
  /** The kernel modules in the initramfs, each after what it needs. */
  modules: z.array(z.string()),
  /** `disk`: the read-only disk, when it has one. */
  files: z.strictObject({ vmlinuz: fileSchema, initrd: fileSchema, disk: fileSchema.optional() }),
});

/** What an image was made of. */
export type Manifest = z.infer<typeof manifestSchema>;

/** The manifest's file: the same manifest gives the same bytes. */
export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`;
}

/** Reads a manifest's file. Throws an Error that says what is wrong with it. */
export function parseManifest(text: string): Manifest {
  const parsed = manifestSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new Error(`${path.join('.')}: ${message}`);
}

/** What a file of an image is recorded as. */
export function describeFile(bytes: Uint8Array): z.infer<typeof fileSchema> {
  return { bytes: bytes.length, sha256: sha256(bytes) };
}
