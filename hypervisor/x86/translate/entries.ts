/**
 * Makes a region's graph reducible: a loop is entered by its start only. What would enter one in its middle, an entry or
 * an edge from the code behind another entry, is given up: control then leaves the region there and comes back through the
 * loop's start, or through a region of its own.
 */
import { type Node, type Structure, structure } from './graph.ts';
import type { Block, Region } from './region.ts';

/** Blocks that lie in a loop whose start they are not, of the part of the graph that can be reached. */
export function insideLoops(nodes: readonly Node[], { order, isLoop }: Structure): boolean[] {
  const inside: boolean[] = new Array(nodes.length).fill(false);
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

/** Settles what an entry adds to the blocks that are placed already, as a graph of its own. */
function addEntry(blocks: readonly Block[], entry: number, placed: boolean[], inside: boolean[]): void {
  const added: number[] = [];
  const numbers: number[] = new Array(blocks.length).fill(-1);
  const work = [entry];
  while (work.length > 0) {
    const at = work.pop()!;
    if (numbers[at]! >= 0) continue;
    numbers[at] = added.length;
    added.push(at);
    const block = blocks[at]!;
    if (block.successors.some((to) => placed[to]! && inside[to]!))
      block.successors = block.successors.filter((to) => !placed[to]! || !inside[to]!);
    for (const to of block.successors) if (!placed[to]!) work.push(to);
  }
  const nodes = added.map((at) => ({
    successors: blocks[at]!.successors.map((to) => numbers[to]!).filter((to) => to >= 0),
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

/**
 * Settles a region's entries and edges, and gives the structure of its graph. Where there are several entries, that graph has
 * one more node, the last, which leads to each of them and is where it starts.
 */
export function settleEntries(region: Region): Structure {
  const { blocks } = region;
  const first = region.entries[0]!;
  const alone = reducible(blocks, first, () => {});
  if (region.entries.length === 1) return alone;
  const inside = insideLoops(blocks, alone);
  const placed = alone.order.map((position) => position >= 0);
  const entries = [first];
  for (let number = 1; number < region.entries.length; number++) {
    const entry = region.entries[number]!;
    if (!placed[entry]!) addEntry(blocks, entry, placed, inside);
    else if (inside[entry]!) continue;
    entries.push(entry);
  }
  region.entries = entries;
  if (entries.length === 1) return alone;
  const start = { successors: [...entries] };
  const found = reducible([...blocks, start], blocks.length, () => {});
  region.entries = start.successors;
  return found;
}
