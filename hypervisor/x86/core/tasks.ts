/** Task switches (SDM vol. 3, chapter 8). */
import type { CorePart } from './core.ts';

/** What switches to a task, the third parameter of `taskSwitch`. */
export const taskCauses = { jump: 0, call: 1, return: 2, gate: 3 } as const;

export const tasks: CorePart = (define) => {
  define('taskSwitch', (fn) => fn.unreachable());
};
