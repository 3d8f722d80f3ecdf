/**
 * The control flow graph of a region, and its structured form: which blocks start loops, which join several paths, and what
 * each block dominates. From this, code with structured control flow follows (Norman Ramsey, "Beyond Relooper: recursive
 * translation of unstructured control flow to structured control flow", ICFP 2022).
 */

/** A block of a region as the graph sees it. */
export interface Node {
  /** Numbers of the blocks that follow within the region. */
  readonly successors: readonly number[];
}

/** The structure of a graph from its entry on. */
export interface Structure {
  /** The blocks that can be reached, in reverse postorder. */
  readonly sequence: readonly number[];
  /** Position of each block in that; −1 when it cannot be reached. */
  readonly order: readonly number[];
  /** Blocks that an edge leads back to. */
  readonly isLoop: readonly boolean[];
  /** Blocks that several forward edges lead to. */
  readonly isMerge: readonly boolean[];
  /** For each block, those that it dominates immediately, later ones in reverse postorder first. */
  readonly children: readonly (readonly number[])[];
}

/** Reverse postorder from the entry. */
function reversePostorder(nodes: readonly Node[], entry: number): number[] {
  const seen: boolean[] = new Array(nodes.length).fill(false);
  const post: number[] = [];
  const visit = (at: number): void => {
    seen[at] = true;
    for (const next of nodes[at]!.successors) if (!seen[next]) visit(next);
    post.push(at);
  };
  visit(entry);
  return post.reverse();
}

/**
 * Immediate dominators, by the iteration of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
 * Indexed by position in reverse postorder.
 */
function dominators(sequence: readonly number[], order: readonly number[], nodes: readonly Node[]): number[] {
  const count = sequence.length;
  // Edges by where they lead: the last to each, the one before each, and from where it comes.
  const lastTo: number[] = new Array(count).fill(-1);
  const before: number[] = [];
  const from: number[] = [];
  for (let position = 0; position < count; position++) {
    for (const next of nodes[sequence[position]!]!.successors) {
      const to = order[next]!;
      before.push(lastTo[to]!);
      lastTo[to] = from.length;
      from.push(position);
    }
  }
  const dominator: number[] = new Array(count).fill(-1);
  dominator[0] = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (let position = 1; position < count; position++) {
      let found = -1;
      for (let edge = lastTo[position]!; edge >= 0; edge = before[edge]!) {
        let other = from[edge]!;
        if (dominator[other] === -1) continue;
        if (found === -1) found = other;
        // Where the two meet.
        while (found !== other) {
          while (found > other) found = dominator[found]!;
          while (other > found) other = dominator[other]!;
        }
      }
      if (dominator[position] !== found) {
        dominator[position] = found;
        changed = true;
      }
    }
  }
  return dominator;
}

/**
 * Finds the structure of a graph from block `entry` on. `irreducible` is told each edge that enters a loop other than by its start; the
 * caller takes such edges out and asks again.
 */
export function structure(
  nodes: readonly Node[],
  entry: number,
  irreducible: (from: number, to: number) => void,
): Structure {
  const sequence = reversePostorder(nodes, entry);
  const order: number[] = new Array(nodes.length).fill(-1);
  for (let position = 0; position < sequence.length; position++) order[sequence[position]!] = position;
  const dominator = dominators(sequence, order, nodes);
  const isLoop: boolean[] = new Array(nodes.length).fill(false);
  const isMerge: boolean[] = new Array(nodes.length).fill(false);
  const isReached: boolean[] = new Array(nodes.length).fill(false);
  for (let position = 0; position < sequence.length; position++) {
    const block = sequence[position]!;
    for (const next of nodes[block]!.successors) {
      const to = order[next]!;
      if (to > position) {
        if (isReached[next]!) isMerge[next] = true;
        isReached[next] = true;
        continue;
      }
      let above = position;
      while (above > to) above = dominator[above]!;
      if (above === to) isLoop[next] = true;
      else irreducible(block, next);
    }
  }
  const children: number[][] = nodes.map(() => []);
  for (let position = sequence.length - 1; position > 0; position--) {
    children[sequence[dominator[position]!]!]!.push(sequence[position]!);
  }
  return { sequence, order, isLoop, isMerge, children };
}
