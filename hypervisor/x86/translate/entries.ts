/**
 * Makes a region's graph reducible: a loop is entered by its start only. What would enter one in its middle, an entry or
 * an edge from the code behind another entry, is given up: control then leaves the region there and comes back through the
 * loop's start, or through a region of its own.
 */
import { type Node, type Structure, structure } from './graph.ts';
import type { Region } from './region.ts';

/** Blocks that lie in a loop whose start they are not, of the part of the graph that can be reached from block 0. */
function insideLoops(nodes: readonly Node[], { order, isLoop }: Structure): boolean[] {
  const inside = nodes.map(() => false);
  if (!isLoop.includes(true)) return inside;
  const predecessors: number[][] = nodes.map(() => []);
  for (const [from, { successors }] of nodes.entries()) {
    if (order[from]! < 0) continue;
    for (const to of successors) predecessors[to]!.push(from);
  }
  for (const [start, loops] of isLoop.entries()) {
    if (!loops) continue;
    const body = new Set<number>();
    const work = predecessors[start]!.filter((from) => order[from]! >= order[start]!);
    while (work.length > 0) {
      const at = work.pop()!;
      if (at === start || body.has(at)) continue;
      body.add(at);
      inside[at] = true;
      work.push(...predecessors[at]!);
    }
  }
  return inside;
}

/** A graph's structure, once the edges that enter loops in their middle have been taken out of it. */
function reducible(
  nodes: readonly { successors: number[] }[],
  entry: number,
  cut: (from: number, to: number) => void,
): Structure {
  for (;;) {
    const wrong: [number, number][] = [];
    const found = structure(nodes, entry, (from, to) => wrong.push([from, to]));
    if (wrong.length === 0) return found;
    for (const [from, to] of wrong) {
      nodes[from]!.successors = nodes[from]!.successors.filter((each) => each !== to);
      cut(from, to);
    }
  }
}

/**
 * Settles a region's entries and edges, and gives the structure of its graph. Where there are several entries, that graph has
 * one more node, the last, which leads to each of them and is where it starts.
 */
export function settleEntries(region: Region): Structure {
  const { blocks } = region;
  const inside: boolean[] = blocks.map(() => false);
  const placed: boolean[] = blocks.map(() => false);
  const entries: number[] = [];
  for (const entry of region.entries) {
    if (placed[entry]!) {
      if (!inside[entry]!) entries.push(entry);
      continue;
    }
    entries.push(entry);
    // What this entry adds, as a graph of its own.
    const added: number[] = [];
    const numbers = new Map<number, number>();
    const work = [entry];
    while (work.length > 0) {
      const at = work.pop()!;
      if (numbers.has(at)) continue;
      numbers.set(at, added.length);
      added.push(at);
      blocks[at]!.successors = blocks[at]!.successors.filter((to) => !placed[to]! || !inside[to]!);
      for (const to of blocks[at]!.successors) if (!placed[to]!) work.push(to);
    }
    const nodes = added.map((at) => ({
      successors: blocks[at]!.successors.flatMap((to) => numbers.get(to) ?? []),
    }));
    const found = reducible(nodes, 0, (from, to) => {
      const block = blocks[added[from]!]!;
      block.successors = block.successors.filter((each) => each !== added[to]);
    });
    insideLoops(nodes, found).forEach((is, i) => {
      inside[added[i]!] = is;
      placed[added[i]!] = true;
    });
  }
  region.entries = entries;
  const start = entries.length > 1 ? blocks.length : entries[0]!;
  const all: { successors: number[] }[] = [...blocks];
  if (entries.length > 1) all.push({ successors: [...entries] });
  const found = reducible(all, start, () => {});
  if (entries.length > 1) region.entries = all[start]!.successors;
  return found;
}
