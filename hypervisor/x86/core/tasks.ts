/** Task switches (SDM vol. 3, chapter 8). */
import type { CorePart } from './core.ts';

export const tasks: CorePart = (define) => {
  define('taskSwitch', (fn) => fn.unreachable());
};
