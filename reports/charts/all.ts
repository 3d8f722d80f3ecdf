/** All charts, in the order in which a report has them. */
import type { Run, Study } from '../run.ts';
import { applicationChart } from './application.ts';
import { believedChart } from './believed.ts';
import type { Chart } from './chart.ts';
import { cpuChart } from './cpu.ts';
import { densityChart } from './density.ts';
import { faultsChart } from './faults.ts';
import { guestsChart } from './guests.ts';
import { memoryChart } from './memory.ts';
import { mergingChart } from './merging.ts';
import { overcommitChart } from './overcommit.ts';
import { savingsChart } from './savings.ts';
import { swapChart } from './swap.ts';
import { techniquesChart } from './techniques.ts';

const ofRuns: readonly ((runs: readonly Run[]) => Chart | undefined)[] = [
  techniquesChart,
  believedChart,
  memoryChart,
  mergingChart,
  guestsChart,
  swapChart,
  faultsChart,
  applicationChart,
  cpuChart,
];

const ofStudies: readonly ((study: Study) => Chart | undefined)[] = [
  densityChart,
  savingsChart,
  overcommitChart,
  (study) => techniquesChart(study.cells.map(({ run }) => run)),
];

const isChart = (chart: Chart | undefined): chart is Chart => chart !== undefined;

/** The charts of a run, or of several beside each other. A chart of something that no run has is left out. */
export function runCharts(runs: readonly Run[]): Chart[] {
  return ofRuns.map((chart) => chart(runs)).filter(isChart);
}

/** The charts of a sweep or a density search. */
export function studyCharts(study: Study): Chart[] {
  return ofStudies.map((chart) => chart(study)).filter(isChart);
}
