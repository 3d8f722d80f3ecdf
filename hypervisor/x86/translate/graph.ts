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
  /** Position of each block in reverse postorder; −1 when it cannot be reached. */
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
  const seen = nodes.map(() => false);
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
  const predecessors: number[][] = sequence.map(() => []);
  sequence.forEach((block, position) => {
    for (const next of nodes[block]!.successors) predecessors[order[next]!]!.push(position);
  });
  const dominator = sequence.map(() => -1);
  dominator[0] = 0;
  const meet = (a: number, b: number): number => {
    let [left, right] = [a, b];
    while (left !== right) {
      while (left > right) left = dominator[left]!;
      while (right > left) right = dominator[right]!;
    }
    return left;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let position = 1; position < sequence.length; position++) {
      let found = -1;
      for (const each of predecessors[position]!) {
        if (dominator[each] === -1) continue;
        found = found === -1 ? each : meet(found, each);
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
  const order = nodes.map(() => -1);
  sequence.forEach((block, position) => {
    order[block] = position;
  });
  const dominator = dominators(sequence, order, nodes);
  const dominates = (a: number, b: number): boolean => {
    let at = b;
    while (at > a) at = dominator[at]!;
    return at === a;
  };
  const isLoop = nodes.map(() => false);
  const forward = nodes.map(() => 0);
  for (const block of sequence) {
    for (const next of nodes[block]!.successors) {
      if (order[next]! > order[block]!) forward[next]!++;
      else if (dominates(order[next]!, order[block]!)) isLoop[next] = true;
      else irreducible(block, next);
    }
  }
  const children: number[][] = nodes.map(() => []);
  for (let position = sequence.length - 1; position > 0; position--) {
    children[sequence[dominator[position]!]!]!.push(sequence[position]!);
  }
  return { order, isLoop, isMerge: forward.map((count) => count > 1), children };
}
