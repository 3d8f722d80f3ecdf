/** The policy of an administrator: every guest has the size that its owner set, whatever happens. */
import type { Ask, BalloonPolicy, PolicyView } from './policy.ts';

/** See the top of this file. */
export class StaticPolicy implements BalloonPolicy {
  readonly name = 'static';
  readonly sampleInterval = Number.POSITIVE_INFINITY;
  /** A second: an owner's change is not felt before. */
  readonly decisionInterval = 1_000_000_000;

  sample(): void {}

  decide(view: PolicyView, ask: Ask): void {
    for (const guest of view.guests) if (guest.target !== guest.configured) ask(guest, guest.configured);
  }

  saveState(): void {}

  loadState(): void {}
}
